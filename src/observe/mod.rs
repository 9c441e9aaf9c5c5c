//! Observe: the facts of this dom0. It reads and decides nothing.

#![forbid(unsafe_code)]

mod claims;
pub mod config_space;
mod dom0_use;
pub mod evidence;
pub mod exposure;
mod functions;
#[cfg(test)]
#[allow(clippy::indexing_slicing)]
mod fuzz;
pub mod identity;
pub mod import;
pub mod journals;
pub mod kernel_lines;
pub mod neighbours;
pub mod next_boot;
pub mod overview;
mod owners;
mod past;
mod policy;
pub mod qubes;
mod resources;
mod standing;
mod starting;
mod subject;
pub mod traces;
mod usage;

use crate::error::{Code, Exit, Failure};
use crate::journal::Moment;
use crate::names::{DeviceArgument, DriverName, ModuleName, Owner, Sbdf, Standing};
use crate::system::modules::Modules;
use crate::system::root::{read_text, Sysroot};
use crate::system::sysfs::PciSysfs;
use crate::system::xen::{check_dom0, Xen};
use crate::system::xenstore::Xenstore;
use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

#[cfg(test)]
pub use crate::system::modprobe::Barred;
#[cfg(test)]
pub use claims::Named;
pub use claims::{Claim, Claims, Taken, TakenBy};
pub use dom0_use::disks_of;
pub use functions::{reset_method_in_force, usb_defaults, Function, Storage};
pub use owners::Owners;
pub use past::past_of;
pub use policy::{check as check_policy, Policy, Problem, Rule, Says, POLICY};
pub use qubes::Qubes;
pub use starting::Starting;
pub use subject::{gone, Subject};
pub use usage::{node_of_function, Live, Use, Uses};

/// How often functions are read while pciback's list of slots changes.
const READINGS: usize = 5;

/// What was read, or why it could not be.
pub type Reading<T> = Result<T, String>;

/// The facts of a dom0 that concern PCI functions.
#[derive(Clone, Debug)]
pub struct Dom0 {
    /// Every function of every segment.
    pub functions: BTreeMap<Sbdf, Function>,
    /// Whether xen-pciback is loaded.
    pub has_pciback: bool,
    /// Functions pciback will take whenever they are probed.
    pub slots: BTreeSet<Sbdf>,
    /// Functions whose config space a qube may write freely.
    pub permissive: BTreeSet<Sbdf>,
    /// Whether that holds for every function a qube has.
    pub all_permissive: bool,
    /// Functions pciback keeps for the machine's sleep (Qubes' patch).
    pub sleep_ports: BTreeSet<Sbdf>,
    /// Xen's owner of each function.
    pub owners: Reading<Owners>,
    /// What xenstore says of qubes that have functions.
    pub uses: Reading<Uses>,
    /// Whether an IOMMU is in force.
    pub iommu: Reading<bool>,
    /// Xen's command line.
    pub xen_cmdline: Reading<String>,
    /// The kernel's id of this boot.
    pub boot_id: String,
    /// What the admin forbids besides.
    pub policy: Reading<Policy>,
    /// What decides who gets a function at the next boot.
    pub boot: next_boot::Facts,
    /// What Qubes knows of qubes and the devices they are assigned; `None` on a Xen without Qubes.
    pub qubes_known: Reading<Option<Qubes>>,
    /// The domains Xen lists besides dom0, by name; read where Qubes is there and does not say which qubes
    /// run.
    pub live: Option<Reading<Vec<Live>>>,
    /// Whether root read all this: anybody else may not see everything, and what is not seen then is no fact
    /// of dom0.
    pub by_root: bool,
}

/// How functions stand: who drives each, which pciback will take, and who owns each in Xen.
pub struct Devices {
    /// Every function of every segment.
    pub functions: BTreeMap<Sbdf, Function>,
    /// Functions pciback will take whenever they are probed.
    pub slots: BTreeSet<Sbdf>,
    /// Xen's owner of each function.
    pub owners: Reading<Owners>,
}

/// The open connections a command reads through.
pub struct Sources {
    /// The root of all paths.
    pub root: Sysroot,
    /// PCI functions in sysfs.
    pub sysfs: PciSysfs,
    /// Xen, or why it cannot be asked.
    pub xen: Result<Xen, Failure>,
    /// xenstore, or why it cannot be asked.
    pub xenstore: Result<Xenstore, Failure>,
    modules: OnceCell<Rc<Modules>>,
}

