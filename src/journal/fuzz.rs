//! Lines and files of the journal, which a forger may have written.

use super::{Entry, Moment};
use crate::fuzz::run;
use audit::{Against, Checkpoint, Draft, Journal, Query, Record};
use std::ops::ControlFlow;
use std::path::PathBuf;

#[test]
fn fuzz_lines_of_the_journal() {
    let seed = br#"{"v":1,"prev":"00","seq":7,"time":"2026-11-22T13:47:51.123456Z","boot":"1c0ffee0","kind":"stay","event":"begin","bdf":"0000:03:00.0","qube":"sys-net","network":true,"domain":7,"hash":"00"}"#;
    run("journal-lines", &[seed], |bytes| {
        let record = Record::parse(bytes)?;
        let entry = Entry::read(&record);
        entry.iter().for_each(|entry| drop(entry.draft()));
        Some((record.kind().to_owned(), entry))
    });
}

#[test]
fn fuzz_checkpoints_and_times_that_people_give() {
    let long = format!("4:{}", "f3".repeat(32));
    let seeds: [&[u8]; 4] = [
        long.as_bytes(),
        b"104857 f3a9 77c1 02de 9b40 51aa 0c3e",
        b"2026-11-22T13:47:51.123456Z",
        b"2026-11-22",
    ];
    run("checkpoints", &seeds, |bytes| {
        let text = String::from_utf8_lossy(bytes);
        if let Ok(checkpoint) = Checkpoint::parse(&text) {
            assert_eq!(Checkpoint::parse(&checkpoint.to_string()).unwrap(), checkpoint);
        }
        // Which one it is does not make the input new.
        (
            Checkpoint::parse(&text).map(|_| ()).map_err(|error| error.to_string()),
            Moment::parse(&text).is_some(),
        )
    });
}

/// A journal of a few records in memory; it goes with the value.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let memory = PathBuf::from("/dev/shm");
        let above = if memory.is_dir() { memory } else { std::env::temp_dir() };
        let folder = above.join(format!("dom0-pci-fuzz-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        let mut journal = Journal::open(&folder, "1c0ffee0").unwrap();
        for number in 0..4 {
            journal.append(&[Draft::new("note").op("9616d76e").number("n", number)]).unwrap();
        }
        Self(folder)
    }

    fn file(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.0.join(name)).unwrap()
    }

    /// What all who read it say of it, after one file was replaced. Times and paths are left out.
    fn told(&self, name: &str, bytes: &[u8]) -> impl std::fmt::Debug {
        std::fs::write(self.0.join(name), bytes).unwrap();
        let report = audit::verify(&self.0, &Against::default(), &|_, _| {}).unwrap();
        let mut lines = 0;
        let mut count = |_: &[u8]| {
            lines += 1;
            ControlFlow::Continue(())
        };
        audit::select(&self.0, &Query::default(), &mut count).unwrap();
        audit::newest_first(&self.0, &mut count).unwrap();
        let mut operations = 0;
        let mut count = |_: &audit::Operation| {
            operations += 1;
            ControlFlow::Continue(())
        };
        audit::operations(&self.0, &Query::default(), Some(3), &mut count).unwrap();
        let head = audit::head(&self.0).map(|_| ()).map_err(|error| error.kind());
        let _ = audit::export(&self.0, &mut |_| Ok(()));
        let _ = audit::prunable(&self.0, 2);
        (report.verdict(), report.records, report.compared_with_given(), lines, operations, head)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn fuzz_segments_of_a_journal() {
    let scratch = Scratch::new("segments");
    let seed = scratch.file("000000000000.jsonl");
    run("journal-segments", &[&seed], |bytes| scratch.told("000000000000.jsonl", bytes));
}

#[test]
fn fuzz_the_head_of_a_journal() {
    let scratch = Scratch::new("heads");
    let seed = scratch.file("HEAD");
    run("journal-heads", &[&seed], |bytes| scratch.told("HEAD", bytes));
}

#[test]
fn fuzz_the_checkpoints_of_a_journal() {
    let scratch = Scratch::new("checkpoints");
    let head = audit::head(&scratch.0).unwrap().head;
    audit::remember(&scratch.0, head, "paper").unwrap();
    let seed = scratch.file("checkpoints");
    run("journal-checkpoints", &[&seed], |bytes| scratch.told("checkpoints", bytes));
}
