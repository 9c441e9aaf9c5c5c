//! Given this journal, verifying says this.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::string_slice, clippy::panic)]

mod common;

use std::fs;
use std::path::Path;

use audit::{verify, Against, Checkpoint, Draft, Head, Journal, Report, Verdict, Wrong};
use common::Scratch;

fn check(folder: &Path) -> Report {
    verify(folder, &Against::default(), &|_, _| {}).unwrap()
}

fn check_with(folder: &Path, heads: &[Head]) -> Report {
    let against = Against {
        checkpoints: heads.iter().map(|head| Checkpoint::from(*head)).collect(),
        ..Against::default()
    };
    verify(folder, &against, &|_, _| {}).unwrap()
}

fn written(scratch: &Scratch, appends: usize) -> Vec<Head> {
    let mut journal = Journal::open(&scratch.journal(), "b").unwrap();
    let mut heads = vec![journal.head()];
    for number in 0..appends {
        heads.push(journal.append(&[Draft::new("note").number("number", number as i64)]).unwrap());
    }
    heads
}

fn segment(scratch: &Scratch) -> std::path::PathBuf {
    scratch.journal().join("000000000000.jsonl")
}

fn edit(scratch: &Scratch, change: impl FnOnce(&mut Vec<String>)) {
    let text = fs::read_to_string(segment(scratch)).unwrap();
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    change(&mut lines);
    fs::write(segment(scratch), lines.join("\n") + "\n").unwrap();
}

#[test]
fn a_sound_journal_is_never_called_ok_without_what_it_was_compared_with() {
    let scratch = Scratch::new();
    let heads = written(&scratch, 9);
    let report = check(&scratch.journal());
    assert_eq!((report.verdict(), report.records, report.head), (Verdict::Sound, 10, Some(heads[9])));
    assert!(report.to_string().contains("compared with no checkpoint from elsewhere"), "{report}");
    let report = check_with(&scratch.journal(), &heads[3..5]);
    assert_eq!(report.verdict(), Verdict::Sound);
    assert!(report.to_string().contains("the checkpoint 4 given by hand is met"), "{report}");
    assert!(!report.to_string().contains("compared with no"), "{report}");
}

#[test]
fn an_altered_record_is_named_with_its_place_and_later_ones_are_still_verified() {
    let scratch = Scratch::new();
    written(&scratch, 9);
    let offset = fs::read_to_string(segment(&scratch))
        .unwrap()
        .lines()
        .take(4)
        .map(|line| line.len() + 1)
        .sum::<usize>();
    edit(&scratch, |lines| {
        lines[4] = lines[4].replace("\"number\":3", "\"number\":4");
        lines[7] = lines[7].replace("\"number\":6", "\"number\":7");
    });
    let report = check(&scratch.journal());
    assert_eq!(report.verdict(), Verdict::Altered);
    let found: Vec<_> = report.findings.iter().map(|finding| (finding.wrong, finding.seq)).collect();
    assert_eq!(found, [(Wrong::Altered, 4), (Wrong::Altered, 7)]);
    assert_eq!(report.findings[0].place.unwrap().offset, offset as u64);
    assert_eq!(report.head.unwrap().seq, 9);
}

#[test]
fn removed_repeated_and_swapped_records_are_told_apart() {
    type Change = fn(&mut Vec<String>);
    let cases: [(&str, Change, Wrong, u64); 3] = [
        ("removed", |lines| drop(lines.remove(4)), Wrong::Missing, 4),
        ("repeated", |lines| lines.insert(4, lines[3].clone()), Wrong::Order, 4),
        ("swapped", |lines| lines.swap(4, 5), Wrong::Missing, 4),
    ];
    for (name, change, wrong, seq) in cases {
        let scratch = Scratch::new();
        written(&scratch, 9);
        edit(&scratch, change);
        let report = check(&scratch.journal());
        assert_eq!((report.findings[0].wrong, report.findings[0].seq), (wrong, seq), "{name}: {report}");
        assert_eq!(report.head.unwrap().seq, 9, "{name}");
    }
}

#[test]
fn a_journal_cut_at_the_end_of_a_record_is_caught_by_head_and_by_any_later_checkpoint() {
    let scratch = Scratch::new();
    let heads = written(&scratch, 9);
    edit(&scratch, |lines| lines.truncate(8));
    let report = check(&scratch.journal());
    assert_eq!(report.verdict(), Verdict::Altered);
    assert!(
        report.to_string().contains("the file HEAD, record 9, is NOT met: the journal ends at record 7"),
        "{report}"
    );
    fs::remove_file(scratch.journal().join("HEAD")).unwrap();
    let report = check(&scratch.journal());
    assert_eq!(report.verdict(), Verdict::Sound);
    assert!(
        report.to_string().contains("cut at the end of a record, cannot be told from this one"),
        "{report}"
    );
    assert_eq!(check_with(&scratch.journal(), &heads[8..9]).verdict(), Verdict::Altered);
    assert_eq!(check_with(&scratch.journal(), &heads[7..8]).verdict(), Verdict::Sound);
}

