//! Given this journal, an append does this.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::string_slice, clippy::panic)]

mod common;

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use audit::{Draft, Journal, Kind};
use common::{kinds, lines, Scratch};

fn note(text: &str) -> Draft {
    Draft::new("note").text("text", text)
}

fn segment(scratch: &Scratch) -> std::path::PathBuf {
    scratch.journal().join("000000000000.jsonl")
}

#[test]
fn where_there_is_no_journal_one_is_created_for_its_owner_alone() {
    let scratch = Scratch::new();
    let folder = scratch.path().join("lib/dom0/journal");
    let journal = Journal::open(&folder, "1c0ffee0").unwrap();
    assert_eq!(journal.head().seq, 0);
    assert_eq!(kinds(&folder, 0), ["genesis"]);
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&folder), 0o700);
    assert_eq!(mode(&folder.join("000000000000.jsonl")), 0o600);
    assert_eq!(mode(&folder.join("HEAD")), 0o600);
}

#[test]
fn the_records_of_one_append_share_their_time_and_those_of_two_never_do() {
    let scratch = Scratch::new();
    let mut journal = Journal::open(&scratch.journal(), "b").unwrap();
    for _ in 0..50 {
        journal.append(&[note("a"), note("b")]).unwrap();
    }
    let times: Vec<String> = lines(&scratch.journal(), 0)
        .iter()
        .map(|line| audit::Record::parse(line.as_bytes()).unwrap().text("time").unwrap().to_owned())
        .collect();
    for pair in times[1..].chunks(2) {
        assert_eq!(pair[0], pair[1]);
    }
    for pair in times.chunks(2) {
        assert!(pair.len() == 1 || pair[0] != pair[1]);
    }
}

#[test]
fn a_record_of_any_length_up_to_the_longest_is_found_again() {
    let scratch = Scratch::in_memory();
    let mut journal = Journal::open(&scratch.journal(), "b").unwrap();
    let mut longest = 0;
    for length in 0..600 {
        let draft =
            (0..7).fold(Draft::new("note"), |draft, key| draft.text(&format!("k{key}"), &"x".repeat(512)));
        journal.append(&[draft.text("last", &"y".repeat(length))]).unwrap();
        let text = lines(&scratch.journal(), 0).pop().unwrap();
        longest = longest.max(text.len() + 1);
        assert_eq!(Journal::open(&scratch.journal(), "b").unwrap().head(), journal.head());
    }
    assert_eq!(longest, 4096);
}

#[test]
fn two_writers_take_turns_in_one_chain() {
    let scratch = Scratch::new();
    let mut one = Journal::open(&scratch.journal(), "b").unwrap();
    let mut two = Journal::open(&scratch.journal(), "b").unwrap();
    for turn in 0..5 {
        assert_eq!(one.append(&[note("one")]).unwrap().seq, 2 * turn + 1);
        assert_eq!(two.append(&[note("two")]).unwrap().seq, 2 * turn + 2);
    }
    assert_eq!(two.close().unwrap().seq, 10);
}

#[test]
fn a_torn_tail_stays_and_the_next_record_accounts_for_it() {
    let scratch = Scratch::new();
    Journal::open(&scratch.journal(), "b").unwrap().append(&[note("a")]).unwrap();
    let before = fs::read(segment(&scratch)).unwrap();
    OpenOptions::new().append(true).open(segment(&scratch)).unwrap().write_all(b"{\"v\":1,\"pr").unwrap();
    Journal::open(&scratch.journal(), "b").unwrap().append(&[note("b")]).unwrap();
    let after = fs::read(segment(&scratch)).unwrap();
    assert!(after.starts_with(&before));
    assert!(after[before.len()..].starts_with(b"{\"v\":1,\"pr\n{\"v\":1,"));
    let torn = lines(&scratch.journal(), 0)[3].clone();
    assert!(torn.contains("\"kind\":\"torn\",\"len\":11,"), "{torn}");
}

#[test]
fn a_record_that_lacks_only_its_line_feed_counts() {
    let scratch = Scratch::new();
    let head = Journal::open(&scratch.journal(), "b").unwrap().append(&[note("a")]).unwrap();
    let bytes = fs::read(segment(&scratch)).unwrap();
    fs::write(segment(&scratch), &bytes[..bytes.len() - 1]).unwrap();
    assert_eq!(Journal::open(&scratch.journal(), "b").unwrap().head(), head);
    fs::remove_file(scratch.journal().join("HEAD")).unwrap();
    let mut journal = Journal::open(&scratch.journal(), "b").unwrap();
    assert_eq!(journal.head(), head);
    journal.append(&[note("b")]).unwrap();
    assert_eq!(kinds(&scratch.journal(), 0), ["genesis", "note", "note"]);
}

