//! All facts of the next boot together.

use super::command_line::CommandLine;
use super::device::Device;
use super::grub_cfg::Booted;
use super::module_files::ModuleFiles;
use super::place::Unknown;
use super::release::{Decider, Release};
use super::source::Source;
use crate::names::Sbdf;
use crate::observe::{Qubes, Reading};
use std::collections::{BTreeMap, BTreeSet};

/// What decides where each function is after the next boot.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Whose dom0 it is.
    pub release: Release,
    /// Who decides besides the boot configuration.
    pub deciders: Vec<Decider>,
    /// Every function.
    pub devices: BTreeMap<Sbdf, Device>,
    /// What an admin edits.
    pub source: Source,
    /// What was made of it; the one that the firmware boots comes first.
    pub generated: Vec<Generated>,
    /// The command line of this boot.
    pub this_boot: Result<CommandLine, Unknown>,
    /// modprobe's configuration.
    pub modules: ModuleFiles,
    /// The copy of it in the initramfs; why it is not known.
    pub initramfs: Result<ModuleFiles, String>,
    /// Drivers that driverctl binds functions to.
    pub overrides: BTreeMap<Sbdf, Override>,
    /// What Qubes knows; `None` where there is no Qubes.
    pub qubes: Reading<Option<Qubes>>,
    /// Drivers built into the kernel, of those that hold devices for others.
    pub built_in: BTreeSet<&'static str>,
    /// Keyboards of dom0.
    pub keyboards: Reading<Vec<Keyboard>>,
    /// What usbguard allows, in the words of its rules.
    pub usb_rules: Reading<Vec<String>>,
    /// What could not be read, in words.
    pub unseen: Vec<String>,
}

/// A driver that driverctl binds a function to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Override {
    /// The file that says so.
    pub file: String,
    /// The driver, as it is written.
    pub driver: String,
}

/// A configuration that a generator made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Generated {
    /// The path.
    pub path: String,
    /// What its default entry boots.
    pub booting: Booting,
}

/// What a configuration boots.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Booting {
    /// Xen and Linux with these words.
    Xen(Booted),
    /// It cannot be read, in words.
    Unreadable(String),
    /// It was read, and it cannot be told.
    Unknown(Unknown),
}

/// A keyboard that dom0 has now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Keyboard {
    /// What it calls itself, escaped.
    pub name: String,
    /// The PCI function that it hangs on; `None` where it is on none (PS/2).
    pub on: Option<Sbdf>,
    /// The USB interfaces as `03:01:01`; none where it is not a USB device.
    pub interfaces: Reading<Vec<String>>,
}
