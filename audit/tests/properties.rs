//! Whatever bytes a journal holds, reading it ends with a verdict; whatever is recorded, it reads back.
//!
//! Random, but the same in every run: a failure names its round. `tests/all --full` tries more rounds.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::panic,
    clippy::print_stdout
)]

mod common;

use std::fs;
use std::ops::ControlFlow;

use audit::{operations, select, verify, Against, Checkpoint, Draft, Journal, Query, Record, Verdict};
use common::Scratch;

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }

    /// Bytes of any kind, many of them such as stand in records.
    fn bytes(&mut self, limit: usize) -> Vec<u8> {
        const LIKELY: [&[u8]; 14] = [
            b"{\"v\":1,\"prev\":\"",
            b"\",\"seq\":",
            b",\"hash\":\"",
            b"\"}",
            b"\n",
            b"\0",
            b"\xa5",
            b"\\",
            b"\"",
            b"\\[7 bytes, sha256 ",
            b"\x7f",
            b"\xc3\xa9",
            b",\"kind\":\"torn\",\"len\":",
            b"99999999999999999999",
        ];
        let mut bytes = Vec::new();
        for _ in 0..self.below(limit) {
            match self.below(3) {
                0 => bytes.extend_from_slice(LIKELY[self.below(LIKELY.len())]),
                1 => bytes.push(self.next() as u8),
                _ => bytes.push(b'a' + self.below(26) as u8),
            }
        }
        bytes
    }
}

fn rounds(usual: usize) -> usize {
    let full = std::env::var("QUBES_DOM0_PCI_FULL").is_ok_and(|full| !full.is_empty());
    match (full, cfg!(debug_assertions)) {
        (true, _) => usual * 50,
        (false, true) => usual / 10,
        (false, false) => usual,
    }
}

fn any_draft(random: &mut Random) -> Draft {
    let text = |random: &mut Random, limit| String::from_utf8_lossy(&random.bytes(limit)).into_owned();
    let mut draft = Draft::new(&text(random, 8));
    if random.below(2) == 0 {
        draft = draft.op(&text(random, 30));
    }
    let limit = if random.below(10) == 0 { 3000 } else { 40 };
    for _ in 0..random.below(if limit == 40 { 60 } else { 6 }) {
        let key = text(random, 6);
        draft = match random.below(5) {
            0 => draft.number(&key, random.next() as i64),
            1 => draft.flag(&key, random.below(2) == 0),
            2 => {
                let items: Vec<String> = (0..random.below(12)).map(|_| text(random, limit)).collect();
                draft.list(&key, items)
            }
            3 => draft.bytes(&key, &random.bytes(limit)),
            _ => draft.text(&key, &text(random, limit)),
        };
    }
    draft
}

#[test]
fn whatever_is_recorded_is_a_flat_record_of_at_most_4096_printable_bytes_and_verifies() {
    let scratch = Scratch::in_memory();
    let mut random = Random(0x1234_5678_9abc_def1);
    let mut journal = Journal::open(&scratch.journal(), "1c0ffee0").unwrap();
    for _ in 0..rounds(2000) {
        journal.append(&[any_draft(&mut random), any_draft(&mut random)]).unwrap();
    }
    let report = verify(&scratch.journal(), &Against::default(), &|_, _| {}).unwrap();
    assert_eq!(report.verdict(), Verdict::Sound, "{report}");
    assert_eq!(report.records, journal.head().seq + 1);
    let text = fs::read(scratch.journal().join("000000000000.jsonl")).unwrap();
    for (number, line) in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).enumerate() {
        assert!(line.len() < 4096 && line.iter().all(|byte| (0x20..=0x7e).contains(byte)), "record {number}");
        let record = Record::parse(line).unwrap_or_else(|| panic!("record {number} is no JSON"));
        // One key twice would be one member less here.
        let keys = line.windows(2).filter(|pair| pair == b"\":").count();
        assert!(record.members().len() <= keys);
        for value in record.members().values() {
            assert!(!value.is_null() && !value.is_object() && !value.is_f64(), "record {number}");
            if let Some(items) = value.as_array() {
                assert!(items.iter().all(serde_json::Value::is_string), "record {number}");
            }
        }
        let own = ["v", "prev", "seq", "time", "boot", "kind", "hash"];
        assert!(own.iter().all(|key| record.get(key).is_some()), "record {number}");
    }
}