#[test]
fn where_head_names_a_record_that_is_gone_nothing_is_written() {
    let scratch = Scratch::new();
    Journal::open(&scratch.journal(), "b").unwrap().append(&[note("a")]).unwrap();
    let bytes = fs::read(segment(&scratch)).unwrap();
    fs::write(segment(&scratch), &bytes[..bytes.len() - 10]).unwrap();
    let error = Journal::open(&scratch.journal(), "b").err().unwrap();
    assert_eq!(error.kind(), Kind::Broken);
    assert!(error.to_string().contains("record 1 was committed"), "{error}");
    assert_eq!(fs::read(segment(&scratch)).unwrap().len(), bytes.len() - 10);
}

#[test]
fn where_a_record_before_committed_ones_is_altered_and_head_is_gone_nothing_is_written() {
    let scratch = Scratch::new();
    let mut journal = Journal::open(&scratch.journal(), "b").unwrap();
    for text in ["a", "b", "c", "d"] {
        journal.append(&[note(text)]).unwrap();
    }
    let text = fs::read_to_string(segment(&scratch)).unwrap();
    fs::write(segment(&scratch), text.replacen("\"text\":\"b\"", "\"text\":\"B\"", 1)).unwrap();
    fs::remove_file(scratch.journal().join("HEAD")).unwrap();
    assert_eq!(Journal::open(&scratch.journal(), "b").err().unwrap().kind(), Kind::Broken);
}

#[test]
fn where_all_segments_are_gone_but_head_is_there_no_new_journal_begins() {
    let scratch = Scratch::new();
    Journal::open(&scratch.journal(), "b").unwrap().close().unwrap();
    fs::remove_file(segment(&scratch)).unwrap();
    assert_eq!(Journal::open(&scratch.journal(), "b").err().unwrap().kind(), Kind::Broken);
}

#[test]
fn a_long_segment_is_followed_by_a_new_one_that_names_it() {
    let scratch = Scratch::new();
    let mut journal = Journal::open_with(&scratch.journal(), "b", Duration::ZERO, 2000).unwrap();
    for _ in 0..20 {
        journal.append(&[note("a"), note("b")]).unwrap();
    }
    let names: Vec<String> = {
        let mut names: Vec<String> = fs::read_dir(scratch.journal())
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    };
    assert!(names.len() > 4, "{names:?}");
    let second: u64 = names[1].trim_end_matches(".jsonl").parse().unwrap();
    let first_line = lines(&scratch.journal(), second)[0].clone();
    let size = fs::metadata(segment(&scratch)).unwrap().len();
    assert!(first_line.contains(&format!(
        "\"kind\":\"segment\",\"after\":\"000000000000.jsonl\",\"bytes\":{size},\"sha256\":\""
    )));
}

#[test]
fn a_segment_that_others_can_write_or_that_has_two_names_is_refused() {
    let scratch = Scratch::new();
    Journal::open(&scratch.journal(), "b").unwrap();
    fs::set_permissions(segment(&scratch), fs::Permissions::from_mode(0o620)).unwrap();
    assert_eq!(Journal::open(&scratch.journal(), "b").err().unwrap().kind(), Kind::NotPrivate);
    fs::set_permissions(segment(&scratch), fs::Permissions::from_mode(0o600)).unwrap();
    fs::hard_link(segment(&scratch), scratch.path().join("second")).unwrap();
    assert_eq!(Journal::open(&scratch.journal(), "b").err().unwrap().kind(), Kind::NotPrivate);
}

#[test]
fn while_another_process_has_the_lock_the_journal_is_busy() {
    let scratch = Scratch::new();
    Journal::open(&scratch.journal(), "b").unwrap();
    let folder = fs::File::open(scratch.journal()).unwrap();
    let _lock = nix::fcntl::Flock::lock(folder, nix::fcntl::FlockArg::LockExclusive).unwrap();
    let error = Journal::open_with(&scratch.journal(), "b", Duration::from_millis(50), 1000).err().unwrap();
    assert_eq!(error.kind(), Kind::Busy);
    assert!(error.to_string().contains(&format!("(pid {})", std::process::id())), "{error}");
}

#[test]
fn its_head_is_that_of_the_last_record_with_or_without_the_file_that_says_so() {
    let scratch = Scratch::new();
    let folder = scratch.journal();
    let mut journal = Journal::open(&folder, "b").unwrap();
    let first = journal.head();
    assert_eq!(audit::head(&folder).unwrap().head, first);
    let last = journal.append(&[note("a"), note("b")]).unwrap();
    journal.close().unwrap();
    assert_ne!(first, last);
    let told = audit::head(&folder).unwrap();
    assert_eq!(told.head, last);
    assert!(lines(&folder, 0)[0].contains(&told.journal), "{}", told.journal);
    // What was written behind the mark counts; a mark whose record was altered does not.
    let mark = fs::read(folder.join("HEAD")).unwrap();
    fs::remove_file(folder.join("HEAD")).unwrap();
    assert_eq!(audit::head(&folder).unwrap().head, last);
    fs::write(folder.join("HEAD"), mark).unwrap();
    let text = fs::read_to_string(segment(&scratch)).unwrap();
    fs::write(segment(&scratch), text.replace("\"text\":\"b\"", "\"text\":\"c\"")).unwrap();
    assert_eq!(audit::head(&folder).unwrap_err().kind(), Kind::Broken);
}
