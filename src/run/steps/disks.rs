//! The disks of a returned device: a rule keeps udev, and all that waits for udev's word, away from them
//! until the admin removes it. What cannot be kept away is said.

use crate::names::{escape, Sbdf};
use crate::observe::disks_of;
use crate::plan::Guarded;
use crate::run::operation::Operation;
use crate::run::outcome::Trouble;
use crate::system::root::{read_text, Sysroot};
use crate::system::worker::Act;
use std::path::PathBuf;
use std::time::{Duration, Instant};

const UDEV: &str = "/run/udev";
/// Disks behind a host or a card slot come from the kernel's work queues after the driver has bound.
const LONGEST_SCAN: Duration = Duration::from_secs(5);
/// udev takes up a disk within this time, or has not yet: then the rule is there when it does.
const LONGEST_UDEV: Duration = Duration::from_secs(3);
const PAUSE: Duration = Duration::from_millis(50);

/// What the rule leaves in udev's records of a disk; its value is the function.
const MARK: &str = "QUBES_DOM0_PCI_GUARD";

/// The rule for the disks of a function. An NVMe disk with multipath hangs below a virtual subsystem and not
/// below the function; the subsystem links its controllers, whose `address` is the function's. A disk of
/// that kind that was there before belongs to another controller too, and dom0 may use it: it is left alone.
/// `KERNELS!=` would hold as soon as one device of the chain has another name.
fn udev_rule(sbdf: Sbdf) -> String {
    let label = sbdf.to_string().replace([':', '.'], "_");
    format!(
        "# Written by qubes-dom0-pci: udev leaves the disks of {sbdf} alone until the admin\n\
         # removes this file. It is gone after a reboot.\n\
         SUBSYSTEM!=\"block\", GOTO=\"qubes_dom0_pci_end_{label}\"\n\
         KERNELS==\"{sbdf}\", GOTO=\"qubes_dom0_pci_guard_{label}\"\n\
         DEVPATH!=\"*/nvme-subsystem/nvme-subsys*\", GOTO=\"qubes_dom0_pci_end_{label}\"\n\
         ACTION!=\"add\", IMPORT{{db}}=\"{MARK}\"\n\
         ENV{{{MARK}}}==\"{sbdf}\", GOTO=\"qubes_dom0_pci_guard_{label}\"\n\
         ACTION==\"add\", KERNELS==\"nvme-subsys*\", PROGRAM==\"/bin/sh -c 'for a in \
         /sys/class/nvme-subsystem/$id/nvme*/address; do read -r b < $$a && [ $$b = {sbdf} ] && exit 0; \
         done; exit 1'\", GOTO=\"qubes_dom0_pci_guard_{label}\"\n\
         GOTO=\"qubes_dom0_pci_end_{label}\"\n\
         LABEL=\"qubes_dom0_pci_guard_{label}\"\n\
         ENV{{{MARK}}}=\"{sbdf}\", ENV{{UDEV_DISABLE_PERSISTENT_STORAGE_RULES_FLAG}}=\"1\", \
         ENV{{DM_UDEV_DISABLE_OTHER_RULES_FLAG}}=\"1\", ENV{{SYSTEMD_READY}}=\"0\", \
         ENV{{UDISKS_IGNORE}}=\"1\"\n\
         LABEL=\"qubes_dom0_pci_end_{label}\"\n"
    )
}

pub(super) fn rule_path(root: &Sysroot, sbdf: Sbdf) -> PathBuf {
    let name = sbdf.to_string().replace([':', '.'], "-");
    root.path(&format!("{UDEV}/rules.d/10-qubes-dom0-pci-{name}.rules"))
}

