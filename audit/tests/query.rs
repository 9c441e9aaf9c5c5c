//! Given this journal, a question gets this answer.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::string_slice, clippy::panic)]

mod common;

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

use audit::{boots, export, numbered, operations, select, Draft, Follow, Journal, Operation, Query, Record};
use common::Scratch;

fn written(scratch: &Scratch, operations: usize, segment_bytes: u64) {
    let mut journal =
        Journal::open_with(&scratch.journal(), "b", std::time::Duration::ZERO, segment_bytes).unwrap();
    for number in 0..operations {
        let id = format!("{number:08x}");
        let bdf = format!("0000:00:{:02x}.0", number % 32);
        let start = Draft::new("op")
            .op(&id)
            .text("phase", "start")
            .text("bdf", &bdf)
            .list("qubes", ["sys-usb", "sys-net"]);
        journal.append(&[start]).unwrap();
        journal
            .append(&[Draft::new("seen").text("bdf", "0000:00:01.0").text("name", "odd \" name\n")])
            .unwrap();
        let step = Draft::new("step").op(&id).text("phase", "done").text("bdf", &bdf);
        journal
            .append(&[step, Draft::new("op").op(&id).text("phase", "end").text("outcome", "done")])
            .unwrap();
    }
}

fn ask(scratch: &Scratch, query: &Query) -> Vec<Record> {
    let mut found = Vec::new();
    select(&scratch.journal(), query, &mut |line| {
        found.push(Record::parse(line).unwrap());
        ControlFlow::Continue(())
    })
    .unwrap();
    found
}

fn grouped(folder: &Path, query: &Query, newest: Option<usize>) -> Vec<Operation> {
    let mut found = Vec::new();
    operations(folder, query, newest, &mut |operation| {
        found.push(operation.clone());
        ControlFlow::Continue(())
    })
    .unwrap();
    found
}

fn value(key: Option<&str>, value: &str) -> Query {
    Query { values: vec![(key.map(str::to_owned), value.to_owned())], ..Query::default() }
}

#[test]
fn a_value_finds_the_records_that_have_it_also_in_a_list_and_no_others() {
    let scratch = Scratch::new();
    written(&scratch, 100, 5_000);
    assert_eq!(ask(&scratch, &value(None, "0000:00:03.0")).len(), 2 * 4);
    assert_eq!(ask(&scratch, &value(Some("bdf"), "0000:00:03.0")).len(), 2 * 4);
    assert_eq!(ask(&scratch, &value(Some("qubes"), "sys-net")).len(), 100);
    assert_eq!(ask(&scratch, &value(Some("bdf"), "sys-net")).len(), 0);
    assert_eq!(ask(&scratch, &value(None, "sys-")).len(), 0);
    // As `audit show` prints it: escaped.
    assert_eq!(ask(&scratch, &value(Some("name"), "odd \" name\\x0a")).len(), 100);
}

#[test]
fn two_conditions_have_to_hold_both_and_a_time_cuts() {
    let scratch = Scratch::new();
    written(&scratch, 100, u64::MAX);
    let mut both = value(None, "0000:00:01.0");
    both.values.push((Some("kind".to_owned()), "op".to_owned()));
    assert_eq!(ask(&scratch, &both).len(), 4);
    let all = ask(&scratch, &Query::default());
    let time = all[200].text("time").unwrap().to_owned();
    let since = Query { since: Some(time.clone()), ..Query::default() };
    let until = Query { until: Some(time), ..Query::default() };
    assert_eq!(ask(&scratch, &since).len() + ask(&scratch, &until).len(), all.len());
    assert!(ask(&scratch, &since).first().unwrap().seq() <= 200);
}

#[test]
fn operations_are_grouped_and_the_newest_are_read_from_the_end() {
    let scratch = Scratch::new();
    written(&scratch, 100, 5_000);
    let all = grouped(&scratch.journal(), &Query::default(), None);
    let named: Vec<_> = all.iter().filter(|operation| operation.id.is_some()).collect();
    assert_eq!(named.len(), 100);
    assert!(named.iter().all(|operation| operation.records == 3));
    let newest = grouped(&scratch.journal(), &Query::default(), Some(10));
    assert_eq!(newest.len(), 10);
    assert_eq!(newest.iter().filter_map(|operation| operation.id.as_deref()).next_back(), Some("00000063"));
    assert!(newest.iter().filter(|operation| operation.id.is_some()).all(|operation| operation.records == 3));
}

