//! What has to change so that dom0 gets a function at the next boot.

use super::draft::Drafts;
use super::name::name_for;
use super::work::Work;
use super::Refusal;
use crate::assess::next_boot::script::{self, AUTHORIZED, DOM0_USB, HIDE_ALL_USB, HIDE_PCI};
use crate::assess::next_boot::{
    hide_list, id_matches, ids, is_named, loads, Loads, BY_DRACUT, BY_KERNEL, BY_MODPROBE,
};
use crate::observe::next_boot::{Device, Module, ScriptOf};

/// Changes the draft so that dom0 gets it.
///
/// # Errors
/// No change of the files can do that.
pub fn give(work: &mut Work<'_>, device: &Device) -> Result<(), Refusal> {
    if device.physical.is_some() {
        return Err(Refusal::of(
            device.sbdf,
            "it is a virtual function: after a boot it is not there until somebody writes sriov_numvfs",
        ));
    }
    if let Some(script) = work.machine.release.script() {
        if device.behind.is_none() {
            unhide(work, script, device)?;
        }
    }
    from_pciback(work, device);
    from_stub(work, device, "pci-stub");
    from_stub(work, device, "vfio-pci");
    from_blacklists(work, device);
    work.unpin(device);
    work.unassign(device);
    Ok(())
}

/// Out of `rd.qubes.hide_pci`; into `rd.qubes.dom0_usb` where a class is hidden.
fn unhide(work: &mut Work<'_>, script: ScriptOf, device: &Device) -> Result<(), Refusal> {
    let named = work.drafts.last(HIDE_PCI, false).map(str::to_owned);
    let mut changed = false;
    if let Some(list) = named {
        let is_it = |entry: &str| names(work, script, entry, device);
        let all = entries(&list);
        let rest: Vec<String> = all.iter().filter(|entry| !is_it(entry)).cloned().collect();
        changed = rest.len() != all.len();
        if changed {
            work.drafts.set_list(HIDE_PCI, false, &rest, ",");
        }
    }
    let line = work.line();
    let by_class = device.is_network() || device.is_usb() && script::is_true(&line, HIDE_ALL_USB, false);
    let outcome = script::run(script, work.machine.devices, &line);
    let left = outcome.exempted.contains_key(&device.sbdf);
    if by_class && !left {
        let list = work.drafts.last(DOM0_USB, false).unwrap_or_default().to_owned();
        let Some(name) = name_for(script, work.machine.devices, device, &list) else {
            return Err(Refusal::of(
                device.sbdf,
                "Qubes' boot script has no way to name it in rd.qubes.dom0_usb",
            ));
        };
        let mut all = good_entries(work, script, DOM0_USB, &list);
        all.push(name);
        work.drafts.set_list(DOM0_USB, false, &all, ",");
        changed = true;
    }
    if changed && is_usb_controller(device) && work.drafts.last(AUTHORIZED, true) != Some("0") {
        work.drafts.set(AUTHORIZED, true, "0");
    }
    Ok(())
}

/// A controller with USB buses of its own, not a USB4 host interface.
fn is_usb_controller(device: &Device) -> bool {
    device.is_usb() && device.class & 0xff != 0x40
}

/// Whether an entry of a list of the script names a function.
pub fn names(work: &Work<'_>, script: ScriptOf, entry: &str, device: &Device) -> bool {
    script::resolved(script, work.machine.devices, entry) == Some(device.sbdf.to_string())
}

/// Entries of a list of the script.
#[must_use]
pub fn entries(list: &str) -> Vec<String> {
    list.split([',', ' ']).filter(|entry| !entry.is_empty()).map(str::to_owned).collect()
}

/// Entries that the script takes; what makes it drop the whole option is left out, and said.
pub fn good_entries(work: &mut Work<'_>, script: ScriptOf, option: &str, list: &str) -> Vec<String> {
    let (good, bad): (Vec<String>, Vec<String>) = entries(list)
        .into_iter()
        .partition(|entry| entry.chars().all(|letter| script::may_be_listed(script, letter)));
    for entry in bad {
        let entry = crate::names::escape(entry.as_bytes());
        work.notes
            .push(format!("`{entry}` goes from {option}: for it the boot script drops the whole option"));
    }
    good
}

/// Out of xen-pciback's own list. An entry for more than this one is written out without it.
fn from_pciback(work: &mut Work<'_>, device: &Device) {
    let rest = |list: &str, work: &Work<'_>| -> Option<Vec<String>> {
        let entries = hide_list(list)?;
        if !entries.iter().any(|entry| entry.names(device.sbdf)) {
            return None;
        }
        let mut rest = Vec::new();
        for entry in &entries {
            if !entry.names(device.sbdf) {
                rest.push(entry.text.clone());
            } else if entry.is_pattern() {
                let others = work
                    .machine
                    .devices
                    .keys()
                    .filter(|other| **other != device.sbdf && entry.names(**other));
                rest.extend(others.map(|other| format!("({other})")));
            }
        }
        Some(rest)
    };
    if let Some(list) = work.drafts.last("xen-pciback.hide", true).map(str::to_owned) {
        if let Some(rest) = rest(&list, work) {
            work.drafts.set_list("xen-pciback.hide", true, &rest, "");
        }
    }
    work.change_options("xen-pciback", "hide", &|list, work| Some(rest(list, work)?.join("")));
}

/// Out of a list of ids.
fn from_stub(work: &mut Work<'_>, device: &Device, driver: &str) {
    let option = format!("{driver}.ids");
    let rest = |list: &str| -> Option<Vec<String>> {
        let rest: Vec<String> =
            ids(list).filter(|entry| !id_matches(entry, device)).map(str::to_owned).collect();
        (rest.len() != ids(list).count()).then_some(rest)
    };
    if let Some(list) = work.drafts.last(&option, true).map(str::to_owned) {
        if let Some(rest) = rest(&list) {
            work.drafts.set_list(&option, true, &rest, ",");
        }
    }
    work.change_options(driver, "ids", &|list, _| Some(rest(list)?.join(",")));
}

/// Lets the first module that claims it be loaded, where none is.
fn from_blacklists(work: &mut Work<'_>, device: &Device) {
    let Ok(modules) = &device.modules else { return };
    let line = work.line();
    let told = |module: &Module| loads(&work.setting, &line, device, module);
    if modules.iter().any(|module| told(module) == Loads::Yes) {
        return;
    }
    let Some(module) = modules.first() else { return };
    for name in std::iter::once(&module.name).chain(&module.needs) {
        let options: &[&str] =
            if *name == module.name { &[BY_MODPROBE, BY_KERNEL, BY_DRACUT] } else { &[BY_KERNEL] };
        for option in options {
            let fold = *option == BY_KERNEL;
            strip(&mut work.drafts, option, fold, &|entry| is_named(option, entry, name));
        }
        work.drop_lines(name, *name == module.name);
    }
}

fn strip(drafts: &mut Drafts, option: &str, fold: bool, gone: &dyn Fn(&str) -> bool) {
    drafts.strip(option, fold, gone);
}
