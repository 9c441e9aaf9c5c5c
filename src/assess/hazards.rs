//! Which hazards a function has. What could not be read counts as the worse case.

use super::hazard::{Hazard, Severity};
use super::siblings;
use super::state::{Kind, State};
use crate::names::{escape, DriverName, Sbdf};
use crate::observe::{reset_method_in_force, Claims, Dom0, Function, Owner, Use};

/// PCI Express port type of a bridge to conventional PCI (base specification,
/// PCI Express capabilities register).
const EXPRESS_TO_PCI_BRIDGE: u8 = 7;

fn stop(id: &'static str, sentence: impl Into<String>, evidence: impl Into<String>) -> Hazard {
    Hazard { id, severity: Severity::Stop, qube: None, sentence: sentence.into(), evidence: evidence.into() }
}

fn warn(id: &'static str, sentence: impl Into<String>, evidence: impl Into<String>) -> Hazard {
    Hazard { id, severity: Severity::Warn, qube: None, sentence: sentence.into(), evidence: evidence.into() }
}

/// Hazards of giving a function back to dom0. `driver` is the one the admin named.
#[must_use]
pub fn of_return(
    dom0: &Dom0,
    function: &Function,
    state: &State,
    claims: &Claims,
    driver: Option<&DriverName>,
) -> Vec<Hazard> {
    let mut hazards = in_use(dom0, function, state);
    if state.is_fine() {
        return hazards;
    }
    hazards.extend(not_one_by_one(dom0, function));
    hazards.extend(shared_dma(dom0, function));
    if function.config.is_none() {
        hazards.push(stop(
            "dead",
            "it does not answer: powered down, or gone",
            "its config space reads all ones",
        ));
    }
    if !state.needs_driver() {
        return hazards;
    }
    hazards.extend(drivers(function, claims, driver));
    hazards.extend(past(dom0, function, state));
    hazards.extend(reset(function));
    hazards.extend(containment(dom0, function));
    hazards.extend(class(function));
    hazards.extend(firmware(function));
    hazards
}

/// Hazards of taking a function from dom0 and giving it to pciback.
#[must_use]
pub fn of_hold(dom0: &Dom0, function: &Function, state: &State, dom0_uses: &[String]) -> Vec<Hazard> {
    let mut hazards = in_use(dom0, function, state);
    hazards.extend(not_one_by_one(dom0, function));
    if function.config.is_none() {
        hazards.push(stop("dead", "it does not answer", "its config space reads all ones"));
    }
    if let Some(bridge) = shared_bridge(dom0, function) {
        let dom0s = dom0.functions.values().find(|other| {
            other.sbdf != function.sbdf
                && other.parents.contains(&bridge)
                && owner(dom0, other.sbdf) != Some(Owner::Quarantine)
        });
        if let Some(other) = dom0s {
            hazards.push(stop(
                "shared-dma",
                format!("{} behind the same bridge would lose its DMA with it", other.sbdf),
                format!("the bridge {bridge} leads to conventional PCI"),
            ));
        }
    }
    for use_ in dom0_uses {
        hazards.push(stop("dom0-needs-it", "dom0 itself uses it", use_.clone()));
    }
    hazards
}

fn in_use(dom0: &Dom0, function: &Function, state: &State) -> Vec<Hazard> {
    let mut hazards = Vec::new();
    if let Kind::InUse(who) = &state.kind {
        let mut evidence = Vec::new();
        if let Ok(uses) = &dom0.uses {
            evidence.extend(uses.of(function.sbdf).filter(|use_| use_.alive).map(|use_| use_.node.clone()));
        }
        if let Some(owner) = owner(dom0, function.sbdf) {
            evidence.push(format!("Xen's owner is {owner}"));
        }
        hazards.push(stop("in-use", format!("{who} has it"), evidence.join("; ")));
    }
    if let Err(why) = &dom0.uses {
        hazards.push(stop("in-use", "it cannot be ruled out that a qube has it", why.clone()));
    }
    match &dom0.owners {
        Err(why) => hazards.push(stop("owner-unknown", "Xen's owner of it is not known", why.clone())),
        Ok(owners) if !owners.contains_key(&function.sbdf) => {
            hazards.push(stop("owner-unknown", "Xen's owner of it is not known", "Xen does not list it"))
        }
        Ok(_) => {}
    }
    hazards
}

fn owner(dom0: &Dom0, sbdf: Sbdf) -> Option<Owner> {
    dom0.owners.as_ref().ok()?.get(&sbdf).copied()
}

