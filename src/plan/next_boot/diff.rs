//! A unified diff of two texts, as `patch` takes it.

/// Lines around a change.
const CONTEXT: usize = 3;

/// What happens to a line.
#[derive(Clone, Copy, PartialEq, Eq)]
enum LineKind {
    Kept,
    Gone,
    New,
}

/// The diff of a file; empty where nothing changes.
#[must_use]
pub fn unified(path: &str, before: &[u8], after: &[u8]) -> Vec<u8> {
    if before == after {
        return Vec::new();
    }
    let (old, new) = (lines(before), lines(after));
    let all = compared(&old, &new);
    let name = path.trim_start_matches('/');
    let mut diff = format!("--- a/{name}\n+++ b/{name}\n").into_bytes();
    for hunk in hunks(&all) {
        let part = all.get(hunk.clone()).unwrap_or_default();
        let ahead = all.get(..hunk.start).unwrap_or_default();
        let count =
            |all: &[(LineKind, &[u8])], not: LineKind| all.iter().filter(|(kind, _)| *kind != not).count();
        let range = |not: LineKind| {
            let (begin, length) = (count(ahead, not), count(part, not));
            // A range of no lines stands behind the line before it.
            format!("{},{length}", if length == 0 { begin } else { begin + 1 })
        };
        diff.extend(format!("@@ -{} +{} @@\n", range(LineKind::New), range(LineKind::Gone)).into_bytes());
        for (kind, line) in part {
            diff.push(match kind {
                LineKind::Kept => b' ',
                LineKind::Gone => b'-',
                LineKind::New => b'+',
            });
            diff.extend(*line);
            if !line.ends_with(b"\n") {
                diff.extend(b"\n\\ No newline at end of file\n");
            }
        }
    }
    diff
}

fn lines(text: &[u8]) -> Vec<&[u8]> {
    text.split_inclusive(|&byte| byte == b'\n').collect()
}

/// All lines with what happens to each: line by line where the texts have as many, else by what they have
/// in common.
fn compared<'a>(old: &[&'a [u8]], new: &[&'a [u8]]) -> Vec<(LineKind, &'a [u8])> {
    let ahead = old.iter().zip(new).take_while(|(one, other)| one == other).count();
    let (old_rest, new_rest) = (old.get(ahead..).unwrap_or_default(), new.get(ahead..).unwrap_or_default());
    let behind =
        old_rest.iter().rev().zip(new_rest.iter().rev()).take_while(|(one, other)| one == other).count();
    let middle = |all: &[&'a [u8]]| all.get(..all.len() - behind).unwrap_or_default().to_vec();
    let (gone, fresh) = (middle(old_rest), middle(new_rest));
    let mut all: Vec<(LineKind, &[u8])> =
        old.iter().take(ahead).map(|line| (LineKind::Kept, *line)).collect();
    all.extend(common(&gone, &fresh));
    all.extend(old.iter().skip(old.len() - behind).map(|line| (LineKind::Kept, *line)));
    all
}

fn common<'a>(old: &[&'a [u8]], new: &[&'a [u8]]) -> Vec<(LineKind, &'a [u8])> {
    let mut all = Vec::new();
    let mut fresh = new.iter().peekable();
    let same = old.len() == new.len();
    for (number, line) in old.iter().enumerate() {
        if same {
            let Some(other) = fresh.next() else { break };
            if line == other {
                all.push((LineKind::Kept, *line));
            } else {
                all.push((LineKind::Gone, *line));
                all.push((LineKind::New, *other));
            }
            continue;
        }
        // A line that comes again further on is kept there, if none of the rest is passed over for it.
        let rest = old.get(number + 1..).unwrap_or_default();
        while let Some(other) = fresh.peek().filter(|other| **other != line && !rest.contains(*other)) {
            all.push((LineKind::New, **other));
            fresh.next();
        }
        if fresh.peek().is_some_and(|other| *other == line) {
            all.push((LineKind::Kept, *line));
            fresh.next();
        } else {
            all.push((LineKind::Gone, *line));
        }
    }
    all.extend(fresh.map(|line| (LineKind::New, *line)));
    all
}

fn hunks(all: &[(LineKind, &[u8])]) -> Vec<std::ops::Range<usize>> {
    let mut hunks: Vec<std::ops::Range<usize>> = Vec::new();
    for (at, _) in all.iter().enumerate().filter(|(_, (kind, _))| *kind != LineKind::Kept) {
        let (begin, end) = (at.saturating_sub(CONTEXT), (at + CONTEXT + 1).min(all.len()));
        match hunks.last_mut() {
            Some(last) if begin <= last.end => last.end = end,
            _ => hunks.push(begin..end),
        }
    }
    hunks
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;
    use std::io::Write;
    use std::process::{Command, Stdio};

    fn patched(text: &[u8], diff: &[u8], reverse: bool) -> Vec<u8> {
        let folder = std::env::temp_dir().join(format!(
            "diff-{}-{:?}",
            std::process::id(),
            std::thread::current().id()
        ));
        std::fs::create_dir_all(folder.join("etc")).unwrap();
        std::fs::write(folder.join("etc/x"), text).unwrap();
        let mut command = Command::new("patch");
        command.args(["-s", "-p1", "--no-backup-if-mismatch"]).current_dir(&folder);
        if reverse {
            command.arg("-R");
        }
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(diff).unwrap();
        assert!(child.wait().unwrap().success(), "{}", String::from_utf8_lossy(diff));
        // patch takes a file away that becomes empty.
        let result = std::fs::read(folder.join("etc/x")).unwrap_or_default();
        std::fs::remove_dir_all(&folder).unwrap();
        result
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]
        #[test]
        fn patch_makes_the_new_text_and_back(
            old in proptest::collection::vec("[ab]{0,2}\r?", 1..12),
            new in proptest::collection::vec("[ab]{0,2}\r?", 1..12),
            ends: (bool, bool),
        ) {
            let text = |lines: &[String], end: bool| {
                let mut text = lines.join("\n");
                text.push('x');
                if end { text.push('\n'); }
                text.into_bytes()
            };
            let (old, new) = (text(&old, ends.0), text(&new, ends.1));
            let diff = unified("/etc/x", &old, &new);
            if old == new {
                prop_assert!(diff.is_empty());
            } else {
                prop_assert_eq!(patched(&old, &diff, false), new.clone());
                prop_assert_eq!(patched(&new, &diff, true), old);
            }
        }
    }
}
