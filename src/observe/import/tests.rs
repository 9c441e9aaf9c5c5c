//! Given these logs, this is found; and no log makes a parser fall.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use super::*;
use crate::names::{DeviceArgument, Sbdf};
use crate::observe::qubes::{qubes_of_file, Assignment};
use proptest::prelude::*;

fn read(file: &[u8], mut reader: impl Reader) -> Tally {
    each_line(file, &mut |line| reader.line(line)).unwrap();
    reader.finish()
}

/// What was found, a line each: event, function, qube, options, time.
fn told(tally: &Tally) -> Vec<String> {
    let line = |found: &Found| {
        let about = if found.approximate { "~" } else { "" };
        let text = match &found.entry {
            Entry::Stay(it) => format!("{} {} {} [{}]", it.event.word(), it.bdf, it.qube, it.options),
            Entry::Device(it) => format!("{} {}", it.event.word(), it.bdf),
            Entry::Qube(it) => format!("{} {} {} [{}]", it.event.word(), it.qube, it.port, it.options),
            _ => String::new(),
        };
        format!(
            "{text} {about}{}",
            found.entry.at().map_or("never".to_owned(), |at| at.to_string().chars().take(19).collect())
        )
    };
    tally.found.iter().map(line).collect()
}

#[test]
fn a_log_of_libvirt_gives_each_start_the_time_of_the_line_behind_it() {
    let file = include_bytes!("../../../tests/data/import/libvirt/sys-usb.log");
    let tally = read(file, Libvirt::new(b"sys-usb"));
    assert_eq!(
        told(&tally),
        [
            "begin 0000:00:14.0 sys-usb [rdm_policy=strict] ~2026-10-01T06:12:09",
            "begin 0000:07:00.3 sys-usb [permissive=1,rdm_policy=relaxed] ~2026-10-01T06:12:09",
            "begin 0000:00:14.0 sys-usb [] ~2026-10-02T05:00:00",
        ]
    );
    assert_eq!(tally.unreadable, 1);
}

#[test]
fn a_start_without_neighbours_has_no_time_and_a_name_is_escaped() {
    let tally = read(include_bytes!("../../../tests/data/import/libvirt/odd.log"), Libvirt::new(b"odd"));
    assert_eq!(told(&tally), ["begin 0000:03:00.0 odd\\x1b[31m\"name [] ~never"]);
    let tally = read(include_bytes!("../../../tests/data/import/libvirt/vault.log"), Libvirt::new(b"vault"));
    assert_eq!((told(&tally).len(), tally.unreadable), (0, 0));
}

#[test]
fn what_is_appended_later_does_not_change_the_key_of_what_was_there() {
    let file = include_str!("../../../tests/data/import/libvirt/sys-usb.log");
    let whole = read(file.as_bytes(), Libvirt::new(b"sys-usb"));
    let keys = |tally: &Tally| tally.found.iter().map(|found| found.key.clone()).collect::<Vec<_>>();
    let all = keys(&whole);
    assert_eq!(all.iter().collect::<std::collections::BTreeSet<_>>().len(), all.len());
    let lines: Vec<&str> = file.lines().collect();
    for end in 0..lines.len() {
        let part = read(lines[..end].join("\n").as_bytes(), Libvirt::new(b"sys-usb"));
        assert!(keys(&part).iter().all(|key| all.contains(key)), "up to line {end}");
    }
}

#[test]
fn of_journald_only_the_kernels_lines_and_qubesds_starts_count() {
    let tally = read(include_bytes!("../../../tests/data/import/journald.jsonl"), Journald::default());
    assert_eq!(
        told(&tally),
        [
            "seized 0000:00:14.0 2026-10-01T06:00:00",
            "seized 0000:03:00.0 2026-10-01T06:00:00",
            "started sys-usb  [] 2026-10-01T06:00:09",
            "begin 0000:00:14.0 domain-2 [] 2026-10-01T06:00:09",
            "unbound 0000:00:14.0 2026-10-01T06:00:30",
            "begin 0000:00:14.0 domain-2 [] 2026-10-02T06:00:00",
        ]
    );
    assert_eq!(tally.unreadable, 1);
    assert_eq!(tally.found[0].of_boot, "7b6a0f4e");
}