fn not_one_by_one(dom0: &Dom0, function: &Function) -> Vec<Hazard> {
    let mut hazards = Vec::new();
    if function.is_bridge() {
        let class = format!("class {:04x}", function.class_and_subclass());
        hazards.push(stop("bridge", "it is a bridge; other functions are behind it", class));
    }
    if dom0.sleep_ports.contains(&function.sbdf) {
        hazards.push(stop(
            "sleep-port",
            "pciback holds it so that the machine can sleep",
            "it is listed in pciback's qubes_exp_pm_suspend",
        ));
    }
    if function.virtual_functions > 0 {
        hazards.push(stop(
            "sriov-pf-with-vfs",
            "its virtual functions are switched on and would go with it",
            format!("sriov_numvfs is {}", function.virtual_functions),
        ));
    }
    hazards
}

/// The bridge whose requester id the function's DMA carries: behind a bridge to
/// conventional PCI all functions look like one to the IOMMU.
#[must_use]
pub fn shared_bridge(dom0: &Dom0, function: &Function) -> Option<Sbdf> {
    // The one nearest to the root bus is what the IOMMU sees.
    function.parents.iter().rev().copied().find(|parent| {
        let Some(bridge) = dom0.functions.get(parent) else { return false };
        let Some(config) = &bridge.config else { return true };
        match config.express {
            Some(express) => express.kind == EXPRESS_TO_PCI_BRIDGE,
            // No PCI Express capability: a bridge of conventional PCI.
            None => config.header == 1,
        }
    })
}

fn shared_dma(dom0: &Dom0, function: &Function) -> Option<Hazard> {
    let foreign = |other: &&Function| owner(dom0, other.sbdf) != Some(Owner::Dom0);
    if let Some(bridge) = shared_bridge(dom0, function) {
        let behind = dom0
            .functions
            .values()
            .filter(|other| other.sbdf != function.sbdf && other.parents.contains(&bridge))
            .find(foreign);
        if let Some(other) = behind {
            return Some(stop(
                "shared-dma",
                format!(
                    "{} behind the same bridge is not dom0's; their DMA cannot be told apart",
                    other.sbdf
                ),
                format!("the bridge {bridge} leads to conventional PCI"),
            ));
        }
    }
    let phantom = |function: &Function| {
        let Some(config) = &function.config else { return true };
        config.express.is_some_and(|express| express.phantom_bits > 0)
    };
    let slot = || dom0.functions.values().filter(|other| other.sbdf.same_slot(function.sbdf));
    let other = slot().filter(|other| other.sbdf != function.sbdf).find(foreign)?;
    slot().any(phantom).then(|| {
        stop(
            "shared-dma",
            format!("its slot may use phantom functions, and {} there is not dom0's", other.sbdf),
            "phantom functions in the PCI Express device capabilities",
        )
    })
}

fn drivers(function: &Function, claims: &Claims, named: Option<&DriverName>) -> Vec<Hazard> {
    let mut hazards = Vec::new();
    if let Some(failure) = &claims.unreadable {
        hazards.push(stop("no-driver", "it cannot be told which module drives it", failure.message.clone()));
        return hazards;
    }
    let nothing_known =
        claims.by_alias.is_empty() && claims.recorded.as_ref().is_none_or(|recorded| !recorded.registered);
    if named.is_none() && nothing_known {
        let built_in: Vec<&str> = claims.built_in.iter().map(DriverName::as_str).collect();
        hazards.push(stop(
            "no-driver",
            "no module of this kernel drives it; a driver built into the kernel must be named with --driver",
            format!(
                "nothing claims {}; built in are {}",
                escape(function.modalias.as_bytes()),
                built_in.join(", ")
            ),
        ));
    }
    // A driver named by the admin is registered: no module is loaded.
    for claim in claims.by_alias.iter().filter(|_| named.is_none()) {
        if let Some(other) = claim.would_take.first() {
            hazards.push(stop(
                "load-takes-others",
                format!(
                    "loading {} would bind {other} too; give that one to pciback first (hold)",
                    claim.module
                ),
                format!("{other} has no driver and no driver_override"),
            ));
        }
        if claim.blacklisted {
            hazards.push(warn(
                "driver-blacklisted",
                format!("the module {} is blacklisted and would be loaded all the same", claim.module),
                "modprobe.d or modprobe.blacklist=",
            ));
        }
    }
    if named.is_none() && claims.by_alias.len() > 1 {
        let names: Vec<&str> = claims.by_alias.iter().map(|claim| claim.module.as_str()).collect();
        hazards.push(warn(
            "driver-ambiguous",
            "several modules claim it; they are tried in this order",
            names.join(", "),
        ));
    }
    if let (Some(recorded), None) = (&claims.recorded, named) {
        let known: Vec<&DriverName> =
            claims.by_alias.iter().filter_map(|claim| claim.drivers.as_ref()).flatten().collect();
        if !known.is_empty() && !known.contains(&&recorded.driver) {
            hazards.push(warn(
                "driver-differs",
                format!("it had the driver {} before", recorded.driver),
                "driver_path in xenstore",
            ));
        }
    }
    hazards
}

