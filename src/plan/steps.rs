//! The sequence that brings a function back.

use super::identity::identified;
use super::{Candidate, Guarded, Load, Plan, Planned};
use crate::assess::{Case, State};
use crate::names::{escape, Direction, DriverName, Step};
use crate::observe::{Claims, Function};

/// Plans the return of one function from whatever state it is found in.
#[must_use]
pub fn plan_return(case: &Case) -> Plan {
    let (state, claims, named) = (&case.state, &case.subject.claims, case.named.as_ref());
    let function = &case.subject.function;
    let candidates = candidates(claims, named);
    let loads: Vec<Load> = match named {
        Some(_) => Vec::new(),
        None => claims
            .by_alias
            .iter()
            .filter(|claim| claim.drivers.is_none() && claim.can_drive())
            .map(|claim| Load { module: claim.module.clone(), blacklisted: claim.blacklisted })
            .collect(),
    };
    // Without a driver there is no way to its end: no step of it is one to copy.
    let binds = state.needs_driver();
    let leads_nowhere = binds && candidates.is_empty();
    let guard = Guarded::of(function).filter(|_| binds);
    let steps = if state.is_fine() || leads_nowhere {
        Vec::new()
    } else {
        let (candidates, loads) = (&candidates, &loads);
        Course { function, state, claims, candidates, loads, guard, binds }.steps()
    };
    let (sbdf, direction) = (function.sbdf, Direction::Return);
    let plan = Plan { sbdf, direction, guard, steps, candidates, loads, id: String::new() };
    identified(plan, case)
}

fn candidates(claims: &Claims, named: Option<&DriverName>) -> Vec<Candidate> {
    if let Some(driver) = named {
        return vec![Candidate::Named(driver.clone())];
    }
    let driving = claims.by_alias.iter().filter(|claim| claim.can_drive());
    let mut candidates: Vec<Candidate> =
        driving.map(|claim| Candidate::OfModule(claim.module.clone())).collect();
    if candidates.is_empty() {
        let recorded = claims.recorded.iter().filter(|recorded| recorded.registered);
        candidates.extend(recorded.map(|recorded| Candidate::Named(recorded.driver.clone())));
    }
    candidates
}

/// What the steps of a return are made of.
struct Course<'a> {
    function: &'a Function,
    state: &'a State,
    claims: &'a Claims,
    candidates: &'a [Candidate],
    loads: &'a [Load],
    guard: Option<Guarded>,
    /// Whether a driver has to be bound: otherwise dom0's is, and works on.
    binds: bool,
}

const DRIVES: &str = "dom0's driver is bound and works on";

