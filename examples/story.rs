//! Writes a journal of a given number of records that tells a story as the recorder and the operations would:
//! `story FOLDER COUNT`. Boots follow one another; in each, devices are seized, given to the qubes that start by
//! themselves, and now and then one is moved by hand or returned to dom0. For benchmarks; the number of the record
//! decides everything, but for the times, which are those of writing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use audit::{Draft, Journal};

/// As many records a boot has.
const BOOT: u64 = 4_000;
/// Devices, and the qubes that have them by themselves.
const DEVICES: u64 = 64;
const QUBES: [(&str, &str); 6] = [
    ("sys-net", "red"),
    ("sys-usb", "red"),
    ("sys-usb-dirty", "orange"),
    ("work", "blue"),
    ("disp1234", "gray"),
    ("untrusted-with-a-long-name", "yellow"),
];

fn main() {
    let mut arguments = std::env::args().skip(1);
    let (folder, count) = arguments.next().zip(arguments.next()).expect("story FOLDER COUNT");
    let count: u64 = count.parse().expect("COUNT is a number");
    let mut number = 0;
    let mut written = 0;
    while written < count {
        let boot = number / BOOT;
        let mut journal = Journal::open(folder.as_ref(), &format!("{:08x}", scatter(boot + 1))).unwrap();
        let mut drafts = Vec::new();
        for _ in 0..BOOT {
            drafts.push(draft(number));
            number += 1;
            if drafts.len() == 500 {
                written = journal.append(&drafts).unwrap().seq + 1;
                drafts.clear();
            }
        }
    }
}

fn scatter(number: u64) -> u32 {
    u32::try_from(number.wrapping_mul(2_654_435_761) & 0xffff_ffff).unwrap()
}

fn draft(number: u64) -> Draft {
    let (boot, place) = (number / BOOT, number % BOOT);
    let run = format!("{:08x}", scatter(boot + 7));
    let device = place % DEVICES;
    let bdf = format!("0000:{device:02x}:{:02x}.0", device % 32);
    let id = format!("8086:{:04x} 8086:{:04x} 0c0330", 0xa000 + device, 0x1000 + device);
    match place {
        0 => recorder("start", &run).flag("first", true),
        1..=DEVICES => Draft::new("device")
            .text("event", "seized")
            .text("bdf", &bdf)
            .text("id", &id)
            .text("revision", "01")
            .text("header", "00")
            .list("bars", ["0 mem64 10000", "4 io 20"])
            .list("capabilities", ["01", "05", "10", "11", "0001", "0018"])
            .text("driver", "pciback")
            .text("before", "none")
            .text("way", "boot")
            .text("source", "uevent"),
        _ if place % 250 == 0 => recorder("heartbeat", &run),
        _ if place % 97 == 0 => Draft::new("qube")
            .text("event", if place % 2 == 0 { "started" } else { "stopped" })
            .text("qube", QUBES[usize::try_from(scatter(place) % 6).unwrap()].0)
            .text("source", "qubesd"),
        _ if place % 400 < 16 => step(boot, place, &bdf),
        _ => stay(place, &bdf, &id),
    }
}

fn recorder(phase: &str, run: &str) -> Draft {
    let draft = Draft::new("recorder").text("phase", phase).text("run", run);
    draft
        .list("sources", ["uevents", "xenstore", "qubesd 4.3"])
        .list("missing", [""; 0])
        .number("interval", 600)
}

/// Going and coming, in turns.
fn stay(place: u64, bdf: &str, id: &str) -> Draft {
    let turn = place / DEVICES;
    let (qube, label) = QUBES[usize::try_from((place % DEVICES + turn / 2) % 6).unwrap()];
    let draft = Draft::new("stay")
        .text("event", if turn % 2 == 0 { "begin" } else { "end" })
        .text("bdf", bdf)
        .text("id", id)
        .text("qube", qube)
        .text("uuid", "284a644d-513a-4f25-ac3d-690ebc381184")
        .text("label", label)
        .text("class", "AppVM")
        .text("options", "msitranslate=0,power_mgmt=0,permissive=0,rdm_policy=strict")
        .text("source", "xenstore");
    draft.flag("network", qube == "sys-net").number("domain", i64::try_from(place % 200 + 1).unwrap())
}

/// A record of an operation on one device: sixteen of them.
fn step(boot: u64, place: u64, bdf: &str) -> Draft {
    let id = format!("{:08x}", scatter(boot * BOOT + place / 400 + 3));
    match place % 400 {
        0 => Draft::new("op").op(&id).text("phase", "start").text("command", "reattach").text("bdf", bdf),
        15 => Draft::new("op").op(&id).text("phase", "end").text("outcome", "done").text("state", "driven"),
        number => Draft::new("step")
            .op(&id)
            .text("step", "settle")
            .text("phase", if number % 2 == 1 { "intent" } else { "done" })
            .text("bdf", bdf)
            .text(
                "proof",
                "method flr; config space readable; bus mastering off; ids, class, serial as before",
            ),
    }
}