fn past(dom0: &Dom0, function: &Function, state: &State) -> Vec<Hazard> {
    let mut hazards = Vec::new();
    let mut permissive = dom0.permissive.contains(&function.sbdf) || dom0.all_permissive;
    let mut relaxed = false;
    let mut uses: Vec<&Use> =
        dom0.uses.as_ref().map(|uses| uses.of(function.sbdf).collect()).unwrap_or_default();
    // Ids rise with time: the latest first.
    uses.sort_by_key(|use_| std::cmp::Reverse(use_.domain));
    for use_ in uses {
        permissive |= use_.is_permissive();
        relaxed |= use_.is_relaxed();
        // What is accepted by name must be typable.
        let typable = use_.qube.as_ref().and_then(|name| name.as_qube_name());
        let qube = typable.map_or_else(|| format!("domain-{}", use_.domain), str::to_owned);
        if hazards.iter().any(|hazard: &Hazard| hazard.qube.as_ref() == Some(&qube)) {
            continue;
        }
        hazards.push(Hazard {
            id: "exposed",
            severity: Severity::Warn,
            sentence: format!("{} had it in this boot and could have turned it against dom0", use_.who()),
            evidence: use_.node.clone(),
            qube: Some(qube),
        });
    }
    if relaxed {
        hazards.push(warn(
            "no-strict-reset",
            "a qube was given it without a reset being required",
            "rdm_policy=relaxed in xenstore",
        ));
    }
    let quarantined = if state.quarantined {
        "Xen holds it in quarantine, as it does when a qube that had it has ended"
    } else {
        "no record covers the time since it was taken from dom0"
    };
    hazards.push(warn("unknown-history", "which qubes had it is not known for sure", quarantined));
    if permissive {
        hazards.push(warn(
            "permissive",
            "a qube could write all of its config space",
            "pciback's permissive mode",
        ));
    }
    hazards
}

fn reset(function: &Function) -> Option<Hazard> {
    let conventional = !function.parents.is_empty()
        && function.config.as_ref().is_some_and(|config| config.express.is_none());
    match &function.reset_methods {
        None => Some(warn(
            "no-reset",
            "the kernel knows no way to reset it: whatever a qube did to it may still be in it",
            "it has no reset file in sysfs",
        )),
        Some(methods) if reset_method_in_force(methods) == Some("bus") => Some(warn(
            "bus-reset-only",
            "it can be reset only together with everything on its bus",
            "reset_method is bus",
        )),
        Some(methods) if methods.is_empty() || conventional => Some(warn(
            "reset-doubtful",
            "it may not take a reset though the kernel offers one",
            format!("reset_method: {}", escape(methods.join(" ").as_bytes())),
        )),
        Some(_) => None,
    }
}

fn containment(dom0: &Dom0, function: &Function) -> Vec<Hazard> {
    let mut hazards = Vec::new();
    if dom0.iommu != Ok(true) {
        hazards.push(warn(
            "no-iommu",
            "its DMA was never contained: whoever had it could read and write all memory",
            match &dom0.iommu {
                Ok(_) => "Xen reports no IOMMU".to_owned(),
                Err(why) => why.clone(),
            },
        ));
    }
    let elsewhere: Vec<String> = siblings(dom0, function)
        .iter()
        .filter(|other| !matches!(owner(dom0, other.sbdf), Some(Owner::Dom0 | Owner::Quarantine)))
        .map(|other| other.sbdf.to_string())
        .collect();
    if !elsewhere.is_empty() {
        hazards.push(warn(
            "siblings-elsewhere",
            "other functions of its slot or bus are with a qube and may reach it past the IOMMU",
            elsewhere.join(", "),
        ));
    }
    hazards
}

fn class(function: &Function) -> Option<Hazard> {
    let evidence = format!("class {:06x}", function.class);
    match (function.base_class(), function.class_and_subclass()) {
        (_, 0x0c03) => Some(warn(
            "usb",
            "what is plugged into it can act as a keyboard in dom0; its devices stay unauthorized until allowed",
            evidence,
        )),
        (0x02 | 0x0d, _) => Some(warn("network", "dom0 has no network on purpose; this gives it one", evidence)),
        (0x01, _) | (_, 0x0805) => Some(warn(
            "storage",
            "what is on it was written by others; dom0 would parse its partitions and file systems",
            evidence,
        )),
        (0x03, _) => Some(warn("display", "it sees and draws what dom0 shows", evidence)),
        _ => None,
    }
}

fn firmware(function: &Function) -> Option<Hazard> {
    function.config.as_ref().is_some_and(|config| config.expansion_rom).then(|| {
        warn(
            "firmware",
            "it has an expansion ROM, which the machine's firmware may run at the next start",
            "the expansion ROM base address is set",
        )
    })
}