impl Course<'_> {
    fn steps(&self) -> Vec<Planned> {
        vec![
            self.pin(),
            self.unbind(),
            self.settle(),
            self.remove_slot(),
            self.modalias(),
            self.resolve(),
            self.load(),
            self.guard(),
            self.dequarantine(),
            self.bind(),
            self.verify(),
            self.unguard(),
            self.unpin(),
        ]
    }

    fn folder(&self) -> String {
        format!("/sys/bus/pci/devices/{}", self.function.sbdf)
    }

    fn pin(&self) -> Planned {
        let shell = vec![format!("echo none > {}/driver_override", self.folder())];
        let what = "set driver_override to none: nobody takes it meanwhile";
        Planned::when(self.binds, Planned::run(Step::Pin, what, shell), DRIVES)
    }

    fn unbind(&self) -> Planned {
        let bound = self.function.driver.as_ref();
        let what = format!("take it from {}", bound.map_or("its driver", DriverName::as_str));
        let shell = vec![format!("echo {} > {}/driver/unbind", self.function.sbdf, self.folder())];
        let why_not = if self.binds { "no driver is bound" } else { DRIVES };
        Planned::when(self.binds && bound.is_some(), Planned::run(Step::Unbind, what, shell), why_not)
    }

    fn settle(&self) -> Planned {
        let (bdf, folder) = (self.function.sbdf, self.folder());
        let rom = if self.function.has_rom { " and its ROM" } else { "" };
        let (no_dma, look) = (format!("setpci -s {bdf} COMMAND=0:4"), format!("lspci -vvs {bdf}"));
        let (what, mut shell) = match &self.function.reset_methods {
            Some(methods) => (
                format!(
                    "reset it ({}), bus mastering off, read its config space{rom} anew",
                    escape(methods.join(" ").as_bytes())
                ),
                vec![format!("echo 1 > {folder}/reset"), no_dma, look],
            ),
            None => (
                format!(
                    "bus mastering off, read its config space{rom} anew; the kernel knows no way to reset it"
                ),
                vec![no_dma, look],
            ),
        };
        if self.function.has_rom {
            shell.push(format!("echo 1 > {folder}/rom; sha256sum {folder}/rom; echo 0 > {folder}/rom"));
        }
        Planned::when(self.binds, Planned::run(Step::Settle, what, shell), DRIVES)
    }

    fn remove_slot(&self) -> Planned {
        let shell = vec![format!("echo {} > /sys/bus/pci/drivers/pciback/remove_slot", self.function.sbdf)];
        let run = Planned::run(Step::RemoveSlot, "take it off pciback's list of slots", shell);
        Planned::when(self.state.slot, run, "pciback does not list it")
    }

    fn modalias(&self) -> Planned {
        let what = format!("it is still {}", escape(self.function.modalias.as_bytes()));
        let shell = vec![format!("cat {}/modalias", self.folder())];
        Planned::when(self.binds, Planned::run(Step::Modalias, what, shell), DRIVES)
    }

    /// The candidates in words.
    fn names(&self) -> String {
        let names = self.candidates.iter().map(|candidate| spoken(candidate, self.claims));
        names.collect::<Vec<_>>().join(", then ")
    }

    fn resolve(&self) -> Planned {
        let shell = vec![format!("modprobe -R \"$(cat {}/modalias)\"", self.folder())];
        let what = format!("driver: {}", self.names());
        Planned::when(self.binds, Planned::run(Step::Resolve, what, shell), DRIVES)
    }

    fn load(&self) -> Planned {
        let modules: Vec<&str> = self.loads.iter().map(|load| load.module.as_str()).collect();
        let what = format!("load {}", modules.join(", "));
        let shell = modules.iter().map(|module| format!("modprobe {module}")).collect();
        let why_not = if self.binds { "loaded or built in" } else { DRIVES };
        Planned::when(self.binds && !modules.is_empty(), Planned::run(Step::Load, what, shell), why_not)
    }

    fn guard(&self) -> Planned {
        let Some(guarded) = self.guard else {
            let tunnels = self.function.is_usb4();
            let why = if tunnels { "its tunnels cannot be guarded" } else { "its class needs none" };
            return Planned::skip(Step::Guard, why);
        };
        let setting = guarded.setting();
        match guarded {
            Guarded::Usb => Planned::run(
                Step::Guard,
                "have dom0 ignore every USB device that appears",
                vec![format!("BEFORE=$(cat {setting})"), format!("echo 0 > {setting}")],
            ),
            Guarded::Storage => Planned::run(
                Step::Guard,
                "have udev leave its disks alone, and the kernel read no partition tables, where it offers \
                 that",
                vec![format!("[ ! -e {setting} ] || echo 1 > {setting}")],
            ),
        }
    }

    fn dequarantine(&self) -> Planned {
        let shell = vec![format!("xl pci-assignable-remove {}", self.function.sbdf)];
        let run = Planned::run(Step::Dequarantine, "give it from DomIO to dom0 in Xen", shell);
        Planned::when(self.state.quarantined, run, "Xen does not hold it in quarantine")
    }

    fn bind(&self) -> Planned {
        let folder = self.folder();
        let driver = self.candidates.first().map(|candidate| shell_driver(candidate, self.claims));
        let pinned = if forced(self.candidates, self.claims) { "echo $DRIVER" } else { "echo" };
        let shell = vec![
            driver.unwrap_or_default(),
            format!("{pinned} > {folder}/driver_override"),
            format!("echo {} > /sys/bus/pci/drivers/$DRIVER/bind", self.function.sbdf),
        ];
        Planned::when(self.binds, Planned::run(Step::Bind, format!("bind {}", self.names()), shell), DRIVES)
    }

    fn verify(&self) -> Planned {
        let (bdf, folder) = (self.function.sbdf, self.folder());
        let what = "prove it: driver, owner, interrupts, no DMA fault, the class's own sign";
        let shell = vec![
            format!("readlink {folder}/driver"),
            format!(
                "xl debug-keys Q; xl dmesg | grep -e '{bdf} - ' -e 'DMAR.*{bdf}' -e 'AMD-Vi.*{bdf}' | tail"
            ),
            format!("dmesg | grep -e '{bdf}.*map irq failed' -e '{bdf}.*probe' -e 'probe of {bdf}'"),
        ];
        Planned::when(self.binds, Planned::run(Step::Verify, what, shell), DRIVES)
    }

    fn unguard(&self) -> Planned {
        let Some(guarded) = self.guard else {
            return Planned::skip(Step::Unguard, "nothing was guarded");
        };
        let setting = guarded.setting();
        match guarded {
            Guarded::Usb => Planned::run(
                Step::Unguard,
                "new USB devices elsewhere are taken as before; this controller's stay unauthorized",
                vec![format!("echo $BEFORE > {setting}")],
            ),
            Guarded::Storage => Planned::run(
                Step::Unguard,
                "the kernel reads partition tables as before, those of its later disks too; udev leaves its \
                 disks alone until allowed",
                vec![format!("[ ! -e {setting} ] || echo 0 > {setting}")],
            ),
        }
    }

    fn unpin(&self) -> Planned {
        let shell = vec![format!("echo > {}/driver_override", self.folder())];
        Planned::run(Step::Unpin, "clear driver_override", shell)
    }
}

