//! Keeping dom0 from acting on what a returned device brings.

use super::outcome::Trouble;
use super::Operation;
use crate::names::{escape, Sbdf};
use crate::observe::{usb_defaults, Function};
use crate::system::root::{read_text, Sysroot};
use crate::system::worker::Act;
use std::path::PathBuf;

const USB_DEFAULT: &str = "/sys/module/usbcore/parameters/authorized_default";
const NO_PART_SCAN: &str = "/sys/module/block/parameters/no_part_scan";
const UDEV: &str = "/run/udev";

/// What was set, and what it was before.
#[derive(Clone, Debug, Default)]
pub struct Guard {
    global: Option<Global>,
    rule: Option<PathBuf>,
    usb: bool,
}

/// A value for all devices that was set.
#[derive(Clone, Debug)]
struct Global {
    path: PathBuf,
    before: String,
    set: &'static str,
}

impl Global {
    /// Whether the file reads as this run left it.
    fn is_ours(&self, is: &str) -> bool {
        // A boolean parameter reads as Y or N.
        is == self.set || (self.set == "1" && is == "Y")
    }
}

/// What each of the two global values is set to.
const SETS: [(&str, &str); 2] = [(USB_DEFAULT, "0"), (NO_PART_SCAN, "1")];

impl Guard {
    /// What the admin may do next.
    #[must_use]
    pub fn advice(&self, function: &Function) -> Vec<String> {
        let mut advice = Vec::new();
        if self.usb {
            // Below what is no host controller itself its buses are deeper.
            let at = format!("/sys/bus/pci/devices/{}", function.sbdf);
            let devices = match function.is_usb_host() {
                true => format!("{at}/usb*/*-*/authorized"),
                false => format!("$(find {at}/ -path '*/usb*/*-*/authorized')"),
            };
            advice.push(format!("allow a USB device:  for i in {devices}; do echo 1 > $i; done"));
        }
        if let Some(rule) = &self.rule {
            advice.push(format!(
                "let udev read the disks:  rm {}; udevadm control --reload; udevadm trigger",
                rule.display()
            ));
        }
        advice
    }
}

fn udev_rule(sbdf: Sbdf) -> String {
    format!(
        "# Written by qubes-dom0-pci: nobody reads the disks of {sbdf} until the admin\n\
         # removes this file. It is gone after a reboot.\n\
         SUBSYSTEM==\"block\", KERNELS==\"{sbdf}\", ENV{{UDEV_DISABLE_PERSISTENT_STORAGE_RULES_FLAG}}=\"1\", \
         ENV{{DM_UDEV_DISABLE_OTHER_RULES_FLAG}}=\"1\", ENV{{SYSTEMD_READY}}=\"0\", ENV{{UDISKS_IGNORE}}=\"1\"\n"
    )
}

impl Guard {
    /// What an interrupted run set; `global` is one of the two it may set.
    #[must_use]
    pub fn interrupted(root: &Sysroot, sbdf: Sbdf, global: Option<(&str, &str)>, usb: bool) -> Self {
        let global = global.and_then(|(path, before)| {
            let (_, set) = SETS.into_iter().find(|(known, _)| *known == path)?;
            Some(Global { path: root.path(path), before: before.to_owned(), set })
        });
        Self { global, rule: (!usb).then(|| rule_path(root, sbdf)), usb }
    }
}

/// Carries out one change.
type Acts<'a> = dyn FnMut(&Act) -> Result<(), Trouble> + 'a;

impl Guard {
    /// Puts the global value back, where it still reads as this run left it. Where another set it meanwhile it is
    /// left alone, and that is said.
    fn restore(&mut self, act: &mut Acts<'_>) -> Result<Option<String>, Trouble> {
        let Some(global) = self.global.clone() else { return Ok(None) };
        let is = read_text(&global.path).ok();
        // A write that was refused changed nothing: there is nothing to put back.
        if is.as_ref() == Some(&global.before) {
            self.global = None;
            return Ok(None);
        }
        if let Some(is) = is.filter(|is| !global.is_ours(is)) {
            self.global = None;
            let path = global.path.display();
            return Ok(Some(format!("another set {path} to {}: it is left alone", escape(is.as_bytes()))));
        }
        let Global { path, before, .. } = global;
        act(&Act::Write(path.clone(), before.clone()))?;
        let is = read_text(&path).map_err(|error| crate::error::Failure::unreadable(&path, &error))?;
        if is != before {
            return Err(Trouble::failed(
                format!("{} reads {} and not {before}", path.display(), escape(is.as_bytes())),
                "write it by hand",
            ));
        }
        self.global = None;
        Ok(None)
    }

    /// Puts back all that was set; says what another set.
    pub(super) fn undo(&mut self, act: &mut Acts<'_>) -> Result<Option<String>, Trouble> {
        let note = self.restore(act)?;
        if let Some(rule) = self.rule.take() {
            if rule.exists() {
                act(&Act::Remove(rule))?;
                act(&Act::ReloadUdev)?;
            }
        }
        self.usb = false;
        Ok(note)
    }
}

