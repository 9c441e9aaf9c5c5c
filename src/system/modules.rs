//! Kernel modules: which of them claim a device, which are there, what they drive.

#![forbid(unsafe_code)]

use super::modprobe::{Barred, Configuration};
use super::root::{names_in, read_text, Sysroot};
use crate::error::{Code, Exit, Failure};
use crate::names::{DriverName, ModuleName};
use std::cell::{OnceCell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

/// libkmod's view of the running kernel's modules.
pub struct Modules {
    context: kmod::Context,
    root: Sysroot,
    /// The indexes do not change while a command runs; a look-up reads them from
    /// the disk.
    known: RefCell<BTreeMap<String, Vec<ModuleName>>>,
    /// Nor does modprobe's configuration.
    configuration: OnceCell<Rc<Configuration>>,
    release: String,
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
        let known = RefCell::default();
        Ok(Self { context, root: root.clone(), known, configuration: OnceCell::new(), release })
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
        let names = names_of(found);
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

    /// Modules that `modprobe` loads together with one: what they depend on, hard or soft, and what that
    /// depends on in turn. Those are left out that are loaded or built in, and the one itself.
    ///
    /// # Errors
    /// libkmod cannot look one up, or modprobe's configuration cannot be read.
    pub fn loaded_with(&self, module: &ModuleName) -> Result<Vec<ModuleName>, Failure> {
        let configuration = self.configuration()?;
        let mut found = vec![module.clone()];
        let mut at = 0;
        // A module that is there already has soft dependencies too.
        while let Some(one) = found.get(at).cloned() {
            let mut next = self.dependencies(&one)?;
            for word in configuration.soft_dependencies(&one) {
                next.extend(self.claiming(word)?);
            }
            for other in next {
                if !found.contains(&other) {
                    found.push(other);
                }
            }
            at += 1;
        }
        found.retain(|other| other != module);
        self.absent(found)
    }

    /// What keeps a module from being loaded, or one that it cannot do without and that is not there.
    ///
    /// # Errors
    /// libkmod cannot look it up, or modprobe's configuration cannot be read.
    pub fn barred(&self, module: &ModuleName) -> Result<Option<Barred>, Failure> {
        let configuration = self.configuration()?;
        let needed = self.absent(self.dependencies(module)?)?;
        let mut needed = std::iter::once(module.clone()).chain(needed);
        Ok(needed.find_map(|one| configuration.barred(&one)))
    }

    /// The file that blacklists the module: one of modprobe's, or `/proc/cmdline`.
    ///
    /// # Errors
    /// modprobe's configuration cannot be read.
    pub fn blacklisted_in(&self, module: &ModuleName) -> Result<Option<String>, Failure> {
        Ok(self.configuration()?.blacklisted_in(module))
    }

    /// All of them that are neither loaded nor built in.
    fn absent(&self, modules: Vec<ModuleName>) -> Result<Vec<ModuleName>, Failure> {
        let mut absent = Vec::new();
        for module in modules {
            if self.drivers_of(&module)?.is_none() {
                absent.push(module);
            }
        }
        Ok(absent)
    }

    /// What a module cannot do without, at any depth, as `depmod` wrote it down.
    ///
    /// # Errors
    /// libkmod cannot look it up.
    pub fn dependencies(&self, module: &ModuleName) -> Result<Vec<ModuleName>, Failure> {
        let known = self.context.module_new_from_name(module.as_str()).map_err(|error| {
            let message = format!("libkmod cannot look up {module}: {error}");
            Failure::new(Exit::Io, Code::Modules, message, "run depmod, and try again")
        })?;
        Ok(names_of(known.dependencies()))
    }

    fn configuration(&self) -> Result<Rc<Configuration>, Failure> {
        if let Some(configuration) = self.configuration.get() {
            return Ok(Rc::clone(configuration));
        }
        let configuration = Rc::new(Configuration::read(&self.root, &self.release)?);
        Ok(Rc::clone(self.configuration.get_or_init(|| configuration)))
    }
}

/// Their names, each once.
fn names_of(modules: kmod::ModuleIterator) -> Vec<ModuleName> {
    let mut names = Vec::new();
    for module in modules {
        if let Some(name) = module.name().to_str().and_then(ModuleName::parse) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
    }
    names
}