impl Operation<'_> {
    pub(super) fn guard_disks(&mut self) -> Result<String, Trouble> {
        let mut said = Vec::new();
        if self.has_partition_switch() {
            self.set_for_all(Guarded::Storage)?;
            said.push("the kernel reads no partition tables");
        } else {
            said.push("not guarded: this kernel reads partition tables, whatever is wanted");
        }
        if self.sources.root.path(UDEV).exists() {
            let rule = rule_path(&self.sources.root, self.plan.sbdf);
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

    fn has_partition_switch(&self) -> bool {
        self.sources.root.path(Guarded::Storage.setting()).exists()
    }

    /// Waits for the first disk of a device whose sign of life is a host or a slot, not a disk; in words how
    /// long, where none came. Where the kernel reads partition tables anyway, there is nothing to wait for.
    pub(super) fn wait_for_disks(&self) -> Option<String> {
        let sign_is_a_disk = matches!(self.function.class_and_subclass(), 0x0106 | 0x0108);
        if sign_is_a_disk || !self.has_partition_switch() {
            return None;
        }
        let began = Instant::now();
        while began.elapsed() < LONGEST_SCAN {
            if !disks_of(&self.sources.root, &self.sources.sysfs, self.plan.sbdf).is_empty() {
                return None;
            }
            std::thread::sleep(PAUSE);
        }
        Some(format!("no disk came within {} s; ", LONGEST_SCAN.as_secs()))
    }

    /// What is guarded from now on, and what is not, in words.
    pub(super) fn disks_guarded(&self, scanned: Option<String>) -> String {
        let mut said = scanned.unwrap_or_default();
        said.push_str(if self.has_partition_switch() {
            "not guarded: the kernel reads the partition table of a disk that comes from now on"
        } else {
            "not guarded: the kernel reads partition tables"
        });
        if !self.sources.root.path(UDEV).exists() {
            return said;
        }
        let missed = self.missed_by_udev();
        if !missed.is_empty() {
            said.push_str(&format!("; not guarded: udev did not follow the rule for {}", missed.join(", ")));
        }
        said.push_str(
            "; udev leaves its disks alone until allowed, those that come later too; not guarded: programs \
             that look at every disk by themselves, such as LVM's commands",
        );
        said
    }

    /// Disks that udev took up without its rule.
    fn missed_by_udev(&self) -> Vec<String> {
        let records = self.sources.root.path(&format!("{UDEV}/data"));
        if !records.exists() {
            return Vec::new();
        }
        let mark = format!("E:{MARK}={}", self.plan.sbdf);
        let began = Instant::now();
        loop {
            let disks = disks_of(&self.sources.root, &self.sources.sysfs, self.plan.sbdf);
            let record = |number: &str| read_text(&records.join(format!("b{number}")));
            let marked = |text: &str| text.lines().any(|line| line == mark);
            let (taken, late): (Vec<_>, Vec<_>) = disks
                .into_iter()
                .map(|disk| (record(&disk.number), disk))
                .partition(|(text, _)| text.is_ok());
            let missed: Vec<String> = taken
                .iter()
                .filter(|(text, _)| text.as_ref().is_ok_and(|text| !marked(text)))
                .map(|(_, disk)| escape(disk.name.as_bytes()))
                .collect();
            if missed.is_empty() && late.is_empty() || began.elapsed() >= LONGEST_UDEV {
                return missed;
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// How the admin allows the disks. A disk that came up while the kernel read no partition tables never
    /// gets its partitions: the driver has to be bound once more. LVM's rules act on `add` alone.
    pub(super) fn disks_advice(&self) -> Option<String> {
        let rule = rule_path(&self.sources.root, self.plan.sbdf);
        if !rule.exists() {
            return None;
        }
        let (rule, sbdf) = (rule.display(), self.plan.sbdf);
        let read = if self.has_partition_switch() {
            format!(
                "d=$(readlink -f /sys/bus/pci/devices/{sbdf}/driver); echo {sbdf} > $d/unbind; \
                 echo {sbdf} > $d/bind"
            )
        } else {
            format!("udevadm trigger --action=add --subsystem-match=block --property-match={MARK}={sbdf}")
        };
        Some(format!("let udev read the disks:  rm {rule}; udevadm control --reload; {read}"))
    }
}