impl Sources {
    /// Opens what can be opened; commands that only show go on without Xen's
    /// answers and say so.
    ///
    /// # Errors
    /// Exit 10 where this is no dom0 at all.
    pub fn open(root: &Sysroot) -> Result<Self, Failure> {
        check_dom0(root)?;
        Ok(Self {
            root: root.clone(),
            sysfs: PciSysfs::new(root),
            xen: Xen::open(root),
            xenstore: Xenstore::open(root),
            modules: OnceCell::new(),
        })
    }

    /// Opens what can be opened, on whatever machine.
    #[must_use]
    pub fn anywhere(root: &Sysroot) -> Self {
        Self {
            root: root.clone(),
            sysfs: PciSysfs::new(root),
            xen: Xen::open(root),
            xenstore: Xenstore::open(root),
            modules: OnceCell::new(),
        }
    }

    /// The modules of the running kernel; their indexes are opened once.
    ///
    /// # Errors
    /// The indexes cannot be opened.
    pub fn modules(&self) -> Result<Rc<Modules>, Failure> {
        if let Some(modules) = self.modules.get() {
            return Ok(Rc::clone(modules));
        }
        let modules = Rc::new(Modules::open(&self.root)?);
        Ok(Rc::clone(self.modules.get_or_init(|| modules)))
    }

    /// Reads everything.
    ///
    /// # Errors
    /// sysfs cannot be read.
    pub fn observe(&mut self) -> Result<Dom0, Failure> {
        // qubesd answers nobody while it starts or kills a qube: what is read before that is of another time.
        let qubes_known = qubes::read(&self.root, &self.sysfs);
        let Devices { functions, slots, owners } = self.devices()?;
        let refused = |failure: &Failure| failure.message.clone();
        let iommu = match &self.xen {
            Ok(xen) => xen.has_iommu().map_err(|error| format!("Xen does not say: {error}")),
            Err(failure) => Err(refused(failure)),
        };
        let xen_cmdline = match &self.xen {
            Ok(xen) => xen.command_line().map_err(|error| format!("Xen does not say: {error}")),
            Err(failure) => Err(refused(failure)),
        };
        let uses = match (&mut self.xenstore, &self.xen) {
            (Ok(store), Ok(xen)) => usage::read(store, xen).and_then(|mut uses| {
                owners.iter().try_for_each(|owners| uses.name_owners(store, owners)).map(|()| uses)
            }),
            (Err(failure), _) => Err(refused(failure)),
            (_, Err(failure)) => Err(refused(failure)),
        };
        let told = match &qubes_known {
            Ok(None) => true,
            Ok(Some(known)) => !matches!(known.source, qubes::QubesSource::Xml { .. }),
            Err(_) => false,
        };
        let live = (!told).then(|| match (&mut self.xenstore, &self.xen) {
            (Ok(store), Ok(xen)) => usage::live(store, xen),
            (Err(failure), _) => Err(refused(failure)),
            (_, Err(failure)) => Err(refused(failure)),
        });
        let boot = next_boot::read_beside(&self.root, next_boot::Depth::AsNeeded, qubes_known.clone())?;
        let sysfs = &self.sysfs;
        Ok(Dom0 {
            functions,
            has_pciback: sysfs.has_pciback(),
            slots,
            permissive: sysfs.permissive()?.into_iter().collect(),
            all_permissive: sysfs.all_permissive()?,
            sleep_ports: sysfs.sleep_ports()?.into_iter().collect(),
            owners,
            uses,
            iommu,
            xen_cmdline,
            boot_id: boot_id(&self.root)?,
            policy: policy::read(&self.root),
            boot,
            qubes_known,
            live,
            by_root: nix::unistd::geteuid().is_root(),
        })
    }

    /// How every function stands, at one moment.
    ///
    /// # Errors
    /// sysfs cannot be read.
    pub fn devices(&self) -> Result<Devices, Failure> {
        let sysfs = &self.sysfs;
        let slots = || sysfs.slots().map(BTreeSet::from_iter);
        let functions = || -> Result<BTreeMap<Sbdf, Function>, Failure> {
            sysfs.functions()?.into_iter().map(|sbdf| Ok((sbdf, functions::read(sysfs, sbdf)?))).collect()
        };
        let mut before: BTreeSet<Sbdf> = slots()?;
        let mut read = functions()?;
        for _ in 0..READINGS {
            let now = slots()?;
            if now == before {
                break;
            }
            // Drivers and slots are of one moment only where the slots are the same before and after.
            (before, read) = (now, functions()?);
        }
        let owners = match &self.xen {
            Ok(xen) => owners::read(xen),
            Err(failure) => Err(failure.message.clone()),
        };
        Ok(Devices { functions: read, slots: before, owners })
    }