#[test]
fn what_a_crash_left_behind_the_last_record_is_a_torn_tail_and_after_the_next_record_healed() {
    let scratch = Scratch::new();
    written(&scratch, 3);
    let mut bytes = fs::read(segment(&scratch)).unwrap();
    bytes.extend_from_slice(b"{\"v\":1,\"prev\":\"00");
    fs::write(segment(&scratch), &bytes).unwrap();
    let report = check(&scratch.journal());
    assert_eq!((report.verdict(), report.torn_tail.unwrap().1), (Verdict::TornTail, 17));
    Journal::open(&scratch.journal(), "b").unwrap().append(&[Draft::new("note")]).unwrap();
    let report = check(&scratch.journal());
    assert_eq!(report.verdict(), Verdict::Sound);
    assert_eq!((report.healed[0].1, report.healed[0].2), (18, 4));
}

#[test]
fn what_follows_a_known_head_can_be_verified_by_itself() {
    let scratch = Scratch::new();
    let heads = written(&scratch, 9);
    edit(&scratch, |lines| lines[2] = lines[2].replace("note", "nope"));
    let from = |head: Head| Against { from: Some(head.into()), ..Against::default() };
    let verdict = |against: &Against| verify(&scratch.journal(), against, &|_, _| {}).unwrap();
    assert_eq!(verdict(&from(heads[5])).verdict(), Verdict::Sound);
    assert_eq!(verdict(&from(heads[5])).records, 4);
    assert_eq!(verdict(&from(heads[0])).verdict(), Verdict::Altered);
    let other = Head { seq: 5, hash: [7; 32] };
    assert_eq!(verdict(&from(other)).verdict(), Verdict::Altered);
}

#[test]
fn one_thread_and_many_say_the_same_of_every_journal() {
    let scratch = Scratch::new();
    let mut journal =
        Journal::open_with(&scratch.journal(), "b", std::time::Duration::ZERO, 300_000).unwrap();
    let mut drafts = Vec::new();
    for number in 0..4000 {
        drafts.push(Draft::new("note").number("number", number));
        if drafts.len() == 40 {
            journal.append(&drafts).unwrap();
            drafts.clear();
        }
    }
    for threads in 1..4 {
        let against = Against { threads: std::num::NonZeroUsize::new(threads), ..Against::default() };
        let report = verify(&scratch.journal(), &against, &|_, _| {}).unwrap();
        assert_eq!((report.verdict(), report.head), (Verdict::Sound, Some(journal.head())), "{report}");
        assert!(report.segments > 3);
        assert_eq!(report.records, journal.head().seq + 1);
    }
}

#[test]
fn where_there_is_no_journal_that_is_an_error_not_a_verdict() {
    let scratch = Scratch::new();
    for path in [scratch.path().to_path_buf(), scratch.path().join("nothing")] {
        assert_eq!(verify(&path, &Against::default(), &|_, _| {}).unwrap_err().kind(), audit::Kind::Absent);
    }
}

#[test]
fn of_a_file_of_checkpoints_that_is_too_long_the_newest_are_taken_and_the_rest_counts_as_unreadable() {
    let scratch = Scratch::new();
    let heads = written(&scratch, 9);
    let line =
        |head: Head, place: &str| format!("2026-01-01T00:00:00Z {} {} {place}\n", head.seq, head.hex());
    // The limit falls into a line of junk.
    let text = line(heads[3], "old") + &"no checkpoint\n".repeat(300 * 1024) + &line(heads[5], "new");
    fs::write(scratch.journal().join("checkpoints"), &text).unwrap();
    let report = check(&scratch.journal());
    assert_eq!(report.verdict(), Verdict::Sound);
    let compared: Vec<u64> = report.comparisons.iter().map(|one| one.checkpoint.seq).collect();
    assert!(compared.contains(&5) && !compared.contains(&3), "{compared:?}");
    let junk = (4 * 1024 * 1024 - line(heads[5], "new").len()) / "no checkpoint\n".len();
    assert_eq!(report.checkpoint_lines_unreadable, junk as u64 + 1);
}

#[test]
fn a_sparse_file_of_checkpoints_is_not_read_whole() {
    let scratch = Scratch::new();
    written(&scratch, 9);
    let file = fs::File::create(scratch.journal().join("checkpoints")).unwrap();
    file.set_len(1 << 43).unwrap();
    let report = check(&scratch.journal());
    assert_eq!((report.verdict(), report.checkpoint_lines_unreadable), (Verdict::Sound, 1));
    // Even where it is all there is, it says that there was a journal.
    fs::remove_file(segment(&scratch)).unwrap();
    fs::remove_file(scratch.journal().join("HEAD")).unwrap();
    assert_eq!(check(&scratch.journal()).verdict(), Verdict::Altered);
}

#[test]
fn a_checkpoint_from_before_what_is_left_is_no_comparison() {
    let scratch = Scratch::new();
    let folder = scratch.journal();
    let mut journal = Journal::open_with(&folder, "b", std::time::Duration::ZERO, 1000).unwrap();
    let heads: Vec<Head> = (0..20).map(|_| journal.append(&[Draft::new("note")]).unwrap()).collect();
    audit::prune(&folder, "b", 12, audit::Keep::default()).unwrap().unwrap();
    let report = check_with(&folder, &heads[1..2]);
    assert_eq!(report.verdict(), Verdict::Sound);
    assert!(report.to_string().contains("compared with no checkpoint from elsewhere"), "{report}");
}
