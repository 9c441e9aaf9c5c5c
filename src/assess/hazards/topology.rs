//! Where the function stands: what is behind it, beside it, and whose DMA looks like its own.

use super::past::{self, Beside};
use super::{owner, stop, warn};
use crate::assess::hazard::Hazard;
use crate::assess::{siblings, Past};
use crate::names::Sbdf;
use crate::observe::{Dom0, Function, Owner};

/// PCI Express port type of a bridge to conventional PCI (base specification,
/// PCI Express capabilities register).
const EXPRESS_TO_PCI_BRIDGE: u8 = 7;

/// Functions that are never returned one by one.
pub fn not_one_by_one(dom0: &Dom0, function: &Function) -> Vec<Hazard> {
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

/// Another domain's DMA could not be told from its own.
pub fn shared_dma(dom0: &Dom0, function: &Function) -> Option<Hazard> {
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

/// What kept its DMA, or that of its siblings, from dom0.
pub fn containment(dom0: &Dom0, function: &Function, known: &Past) -> Vec<Hazard> {
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
    let mut beside: Vec<Beside> =
        siblings(dom0, function).iter().filter_map(|other| elsewhere(dom0, other)).collect();
    let sentence = if beside.is_empty() {
        "a qube had other functions of its device, and could have altered what they share"
    } else {
        "other functions of its slot, bus or card are with a qube and may reach it past the IOMMU"
    };
    beside.extend(past::of_siblings(dom0, function, known));
    if !beside.is_empty() {
        let who: Vec<&str> = beside.iter().map(|one| one.who.as_str()).collect();
        let mut hazard = warn("siblings-elsewhere", sentence, who.join(", "));
        if beside.iter().all(|one| !one.labels.is_empty()) {
            hazard.labels = beside.into_iter().flat_map(|one| one.labels).collect();
            hazard.labels.sort();
            hazard.labels.dedup();
        }
        hazards.push(hazard);
    }
    hazards
}

/// Who has a function that is not dom0's and not quarantined, with its name in front.
fn elsewhere(dom0: &Dom0, other: &Function) -> Option<Beside> {
    let sbdf = other.sbdf;
    let user = dom0.uses.as_ref().ok().and_then(|uses| uses.of(sbdf).find(|use_| use_.alive));
    let label = user.and_then(|user| past::present(dom0, user.qube.as_ref()?.as_qube_name()?));
    let who = match (user, owner(dom0, sbdf)) {
        (Some(user), _) => format!("{sbdf} ({})", user.who()),
        (None, Some(Owner::Dom0 | Owner::Quarantine)) => return None,
        (None, Some(owner)) => format!("{sbdf} ({owner})"),
        (None, None) => format!("{sbdf} (owner not known)"),
    };
    Some(Beside { who, labels: label.into_iter().collect() })
}
