//! guard and unguard: dom0 does not act on what a returned device brings. What is set for all devices is put
//! back; the buses that came up and the rule for the disks (`disks`) stay until the admin allows them.

use super::disks::rule_path;
use crate::error::Failure;
use crate::journal::Details;
use crate::names::{escape, Sbdf};
use crate::observe::usb_defaults;
use crate::plan::Guarded;
use crate::run::expected::Guard;
use crate::run::operation::Operation;
use crate::run::outcome::Trouble;
use crate::system::root::{read_text, Sysroot};
use crate::system::worker::Act;
use std::path::Path;

fn read(path: &Path) -> Result<String, Failure> {
    read_text(path).map_err(|error| Failure::unreadable(path, &error))
}

/// Carries out one change.
type Acts<'a> = dyn FnMut(&Act) -> Result<(), Trouble> + 'a;

/// Puts the setting for all devices back, where it still reads as this run left it. Where another set it, it
/// is left alone, and that is said.
fn restore(guard: &mut Guard, root: &Sysroot, act: &mut Acts<'_>) -> Result<Option<String>, Trouble> {
    let Some(before) = guard.before.clone() else { return Ok(None) }; // mutant: guard-not-restored
    let path = root.path(guard.guarded.setting());
    let is = read_text(&path).ok();
    // A write that was refused changed nothing: there is nothing to put back.
    if is.as_ref() == Some(&before) {
        guard.before = None;
        return Ok(None);
    }
    if let Some(is) = is.filter(|is| !guard.guarded.is_set(is)) {
        guard.before = None;
        let (path, is) = (path.display(), escape(is.as_bytes()));
        return Ok(Some(format!("another set {path} to {is}: it is left alone")));
    }
    act(&Act::Write(path.clone(), before.clone()))?;
    let is = read(&path)?;
    if is != before {
        return Err(Trouble::failed(
            format!("{} reads {} and not {before}", path.display(), escape(is.as_bytes())),
            "write it by hand",
        ));
    }
    guard.before = None;
    Ok(None)
}

/// Puts back all that was set for a device that is or was at this address; says what another set.
pub fn undo(
    guard: &mut Guard,
    root: &Sysroot,
    sbdf: Sbdf,
    act: &mut Acts<'_>,
) -> Result<Option<String>, Trouble> {
    let note = restore(guard, root, act)?;
    let rule = rule_path(root, sbdf);
    if std::mem::take(&mut guard.rule) && rule.exists() {
        act(&Act::Remove(rule))?;
        act(&Act::ReloadUdev)?;
    }
    Ok(note)
}

