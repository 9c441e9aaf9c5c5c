//! Tampering: what is found, with a checkpoint and without, and what cannot be found without one.
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

use audit::{verify, Against, Draft, Head, Journal, Report, Verdict};
use common::Scratch;
use sha2::{Digest, Sha256};

/// How a journal was tampered with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Way {
    Flip,
    Remove,
    Swap,
    Repeat,
    CutAtRecord,
    CutInRecord,
    Rewrite,
}

struct Tampered {
    way: Way,
    /// The first record that is not as it was.
    record: usize,
    bytes: Vec<u8>,
}

/// Every tampering of these lines (each with its line feed).
fn tamperings(lines: &[Vec<u8>]) -> Vec<Tampered> {
    let whole = lines.concat();
    let mut all = Vec::new();
    let mut at = 0;
    for (record, line) in lines.iter().enumerate() {
        for offset in 0..line.len() {
            for bit in [0, 3, 7] {
                let mut bytes = whole.clone();
                bytes[at + offset] ^= 1 << bit;
                all.push(Tampered { way: Way::Flip, record, bytes });
            }
            if offset > 0 {
                let way = Way::CutInRecord;
                all.push(Tampered { way, record, bytes: whole[..at + offset].to_vec() });
            }
        }
        at += line.len();
        let mut put = |way, lines: Vec<Vec<u8>>| all.push(Tampered { way, record, bytes: lines.concat() });
        let mut fewer = lines.to_vec();
        fewer.remove(record);
        put(if record + 1 == lines.len() { Way::CutAtRecord } else { Way::Remove }, fewer);
        let mut more = lines.to_vec();
        more.insert(record, line.clone());
        put(Way::Repeat, more);
        if record + 1 < lines.len() {
            let mut swapped = lines.to_vec();
            swapped.swap(record, record + 1);
            put(Way::Swap, swapped);
            put(Way::CutAtRecord, lines[..=record].to_vec());
        }
        put(Way::Rewrite, rewritten(lines, record));
    }
    all
}

/// Another content for one record, and a chain that fits again from there on.
fn rewritten(lines: &[Vec<u8>], from: usize) -> Vec<Vec<u8>> {
    let mut lines = lines.to_vec();
    let mut prev: Option<String> = None;
    for (record, line) in lines.iter_mut().enumerate().skip(from) {
        let text = String::from_utf8(line.clone()).unwrap();
        let mut body = text[..text.len() - 76].to_owned();
        if let Some(prev) = &prev {
            body.replace_range(15..79, prev);
        }
        if record == from {
            body.push_str(",\"forged\":true");
        }
        let hash: String =
            Sha256::digest(format!("{body}}}")).iter().map(|byte| format!("{byte:02x}")).collect();
        *line = format!("{body},\"hash\":\"{hash}\"}}\n").into_bytes();
        prev = Some(hash);
    }
    lines
}

fn check(folder: &Path, heads: &[Head]) -> Report {
    let against =
        Against { checkpoints: heads.iter().map(|head| (*head).into()).collect(), ..Against::default() };
    verify(folder, &against, &|_, _| {}).unwrap()
}

