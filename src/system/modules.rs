//! Kernel modules: which of them claim a device, which are there, what they drive.

#![forbid(unsafe_code)]

use super::root::{names_in, read_text, Sysroot};
use crate::error::{Code, Exit, Failure};
use crate::names::{DriverName, ModuleName};
use std::cell::RefCell;
use std::collections::BTreeMap;

/// libkmod's view of the running kernel's modules.
pub struct Modules {
    context: kmod::Context,
    root: Sysroot,
    /// The indexes do not change while a command runs; a look-up reads them from
    /// the disk.
    known: RefCell<BTreeMap<String, Vec<ModuleName>>>,
}

impl Modules {
    /// Opens the indexes of the running kernel.
    ///
    /// # Errors
    /// The kernel's release cannot be read, or libkmod does not open.
    pub fn open(root: &Sysroot) -> Result<Self, Failure> {
        let path = root.path("/proc/sys/kernel/osrelease");
        let release = read_text(&path).map_err(|error| Failure::unreadable(&path, &error))?;
        let folder = root.path(&format!("/lib/modules/{release}"));
        // Without its indexes libkmod finds nothing and says nothing.
        let index = folder.join("modules.alias.bin");
        if let Err(error) = std::fs::metadata(&index) {
            let hint = "check that the running kernel's modules are installed, and run depmod";
            let message = format!("cannot read {}: {error}", index.display());
            return Err(Failure::new(Exit::Io, Code::Modules, message, hint));
        }
        let context = kmod::Context::new_with_dirname(&folder).map_err(|error| {
            Failure::new(
                Exit::Io,
                Code::Modules,
                format!("libkmod cannot open {}: {error}", folder.display()),
                "check that the running kernel's modules are installed, and run depmod",
            )
        })?;
        Ok(Self { context, root: root.clone(), known: RefCell::default() })
    }

    /// Every module that claims a modalias, in the order of `modprobe -R`, each
    /// once. A driver built into the kernel is named only by kernels that index
    /// those too.
    ///
    /// # Errors
    /// libkmod cannot look it up.
    pub fn claiming(&self, modalias: &str) -> Result<Vec<ModuleName>, Failure> {
        // A modalias is made from config space, that is by the device; NUL would
        // end the string early.
        if modalias.is_empty() || modalias.contains('\0') {
            return Ok(Vec::new());
        }
        if let Some(names) = self.known.borrow().get(modalias) {
            return Ok(names.clone());
        }
        let found = self.context.module_new_from_lookup(modalias).map_err(|error| {
            Failure::new(
                Exit::Io,
                Code::Modules,
                format!("libkmod cannot look up {}: {error}", crate::names::escape(modalias.as_bytes())),
                "run depmod, and try again",
            )
        })?;
        let mut names = Vec::new();
        for module in found {
            if let Some(name) = module.name().to_str().and_then(ModuleName::parse) {
                if !names.contains(&name) {
                    names.push(name);
                }
            }
        }
        self.known.borrow_mut().insert(modalias.to_owned(), names.clone());
        Ok(names)
    }

    /// The PCI drivers a loaded or built-in module has registered; `None` where
    /// the module is neither.
    ///
    /// # Errors
    /// Its folder in sysfs cannot be read.
    pub fn drivers_of(&self, module: &ModuleName) -> Result<Option<Vec<DriverName>>, Failure> {
        let folder = self.root.path(&format!("/sys/module/{module}"));
        if !folder.exists() {
            return Ok(None);
        }
        // "coming" and "going" modules are not there yet or no more.
        if let Ok(state) = read_text(&folder.join("initstate")) {
            if state != "live" {
                return Ok(None);
            }
        }
        let names = names_in(&folder.join("drivers"))?;
        Ok(Some(
            names.iter().filter_map(|name| name.strip_prefix("pci:")).filter_map(DriverName::parse).collect(),
        ))
    }

    /// The file that blacklists the module: one of modprobe's configuration, or `/proc/cmdline`.
    #[must_use]
    pub fn blacklisted_in(&self, module: &ModuleName) -> Option<String> {
        let named = |name: &str| ModuleName::parse(name).as_ref() == Some(module);
        for folder in ["/etc/modprobe.d", "/run/modprobe.d", "/usr/lib/modprobe.d", "/lib/modprobe.d"] {
            let path = self.root.path(folder);
            for name in names_in(&path).unwrap_or_default() {
                let text = read_text(&path.join(&name)).unwrap_or_default();
                let listed = |line: &str| {
                    let mut words = line.split_whitespace();
                    words.next() == Some("blacklist") && words.next().is_some_and(named)
                };
                if text.lines().any(listed) {
                    return Some(format!("{folder}/{name}"));
                }
            }
        }
        let cmdline = read_text(&self.root.path("/proc/cmdline")).unwrap_or_default();
        let mut lists =
            cmdline.split_whitespace().filter_map(|word| word.strip_prefix("modprobe.blacklist="));
        lists.any(|list| list.split(',').any(named)).then(|| "/proc/cmdline".to_owned())
    }
}
