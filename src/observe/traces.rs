//! What qubes that had devices in this boot left behind, and what a recorder reads besides.

use super::{functions, owners, usage, Function, Owners, Reading, Sources, Use, Uses};
use crate::error::Failure;
use crate::names::{escape, Sbdf};
use crate::system::kernel_log::{since_boot, SinceBoot};
use crate::system::root::Sysroot;
use std::collections::BTreeSet;

/// What the kernel's log tells of functions that were given to domains in this boot.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Traces {
    /// Whether the log is there from the boot's beginning.
    pub whole: bool,
    /// Functions and the domain (a stub domain, where there is one) that got each.
    pub given: BTreeSet<(Sbdf, u16)>,
    /// Whether pciback gave any function to anybody, told or not.
    pub any: bool,
}

/// Reads the kernel's log.
///
/// # Errors
/// It cannot be read.
pub fn read(root: &Sysroot) -> Reading<Traces> {
    let lines = since_boot(root, is_trace).map_err(|failure| failure.message)?;
    Ok(from_lines(&lines))
}

/// pciback says `registering for 1` with the domain's number and `assign to virtual slot` when a domain gets
/// a function, and nothing when it gives it back (`drivers/xen/xen-pciback/{xenbus,vpci}.c`).
fn is_trace(line: &str) -> bool {
    line.contains("pciback") && (line.contains("registering for ") || line.contains("assign to virtual slot"))
}

fn from_lines(log: &SinceBoot) -> Traces {
    let given = log.lines.iter().filter_map(|line| {
        let (place, rest) = line.strip_prefix("pciback ")?.split_once(": ")?;
        let domain = rest.rsplit_once("registering for ")?.1;
        Some((Sbdf::from_sysfs(place)?, domain.trim().parse().ok()?))
    });
    Traces { whole: log.whole, given: given.collect(), any: !log.lines.is_empty() }
}

impl Sources {
    /// One function, read anew.
    ///
    /// # Errors
    /// sysfs cannot be read, or it is gone.
    pub fn function(&self, sbdf: Sbdf) -> Result<Function, Failure> {
        functions::read(&self.sysfs, sbdf)
    }

    /// What xenstore and Xen say of all qubes that have functions.
    ///
    /// # Errors
    /// xenstore or Xen cannot be read, or a node makes no sense.
    pub fn uses(&mut self) -> Reading<Uses> {
        let xen = self.xen.as_ref().map_err(|failure| failure.message.clone())?;
        let store = self.xenstore.as_mut().map_err(|failure| failure.message.clone())?;
        usage::read(store, xen)
    }

    /// Xen's owner of every function.
    ///
    /// # Errors
    /// Xen does not answer.
    pub fn owners(&self) -> Reading<Owners> {
        owners::read(self.xen.as_ref().map_err(|failure| failure.message.clone())?)
    }

    /// What Xen alone says: that a domain owns a function.
    pub fn owned(&mut self, sbdf: Sbdf, domain: u16) -> Use {
        usage::owned(self.xenstore.as_mut().ok(), sbdf, domain)
    }

    /// The uuid of a domain, which is its qube's; empty where not told.
    pub fn uuid_of(&mut self, domain: u16) -> String {
        let Ok(store) = &mut self.xenstore else { return String::new() };
        let told = store.read(&format!("/local/domain/{domain}/vm")).ok().flatten().unwrap_or_default();
        let uuid = told.strip_prefix(b"/vm/".as_slice()).unwrap_or_default();
        let good = uuid.len() == 36 && uuid.iter().all(|byte| byte.is_ascii_hexdigit() || *byte == b'-');
        if good {
            escape(uuid)
        } else {
            String::new()
        }
    }

    /// Whether `xl pci-assignable-add` has left the driver it took a function from.
    pub fn xl_took(&mut self, sbdf: Sbdf) -> bool {
        let Ok(store) = &mut self.xenstore else { return false };
        let path = format!("/libxl/pci/{}/driver_path", sbdf.libxl_key());
        store.read(&path).ok().flatten().is_some()
    }

    /// Whether it is proved that no qube has run in this boot: Xen lists dom0 alone, xenstore has no other
    /// domain and no function given to one, and pciback has given none since the kernel's first message,
    /// which is still there. What cannot be read proves nothing.
    pub fn no_qube_ran(&mut self, traces: &Reading<Traces>) -> bool {
        let log = matches!(traces, Ok(traces) if traces.whole && !traces.any);
        let alone = self.xen.as_ref().is_ok_and(|xen| {
            xen.domains().is_ok_and(|domains| !domains.is_empty() && domains.iter().all(|one| one.id == 0))
        });
        let Ok(store) = &mut self.xenstore else { return false };
        let no_domain = store.list("/local/domain").is_ok_and(|names| names.iter().all(|name| name == "0"));
        let keys = store.list("/libxl/pci");
        let given =
            |key: &String| store.read(&format!("/libxl/pci/{key}/domid")).map_or(true, |node| node.is_some());
        let none_given = keys.is_ok_and(|keys| !keys.iter().any(given));
        let no_backend = store.list("/local/domain/0/backend/pci").is_ok_and(|names| names.is_empty());
        log && alone && no_domain && none_given && no_backend
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_lines_name_function_and_domain() {
        let lines = [
            "pciback 0000:00:07.0: xen_pciback: vpci: assign to virtual slot 0",
            "pciback 0000:00:07.0: registering for 1",
            "pciback 0000:00:08.0: xen_pciback: registering for 12",
        ];
        let log = SinceBoot { whole: true, lines: lines.map(str::to_owned).to_vec() };
        let traces = from_lines(&log);
        let sbdf = |text| Sbdf::from_sysfs(text).unwrap();
        assert_eq!(traces.given, [(sbdf("0000:00:07.0"), 1), (sbdf("0000:00:08.0"), 12)].into());
        assert!(traces.any && traces.whole);
    }
}
