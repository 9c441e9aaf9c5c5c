//! Where each function will be.

use super::because::{Because, Rule};
use super::lists::{hide_list, id_matches, ids};
use super::modules::{loads, Loads};
use super::script::{self, Outcome, Stop};
use super::setting::{Machine, Setting};
use super::taken::{takers, Taker};
use crate::names::{DriverName, Sbdf};
use crate::observe::next_boot::{CommandLine, Device, Place};
use std::collections::BTreeMap;

/// Where the boot leaves a function.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Next {
    /// With a driver of dom0, by its name where that is known.
    Driver(Option<DriverName>),
    /// With pciback.
    Hidden,
    /// With a driver that only keeps it for others: pci-stub, vfio-pci.
    Stub,
    /// With no driver.
    NoDriver,
    /// Nowhere: it does not exist then.
    Absent,
    /// Nobody can tell.
    Unknown,
}

impl Next {
    /// The word in a script's answer.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Driver(_) => "driver",
            Self::Hidden => "hidden",
            Self::Stub => "stub",
            Self::NoDriver => "no-driver",
            Self::Absent => "absent",
            Self::Unknown => "unknown",
        }
    }
}

/// What the next boot does with one function.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fate {
    /// Where it is left.
    pub next: Next,
    /// Why.
    pub because: Vec<Because>,
    /// The qubes that then take it; why that is not known.
    pub takers: Result<Vec<Taker>, String>,
}

impl Fate {
    /// Whether dom0 has it and keeps it; `None` where that is not known.
    #[must_use]
    pub fn returns(&self) -> Option<bool> {
        match (&self.next, &self.takers) {
            (Next::Unknown, _) => None,
            (Next::Driver(_), Ok(takers)) => Some(takers.is_empty()),
            (Next::Driver(_), Err(_)) => None,
            _ => Some(false),
        }
    }
}

/// What the next boot does.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Prediction {
    /// Why it does not come up, where Qubes' script gives up; `None` also where that is not known.
    pub stops: Option<Stop>,
    /// Whether the command line is known at all.
    pub known: bool,
    /// Whether Qubes' script enables usbguard.
    pub usbguard: bool,
    /// Whether usbguard then starts.
    pub usbguard_starts: bool,
    /// Each function.
    pub functions: BTreeMap<Sbdf, Fate>,
}

/// Predicts the next boot.
#[must_use]
pub fn predict(machine: &Machine<'_>, setting: &Setting) -> Prediction {
    let line = match &setting.line {
        Ok(line) => line,
        Err(unknown) => return not_known(machine, setting, &unknown.to_string()),
    };
    let outcome = machine.release.script().map(|script| script::run(script, machine.devices, line));
    let outcome = outcome.unwrap_or_default();
    let view = View { machine, setting, line, outcome: &outcome };
    let mut functions = BTreeMap::new();
    for device in machine.devices.values() {
        let (next, because) = view.place(device);
        functions.insert(device.sbdf, Fate { next, because, takers: takers(machine, setting, device) });
    }
    let usbguard = outcome.usbguard;
    let usbguard_starts = usbguard && script::usbguard_starts(line);
    Prediction { stops: outcome.stops, known: true, usbguard, usbguard_starts, functions }
}

/// The next boot of one function; `None` where there is none.
#[must_use]
pub fn fate_of(machine: &Machine<'_>, setting: &Setting, sbdf: Sbdf) -> Option<Fate> {
    let device = machine.devices.get(&sbdf)?;
    let line = match &setting.line {
        Ok(line) => line,
        Err(unknown) => return Some(unknown_fate(machine, setting, device, &unknown.to_string())),
    };
    let outcome = machine.release.script().map(|script| script::run(script, machine.devices, line));
    let outcome = outcome.unwrap_or_default();
    let (next, because) = View { machine, setting, line, outcome: &outcome }.place(device);
    Some(Fate { next, because, takers: takers(machine, setting, device) })
}

