//! The sequence that brings a function back.

use super::identity::identified;
use super::{Candidate, Load, Plan, Planned};
use crate::assess::{Case, State};
use crate::names::Step;
use crate::names::{escape, DriverName};
use crate::observe::{Claims, Function};

/// Plans the return of one function from whatever state it is found in.
#[must_use]
pub fn plan_return(case: &Case) -> Plan {
    let (state, claims, named) = (&case.state, &case.subject.claims, case.named.as_ref());
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
    let leads_nowhere = state.needs_driver() && candidates.is_empty();
    let steps = if state.is_fine() || leads_nowhere {
        Vec::new()
    } else {
        steps(&case.subject.function, state, claims, &candidates, &loads)
    };
    let plan = Plan { sbdf: case.sbdf(), steps, candidates, loads, id: String::new() };
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

fn steps(
    function: &Function,
    state: &State,
    claims: &Claims,
    candidates: &[Candidate],
    loads: &[Load],
) -> Vec<Planned> {
    let bdf = function.sbdf;
    let folder = format!("/sys/bus/pci/devices/{bdf}");
    let binds = state.needs_driver();
    let bound = function.driver.as_ref();
    let drives = "dom0's driver is bound and works on";
    let names: Vec<String> = candidates.iter().map(|candidate| spoken(candidate, claims)).collect();
    let names = names.join(", then ");
    let shell_driver =
        candidates.first().map(|candidate| shell_driver(candidate, claims)).unwrap_or_default();

    let reset = function.reset_methods.as_ref();
    let rom = if function.has_rom { " and its ROM" } else { "" };
    let (no_dma, look) = (format!("setpci -s {bdf} COMMAND=0:4"), format!("lspci -vvs {bdf}"));
    let mut settle = match reset {
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
    if function.has_rom {
        settle.1.push(format!("echo 1 > {folder}/rom; sha256sum {folder}/rom; echo 0 > {folder}/rom"));
    }
    let settle = Planned::run(Step::Settle, settle.0, settle.1);
    let modules: Vec<&str> = loads.iter().map(|load| load.module.as_str()).collect();
    vec![
        Planned::when(
            binds,
            Planned::run(
                Step::Pin,
                "set driver_override to none: nobody takes it meanwhile",
                vec![format!("echo none > {folder}/driver_override")],
            ),
            drives,
        ),
        Planned::when(
            binds && bound.is_some(),
            Planned::run(
                Step::Unbind,
                format!("take it from {}", bound.map_or("its driver", DriverName::as_str)),
                vec![format!("echo {bdf} > {folder}/driver/unbind")],
            ),
            if binds { "no driver is bound" } else { drives },
        ),
        Planned::when(binds, settle, drives),
        Planned::when(
            state.slot,
            Planned::run(
                Step::RemoveSlot,
                "take it off pciback's list of slots",
                vec![format!("echo {bdf} > /sys/bus/pci/drivers/pciback/remove_slot")],
            ),
            "pciback does not list it",
        ),
        Planned::when(
            binds,
            Planned::run(
                Step::Modalias,
                format!("it is still {}", escape(function.modalias.as_bytes())),
                vec![format!("cat {folder}/modalias")],
            ),
            drives,
        ),
        Planned::when(
            binds,
            Planned::run(
                Step::Resolve,
                format!("driver: {names}"),
                vec![format!("modprobe -R \"$(cat {folder}/modalias)\"")],
            ),
            drives,
        ),
        Planned::when(
            binds && !loads.is_empty(),
            Planned::run(
                Step::Load,
                format!("load {}", modules.join(", ")),
                modules.iter().map(|module| format!("modprobe {module}")).collect(),
            ),
            if binds { "loaded or built in" } else { drives },
        ),
        guard(function, binds),
        Planned::when(
            state.quarantined,
            Planned::run(
                Step::Dequarantine,
                "give it from DomIO to dom0 in Xen",
                vec![format!("xl pci-assignable-remove {bdf}")],
            ),
            "Xen does not hold it in quarantine",
        ),
        Planned::when(
            binds,
            Planned::run(
                Step::Bind,
                format!("bind {names}"),
                vec![
                    shell_driver,
                    if forced(candidates, claims) {
                        format!("echo $DRIVER > {folder}/driver_override")
                    } else {
                        format!("echo > {folder}/driver_override")
                    },
                    format!("echo {bdf} > /sys/bus/pci/drivers/$DRIVER/bind"),
                ],
            ),
            drives,
        ),
        Planned::when(
            binds,
            Planned::run(
                Step::Verify,
                "prove it: driver, owner, interrupts, no DMA fault, the class's own sign",
                vec![
                    format!("readlink {folder}/driver"),
                    format!("xl debug-keys Q; xl dmesg | grep -e '{bdf} - ' -e 'DMAR.*{bdf}' -e 'AMD-Vi.*{bdf}' | tail"),
                    format!("dmesg | grep -e '{bdf}.*map irq failed' -e '{bdf}.*probe' -e 'probe of {bdf}'"),
                ],
            ),
            drives,
        ),
        unguard(function, binds),
        Planned::run(Step::Unpin, "clear driver_override", vec![format!("echo > {folder}/driver_override")]),
    ]
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

fn guard(function: &Function, binds: bool) -> Planned {
    if binds && function.is_usb() {
        return Planned::run(
            Step::Guard,
            "have dom0 ignore every USB device that appears",
            vec![
                "BEFORE=$(cat /sys/module/usbcore/parameters/authorized_default)".to_owned(),
                "echo 0 > /sys/module/usbcore/parameters/authorized_default".to_owned(),
            ],
        );
    }
    if binds && function.storage().is_some() {
        return Planned::run(
            Step::Guard,
            "have the kernel and udev read no partitions and file systems from it, where they offer that",
            vec![
                "[ ! -e /sys/module/block/parameters/no_part_scan ] || echo 1 > /sys/module/block/parameters/no_part_scan"
                    .to_owned(),
            ],
        );
    }
    let why = if function.is_usb4() { "its tunnels cannot be guarded" } else { "its class needs none" };
    Planned::skip(Step::Guard, why)
}

fn unguard(function: &Function, binds: bool) -> Planned {
    if binds && function.is_usb() {
        return Planned::run(
            Step::Unguard,
            "new USB devices elsewhere are taken as before; this controller's stay unauthorized",
            vec!["echo $BEFORE > /sys/module/usbcore/parameters/authorized_default".to_owned()],
        );
    }
    if binds && function.storage().is_some() {
        return Planned::run(
            Step::Unguard,
            "partitions of other disks are read as before",
            vec![
                "[ ! -e /sys/module/block/parameters/no_part_scan ] || echo 0 > /sys/module/block/parameters/no_part_scan"
                    .to_owned(),
            ],
        );
    }
    Planned::skip(Step::Unguard, "nothing was guarded")
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