fn rule_path(root: &Sysroot, sbdf: Sbdf) -> PathBuf {
    let name = sbdf.to_string().replace([':', '.'], "-");
    root.path(&format!("{UDEV}/rules.d/10-qubes-dom0-pci-{name}.rules"))
}

impl Operation<'_> {
    /// The global value the guard is going to change, and what it is now.
    pub(super) fn guard_before(&self) -> Option<(&'static str, String)> {
        let path = if self.function.is_usb() { USB_DEFAULT } else { NO_PART_SCAN };
        Some((path, read_text(&self.sources.root.path(path)).ok()?))
    }

    /// Sets the guard of the function's class.
    pub(super) fn guard_on(&mut self) -> Result<String, Trouble> {
        if self.function.is_usb() {
            let path = self.sources.root.path(USB_DEFAULT);
            self.set_global(path, "0")?;
            self.guard.usb = true;
            return Ok("new USB devices stay unauthorized".to_owned());
        }
        let mut said = Vec::new();
        let path = self.sources.root.path(NO_PART_SCAN);
        if path.exists() {
            self.set_global(path, "1")?;
            said.push("the kernel reads no partitions");
        } else {
            said.push("this kernel cannot leave partitions unread");
        }
        if self.sources.root.path(UDEV).exists() {
            let rule = rule_path(&self.sources.root, self.plan.sbdf);
            self.guard.rule = Some(rule.clone());
            self.act(&Act::Create(rule.clone(), udev_rule(self.plan.sbdf)))?;
            self.act(&Act::ReloadUdev)?;
            if read_text(&rule).is_err() {
                return Err(Trouble::failed("the udev rule is not there after it was written", "check /run"));
            }
            said.push("udev leaves its disks alone");
        } else {
            said.push("there is no udev");
        }
        Ok(said.join("; "))
    }

    fn set_global(&mut self, path: PathBuf, value: &'static str) -> Result<(), Trouble> {
        let unreadable = |error| crate::error::Failure::unreadable(&path, &error);
        let before = read_text(&path).map_err(unreadable)?;
        let global = Global { path: path.clone(), before, set: value };
        self.guard.global = Some(global.clone());
        self.act(&Act::Write(path.clone(), value.to_owned()))?;
        let is = read_text(&path).map_err(unreadable)?;
        if !global.is_ours(&is) {
            return Err(Trouble::failed(
                format!("{} reads {is} after the write", path.display()),
                "see dmesg",
            ));
        }
        Ok(())
    }

    /// Checks what came up under the guard, then puts the global value back.
    pub(super) fn unguard(&mut self) -> Result<String, Trouble> {
        if self.guard.usb {
            for bus in usb_defaults(&self.sources.sysfs, self.plan.sbdf) {
                let read =
                    || read_text(&bus).map_err(|error| crate::error::Failure::unreadable(&bus, &error));
                if read()? != "0" {
                    self.act(&Act::Write(bus.clone(), "0".to_owned()))?;
                }
                if read()? != "0" {
                    return Err(Trouble::failed(format!("{} does not stay 0", bus.display()), "see dmesg"));
                }
            }
        }
        let note = self.restore_global()?.map(|note| format!("; {note}")).unwrap_or_default();
        let proof = if self.guard.usb {
            "its USB devices stay unauthorized until allowed"
        } else {
            "partitions of other disks are read as before"
        };
        Ok(format!("{proof}{note}"))
    }

    /// Puts the global value back; in words what another set, or why it could not be.
    pub(super) fn restore_global_or_say(&mut self) -> Option<String> {
        self.restore_global().unwrap_or_else(|trouble| Some(trouble.message()))
    }

    fn restore_global(&mut self) -> Result<Option<String>, Trouble> {
        self.guarded(|guard, act| guard.restore(act))
    }

    /// After a failure: the guard's traces go, whatever else could be undone.
    pub(super) fn guard_undone(&mut self) -> Result<Option<String>, Trouble> {
        self.guarded(|guard, act| guard.undo(act))
    }

    fn guarded(
        &mut self,
        does: impl FnOnce(&mut Guard, &mut Acts<'_>) -> Result<Option<String>, Trouble>,
    ) -> Result<Option<String>, Trouble> {
        let mut guard = std::mem::take(&mut self.guard);
        let done = does(&mut guard, &mut |act| self.act(act));
        self.guard = guard;
        done
    }

    /// A last attempt where a failure left a global value changed.
    pub(super) fn guard_off(&mut self) {
        if let Some(global) = self.guard.global.take() {
            if read_text(&global.path).is_ok_and(|is| global.is_ours(&is)) {
                let _ = self.worker.carry_out(&Act::Write(global.path, global.before));
            }
        }
    }
}