impl Operation<'_> {
    /// The setting that the guard is going to change, and what it holds, for the intent.
    pub(super) fn guard_details(&self) -> Details {
        let Some(guarded) = self.plan.guard else { return Details::None };
        match read_text(&self.sources.root.path(guarded.setting())) {
            Ok(before) => Details::Guard { global: guarded.setting().to_owned(), before },
            Err(_) => Details::None,
        }
    }

    /// Sets the guard that the plan names.
    pub(super) fn guard_on(&mut self) -> Result<String, Trouble> {
        match self.plan.guard {
            Some(Guarded::Usb) => {
                self.set_for_all(Guarded::Usb)?;
                Ok("new USB devices stay unauthorized".to_owned())
            }
            Some(Guarded::Storage) => self.guard_disks(),
            None => Err(Trouble::failed("the plan names nothing to guard", "report this")),
        }
    }

    /// Changes the setting for all devices. What it held is in the intent;
    /// without that it cannot be put back.
    pub(super) fn set_for_all(&mut self, guarded: Guarded) -> Result<(), Trouble> {
        let path = self.sources.root.path(guarded.setting());
        if self.expected.guard.as_ref().is_none_or(|guard| guard.before.is_none()) {
            read(&path)?;
            return Err(Trouble::failed(format!("{} could not be read before", path.display()), "try again"));
        }
        self.act(&Act::Write(path.clone(), guarded.value().to_owned()))?;
        let is = read(&path)?;
        if !guarded.is_set(&is) {
            return Err(Trouble::failed(
                format!("{} reads {is} after the write", path.display()),
                "see dmesg",
            ));
        }
        Ok(())
    }

    /// Checks what came up under the guard, then puts the setting for all devices back.
    pub(super) fn unguard(&mut self) -> Result<String, Trouble> {
        let usb = self.expected.guard.as_ref().is_some_and(|guard| guard.guarded == Guarded::Usb);
        if usb {
            for bus in usb_defaults(&self.sources.sysfs, self.plan.sbdf) {
                if read(&bus)? != "0" {
                    self.act(&Act::Write(bus.clone(), "0".to_owned()))?;
                }
                if read(&bus)? != "0" {
                    return Err(Trouble::failed(format!("{} does not stay 0", bus.display()), "see dmesg"));
                }
            }
        }
        let scanned = if usb { None } else { self.wait_for_disks() };
        let note = self.restore_settings()?.map(|note| format!("; {note}")).unwrap_or_default();
        let proof = match usb {
            true => "its USB devices stay unauthorized until allowed".to_owned(),
            false => self.disks_guarded(scanned),
        };
        Ok(format!("{proof}{note}"))
    }

    /// Puts the setting for all devices back; in words what another set, or why it could not be.
    pub(in crate::run) fn restore_settings_or_say(&mut self) -> Option<String> {
        self.restore_settings().unwrap_or_else(|trouble| Some(trouble.message()))
    }

    /// Puts the setting for all devices back; the rule for the disks stays.
    pub(in crate::run) fn restore_settings(&mut self) -> Result<Option<String>, Trouble> {
        let root = self.sources.root.clone();
        self.guarded(|guard, act| restore(guard, &root, act))
    }

    /// After a failure: the guard's traces go, whatever else could be undone.
    pub(in crate::run) fn guard_undone(&mut self) -> Result<Option<String>, Trouble> {
        let (root, sbdf) = (self.sources.root.clone(), self.plan.sbdf);
        let note = self.guarded(|guard, act| undo(guard, &root, sbdf, act))?;
        self.expected.guard = None;
        Ok(note)
    }

    fn guarded(
        &mut self,
        does: impl FnOnce(&mut Guard, &mut Acts<'_>) -> Result<Option<String>, Trouble>,
    ) -> Result<Option<String>, Trouble> {
        let Some(mut guard) = self.expected.guard.clone() else { return Ok(None) };
        let done = does(&mut guard, &mut |act| self.act(act));
        self.expected.guard = Some(guard);
        done
    }

    /// A last attempt where a failure left the setting for all devices changed.
    pub(in crate::run) fn guard_off(&mut self) {
        let Some(guard) = &mut self.expected.guard else { return };
        let Some(before) = guard.before.take() else { return };
        let path = self.sources.root.path(guard.guarded.setting());
        if read_text(&path).is_ok_and(|is| guard.guarded.is_set(&is)) {
            let _ = self.worker.carry_out(&Act::Write(path, before));
        }
    }

    /// What the admin may do next about what stays guarded.
    pub(in crate::run) fn guard_advice(&self) -> Option<String> {
        let guard = self.expected.guard.as_ref()?;
        if guard.guarded == Guarded::Storage {
            return guard.rule.then(|| self.disks_advice()).flatten();
        }
        // Below what is no host controller itself its buses are deeper.
        let at = format!("/sys/bus/pci/devices/{}", self.plan.sbdf);
        let devices = match self.function.is_usb_host() {
            true => format!("{at}/usb*/*-*/authorized"),
            false => format!("$(find {at}/ -path '*/usb*/*-*/authorized')"),
        };
        Some(format!("allow a USB device:  for i in {devices}; do echo 1 > $i; done"))
    }
}