#[test]
fn of_xens_console_stays_of_domains_count_with_a_time_where_one_stands_there() {
    let tally = read(include_bytes!("../../../tests/data/import/hypervisor.log"), Console::default());
    assert_eq!(
        told(&tally),
        [
            "begin 0000:00:14.0 domain-2 [] ~2026-10-03T08:00:12",
            "end 0000:00:14.0 domain-2 [] ~2026-10-03T09:30:00",
            "begin 0000:04:01.0 domain-5 [] never",
            "begin 0000:00:03.0 domain-1 [] never",
        ]
    );
}

#[test]
fn of_xens_console_on_amd_devices_that_go_to_a_domain_and_back_count() {
    let log = b"(XEN) AMD-Vi: Re-assign 0000:03:00.0 from d0 to d7\n\
        (XEN) AMD-Vi: Re-assign 0000:03:00.0 from d7 to d[IO]\n\
        (XEN) AMD-Vi: Re-assign 0000:03:00.0 from d[IO] to d0\n\
        (XEN) AMD-Vi: Re-assign nonsense from d0 to d7\n";
    assert_eq!(
        told(&read(log, Console::default())),
        ["begin 0000:03:00.0 domain-7 [] never", "end 0000:03:00.0 domain-7 [] never"]
    );
}

#[test]
fn a_start_that_qubesd_of_qubes_4_3_logged_counts() {
    let log = br#"{"__REALTIME_TIMESTAMP":"1790000000000000","_BOOT_ID":"0a1b2c3d0a1b2c3d0a1b2c3d0a1b2c3d","SYSLOG_IDENTIFIER":"qubesd","_UID":"0","MESSAGE":"INFO: vm.sys-usb: Starting qube sys-usb"}"#;
    let before = br#"{"__REALTIME_TIMESTAMP":"1790000000000000","_BOOT_ID":"0a1b2c3d0a1b2c3d0a1b2c3d0a1b2c3d","SYSLOG_IDENTIFIER":"qubesd","_UID":"0","MESSAGE":"vm.sys-usb: Starting sys-usb"}"#;
    let told_of = |log: &[u8]| told(&read(log, Journald::default()));
    assert!(!told_of(log).is_empty());
    assert_eq!(told_of(log), told_of(before));
}

fn backup(name: &str, file: &str) -> backups::Backup {
    backups::Backup { moment: backups::moment(name), qubes: qubes_of_file(file).unwrap() }
}

fn place(one: &Assignment) -> Option<Sbdf> {
    match DeviceArgument::parse(one.port.text()) {
        Some(DeviceArgument::Address(sbdf)) => Some(sbdf),
        _ => None,
    }
}

#[test]
fn of_the_copies_of_qubes_xml_each_assignment_is_told_once_and_its_end() {
    let files = [
        (
            "qubes-2026-09-01-08:00:00.xml",
            include_str!("../../../tests/data/import/backup/qubes-2026-09-01-08:00:00.xml"),
        ),
        (
            "qubes-2026-09-02-08:00:00.xml",
            include_str!("../../../tests/data/import/backup/qubes-2026-09-02-08:00:00.xml"),
        ),
        (
            "qubes-2026-09-03-08:00:00.xml",
            include_str!("../../../tests/data/import/backup/qubes-2026-09-03-08:00:00.xml"),
        ),
    ];
    let all: Vec<_> = files.iter().map(|(name, file)| backup(name, file)).collect();
    let tally = backups::assignments(&all, &place);
    assert_eq!(
        told(&tally),
        [
            "assigned sys-net 00_1f.6 [no-strict-reset=True] ~2026-09-01T08:00:00",
            "assigned sys-net 00_14.0 [] ~2026-09-02T08:00:00",
            "unassigned sys-net 00_1f.6 [no-strict-reset=True] ~2026-09-03T08:00:00",
        ]
    );
    // Old copies are removed: what is left tells nothing new.
    let keys = |tally: &Tally| tally.found.iter().map(|found| found.key.clone()).collect::<Vec<_>>();
    for from in 0..all.len() {
        let part = backups::assignments(&all[from..], &place);
        assert!(keys(&part).iter().all(|key| keys(&tally).contains(key)));
    }
    for name in [
        "qubes.xml",
        "qubes-2026-09-01.xml",
        "qubes-x.xml",
        "qubes-2026-09-01-08:00:00.xml.tmp",
        "qubes-2026-0\u{e9}-01-08:00:00.xml",
    ] {
        assert_eq!(backups::moment(name), None, "{name}");
    }
}