#[test]
fn the_newest_of_those_that_are_searched_for_are_the_last_that_began_however_long_one_lasts() {
    let scratch = Scratch::new();
    let mut journal = Journal::open(&scratch.journal(), "b").unwrap();
    let of = |id: &str| Draft::new("step").op(id).text("bdf", "0000:00:05.0");
    let alone = || Draft::new("device").text("bdf", "0000:00:05.0");
    journal
        .append(&[of("aaaaaaaa"), alone(), of("bbbbbbbb"), alone(), of("aaaaaaaa"), of("bbbbbbbb")])
        .unwrap();
    let ids = |newest| {
        let found = grouped(&scratch.journal(), &value(None, "0000:00:05.0"), newest);
        found.into_iter().map(|one| (one.id.unwrap_or_default(), one.records)).collect::<Vec<_>>()
    };
    let (a, b, alone) = (("aaaaaaaa".to_owned(), 2), ("bbbbbbbb".to_owned(), 2), (String::new(), 1));
    assert_eq!(ids(None), [a, alone.clone(), b.clone(), alone.clone()]);
    assert_eq!(ids(Some(2)), [b, alone.clone()]);
    assert_eq!(ids(Some(1)), [alone]);
    assert_eq!(ids(Some(0)), []);
}

#[test]
fn many_groups_are_told_as_few_are() {
    let scratch = Scratch::new();
    let mut journal = Journal::open(&scratch.journal(), "b").unwrap();
    let of = |phase: &str| Draft::new("op").op("aaaaaaaa").text("phase", phase);
    let others: Vec<Draft> = (0..5_000).map(|number| Draft::new("device").number("number", number)).collect();
    journal.append(&[of("start")]).unwrap();
    journal.append(&others).unwrap();
    journal.append(&[of("end")]).unwrap();
    let found = grouped(&scratch.journal(), &Query::default(), None);
    assert_eq!((found.len(), found[1].records), (5_002, 2));
    assert_eq!(Record::parse(&found[1].last).unwrap().text("phase"), Some("end"));
    assert_eq!(found.iter().map(|one| one.records).sum::<u64>(), 5_003);
}

#[test]
fn the_end_of_an_operation_is_found_by_its_device_though_it_names_none() {
    let scratch = Scratch::new();
    written(&scratch, 40, 5_000);
    let found = grouped(&scratch.journal(), &value(None, "0000:00:05.0"), None);
    assert_eq!(found.len(), 2);
    for operation in found {
        assert_eq!(Record::parse(&operation.last).unwrap().text("outcome"), Some("done"));
    }
}

#[test]
fn an_altered_line_is_counted_not_shown() {
    let scratch = Scratch::new();
    written(&scratch, 3, u64::MAX);
    let path = scratch.journal().join("000000000000.jsonl");
    let text = fs::read_to_string(&path).unwrap().replacen("0000:00:02.0", "0000:00:00.0", 1);
    fs::write(&path, text).unwrap();
    let skipped =
        select(&scratch.journal(), &value(None, "0000:00:00.0"), &mut |_| ControlFlow::Continue(())).unwrap();
    assert_eq!(skipped.lines, 1);
}

#[test]
fn an_export_is_the_segments_byte_for_byte() {
    let scratch = Scratch::new();
    written(&scratch, 50, 5_000);
    let mut bytes = Vec::new();
    export(&scratch.journal(), &mut |piece| {
        bytes.extend_from_slice(piece);
        Ok(())
    })
    .unwrap();
    let mut paths: Vec<_> = fs::read_dir(scratch.journal())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some())
        .collect();
    paths.sort();
    assert!(paths.len() > 2);
    assert_eq!(bytes, paths.iter().flat_map(|path| fs::read(path).unwrap()).collect::<Vec<_>>());
}

