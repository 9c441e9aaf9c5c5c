//! Every state that a crash can leave, on the real code.
//!
//! A write that was not synced may survive to any length; or the file may have grown to its full size while any of the
//! sectors never reached the disk and hold zeros, an old file's bytes, or line feeds. `HEAD`, which is never synced in
//! between, may be old, older, empty, torn, garbage or gone. From each such state: the journal is not called altered;
//! the next append succeeds; no byte that was there is cut off; every committed record is still in the chain.
//!
//! In a debug build, and without `tests/all --full` for the largest groups, only every n-th state is tried; the counts are printed.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::panic,
    clippy::print_stdout
)]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use audit::{repair, verify, Against, Draft, Head, Journal, Kind, Report, Verdict};
use common::Scratch;

type Files = BTreeMap<String, Vec<u8>>;

const FIRST: &str = "000000000000.jsonl";
const SECTOR: usize = 512;

fn read_all(folder: &Path) -> Files {
    fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read(&path).unwrap())
        })
        .collect()
}

/// Makes the folder hold exactly these files.
fn lay_out(folder: &Path, files: &Files) {
    use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
    if !folder.exists() {
        fs::DirBuilder::new().mode(0o700).create(folder).unwrap();
    }
    for entry in fs::read_dir(folder).unwrap() {
        fs::remove_file(entry.unwrap().path()).unwrap();
    }
    for (name, bytes) in files {
        let mut file =
            fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(folder.join(name)).unwrap();
        std::io::Write::write_all(&mut file, bytes).unwrap();
    }
}

fn note(number: i64) -> Draft {
    Draft::new("step").op("9616d76e").text("phase", "intent").number("number", number)
}

fn open(folder: &Path, segment_bytes: u64) -> audit::Result<Journal> {
    Journal::open_with(folder, "1c0ffee0", Duration::ZERO, segment_bytes)
}

fn check(folder: &Path, heads: &[Head]) -> Report {
    let against =
        Against { checkpoints: heads.iter().map(|head| (*head).into()).collect(), ..Against::default() };
    verify(folder, &against, &|_, _| {}).unwrap()
}

/// A journal before and after the append that the crash interrupts.
struct Write {
    before: Files,
    /// The `HEAD`s that may still be on disk: the last one, older ones.
    marks: Vec<Option<Vec<u8>>>,
    /// The file that the append wrote to, and all it holds after it.
    name: String,
    after: Vec<u8>,
    committed: Option<Head>,
    segment_bytes: u64,
}

impl Write {
    /// The journal after `appends` appends, and what one more, of `batch` records, writes.
    fn of(scratch: &Scratch, appends: i64, batch: i64, segment_bytes: u64) -> Self {
        let folder = scratch.journal();
        let _ = fs::remove_dir_all(&folder);
        let mut journal = open(&folder, u64::MAX).unwrap();
        let mut older = vec![fs::read(folder.join("HEAD")).unwrap()];
        for number in 0..appends {
            journal.append(&[note(number)]).unwrap();
            older.push(fs::read(folder.join("HEAD")).unwrap());
        }
        let committed = journal.head();
        let before = read_all(&folder);
        let mut journal = open(&folder, segment_bytes).unwrap();
        let drafts: Vec<Draft> = (0..batch).map(|number| note(100 + number)).collect();
        journal.append(&drafts).unwrap();
        Self::between(before, read_all(&folder), &older, Some(committed), segment_bytes)
    }

    fn between(
        before: Files,
        after: Files,
        older: &[Vec<u8>],
        committed: Option<Head>,
        segment_bytes: u64,
    ) -> Self {
        let (name, after) = after
            .into_iter()
            .find(|(name, bytes)| {
                name.ends_with(".jsonl") && before.get(name).map_or(0, Vec::len) < bytes.len()
            })
            .unwrap();
        let mut marks: Vec<Option<Vec<u8>>> = vec![None, Some(Vec::new()), Some(b"\0\0\0\0\n".to_vec())];
        if let Some(last) = older.last() {
            marks.push(Some(last.clone()));
            marks.push(Some(last[..last.len() / 2].to_vec()));
        }
        if older.len() > 2 {
            marks.push(Some(older[older.len() - 3].clone()));
        }
        Self { before, marks, name, after, committed, segment_bytes }
    }

    /// All contents that the file may have after the crash.
    fn contents(&self) -> Vec<Vec<u8>> {
        let start = self.before.get(&self.name).map_or(0, Vec::len);
        let mut all: Vec<Vec<u8>> =
            (start..=self.after.len()).map(|length| self.after[..length].to_vec()).collect();
        let sectors: Vec<usize> = (start / SECTOR..=(self.after.len() - 1) / SECTOR).collect();
        for lost in 1u32..1 << sectors.len() {
            for fill in [0x00, 0xa5, b'\n'] {
                let mut bytes = self.after.clone();
                for (index, sector) in sectors.iter().enumerate() {
                    if lost & 1 << index != 0 {
                        let from = (sector * SECTOR).max(start);
                        let to = ((sector + 1) * SECTOR).min(bytes.len());
                        bytes[from..to].fill(fill);
                    }
                }
                all.push(bytes);
            }
        }
        all
    }

