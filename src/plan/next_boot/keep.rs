//! What has to change so that dom0 does not get a function at the next boot.

use super::give::{entries, good_entries, names};
use super::name::name_for;
use super::work::Work;
use super::Refusal;
use crate::assess::next_boot::script::{self, DOM0_USB, HIDE_PCI};
use crate::assess::next_boot::{hide_list, predict, Next};
use crate::observe::next_boot::{Device, ScriptOf};

/// Changes the draft so that pciback gets it.
///
/// # Errors
/// No change of the files can do that.
pub fn keep(work: &mut Work<'_>, device: &Device) -> Result<(), Refusal> {
    if device.physical.is_some() {
        return Err(Refusal::of(
            device.sbdf,
            "it is a virtual function: no list of the boot names what is not there yet",
        ));
    }
    if device.behind.is_some() {
        return Err(Refusal::of(
            device.sbdf,
            "it stands behind a VMD controller: it is not there yet when the boot hides devices",
        ));
    }
    work.unpin(device);
    if is_kept(work, device) {
        return Ok(());
    }
    match work.machine.release.script() {
        Some(script) => hide(work, script, device),
        None => {
            to_pciback(work, device);
            Ok(())
        }
    }
}

fn is_kept(work: &Work<'_>, device: &Device) -> bool {
    let prediction = predict(work.machine, &work.current());
    prediction.functions.get(&device.sbdf).is_some_and(|fate| matches!(fate.next, Next::Hidden | Next::Stub))
}

/// Out of `rd.qubes.dom0_usb`; into `rd.qubes.hide_pci` where its class is not hidden.
fn hide(work: &mut Work<'_>, script: ScriptOf, device: &Device) -> Result<(), Refusal> {
    if let Some(list) = work.drafts.last(DOM0_USB, false).map(str::to_owned) {
        let all = entries(&list);
        let rest: Vec<String> =
            all.iter().filter(|entry| !names(work, script, entry, device)).cloned().collect();
        if rest.len() != all.len() {
            work.drafts.set_list(DOM0_USB, false, &rest, ",");
        }
    }
    let outcome = script::run(script, work.machine.devices, &work.line());
    if outcome.hidden.contains_key(&device.sbdf) {
        return Ok(());
    }
    let list = work.drafts.last(HIDE_PCI, false).unwrap_or_default().to_owned();
    if entries(&list).iter().any(|entry| names(work, script, entry, device)) {
        return Ok(());
    }
    let Some(name) = name_for(script, work.machine.devices, device, &list) else {
        return Err(Refusal::of(
            device.sbdf,
            "Qubes' boot script has no way to name it in rd.qubes.hide_pci",
        ));
    };
    let mut all = good_entries(work, script, HIDE_PCI, &list);
    all.push(name);
    work.drafts.set_list(HIDE_PCI, false, &all, ",");
    Ok(())
}

/// Into xen-pciback's own list. One that it refuses is replaced by what can be read of it.
fn to_pciback(work: &mut Work<'_>, device: &Device) {
    let list = work.drafts.last("xen-pciback.hide", true).unwrap_or_default().to_owned();
    let entry = format!("({})", device.sbdf);
    let mut all: Vec<String> = Vec::new();
    for part in list.split_inclusive(')').map(str::trim).filter(|part| !part.is_empty()) {
        if hide_list(part).is_some() {
            all.push(part.to_owned());
        } else {
            let part = crate::names::escape(part.as_bytes());
            work.notes.push(format!("`{part}` goes from xen-pciback.hide: for it xen-pciback does not load"));
        }
    }
    all.push(entry);
    work.drafts.set_list("xen-pciback.hide", true, &all, "");
}
