//! What the prediction is made from: the machine, which stays as it is, and the setting, which an edit
//! changes.

use crate::names::Sbdf;
use crate::observe::next_boot::{CommandLine, Device, ModuleFiles, Override, Release, Unknown};
use crate::observe::{Qubes, Reading};
use std::collections::{BTreeMap, BTreeSet};

/// The machine.
#[derive(Clone, Copy, Debug)]
pub struct Machine<'a> {
    /// Whose dom0 it is.
    pub release: &'a Release,
    /// The functions.
    pub devices: &'a BTreeMap<Sbdf, Device>,
    /// What Qubes knows; `None` where there is no Qubes.
    pub qubes: &'a Reading<Option<Qubes>>,
    /// Drivers that are built into the kernel, of those that hold devices for others.
    pub built_in: &'a BTreeSet<&'static str>,
}

/// What decides.
#[derive(Clone, Debug)]
pub struct Setting {
    /// The kernel's command line.
    pub line: Result<CommandLine, Unknown>,
    /// modprobe's configuration.
    pub modules: ModuleFiles,
    /// The copy of it in the initramfs; `None` where it is not known.
    pub initramfs: Option<ModuleFiles>,
    /// Drivers that driverctl binds functions to.
    pub overrides: BTreeMap<Sbdf, Override>,
    /// Functions whose assignments are taken away.
    pub unassigned: BTreeSet<Sbdf>,
}
