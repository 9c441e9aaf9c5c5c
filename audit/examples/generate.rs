//! Writes a journal of a given number of records, as the recorder and changing commands would: `generate FOLDER COUNT`.
//! For benchmarks.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

use audit::{Draft, Journal};

/// Steps, what they intend, and what proves them: in the words and lengths of the main program.
const STEPS: [(&str, &str, &str); 8] = [
    ("pin", "write none to driver_override", "driver_override reads none"),
    (
        "unbind",
        "write the address to pciback/unbind while Xen holds it in quarantine",
        "no driver; Xen's owner is DomIO",
    ),
    (
        "settle",
        "reset by the function's own file, errno and method recorded",
        "method flr; config space readable; bus mastering off; ids, class, serial as before",
    ),
    ("remove-slot", "write the full address to pciback/remove_slot", "not listed in pciback/slots"),
    (
        "load",
        "modprobe xhci_pci while pinned and quarantined",
        "xhci_pci was loaded already; it stays loaded",
    ),
    ("dequarantine", "Xen: DomIO to dom0", "Xen's owner reads dom0"),
    ("bind", "write xhci_hcd to driver_override, the address to bind", "driver link reads xhci_hcd"),
    (
        "verify",
        "driver link, root hubs, interrupts, no new fault in Xen's log",
        "two root hubs; 8 interrupts; no probe error; no fault; owner dom0",
    ),
];

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

/// One of the records of an operation on one of a few devices; the number decides everything.
fn draft(number: u64) -> Draft {
    let operation = number / 16;
    let (step, what, proof) = *STEPS.get((number as usize / 2) % 8).unwrap();
    let device = operation.wrapping_mul(2_654_435_761) % 64;
    let bdf = format!("0000:{:02x}:{:02x}.0", device, device % 32);
    let draft = Draft::new("step")
        .op(&format!("{:08x}", operation.wrapping_mul(2_654_435_761) as u32))
        .text("step", step)
        .text("phase", if number % 2 == 0 { "intent" } else { "done" })
        .text("bdf", &bdf)
        .text("qube", "sys-usb");
    if number % 2 == 0 {
        draft.text("what", what)
    } else {
        draft.text("proof", proof).number("micros", (number.wrapping_mul(40_503) % 1_000_000) as i64)
    }
}