fn not_known(machine: &Machine<'_>, setting: &Setting, why: &str) -> Prediction {
    let fate = |device: &Device| (device.sbdf, unknown_fate(machine, setting, device, why));
    let functions = machine.devices.values().map(fate).collect();
    Prediction { stops: None, known: false, usbguard: false, usbguard_starts: false, functions }
}

fn unknown_fate(machine: &Machine<'_>, setting: &Setting, device: &Device, why: &str) -> Fate {
    let (next, rule) = match device.physical {
        Some(_) => (Next::Absent, Rule::VirtualFunction),
        None => (Next::Unknown, Rule::NotKnown(why.to_owned())),
    };
    Fate { next, because: vec![Because::rule(rule)], takers: takers(machine, setting, device) }
}

struct View<'a> {
    machine: &'a Machine<'a>,
    setting: &'a Setting,
    line: &'a CommandLine,
    outcome: &'a Outcome,
}

type Placed = (Next, Vec<Because>);

impl View<'_> {
    /// Who gets a function, in the order in which they come: driverctl last of all, and so it wins.
    fn place(&self, device: &Device) -> Placed {
        if device.physical.is_some() {
            return (Next::Absent, vec![Because::rule(Rule::VirtualFunction)]);
        }
        if let Some(stop) = &self.outcome.stops {
            let rule = Rule::Stops(stop.why.clone());
            return (Next::Unknown, vec![Because { rule, ..stop.because.clone() }]);
        }
        if let Some(controller) = device.behind.and_then(|above| self.machine.devices.get(&above)) {
            match self.place(controller).0 {
                Next::Driver(_) => {}
                Next::Unknown => return (Next::Unknown, vec![Because::rule(Rule::BehindVmd)]),
                _ => return (Next::Absent, vec![Because::rule(Rule::BehindVmd)]),
            }
        }
        self.by_driverctl(device)
            .or_else(|| Some((Next::Hidden, self.outcome.hidden.get(&device.sbdf)?.clone())))
            .or_else(|| self.by_pciback(device))
            .or_else(|| self.by_stub(device, "pci-stub", "pci-stub.ids"))
            .or_else(|| self.by_stub(device, "vfio-pci", "vfio-pci.ids"))
            .unwrap_or_else(|| self.by_modules(device))
    }

    fn by_driverctl(&self, device: &Device) -> Option<Placed> {
        let found = self.setting.overrides.get(&device.sbdf)?;
        let place = Place { file: found.file.clone(), line: 1 };
        let because = vec![Because::at(Rule::Driverctl, place)];
        let next = match found.driver.as_str() {
            "none" => Next::NoDriver,
            "pciback" | "xen-pciback" => Next::Hidden,
            "pci-stub" | "vfio-pci" | "uio_pci_generic" | "igb_uio" => Next::Stub,
            other => match DriverName::parse(other) {
                Some(driver) => Next::Driver(Some(driver)),
                None => Next::Unknown,
            },
        };
        Some((next, because))
    }

    /// xen-pciback's own list: the last one of modprobe's files and of the command line, in this order.
    fn by_pciback(&self, device: &Device) -> Option<Placed> {
        const HIDE: &str = "xen-pciback.hide";
        let word = self.line.parameters(HIDE).next_back();
        let built_in = self.machine.built_in.contains("xen-pciback");
        let (list, because, sure) = match word {
            Some(word) => (word.value().to_owned(), Because::word(Rule::Word(HIDE), Some(word)), true),
            None if built_in => return None,
            None => {
                let (line, list) = self.setting.modules.options("xen-pciback", "hide").next_back()?;
                let copy = self.setting.initramfs.as_ref();
                let copied = copy.is_some_and(|files| {
                    files.options("xen-pciback", "hide").next_back().is_some_and(|(_, other)| other == list)
                });
                let shown = copy.is_none() && device.driver.as_ref().is_some_and(DriverName::is_pciback);
                let rule = Rule::Options("xen-pciback hide");
                (list.clone(), Because::at(rule, line.place()), copied || shown)
            }
        };
        let named = hide_list(&list)?.iter().any(|entry| entry.names(device.sbdf));
        let first = device.modules.iter().flatten().any(|module| module.built_in);
        if !named || first && !built_in {
            return None;
        }
        Some((if sure { Next::Hidden } else { Next::Unknown }, vec![because]))
    }

    /// A driver that takes devices by what they are.
    fn by_stub(&self, device: &Device, driver: &'static str, option: &'static str) -> Option<Placed> {
        let matches = |list: &str| ids(list).any(|entry| id_matches(entry, device));
        let built_in = self.machine.built_in.contains(driver);
        let (list, because) = match self.line.parameters(option).next_back() {
            Some(word) => (word.value().to_owned(), Because::word(Rule::Word(option), Some(word))),
            None if built_in => return None,
            None => {
                let (line, list) = self.setting.modules.options(driver, "ids").next_back()?;
                let rule = if driver == "vfio-pci" { "vfio-pci ids" } else { "pci-stub ids" };
                (list, Because::at(Rule::Options(rule), line.place()))
            }
        };
        if !matches(&list) {
            return None;
        }
        if built_in || self.comes_first(device, driver) {
            return Some((Next::Stub, vec![because]));
        }
        // A driver that is built in has it before any module comes.
        let first = device.modules.iter().flatten().any(|module| module.built_in);
        (!first).then(|| (Next::Unknown, vec![because]))
    }

    /// Whether a module comes before all others that claim the device. What this boot shows counts where
    /// the initramfs cannot be read.
    fn comes_first(&self, device: &Device, driver: &str) -> bool {
        let has_it = device.driver.as_ref().is_some_and(|now| now.as_str() == driver);
        let early =
            self.line.all("rd.driver.pre").any(|word| word.value().split(',').any(|name| name == driver));
        let claims: Vec<_> = device.modules.iter().flatten().collect();
        let first = |files: &crate::observe::next_boot::ModuleFiles| {
            !claims.is_empty()
                && claims.iter().all(|module| files.before(&module.name, driver).next().is_some())
        };
        let in_both = first(&self.setting.modules) && self.setting.initramfs.as_ref().map_or(has_it, first);
        early || in_both || has_it && self.setting.initramfs.is_none()
    }

    fn by_modules(&self, device: &Device) -> Placed {
        let now = device.driver.as_ref().filter(|driver| !driver.is_holder());
        let exempt: Vec<Because> = self.outcome.exempted.get(&device.sbdf).cloned().into_iter().collect();
        let modules = match &device.modules {
            Ok(modules) => modules,
            Err(why) => return (Next::Unknown, vec![Because::rule(Rule::NotKnown(why.clone()))]),
        };
        if modules.is_empty() {
            return match (now, &device.driver) {
                (Some(driver), _) => (Next::Driver(Some(driver.clone())), exempt),
                (None, None) => (Next::NoDriver, vec![Because::rule(Rule::NoModule)]),
                // Only a driver that is built in can take it, and which devices that takes is not told.
                (None, Some(_)) => (Next::Unknown, vec![Because::rule(Rule::NoModule)]),
            };
        }
        let mut barred = Vec::new();
        let mut doubt = Vec::new();
        for module in modules {
            match loads(self.setting, self.line, device, module) {
                Loads::Yes => return (Next::Driver(name(now, module.drivers.as_deref())), exempt),
                Loads::No(because) => barred.push(because),
                Loads::Perhaps(because) => doubt.push(because),
            }
        }
        if doubt.is_empty() {
            (Next::NoDriver, barred)
        } else {
            (Next::Unknown, doubt)
        }
    }
}

/// The driver of a module: the one that is bound now, or the only one it has.
fn name(now: Option<&DriverName>, drivers: Option<&[DriverName]>) -> Option<DriverName> {
    match (now, drivers) {
        (Some(now), _) => Some(now.clone()),
        (None, Some([only])) => Some(only.clone()),
        _ => None,
    }
}