    /// Opens Xen and xenstore, which a changing command cannot do without.
    ///
    /// # Errors
    /// Exit 10.
    pub fn open_all(root: &Sysroot) -> Result<Self, Failure> {
        let sources = Self::open(root)?;
        sources.all_open()?;
        Ok(sources)
    }

    /// Whether Xen and xenstore can be asked.
    ///
    /// # Errors
    /// Exit 10.
    pub fn all_open(&self) -> Result<(), Failure> {
        self.xen.as_ref().map_err(Clone::clone)?;
        self.xenstore.as_ref().map(drop).map_err(Clone::clone)
    }

    /// What claims a function, and what loading those modules would take besides.
    ///
    /// # Errors
    /// The indexes of the running kernel's modules cannot be read.
    fn claims(&mut self, dom0: &Dom0, function: &Function) -> Result<Claims, Failure> {
        claims::read(self, dom0, function)
    }

    /// What loading a module would bind besides a function, read anew.
    ///
    /// # Errors
    /// sysfs or modprobe's configuration cannot be read.
    pub fn would_take(&self, module: &ModuleName, besides: Sbdf) -> Result<Vec<Taken>, Failure> {
        claims::would_take(self, module, besides)
    }

    /// The driver a function is pinned to, read anew.
    ///
    /// # Errors
    /// sysfs cannot be read.
    pub fn driver_override(&self, sbdf: Sbdf) -> Result<Option<String>, Failure> {
        functions::driver_override(&self.sysfs, sbdf)
    }

    /// The serial number a function tells, where it has one and this user may see it.
    #[must_use]
    pub fn serial(&self, sbdf: Sbdf) -> Option<u64> {
        config_space::serial_number(|at| self.sysfs.register(sbdf, at))
    }

    /// What dom0 itself uses a function for, in words; empty where nothing.
    ///
    /// # Errors
    /// Mounts, swaps or interfaces cannot be read.
    pub fn dom0_uses(&self, function: &Function) -> Result<Vec<String>, Failure> {
        dom0_use::read(&self.root, &self.sysfs, function)
    }

    /// What dom0 cannot boot or be used without and that hangs on a function, in words.
    ///
    /// # Errors
    /// Mounts or swaps cannot be read.
    pub fn dom0_boots_by(&self, function: &Function) -> Result<Vec<String>, Failure> {
        dom0_use::boots_by(&self.root, &self.sysfs, function)
    }

    /// The state of one function that an operation changes and puts back.
    ///
    /// # Errors
    /// sysfs or Xen cannot be read.
    pub fn standing(&self, sbdf: Sbdf) -> Result<Standing, Failure> {
        standing::read(self, sbdf)
    }

    /// Xen's owner of one function, asked anew.
    ///
    /// # Errors
    /// Xen does not answer, or not for this function.
    pub fn owner(&self, sbdf: Sbdf) -> Result<Owner, Failure> {
        let unknown =
            |why: String| Failure::new(Exit::Io, Code::OwnerUnknown, why, "try again; if it stays, reboot");
        let xen = self.xen.as_ref().map_err(Clone::clone)?;
        let owners = owners::read(xen).map_err(unknown)?;
        owners.get(&sbdf).copied().ok_or_else(|| unknown(format!("Xen does not list {sbdf}")))
    }

    /// What xenstore and Xen say of qubes that have this function, asked anew.
    ///
    /// # Errors
    /// xenstore or Xen cannot be read.
    pub fn uses_of(&mut self, sbdf: Sbdf) -> Result<Vec<Use>, Failure> {
        let xen = self.xen.as_ref().map_err(Clone::clone)?;
        let store = self.xenstore.as_mut().map_err(|failure| failure.clone())?;
        let uses = usage::read(store, xen).map_err(|why| {
            Failure::new(Exit::Io, Code::Xenstore, why, "check that xenstored runs, and try again")
        })?;
        Ok(uses.of(sbdf).cloned().collect())
    }

    /// A driver the admin named.
    ///
    /// # Errors
    /// Exit 2: it is not a name, or no such driver is registered, or it is one that only
    /// holds devices.
    pub fn driver(root: &Sysroot, name: Option<&str>) -> Result<Option<DriverName>, Failure> {
        let Some(name) = name else { return Ok(None) };
        let shown = crate::names::escape(name.as_bytes());
        let driver = DriverName::parse(name).ok_or_else(|| {
            Failure::usage(format!("`{shown}` is no driver's name"), "ls /sys/bus/pci/drivers")
        })?;
        if driver.is_holder() {
            return Err(Failure::usage(format!("{driver} only holds devices for others"), "use `hold`"));
        }
        if !PciSysfs::new(root).driver_folder(&driver).exists() {
            return Err(Failure::usage(
                format!("no PCI driver {driver} is registered"),
                "load its module first (modprobe), and see /sys/bus/pci/drivers",
            ));
        }
        Ok(Some(driver))
    }