    /// Calls `each` with every state of the folder.
    fn states(&self, each: &mut dyn FnMut(Files)) {
        for content in self.contents() {
            for mark in &self.marks {
                let mut files = self.before.clone();
                files.remove("HEAD");
                files.insert(self.name.clone(), content.clone());
                files.extend(mark.iter().map(|mark| ("HEAD".to_owned(), mark.clone())));
                each(files);
            }
        }
        if !self.before.contains_key(&self.name) {
            // A new file whose name never reached the disk.
            for mark in &self.marks {
                let mut files = self.before.clone();
                files.remove("HEAD");
                files.extend(mark.iter().map(|mark| ("HEAD".to_owned(), mark.clone())));
                each(files);
            }
        }
    }
}

/// What has to hold in every state.
fn survive(folder: &Path, files: &Files, write: &Write) {
    lay_out(folder, files);
    let committed: Vec<Head> = write.committed.into_iter().collect();
    let what = || {
        format!(
            "{:?}",
            files
                .iter()
                .map(|(name, bytes)| (name, bytes.len(), String::from_utf8_lossy(bytes)))
                .collect::<Vec<_>>()
        )
    };
    let empty = !files.keys().any(|name| name.ends_with(".jsonl"));
    if !empty {
        let report = check(folder, &committed);
        assert_ne!(report.verdict(), Verdict::Altered, "{report}\n{}", what());
    }
    let mut journal = open(folder, write.segment_bytes).unwrap_or_else(|error| panic!("{error}\n{}", what()));
    let head = journal.append(&[note(999)]).unwrap_or_else(|error| panic!("{error}\n{}", what()));
    for (name, bytes) in files.iter().filter(|(name, _)| name.ends_with(".jsonl")) {
        assert!(fs::read(folder.join(name)).unwrap().starts_with(bytes), "something was cut off: {}", what());
    }
    let report = check(folder, &committed.into_iter().chain([head]).collect::<Vec<_>>());
    assert_eq!(report.verdict(), Verdict::Sound, "{report}\n{}", what());
    assert_eq!(report.head, Some(head));
}

/// Every how many-th state is tried.
fn stride(full: u64) -> u64 {
    match (cfg!(debug_assertions), std::env::var("QUBES_DOM0_PCI_FULL").is_ok_and(|full| !full.is_empty())) {
        (_, true) => 1,
        (false, false) => full,
        (true, false) => full * 23,
    }
}

/// Runs all states of `writes` on all processors; returns how many were tried.
fn run(writes: &[Write], stride: u64) -> u64 {
    let tried = AtomicU64::new(0);
    let threads = std::thread::available_parallelism().map_or(1, |count| count.get()) as u64;
    std::thread::scope(|scope| {
        for me in 0..threads {
            let tried = &tried;
            scope.spawn(move || {
                let scratch = Scratch::in_memory();
                let mut number = 0;
                for write in writes {
                    write.states(&mut |files| {
                        number += 1;
                        if number % stride == 0 && number / stride % threads == me {
                            survive(&scratch.journal(), &files, write);
                            tried.fetch_add(1, Ordering::Relaxed);
                        }
                    });
                }
            });
        }
    });
    tried.into_inner()
}

#[test]
fn after_a_crash_in_an_append_no_committed_record_is_lost_hidden_or_called_tampering() {
    let scratch = Scratch::in_memory();
    let writes: Vec<Write> = (0..=4)
        .flat_map(|appends| (1..=3).map(move |batch| (appends, batch)))
        .map(|(appends, batch)| Write::of(&scratch, appends, batch, u64::MAX))
        .collect();
    println!("crash in an append: {} states", run(&writes, stride(1)));
}

#[test]
fn after_a_crash_in_the_healing_of_a_crash_the_journal_heals_again() {
    let scratch = Scratch::in_memory();
    let mut writes = Vec::new();
    for (appends, batch, every) in [(0, 1, 37), (1, 1, 53), (2, 2, 79), (3, 3, 127)] {
        let first = Write::of(&scratch, appends, batch, u64::MAX);
        let mut number = 0;
        first.states(&mut |files| {
            number += 1;
            if number % every != 0 {
                return;
            }
            let folder = scratch.journal();
            lay_out(&folder, &files);
            let mut journal = open(&folder, u64::MAX).unwrap();
            let before = read_all(&folder);
            journal.append(&[note(500)]).unwrap();
            let older: Vec<Vec<u8>> = files.get("HEAD").into_iter().cloned().collect();
            let mut write = Write::between(before, read_all(&folder), &older, first.committed, u64::MAX);
            // The state of HEAD is part of the first crash: only what it was, and its loss.
            write.marks = vec![None, files.get("HEAD").cloned()];
            writes.push(write);
        });
    }
    println!("crash while healing: {} states of {} healings", run(&writes, stride(1)), writes.len());
}

