//! A journal comes to another place: all of it, verified where nobody changes it any more.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use audit::{relocate, verify, Against, Draft, Journal, Query, Record, Relocation, Verdict};
use std::fs;
use std::ops::ControlFlow;
use std::os::unix::fs::{symlink, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A folder of its own, removed with the value.
struct Ground(PathBuf);

impl Ground {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().canonicalize().unwrap();
        let path = path.join(format!("audit-relocate-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(path.join("old")).unwrap();
        Self(path)
    }

    fn from(&self) -> PathBuf {
        self.0.join("old/journal")
    }

    fn to(&self) -> PathBuf {
        self.0.join("new/journal")
    }

    /// Three segments.
    fn fill(&self) {
        let mut journal = Journal::open_with(&self.from(), "b00t", Duration::from_secs(1), 1500).unwrap();
        for number in 0..20 {
            journal.append(&[Draft::new("note").number("n", number)]).unwrap();
        }
        journal.close().unwrap();
        assert!(segments(&self.from()).len() > 2);
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        let _ = fs::set_permissions(self.from(), PermissionsExt::from_mode(0o700));
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn segments(folder: &Path) -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    all.retain(|path| path.extension().is_some_and(|it| it == "jsonl"));
    all.sort();
    all
}

fn records(folder: &Path, kind: &str) -> Vec<Record> {
    let mut found = Vec::new();
    let query = Query { values: vec![(Some("kind".to_owned()), kind.to_owned())], ..Query::default() };
    audit::select(folder, &query, &mut |line| {
        found.extend(Record::parse(line));
        ControlFlow::Continue(())
    })
    .unwrap();
    found
}

fn verdict(folder: &Path) -> Verdict {
    verify(folder, &Against::default(), &|_, _| {}).unwrap().verdict()
}

fn moved(ground: &Ground) -> Vec<String> {
    match relocate(&ground.from(), &ground.to(), "b00t").unwrap() {
        Relocation::Done { doubts, .. } => doubts,
        other => panic!("{other:?}"),
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn all_of_it_comes_along_and_a_record_says_where_from() {
    let ground = Ground::new("whole");
    ground.fill();
    let before: Vec<Vec<u8>> = segments(&ground.from()).iter().map(|path| fs::read(path).unwrap()).collect();
    assert_eq!(moved(&ground), Vec::<String>::new());
    assert_eq!(verdict(&ground.to()), Verdict::Sound);
    assert_eq!(records(&ground.to(), "note").len(), 20);
    let said = records(&ground.to(), "moved");
    assert_eq!(said.len(), 1);
    assert_eq!(said[0].text("from"), Some(ground.from().to_str().unwrap()));
    assert_eq!(said[0].text("why"), None);
    // The old one is as it was, and nobody writes it by mistake.
    let after: Vec<Vec<u8>> = segments(&ground.from()).iter().map(|path| fs::read(path).unwrap()).collect();
    assert_eq!(before, after);
    assert_eq!(mode(&ground.from()), 0o500);
    assert!(segments(&ground.from()).iter().all(|path| mode(path) == 0o400));
    assert_eq!(mode(&ground.to()), 0o700);
    assert!(segments(&ground.to()).iter().all(|path| mode(path) == 0o600));
    // Again: the new one counts.
    assert_eq!(relocate(&ground.from(), &ground.to(), "b00t").unwrap(), Relocation::Occupied);
}

#[test]
fn an_empty_folder_at_the_new_place_is_no_journal_and_what_an_interruption_left_goes() {
    let ground = Ground::new("interrupted");
    ground.fill();
    fs::create_dir_all(ground.to()).unwrap();
    fs::create_dir_all(ground.0.join("new/journal.part")).unwrap();
    fs::write(ground.0.join("new/journal.part/000000000000.jsonl"), "half").unwrap();
    assert_eq!(moved(&ground), Vec::<String>::new());
    assert!(!ground.0.join("new/journal.part").exists());
    assert_eq!(verdict(&ground.to()), Verdict::Sound);
}

#[test]
fn where_there_is_none_nothing_is_made() {
    let ground = Ground::new("none");
    assert_eq!(relocate(&ground.from(), &ground.to(), "b00t").unwrap(), Relocation::Nothing);
    fs::create_dir_all(ground.from()).unwrap();
    assert_eq!(relocate(&ground.from(), &ground.to(), "b00t").unwrap(), Relocation::Nothing);
    assert!(!ground.to().exists() && !ground.0.join("new/journal.part").exists());
}

#[test]
fn a_torn_tail_is_what_a_crash_leaves() {
    let ground = Ground::new("torn");
    ground.fill();
    let last = segments(&ground.from()).pop().unwrap();
    let mut bytes = fs::read(&last).unwrap();
    bytes.extend_from_slice(b"{\"v\":1,\"prev\":\"half a rec");
    fs::write(&last, bytes).unwrap();
    assert_eq!(moved(&ground), Vec::<String>::new());
    assert_eq!(verdict(&ground.to()), Verdict::Sound);
}

#[test]
fn a_journal_that_does_not_verify_goes_on_behind_a_gap() {
    for (number, harm) in ["altered", "cut", "checkpoint"].into_iter().enumerate() {
        let ground = Ground::new(&format!("broken{number}"));
        ground.fill();
        let files = segments(&ground.from());
        match harm {
            "altered" => {
                let text = fs::read_to_string(&files[0]).unwrap().replace("\"n\":1,", "\"n\":8,");
                fs::write(&files[0], text).unwrap();
            }
            "cut" => fs::remove_file(files.last().unwrap()).unwrap(),
            _ => {
                let line = format!("2026-11-22T13:47:51.123456Z 3 {} paper\n", "a".repeat(64));
                fs::write(ground.from().join("checkpoints"), line).unwrap();
                fs::set_permissions(ground.from().join("checkpoints"), PermissionsExt::from_mode(0o600))
                    .unwrap();
            }
        }
        let doubts = moved(&ground);
        assert!(doubts.iter().any(|doubt| doubt.contains("does not verify")), "{harm}: {doubts:?}");
        assert_eq!(records(&ground.to(), "gap").len(), 1, "{harm}");
        assert!(records(&ground.to(), "moved")[0].text("why").unwrap().contains("does not verify"));
        Journal::open(&ground.to(), "b00t").unwrap().append(&[Draft::new("note")]).unwrap();
        assert_eq!(verdict(&ground.to()), Verdict::Altered, "{harm}: it stays visible");
    }
}

#[test]
fn what_others_could_have_written_is_copied_and_doubted() {
    let ground = Ground::new("loose");
    ground.fill();
    fs::set_permissions(ground.from(), PermissionsExt::from_mode(0o770)).unwrap();
    let first = segments(&ground.from()).remove(0);
    fs::set_permissions(&first, PermissionsExt::from_mode(0o620)).unwrap();
    let doubts = moved(&ground).join("; ");
    assert!(doubts.contains("the journal's folder can be written by group or world"), "{doubts}");
    assert!(doubts.contains("a file of the journal can be written by group or world"), "{doubts}");
    assert_eq!(records(&ground.to(), "note").len(), 20);
    assert!(records(&ground.to(), "moved")[0].text("why").unwrap().contains("can be written"));
    // Whose it is now nobody knows: it is left as it is.
    assert_eq!(mode(&ground.from()), 0o770);
}

#[test]
fn a_second_name_is_doubted_and_keeps_its_mode() {
    let ground = Ground::new("second");
    ground.fill();
    let first = segments(&ground.from()).remove(0);
    fs::hard_link(&first, ground.0.join("another")).unwrap();
    let doubts = moved(&ground).join("; ");
    assert!(doubts.contains("has a second name"), "{doubts}");
    assert_eq!(mode(&first), 0o600);
}

#[test]
fn links_are_not_followed() {
    // The folder, the one above it, and a file.
    let ground = Ground::new("links");
    fs::create_dir_all(ground.0.join("elsewhere")).unwrap();
    symlink(ground.0.join("elsewhere"), ground.from()).unwrap();
    let doubts = moved(&ground).join("; ");
    assert!(doubts.contains("leads over a link"), "{doubts}");
    assert!(records(&ground.to(), "moved")[0].text("why").unwrap().contains("link"));
    assert_eq!(fs::read_dir(ground.0.join("elsewhere")).unwrap().count(), 0);

    let ground = Ground::new("file-link");
    ground.fill();
    let last = segments(&ground.from()).pop().unwrap();
    fs::rename(&last, ground.0.join("aside")).unwrap();
    symlink(ground.0.join("aside"), &last).unwrap();
    let doubts = moved(&ground).join("; ");
    assert!(doubts.contains("is no regular file") && doubts.contains("does not verify"), "{doubts}");
    assert_eq!(mode(&ground.0.join("aside")), 0o600);
}

#[test]
fn what_is_no_folder_or_no_file_does_not_hold_it_up() {
    let ground = Ground::new("pipe");
    ground.fill();
    let last = segments(&ground.from()).pop().unwrap();
    fs::remove_file(&last).unwrap();
    nix::unistd::mkfifo(&last, nix::sys::stat::Mode::S_IRWXU).unwrap();
    assert!(moved(&ground).join("; ").contains("is no regular file"));

    let ground = Ground::new("no-folder");
    fs::write(ground.from(), "").unwrap();
    assert!(!moved(&ground).is_empty());
}
