//! The proof that a bound driver works. Binding alone proves nothing: in
//! quarantine a driver binds without a word and no data moves.

use crate::names::{Owner, Sbdf};
use crate::observe::evidence::{look, Evidence};
use crate::observe::kernel_lines::is_probe_error;
use crate::run::operation::Operation;
use crate::run::outcome::{Progress, Trouble};
use std::time::{Duration, Instant};

/// An nvme controller that cannot do DMA says so after 62 s.
const LONGEST_WAIT: Duration = Duration::from_secs(70);
/// Where nothing is attached, or no sign is known, errors get this long to show.
const SETTLE: Duration = Duration::from_secs(2);

impl Operation<'_> {
    pub(super) fn verify(&mut self) -> Result<String, Trouble> {
        let began = Instant::now(); // mutant: verify-always-holds
        let mut pause = Duration::from_millis(2);
        loop {
            self.nothing_went_wrong()?;
            let waited = began.elapsed();
            // It only looks: there is nothing to wait for.
            if self.signals.came() {
                (self.progress)(&Progress::Interrupted(None));
                return Err(Trouble::interrupted());
            }
            (self.progress)(&Progress::Waits(waited, LONGEST_WAIT));
            let sign = match look(&self.sources.sysfs, self.function) {
                Evidence::Found(sign) => Some(sign),
                Evidence::NothingAttached(words) if waited >= Duration::from_secs(10) => {
                    Some(words.to_owned())
                }
                Evidence::NotKnown if waited >= SETTLE => Some(
                    "the driver stays bound; its class has no sign of life this program knows".to_owned(),
                ),
                Evidence::Awaited(what) if waited >= LONGEST_WAIT => {
                    return Err(Trouble::failed(
                        format!("{what} did not appear within {} s", LONGEST_WAIT.as_secs()),
                        "see dmesg; a reboot is the other way",
                    ))
                }
                _ => None,
            };
            if let Some(sign) = sign {
                self.prove_owner(Owner::Dom0)?;
                self.nothing_went_wrong()?;
                let interrupts = self.sources.sysfs.below(self.plan.sbdf, &["msi_irqs", "*"]).len();
                let interrupts = match interrupts {
                    0 => "no MSI".to_owned(),
                    count => format!("{count} MSI"),
                };
                return Ok(format!(
                    "{sign}; {interrupts}; no DMA fault; owner dom0; after {} ms",
                    waited.as_millis()
                ));
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(100));
        }
    }

    /// The driver is still there, and neither kernel nor Xen complains of it.
    fn nothing_went_wrong(&mut self) -> Result<(), Trouble> {
        let sbdf = self.plan.sbdf;
        let (lines, overrun) = self.kernel_log.read_marked()?;
        if let Some(line) = lines.iter().find(|line| is_probe_error(line, sbdf)) {
            return Err(Trouble::failed(
                format!("the kernel says: {line}"),
                "see dmesg; a reboot is the other way",
            ));
        }
        if overrun {
            return Err(Trouble::failed(
                "the kernel's log ran over; an error may have been missed",
                "try again",
            ));
        }
        self.still_driven()?;
        let xen = self.sources.xen.as_ref().map_err(Clone::clone)?;
        let Some(mark) = self.expected.xen_log else {
            return Err(Trouble::failed(
                "Xen's log cannot be read, so DMA faults cannot be ruled out",
                "try again",
            ));
        };
        let log = xen
            .log_since(mark)
            .map_err(|error| Trouble::failed(format!("Xen's log cannot be read: {error}"), "try again"))?;
        match log.lines().find(|line| is_dma_fault(line, sbdf)) {
            Some(line) => Err(Trouble::failed(
                format!("Xen reports a DMA fault: {}", crate::names::escape(line.as_bytes())),
                "it is not to be trusted; a reboot is the other way",
            )),
            None => Ok(()),
        }
    }
}

