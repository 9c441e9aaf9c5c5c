//! Writes a journal of a given number of records, as the recorder and changing commands would: `generate FOLDER COUNT`.
//! For benchmarks.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

use audit::{Draft, Journal};

const STEPS: [&str; 8] = ["pin", "unbind", "settle", "remove-slot", "load", "dequarantine", "bind", "verify"];

fn main() {
    let mut arguments = std::env::args().skip(1);
    let (folder, count) = arguments.next().zip(arguments.next()).expect("generate FOLDER COUNT");
    let count: u64 = count.parse().expect("COUNT is a number");
    let mut journal = Journal::open(folder.as_ref(), "1c0ffee0").unwrap();
    let mut drafts = Vec::new();
    let mut number = journal.head().seq + 1;
    while number < count {
        drafts.push(draft(number));
        number += 1;
        if drafts.len() == 1000 || number == count {
            let head = journal.append(&drafts).unwrap();
            // A new segment has taken a number for its first record.
            number = head.seq + 1;
            drafts.clear();
        }
    }
    println!("{}", journal.close().unwrap());
}

/// One of the records of an operation on one of a few devices; the number decides everything. Their lengths differ as
/// they do in life: intents are short, what was proved is long.
fn draft(number: u64) -> Draft {
    let operation = number / 16;
    let step = STEPS.get((number as usize / 2) % 8).unwrap();
    let device = operation.wrapping_mul(2_654_435_761) % 64;
    let bdf = format!("0000:{:02x}:{:02x}.0", device, device % 32);
    let draft = Draft::new("step")
        .op(&format!("{:08x}", operation.wrapping_mul(2_654_435_761) as u32))
        .text("step", step);
    if number % 2 == 0 {
        return draft
            .text("phase", "intent")
            .text("bdf", &bdf)
            .text("driver", "pciback")
            .text("owner", "DomIO");
    }
    let found = ["driver=xhci_hcd", "owner=dom0", "override=none", "msi=8"];
    draft
        .text("phase", "done")
        .text("bdf", &bdf)
        .number("micros", (number.wrapping_mul(40_503) % 1_000_000) as i64)
        .list("found", found.iter().take(1 + number as usize / 2 % 4))
        .text("qube", "sys-usb")
}
