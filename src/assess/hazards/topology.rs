//! Where the function stands: what is behind it, beside it, and whose DMA looks like its own.

use super::{owner, Hazard, HazardId};
use crate::names::{Owner, Sbdf};
use crate::observe::{Dom0, Function};

/// PCI Express port type of a bridge to conventional PCI (base specification,
/// PCI Express capabilities register).
const EXPRESS_TO_PCI_BRIDGE: u8 = 7;

/// Functions that are never returned one by one.
pub fn not_one_by_one(dom0: &Dom0, function: &Function) -> Vec<Hazard> {
    let mut hazards = Vec::new();
    if function.is_bridge() {
        let class = format!("class {:04x}", function.class_and_subclass());
        hazards.push(Hazard::new(HazardId::Bridge, "it is a bridge; other functions are behind it", class));
    }
    if dom0.sleep_ports.contains(&function.sbdf) {
        hazards.push(Hazard::new(
            HazardId::SleepPort,
            "pciback holds it so that the machine can sleep",
            "it is listed in pciback's qubes_exp_pm_suspend",
        ));
    }
    if function.virtual_functions > 0 {
        hazards.push(Hazard::new(
            HazardId::SriovPfWithVfs,
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
    shared(dom0, function).map(|hazard| hazard.resting_on_the_unseen(dom0.owners.is_err()))
}

fn shared(dom0: &Dom0, function: &Function) -> Option<Hazard> {
    let foreign = |other: &&Function| owner(dom0, other.sbdf) != Some(Owner::Dom0);
    if let Some(bridge) = shared_bridge(dom0, function) {
        let behind = dom0
            .functions
            .values()
            .filter(|other| other.sbdf != function.sbdf && other.parents.contains(&bridge))
            .find(foreign);
        if let Some(other) = behind {
            return Some(Hazard::new(
                HazardId::SharedDma,
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
        Hazard::new(
            HazardId::SharedDma,
            format!("its slot may use phantom functions, and {} there is not dom0's", other.sbdf),
            "phantom functions in the PCI Express device capabilities",
        )
    })
}

/// Whether nothing kept its DMA from dom0.
pub fn containment(dom0: &Dom0) -> Option<Hazard> {
    let evidence = match &dom0.iommu {
        Ok(true) => return None,
        Ok(false) => "Xen reports no IOMMU".to_owned(),
        Err(why) => why.clone(),
    };
    let sentence = "its DMA was never contained: whoever had it could read and write all memory";
    Some(Hazard::new(HazardId::NoIommu, sentence, evidence))
}