/// Whether the first candidate is its module's only driver, or known only after
/// load: of several, and of one that was named, the kernel's own table decides.
fn forced(candidates: &[Candidate], claims: &Claims) -> bool {
    match candidates.first() {
        Some(candidate @ Candidate::OfModule(_)) => {
            drivers_of(candidate, claims).is_none_or(|drivers| !drivers.contains(' '))
        }
        _ => false,
    }
}

/// "xhci_hcd", or "what xhci_pci registers" where that is known only after load.
fn spoken(candidate: &Candidate, claims: &Claims) -> String {
    match candidate {
        Candidate::Named(driver) => driver.to_string(),
        Candidate::OfModule(module) => match drivers_of(candidate, claims) {
            Some(drivers) => drivers,
            None => format!("the driver of {module} (known after load)"),
        },
    }
}

fn drivers_of(candidate: &Candidate, claims: &Claims) -> Option<String> {
    let Candidate::OfModule(module) = candidate else { return None };
    let claim = claims.by_alias.iter().find(|claim| claim.module == *module)?;
    let names: Vec<&str> = claim.drivers.as_ref()?.iter().map(DriverName::as_str).collect();
    (!names.is_empty()).then(|| names.join(" or "))
}

fn shell_driver(candidate: &Candidate, claims: &Claims) -> String {
    match candidate {
        Candidate::Named(driver) => format!("DRIVER={driver}"),
        Candidate::OfModule(module) => match drivers_of(candidate, claims) {
            Some(name) if !name.contains(' ') => format!("DRIVER={name}"),
            _ => format!(
                "DRIVER=$(ls -d /sys/module/{module}/drivers/pci:* | head -n 1); DRIVER=${{DRIVER##*pci:}}"
            ),
        },
    }
}