#[test]
fn whatever_bytes_a_journal_holds_reading_ends_and_what_writers_do_to_it_keeps_every_byte() {
    let scratch = Scratch::in_memory();
    let folder = scratch.journal();
    let mut random = Random(0x0fed_cba9_8765_4321);
    let mut verdicts = [0usize; 3];
    for round in 0..rounds(3000) {
        let _ = fs::remove_dir_all(&folder);
        let mut journal = Journal::open(&folder, "1c0ffee0").unwrap();
        for _ in 0..random.below(5) {
            journal.append(&[Draft::new("note").text("text", "x")]).unwrap();
        }
        drop(journal);
        let path = folder.join("000000000000.jsonl");
        let mut bytes = fs::read(&path).unwrap();
        let at = random.below(bytes.len() + 1);
        let noise = random.bytes(200);
        match random.below(5) {
            0 => bytes = noise,
            1 => bytes.extend_from_slice(&noise),
            2 => drop(bytes.splice(at..at, noise)),
            3 => {
                bytes.truncate(at);
                bytes.extend_from_slice(&noise);
            }
            _ => {
                let end = (at + noise.len()).min(bytes.len());
                let length = end - at;
                bytes[at..end].copy_from_slice(&noise[..length]);
            }
        }
        fs::write(&path, &bytes).unwrap();
        match random.below(4) {
            0 => fs::remove_file(folder.join("HEAD")).unwrap(),
            1 => fs::write(folder.join("HEAD"), random.bytes(30)).unwrap(),
            _ => {}
        }
        if random.below(3) == 0 {
            fs::write(folder.join("checkpoints"), random.bytes(60)).unwrap();
        }
        let report = verify(&folder, &Against::default(), &|_, _| {}).unwrap();
        verdicts[match report.verdict() {
            Verdict::Sound => 0,
            Verdict::TornTail => 1,
            Verdict::Altered => 2,
        }] += 1;
        let value = vec![(None, "x".to_owned())];
        select(&folder, &Query { values: value, ..Query::default() }, &mut |_| ControlFlow::Continue(()))
            .unwrap();
        operations(&folder, &Query::default(), Some(3), &mut |_| ControlFlow::Continue(())).unwrap();
        let _ = audit::head(&folder);
        // A writer either refuses or goes on; in both cases it cuts nothing off, and what it accepts it can verify.
        match Journal::open(&folder, "1c0ffee0").and_then(|mut journal| journal.append(&[Draft::new("note")]))
        {
            Err(error) => {
                assert_eq!(error.kind(), audit::Kind::Broken, "round {round}: {error}");
                audit::repair(&folder, "1c0ffee0").unwrap().unwrap();
                Journal::open(&folder, "1c0ffee0").unwrap().append(&[Draft::new("note")]).unwrap();
            }
            Ok(head) => {
                if report.verdict() != Verdict::Altered {
                    let against = Against { checkpoints: vec![head.into()], ..Against::default() };
                    let after = verify(&folder, &against, &|_, _| {}).unwrap();
                    assert_eq!(after.verdict(), Verdict::Sound, "round {round}: {after}");
                }
            }
        }
        assert!(fs::read(&path).unwrap().starts_with(&bytes), "round {round}");
    }
    println!("sound {}, torn tail {}, altered {}", verdicts[0], verdicts[1], verdicts[2]);
    assert!(verdicts.iter().all(|count| *count > 0), "{verdicts:?}");
}

#[test]
fn any_text_is_a_checkpoint_or_a_usage_error() {
    let mut random = Random(0x5555_aaaa_5555_aaab);
    for _ in 0..rounds(20_000) {
        let text = String::from_utf8_lossy(&random.bytes(40)).into_owned();
        if let Err(error) = Checkpoint::parse(&text) {
            assert_eq!(error.kind(), audit::Kind::Usage);
        }
        let _ = Record::parse(text.as_bytes());
    }
}