#[test]
fn a_line_of_any_length_is_counted_and_not_kept() {
    let mut file = b"one\n".to_vec();
    file.extend(vec![b'x'; 3 * lines::LONGEST]);
    file.extend(b"\ntwo\n\nthree");
    let mut seen = Vec::new();
    each_line(&file[..], &mut |line| seen.push(line.map(<[u8]>::to_vec))).unwrap();
    let text = |text: &str| Some(text.as_bytes().to_vec());
    assert_eq!(seen, [text("one"), None, text("two"), text(""), text("three")]);
}

const PIECES: [&str; 12] = [
    "Domain start: ",
    "{\"c_info\":{\"name\":\"x\"},\"pcidevs\":[{\"dev\":20}]}",
    "\n}\n",
    "\n",
    "{",
    "2026-10-01 06:12:01.120+0000: libxl: x",
    "pciback 0000:00:14.0: registering for 2",
    "{\"MESSAGE\":\"pciback 0000:00:14.0: registering for 2\",\"_TRANSPORT\":\"kernel\"}",
    "[2026-10-03 08:00:12] ",
    "(XEN) ",
    "[VT-D]d2:PCIe: map 0000:00:14.0",
    "vm.sys-usb: Starting sys-usb",
];

proptest! {
    #[test]
    fn no_log_makes_a_parser_fall_and_all_that_is_found_is_harmless_on_a_terminal(
        parts in proptest::collection::vec((0usize..16, "\\PC{0,12}"), 0..40),
        cut in 0usize..2000,
    ) {
        let text: String = parts.iter().map(|(piece, other)| PIECES.get(*piece).copied().unwrap_or(other)).collect();
        let bytes = &text.as_bytes()[..cut.min(text.len())];
        let all = [
            read(bytes, Libvirt::new(b"q\x1b")),
            read(bytes, Journald::default()),
            read(bytes, Console::default()),
        ];
        for found in all.iter().flat_map(|tally| &tally.found) {
            prop_assert_eq!(found.key.len(), 16);
            let said = crate::report::sentence::of_entry(&found.entry, found.approximate);
            prop_assert!(said.bytes().all(|byte| (0x20..0x7f).contains(&byte)), "{}", said);
        }
        // The same log tells the same.
        prop_assert_eq!(&read(bytes, Libvirt::new(b"q\x1b")), &all[0]);
    }
}

#[test]
fn fuzz_logs_of_libvirt() {
    let seed = include_bytes!("../../../tests/data/import/libvirt/sys-usb.log");
    crate::fuzz::run("libvirt-log", &[seed], |bytes| told(&read(bytes, Libvirt::new(b"sys-usb"))));
}

#[test]
fn fuzz_lines_of_journald() {
    let seed = include_bytes!("../../../tests/data/import/journald.jsonl");
    crate::fuzz::run("journald", &[seed], |bytes| told(&read(bytes, Journald::default())));
}

#[test]
fn fuzz_xens_console() {
    let seed = include_bytes!("../../../tests/data/import/hypervisor.log");
    crate::fuzz::run("xen-console", &[seed], |bytes| told(&read(bytes, Console::default())));
}