/// What Xen calls a fault that VT-d reports (`iommu_page_fault_do_one`), in
/// `[VT-D]DMAR:[DMA Read] Request device [0000:00:03.0] fault addr ...`.
const VTD: [&str; 3] = ["[VT-D]DMAR:", "[VT-D]INTR-REMAP:", "[VT-D]UNKNOWN:"];

/// Events of AMD's IOMMU that name a device (`parse_event_log_entry`).
const AMD: [&str; 5] = [
    "IO_PAGE_FAULT",
    "ILLEGAL_DEV_TABLE_ENTRY",
    "DEV_TABLE_HW_ERROR",
    "PAGE_TABLE_HW_ERROR",
    "INVALID_DEV_REQUEST",
];

/// Whether a line of Xen's log tells of a fault that the function caused.
fn is_dma_fault(line: &str, sbdf: Sbdf) -> bool {
    if !line.starts_with("(XEN)") {
        return false;
    }
    let named = line.contains(&sbdf.to_string());
    if VTD.iter().any(|words| line.contains(words)) {
        return named;
    }
    let Some((_, event)) = line.split_once("AMD-Vi:") else { return false };
    AMD.iter().any(|word| event.contains(word)) && (named || has_raw_id(event, sbdf))
}

/// All events but IO_PAGE_FAULT are printed as `AMD-Vi: Error: INVALID_DEV_REQUEST 80000300 ...`: four words
/// of the entry, the id in the lower half of the first. Which segment, nobody says.
fn has_raw_id(event: &str, sbdf: Sbdf) -> bool {
    let (bus, device, number) = sbdf.below_segment();
    let id = u32::from(bus) << 8 | u32::from(device) << 3 | u32::from(number);
    let mut words = event.split_whitespace().filter(|word| word.len() == 8);
    let entry = words.find_map(|word| u32::from_str_radix(word, 16).ok());
    entry.is_some_and(|entry| entry & 0xffff == id)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn errors_of_another_function_do_not_count() {
        let sbdf = Sbdf::from_sysfs("0000:00:03.0").unwrap();
        let other = Sbdf::from_sysfs("0000:00:04.0").unwrap();
        for line in [
            "(XEN) [VT-D]DMAR:[DMA Read] Request device [0000:00:03.0] fault addr 0",
            "(XEN) [2026-12-01 10:00:00] [VT-D]DMAR:[DMA Write] Request device [0000:00:03.0] fault addr fe",
            "(XEN) [VT-D]INTR-REMAP: Request device [0000:00:03.0] fault index 0",
            "(XEN) [VT-D]UNKNOWN: Request device [0000:00:03.0] fault addr 0",
            "(XEN) AMD-Vi: IO_PAGE_FAULT: 0000:00:03.0 d0 addr 00000000fffffff0 flags 0x20 PR",
            "(XEN) AMD-Vi: Error: ILLEGAL_DEV_TABLE_ENTRY 00000018 10000000 fee00000 00000000",
            "(XEN) AMD-Vi: Error: DEV_TABLE_HW_ERROR 00000018 30000000 fee00000 00000000",
            "(XEN) AMD-Vi: PAGE_TABLE_HW_ERROR 00000018 40000000 fee00000 00000000",
            "(XEN) AMD-Vi: Error: INVALID_DEV_REQUEST 80000018 80000000 fee00000 00000000",
        ] {
            assert!(is_dma_fault(line, sbdf), "{line}");
            assert!(!is_dma_fault(line, other), "{line}");
            assert!(!is_dma_fault(&line.replace("(XEN)", "(d1)"), sbdf), "{line}");
        }
        for line in [
            "(XEN) AMD-Vi: Error: COMMAND_HW_ERROR 00000018 60000000 fee00000 00000000",
            "(XEN) [VT-D]d0:PCIe: map 0000:00:03.0",
        ] {
            assert!(!is_dma_fault(line, sbdf), "{line}");
        }
    }
}