#[test]
fn after_a_crash_in_the_change_to_a_new_segment_the_journal_goes_on() {
    let scratch = Scratch::in_memory();
    let mut writes: Vec<Write> = (1..=3).map(|batch| Write::of(&scratch, 4, batch, 1000)).collect();
    assert!(writes.iter().all(|write| write.name != FIRST && !write.before.contains_key(&write.name)));
    // And again in the healing of a torn new segment.
    let first = Write::of(&scratch, 4, 1, 1000);
    for (number, content) in first.contents().into_iter().enumerate().filter(|(number, _)| number % 83 == 1) {
        let mut files = first.before.clone();
        files.insert(first.name.clone(), content);
        if number % 2 == 0 {
            files.remove("HEAD");
        }
        let folder = scratch.journal();
        lay_out(&folder, &files);
        // Opening accounts for the torn bytes and begins the segment anew: it is that write which is interrupted here.
        open(&folder, 1000).unwrap();
        let after = read_all(&folder);
        let older: Vec<Vec<u8>> = first.before.get("HEAD").into_iter().cloned().collect();
        if after[&first.name].len() > files[&first.name].len() {
            writes.push(Write::between(files, after, &older, first.committed, 1000));
        }
    }
    println!("crash in a change of segment: {} states of {} changes", run(&writes, stride(1)), writes.len());
}

#[test]
fn after_a_crash_in_the_creation_of_the_journal_it_is_created() {
    let scratch = Scratch::in_memory();
    let folder = scratch.journal();
    open(&folder, u64::MAX).unwrap();
    let write = Write::between(Files::new(), read_all(&folder), &[], None, u64::MAX);
    println!("crash in the creation: {} states", run(&[write], 1));
}

#[test]
fn after_a_crash_in_a_repair_the_break_is_still_told_and_a_second_repair_goes_on() {
    let scratch = Scratch::in_memory();
    let folder = scratch.journal();
    let mut journal = open(&folder, u64::MAX).unwrap();
    for number in 0..6 {
        journal.append(&[note(number)]).unwrap();
    }
    let kept = journal.close().unwrap();
    let mut tried = 0u64;
    // A committed record cut off whole, torn, and altered; HEAD knows better.
    let sound = read_all(&folder);
    let lines: Vec<&[u8]> = sound[FIRST].split_inclusive(|byte| *byte == b'\n').collect();
    let mut altered = sound[FIRST].clone();
    let last = altered.len() - 100;
    altered[last] ^= 1;
    for broken in [lines[..5].concat(), sound[FIRST][..sound[FIRST].len() - 40].to_vec(), altered] {
        let mut files = sound.clone();
        files.insert(FIRST.to_owned(), broken);
        lay_out(&folder, &files);
        assert_eq!(open(&folder, u64::MAX).err().unwrap().kind(), Kind::Broken);
        repair(&folder, "1c0ffee0").unwrap().unwrap();
        let after = read_all(&folder);
        let write = Write {
            marks: vec![files.get("HEAD").cloned()],
            ..Write::between(files.clone(), after, &[], None, u64::MAX)
        };
        write.states(&mut |state| {
            tried += 1;
            if tried % stride(1) != 0 {
                return;
            }
            lay_out(&folder, &state);
            if let Err(error) = open(&folder, u64::MAX) {
                assert_eq!(error.kind(), Kind::Broken);
                repair(&folder, "1c0ffee0").unwrap().unwrap();
            }
            let head = open(&folder, u64::MAX).unwrap().append(&[note(7)]).unwrap();
            assert!(head.seq > kept.seq);
            for (name, bytes) in &state {
                assert!(name == "HEAD" || fs::read(folder.join(name)).unwrap().starts_with(bytes));
            }
            let report = check(&folder, &[head]);
            assert_eq!(report.verdict(), Verdict::Altered, "{report}");
            assert!(!report.gaps.is_empty(), "{report}");
            let from = Against { from: audit::last_repair(&folder).unwrap(), ..Against::default() };
            let since = verify(&folder, &from, &|_, _| {}).unwrap();
            assert_eq!(since.verdict(), Verdict::Sound, "{since}");
        });
    }
    println!("crash in a repair: {tried} states");
}
