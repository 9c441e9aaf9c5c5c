//! Xen's console: `/var/log/xen/console/hypervisor.log`, or what a serial line kept. It has dom0's kernel
//! lines where dom0's console is Xen's, and with `iommu=verbose` Xen's own
//! (`xen/drivers/passthrough/vtd/iommu.c`):
//!
//!     [2026-11-22 13:47:51] (XEN) [VT-D]d7:PCIe: map 0000:00:14.0
//!     (XEN) [  12.345678] [VT-D]d7:PCI: unmap 0000:00:14.0
//!     [   23.841636] pciback 0000:00:03.0: registering for 1
//!
//! A time stands there only where xenconsoled was told to write it (`--timestamp=all`), and in no zone: local
//! time. The consoles of qubes are not read: a qube writes there what it likes.

use super::journald::{kernel_line, numbered};
use super::{Found, Reader, Tally};
use crate::journal::{Entry, Log, Moment, Source, StayEvent};
use crate::names::Sbdf;

const SOURCE: Source = Source::Import(Log::XenConsole);

/// Reads one such log.
#[derive(Default)]
pub struct Console {
    tally: Tally,
    /// The time before, which tells lines of the same text apart; and the number of the line since.
    latest: Option<Moment>,
    since: u64,
}

impl Reader for Console {
    fn line(&mut self, untrusted_line: Option<&[u8]>) {
        let Some(line) = untrusted_line else {
            self.tally.unreadable += 1;
            return;
        };
        let line = String::from_utf8_lossy(line);
        let line = line.trim_end_matches('\r');
        let (moment, rest) = stamped(line);
        if moment.is_some() && moment != self.latest {
            self.latest = moment;
            self.since = 0;
        }
        let text = behind_clock(rest);
        let entry = match text.strip_prefix("(XEN) ") {
            Some(xen) => xen_line(behind_clock(xen)).or_else(|| amd_line(behind_clock(xen))),
            None => kernel_line(SOURCE, text),
        };
        let Some(entry) = entry else { return };
        self.since += 1;
        let before = self.latest.map_or(0, Moment::micros).to_string();
        let since = self.since.to_string();
        let mut found = Found::new(entry, &[before.as_bytes(), since.as_bytes(), rest.as_bytes()]);
        if let Some(moment) = moment {
            found.entry.set_at(Some(moment));
            found.approximate = true;
        }
        self.tally.push(found);
    }

    fn finish(self) -> Tally {
        self.tally
    }
}

/// `[2026-11-22 13:47:51] ` and what follows.
fn stamped(line: &str) -> (Option<Moment>, &str) {
    let parts = line.strip_prefix('[').and_then(|rest| rest.split_once("] "));
    match parts.and_then(|(time, rest)| Some((Moment::parse(time)?, rest))) {
        Some((moment, rest)) => (Some(moment), rest),
        None => (None, line),
    }
}

/// What follows `[   12.345678] `, the seconds since the boot.
fn behind_clock(text: &str) -> &str {
    let parts = text.strip_prefix('[').and_then(|rest| rest.split_once("] "));
    match parts {
        Some((clock, rest)) if clock.trim().bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') => rest,
        _ => text,
    }
}

/// `AMD-Vi: Re-assign 0000:00:14.0 from d0 to d7`: a device goes to a domain, or
/// leaves it for dom0 or for Xen's own.
fn amd_line(text: &str) -> Option<Entry> {
    let (address, rest) = text.strip_prefix("AMD-Vi: Re-assign ")?.split_once(" from d")?;
    let (from, to) = rest.split_once(" to d")?;
    let qube = |word: &str| word.trim_end().parse().ok().filter(|domain: &u16| *domain != 0);
    let (event, domain) = match (qube(to), qube(from)) {
        (Some(domain), _) => (StayEvent::Begin, domain),
        (None, Some(domain)) => (StayEvent::End, domain),
        (None, None) => return None,
    };
    Some(numbered(SOURCE, event, Sbdf::from_sysfs(address)?, domain))
}

/// `[VT-D]d7:PCIe: map 0000:00:14.0`: a function goes to a domain, or leaves it.
/// dom0 and Xen's own are no qubes.
fn xen_line(text: &str) -> Option<Entry> {
    let (domain, rest) = text.strip_prefix("[VT-D]d")?.split_once(':')?;
    let domain: u16 = domain.parse().ok().filter(|domain| *domain != 0)?;
    let rest = rest.strip_prefix("PCIe: ").or_else(|| rest.strip_prefix("PCI: "))?;
    let (event, address) = rest.split_once(' ')?;
    let event = match event {
        "map" => StayEvent::Begin,
        "unmap" => StayEvent::End,
        _ => return None,
    };
    Some(numbered(SOURCE, event, Sbdf::from_sysfs(address.trim_end())?, domain))
}
