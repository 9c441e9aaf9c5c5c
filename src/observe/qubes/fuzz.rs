//! What qubesd answers and `qubes.xml` holds.

use super::{happening::Happening, lists, stored, xml, Port};
use crate::fuzz::run;
use crate::system::qubesd::wire::Feed;

/// The answers of a recording, as they came but for the transcript's escapes.
fn answers(transcript: &str) -> Vec<Vec<u8>> {
    let lines = transcript.lines().filter_map(|line| line.strip_prefix("< 0\\0"));
    lines.map(|text| text.replace("\\n", "\n").replace("\\0", "\0").into_bytes()).collect()
}

#[test]
fn fuzz_lists_of_qubesd() {
    let old = answers(include_str!("../../../tests/data/qubesd/transcript-4.2.txt"));
    let new = answers(include_str!("../../../tests/data/qubesd/transcript-4.3.txt"));
    let seeds: Vec<&[u8]> = old.iter().chain(&new).map(Vec::as_slice).collect();
    run("lists", &seeds, |bytes| {
        let joined = lists::joined(lists::list_43(bytes), lists::list_42(bytes));
        (lists::listed(bytes), joined, lists::property(bytes).map(<[u8]>::to_vec), Port::parse(bytes))
    });
}

#[test]
fn fuzz_happenings() {
    let seed = b"1\0work\0device-assign:pci\0device\0dom0:00_1f.3:0x8086:0x02c8::p040380\0options\0{'x': \"a b'c\"}\0\0";
    let other = b"1\0work\0property-set:label\0name\0label\0newvalue\0red\0oldvalue\0blue\0\0";
    run("happenings", &[seed, other], |bytes| {
        let events = Feed::default().take(bytes).unwrap_or_default();
        events.iter().map(Happening::of).collect::<Vec<_>>()
    });
}

#[test]
fn fuzz_qubes_xml() {
    let seeds: [&[u8]; 2] = [
        include_bytes!("../../../tests/data/qubesd/qubes-4.2.xml"),
        include_bytes!("../../../tests/data/qubesd/qubes-4.3.xml"),
    ];
    run("qubes-xml", &seeds, |bytes| {
        let text = String::from_utf8_lossy(bytes);
        (xml::parse(&text).is_ok(), stored::qubes(&text))
    });
}