#[test]
fn one_of_several_conditions_is_enough_in_one_reading() {
    let scratch = Scratch::new();
    written(&scratch, 100, 5_000);
    let pair = |key: &str, value: &str| (Some(key.to_owned()), value.to_owned());
    let any =
        |any: Vec<Vec<(Option<String>, String)>>| ask(&scratch, &Query { any, ..Query::default() }).len();
    assert_eq!(any(vec![vec![pair("kind", "seen")]]), 100);
    assert_eq!(any(vec![vec![pair("kind", "see")]]), 0);
    assert_eq!(any(vec![vec![pair("kind", "seen")], vec![pair("kind", "genesis")]]), 101);
    // A record that fulfils two of them comes once.
    let device = pair("bdf", "0000:00:03.0");
    assert_eq!(any(vec![vec![device.clone()], vec![pair("kind", "step"), device.clone()]]), 8);
    assert_eq!(any(vec![vec![pair("kind", "op"), device.clone(), pair("phase", "start")]]), 4);
    let both = Query { any: vec![vec![device]], ..value(Some("kind"), "step") };
    assert_eq!(ask(&scratch, &both).len(), 4);
}

#[test]
fn what_is_appended_is_followed_and_a_line_that_is_not_whole_waits() {
    let scratch = Scratch::new();
    written(&scratch, 20, 5_000);
    let mut follow = Follow::new(&scratch.journal(), value(Some("kind"), "seen"));
    let mut poll = || {
        let mut count = 0;
        follow.poll(&mut |_| count += 1).unwrap();
        count
    };
    assert_eq!((poll(), poll()), (20, 0));
    written(&scratch, 30, 5_000);
    assert_eq!((poll(), poll()), (30, 0));
    let last = fs::read_dir(scratch.journal())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some())
        .max()
        .unwrap();
    let whole = fs::read(&last).unwrap();
    let line = whole
        .split(|byte| *byte == b'\n')
        .find(|line| line.windows(6).any(|part| part == b"\"seen\""))
        .unwrap();
    // The same record once more, torn in the middle, then ended.
    for (end, seen) in [(100, 0), (line.len(), 0), (line.len() + 1, 1)] {
        let line = [line, b"\n"].concat();
        fs::write(&last, [&whole, &line[..end]].concat()).unwrap();
        assert_eq!(poll(), seen, "up to byte {end}");
    }
}

#[test]
fn a_record_is_found_by_its_number_and_the_boots_are_listed() {
    let scratch = Scratch::new();
    written(&scratch, 50, 5_000);
    let all = ask(&scratch, &Query::default());
    for record in all.iter().step_by(17) {
        let found = numbered(&scratch.journal(), record.seq()).unwrap();
        assert_eq!(
            found.iter().map(|line| Record::parse(line).unwrap().seq()).collect::<Vec<_>>(),
            [record.seq()]
        );
    }
    assert!(numbered(&scratch.journal(), 1_000_000).unwrap().is_empty());
    let mut journal = Journal::open(&scratch.journal(), "c").unwrap();
    journal.append(&[Draft::new("note")]).unwrap();
    assert_eq!(boots(&scratch.journal()).unwrap(), ["b", "c"]);
}

#[test]
fn what_others_write_meanwhile_does_not_cut_an_operation_short() {
    let scratch = Scratch::new();
    let mut journal = Journal::open_with(&scratch.journal(), "b", std::time::Duration::ZERO, 1500).unwrap();
    let of = |kind: &str| Draft::new(kind).op("9616d76e");
    journal.append(&[of("op").text("phase", "start").list("qubes", ["sys-net"])]).unwrap();
    for number in 0..10 {
        // The recorder's, and so many of them that new segments begin.
        journal.append(&[Draft::new("device").number("number", number)]).unwrap();
        journal.append(&[of("step").number("number", number)]).unwrap();
    }
    journal.append(&[of("op").text("phase", "end").text("outcome", "done")]).unwrap();
    let found = grouped(&scratch.journal(), &value(None, "sys-net"), None);
    let [one] = found.as_slice() else { panic!("{}", found.len()) };
    assert_eq!((one.records, Record::parse(&one.last).unwrap().text("outcome")), (12, Some("done")));
}