    /// The functions of this vendor and device.
    ///
    /// # Errors
    /// sysfs cannot be read.
    pub fn of_kind(root: &Sysroot, vendor: u16, device: u16) -> Result<Vec<Sbdf>, Failure> {
        let sysfs = PciSysfs::new(root);
        let mut found = Vec::new();
        for sbdf in sysfs.functions()? {
            let is = |name: &str, wanted: u16| {
                let text = sysfs.attribute(sbdf, name)?;
                Ok::<bool, Failure>(text.is_some_and(|text| text.trim() == format!("0x{wanted:04x}")))
            };
            if is("vendor", vendor)? && is("device", device)? {
                found.push(sbdf);
            }
        }
        Ok(found)
    }

    /// The function a person named.
    ///
    /// # Errors
    /// Exit 2: it is no address, or there is no such function.
    pub fn find(root: &Sysroot, text: &str) -> Result<Sbdf, Failure> {
        let sbdf = address(root, text)?.filter(|&sbdf| PciSysfs::new(root).folder(sbdf).exists());
        sbdf.ok_or_else(|| {
            Failure::new(
                Exit::Usage,
                Code::NoSuchDevice,
                format!("there is no PCI function {}", shown_address(text)),
                "`qubes-dom0-pci list --all` shows every function",
            )
        })
    }
}

/// The address a person means, whether such a function is there or not; `None` where a path leads nowhere.
///
/// # Errors
/// Exit 2: it is no address.
pub fn address(root: &Sysroot, text: &str) -> Result<Option<Sbdf>, Failure> {
    match DeviceArgument::parse(text) {
        Some(DeviceArgument::Address(sbdf)) => Ok(Some(sbdf)),
        Some(DeviceArgument::Path(first, hops)) => functions::follow_path(&PciSysfs::new(root), first, &hops),
        None => Err(Failure::usage(
            format!("`{}` is no PCI address", crate::names::escape(text.as_bytes())),
            "write it as 0000:00:1f.6, 00:1f.6, 00_1f.6 or dom0:00_1f.6, or as Qubes' path (00_1c.0-00_00.0)",
        )),
    }
}

/// Whether a person wrote an address, in any spelling.
#[must_use]
pub fn is_address(text: &str) -> bool {
    DeviceArgument::parse(text).is_some()
}

/// What a person wrote, with its segment where it is an address.
fn shown_address(text: &str) -> String {
    match DeviceArgument::parse(text) {
        Some(DeviceArgument::Address(sbdf)) => sbdf.to_string(),
        _ => crate::names::escape(text.as_bytes()),
    }
}

impl Dom0 {
    /// What could not be seen, in words.
    #[must_use]
    pub fn unseen(&self) -> Vec<String> {
        let mut unseen = Vec::new();
        if let Err(why) = &self.owners {
            unseen.push(format!("Xen's owners: {why}"));
        }
        if let Err(why) = &self.uses {
            unseen.push(format!("which qubes have devices: {why}"));
        }
        match &self.qubes_known {
            Err(why) => unseen.push(format!("what Qubes assigned: {why}")),
            Ok(Some(Qubes { source: qubes::QubesSource::Xml { why, .. }, .. })) => {
                unseen.push(format!("which qubes run, by Qubes: {why}"));
            }
            Ok(_) => {}
        }
        unseen
    }

    /// What Qubes says; `None` where there is no Qubes, or nothing of it can be read.
    #[must_use]
    pub fn qubes_said(&self) -> Option<&Qubes> {
        self.qubes_known.as_ref().ok().and_then(Option::as_ref)
    }
}

/// When this boot began, by the kernel's clock; `None` where that cannot be read.
#[must_use]
pub fn boot_began(root: &Sysroot) -> Option<Moment> {
    let text = read_text(&root.path("/proc/stat")).ok()?;
    let seconds = text.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
    Some(Moment::from_micros(0).after(seconds))
}

/// The kernel's id of this boot, as it writes it.
pub fn boot_id(root: &Sysroot) -> Result<String, Failure> {
    let path = root.path("/proc/sys/kernel/random/boot_id");
    read_text(&path).map_err(|error| Failure::unreadable(&path, &error))
}
