//! Xen's owner of each function, from its debug key Q.
//!
//! The lines are printed by Xen's `xen/drivers/passthrough/pci.c`,
//! `_dump_pci_devices`: `(XEN) 0000:00:07.0 - d0 - node -1  - MSIs < 30 31 >`.

use crate::names::{Owner, Sbdf};
use crate::system::xen::Xen;
use std::collections::BTreeMap;
use std::time::Duration;

/// Domains that are Xen's own (`xen/include/public/xen.h`).
const DOMID_IO: u16 = 0x7ff1;
const DOMID_XEN: u16 = 0x7ff2;

/// Owners by function.
pub type Owners = BTreeMap<Sbdf, Owner>;

/// Asks Xen. The dump is in Xen's log when the request returns; on some versions
/// it is printed by a tasklet a moment later, hence the second look.
pub fn read(xen: &Xen) -> Result<Owners, String> {
    let mut why = String::new();
    for patience in [0, 5, 50, 500] {
        std::thread::sleep(Duration::from_millis(patience));
        let dump = xen.dump_pci_owners().map_err(|error| format!("Xen does not answer: {error}"))?;
        match owner_in_dump(&dump) {
            Ok(owners) => return Ok(owners),
            Err(reason) => why = reason,
        }
    }
    Err(why)
}

/// Reads a dump that began after the request.
///
/// # Errors
/// The dump's head is missing, it is cut short, or it names two owners for one
/// function: then nothing in it is believed.
pub fn owner_in_dump(dump: &str) -> Result<Owners, String> {
    const HEAD: &str = "==== PCI devices ====";
    let mut owners = Owners::new();
    let mut begun = false;
    for line in dump.split_inclusive('\n') {
        let Some(text) = xen_line(line) else { continue };
        if text.trim_end() == HEAD {
            // A second dump (another reader's) starts over: it is the newer one.
            begun = true;
            owners.clear();
            continue;
        }
        if !begun {
            continue;
        }
        let Some((sbdf, owner)) = owner_line(text) else { continue };
        if !line.ends_with('\n') {
            return Err("the list of owners in Xen's log is cut short".to_owned());
        }
        if owners.insert(sbdf, owner).is_some_and(|before| before != owner) {
            return Err(format!("Xen's log names two owners for {sbdf}"));
        }
    }
    if !begun {
        return Err("Xen's log has no list of owners after the request".to_owned());
    }
    Ok(owners)
}

/// What follows Xen's own prefix (with or without a time stamp). A domain's lines
/// have `(dN)` there and are not taken.
fn xen_line(line: &str) -> Option<&str> {
    let rest = line.strip_prefix("(XEN) ")?;
    match rest.strip_prefix('[') {
        Some(stamp) => stamp.split_once("] ").map(|(_, rest)| rest),
        None => Some(rest),
    }
}

fn owner_line(text: &str) -> Option<(Sbdf, Owner)> {
    let mut parts = text.splitn(3, " - ");
    let sbdf = Sbdf::from_sysfs(parts.next()?)?;
    let owner = match parts.next()? {
        "d0" => Owner::Dom0,
        "d[IO]" => Owner::Quarantine,
        "d[XEN]" => Owner::Xen,
        text if text.starts_with("DomIO:") => Owner::Quarantine,
        // Before Xen 4.14: `dom 0  `, by numbers alone.
        text if text.starts_with("dom ") => match text.strip_prefix("dom ")?.trim().parse().ok()? {
            0 => Owner::Dom0,
            DOMID_IO => Owner::Quarantine,
            DOMID_XEN => Owner::Xen,
            id => Owner::Domain(id),
        },
        text => Owner::Domain(text.strip_prefix('d')?.parse().ok()?),
    };
    parts.next()?.starts_with("node ").then_some((sbdf, owner))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const DUMP: &str = "(XEN) ==== PCI devices ====\n(XEN) ==== segment 0000 ====\n\
        (XEN) 0000:00:07.0 - d0 - node -1  - MSIs < 30 31 >\n\
        (XEN) [2026-11-22 10:00:00] 0000:00:08.0 - d3 - node -1 \n\
        (XEN) 0000:00:09.0 - DomIO:8005 - node 0  - MSIs < >\n";

    fn sbdf(text: &str) -> Sbdf {
        Sbdf::from_sysfs(text).unwrap()
    }

    #[test]
    fn the_owners_of_a_whole_dump_are_read() {
        let owners = owner_in_dump(DUMP).unwrap();
        assert_eq!(owners.get(&sbdf("0000:00:07.0")), Some(&Owner::Dom0));
        assert_eq!(owners.get(&sbdf("0000:00:08.0")), Some(&Owner::Domain(3)));
        assert_eq!(owners.get(&sbdf("0000:00:09.0")), Some(&Owner::Quarantine));
    }

    #[test]
    fn the_owners_that_xen_before_4_14_prints_are_read() {
        let dump = "(XEN) ==== PCI devices ====\n(XEN) ==== segment 0000 ====\n\
            (XEN) 0000:00:07.0 - dom 0   - node -1  - MSIs < 30 31 >\n\
            (XEN) 0000:00:08.0 - dom 3   - node -1  - MSIs < >\n\
            (XEN) 0000:00:09.0 - dom 32753 - node 0   - MSIs < >\n\
            (XEN) 0000:00:0a.0 - dom x   - node 0   - MSIs < >\n";
        let owners = owner_in_dump(dump).unwrap();
        assert_eq!(owners.get(&sbdf("0000:00:07.0")), Some(&Owner::Dom0));
        assert_eq!(owners.get(&sbdf("0000:00:08.0")), Some(&Owner::Domain(3)));
        assert_eq!(owners.get(&sbdf("0000:00:09.0")), Some(&Owner::Quarantine));
        assert_eq!(owners.get(&sbdf("0000:00:0a.0")), None);
    }

    #[test]
    fn a_list_without_its_head_or_end_is_not_believed() {
        assert!(owner_in_dump("").is_err());
        assert!(owner_in_dump("(XEN) 0000:00:07.0 - d0 - node -1 \n").is_err());
        assert!(owner_in_dump("(XEN) ==== PCI devices ====\n(XEN) 0000:00:07.0 - d0 - node -1").is_err());
    }

    #[test]
    fn a_domain_cannot_name_an_owner() {
        let dump =
            format!("{DUMP}(d3) 0000:00:08.0 - d0 - node -1 \n(d3) (XEN) 0000:00:08.0 - d0 - node -1 \n");
        assert_eq!(owner_in_dump(&dump).unwrap().get(&sbdf("0000:00:08.0")), Some(&Owner::Domain(3)));
        let contradiction = format!("{DUMP}(XEN) 0000:00:08.0 - d0 - node -1 \n");
        assert!(owner_in_dump(&contradiction).is_err());
    }
}
