//! USB controllers of one slot: the fast one (EHCI) and the slow ones beside it (UHCI, OHCI).
//!
//! When one of them gets its driver, the kernel takes what the driver of the other has stored for a USB
//! controller's (`for_each_companion` of drivers/usb/core/hcd-pci.c), also where that is pciback's: seen in
//! the lab, Linux 6.12 crashes.

use crate::assess::are_companions;
use crate::assess::next_boot::{Machine, Next, Prediction};
use crate::names::Sbdf;

/// A function that dom0 drives and one of its slot that pciback or vfio-pci has then, where both are
/// companions and it was not so before.
#[must_use]
pub fn parted(machine: &Machine<'_>, before: &Prediction, after: &Prediction) -> Option<(Sbdf, Sbdf)> {
    let is_driven = |all: &Prediction, one: Sbdf| {
        all.functions.get(&one).is_some_and(|fate| matches!(fate.next, Next::Driver(_)))
    };
    let is_held = |all: &Prediction, one: Sbdf| {
        all.functions.get(&one).is_some_and(|fate| matches!(fate.next, Next::Hidden | Next::Stub))
    };
    let apart = |all: &Prediction, one: Sbdf, other: Sbdf| is_driven(all, one) && is_held(all, other);
    let mut pairs = machine.devices.values().flat_map(|one| {
        let others = machine
            .devices
            .values()
            .filter(|other| are_companions((one.sbdf, one.class), (other.sbdf, other.class)));
        others.map(|other| (one.sbdf, other.sbdf))
    });
    pairs.find(|(one, other)| apart(after, *one, *other) && !apart(before, *one, *other))
}