#[test]
fn every_tampering_is_found_with_a_checkpoint_and_without_one_the_unseen_classes_are_known() {
    let scratch = Scratch::in_memory();
    let folder = scratch.journal();
    let mut journal = Journal::open(&folder, "1c0ffee0").unwrap();
    for number in 0..11 {
        journal
            .append(&[Draft::new("step").op("9616d76e").text("phase", "done").number("number", number)])
            .unwrap();
    }
    let head = journal.close().unwrap();
    let segment = folder.join("000000000000.jsonl");
    let mark = fs::read(folder.join("HEAD")).unwrap();
    let lines: Vec<Vec<u8>> =
        fs::read(&segment).unwrap().split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
    let all = tamperings(&lines);
    let last = lines.len() - 1;
    let mut unseen: BTreeMap<Way, usize> = BTreeMap::new();
    let mut torn: BTreeMap<Way, usize> = BTreeMap::new();
    for (number, case) in all.iter().enumerate() {
        if cfg!(debug_assertions) && number % 7 != 0 {
            continue;
        }
        let what =
            || format!("{:?} at record {}: {}", case.way, case.record, String::from_utf8_lossy(&case.bytes));
        fs::write(&segment, &case.bytes).unwrap();
        // HEAD left alone: it names the last record, and none of these leaves it as it was.
        fs::write(folder.join("HEAD"), &mark).unwrap();
        // Neither takes anything away: a second copy behind the end, and a last line feed that the next append writes.
        let lost_feed =
            case.way == Way::CutInRecord && case.bytes.len() + 1 == lines[..=case.record].concat().len();
        let harmless = case.record == last && (case.way == Way::Repeat || lost_feed);
        assert_eq!(check(&folder, &[]).verdict() == Verdict::Altered, !harmless, "{}", what());
        // HEAD removed, or rewritten as well: only the checkpoint is left.
        fs::remove_file(folder.join("HEAD")).unwrap();
        assert_eq!(check(&folder, &[head]).verdict() == Verdict::Altered, !harmless, "{}", what());
        let report = check(&folder, &[]);
        match report.verdict() {
            Verdict::Altered => {}
            Verdict::TornTail => {
                let at_end = case.record + 2 >= last || case.way == Way::CutInRecord;
                assert!(at_end, "only the end can look like a crash: {}", what());
                *torn.entry(case.way).or_default() += 1;
            }
            Verdict::Sound => {
                assert!(matches!(case.way, Way::CutAtRecord | Way::Rewrite) || lost_feed, "{}", what());
                assert!(
                    report.to_string().contains("cannot be told from this one"),
                    "the report says that it cannot know"
                );
                *unseen.entry(case.way).or_default() += 1;
            }
        }
        let clean = matches!(case.way, Way::CutAtRecord | Way::Rewrite);
        assert!(!clean || report.verdict() == Verdict::Sound || case.way == Way::Rewrite, "{}", what());
    }
    println!(
        "{} tamperings; without checkpoint and HEAD unseen: {unseen:?}; like a crash: {torn:?}",
        all.len()
    );
}

#[test]
fn one_bit_in_any_file_of_a_journal_of_many_segments_is_found_in_its_segment() {
    let scratch = Scratch::in_memory();
    let folder = scratch.journal();
    let mut journal = Journal::open_with(&folder, "1c0ffee0", std::time::Duration::ZERO, 1_500).unwrap();
    for number in 0..20 {
        journal.append(&[Draft::new("note").number("number", number)]).unwrap();
    }
    let mut names: Vec<_> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some())
        .collect();
    names.sort();
    assert!(names.len() > 3);
    for path in &names {
        let good = fs::read(path).unwrap();
        for offset in (0..good.len()).step_by(7) {
            let mut bad = good.clone();
            bad[offset] ^= 4;
            fs::write(path, &bad).unwrap();
            let report = check(&folder, &[]);
            assert_eq!(report.verdict(), Verdict::Altered);
            let place = report.findings[0].place.unwrap();
            assert!(path.to_str().unwrap().ends_with(&format!("{:012}.jsonl", place.segment)), "{report}");
            assert!(place.offset <= offset as u64);
        }
        fs::write(path, &good).unwrap();
    }
    assert_eq!(check(&folder, &[]).verdict(), Verdict::Sound);
}

#[test]
fn a_repair_leaves_a_rewritten_last_record_red() {
    let scratch = Scratch::in_memory();
    let folder = scratch.journal();
    let mut journal = Journal::open(&folder, "1c0ffee0").unwrap();
    for number in 0..3 {
        journal.append(&[Draft::new("note").number("number", number)]).unwrap();
    }
    journal.close().unwrap();
    let file = folder.join("000000000000.jsonl");
    let lines: Vec<Vec<u8>> =
        fs::read(&file).unwrap().split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
    fs::write(&file, rewritten(&lines, lines.len() - 1).concat()).unwrap();
    assert_eq!(check(&folder, &[]).verdict(), Verdict::Altered);
    audit::repair(&folder, "1c0ffee0").unwrap().unwrap();
    let report = check(&folder, &[]);
    assert_eq!(report.verdict(), Verdict::Altered, "{report}");
    // What came behind it can be verified by itself, and the writer goes on.
    let from = audit::last_repair(&folder).unwrap();
    let report = verify(&folder, &Against { from, ..Against::default() }, &|_, _| {}).unwrap();
    assert_eq!(report.verdict(), Verdict::Sound, "{report}");
    Journal::open(&folder, "1c0ffee0").unwrap().append(&[Draft::new("note")]).unwrap();
}
