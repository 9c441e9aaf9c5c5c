//! Where the function stands: what is behind it, beside it, and whose DMA looks like its own.

use super::requester::Aliases;
use super::{owner, Hazard, HazardId};
use crate::assess::neighbours::shared_bridge;
use crate::names::Owner;
use crate::observe::{Dom0, Function};

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

/// Another domain's DMA could not be told from its own.
pub fn shared_dma(dom0: &Dom0, function: &Function) -> Option<Hazard> {
    shared(dom0, function).map(|hazard| hazard.resting_on_the_unseen(dom0.owners.is_err()))
}

fn shared(dom0: &Dom0, function: &Function) -> Option<Hazard> {
    if let Some(bridge) = shared_bridge(dom0, function) {
        let behind = dom0
            .functions
            .values()
            .filter(|other| other.sbdf != function.sbdf && other.parents.contains(&bridge))
            .find(|other| is_foreign(dom0, other));
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
    steered(dom0, function).or_else(|| aliased(dom0, function)).or_else(|| phantom(dom0, function))
}

fn is_foreign(dom0: &Dom0, other: &Function) -> bool {
    owner(dom0, other.sbdf) != Some(Owner::Dom0)
}

/// Whoever drives a physical function decides what its virtual functions do.
fn steered(dom0: &Dom0, function: &Function) -> Option<Hazard> {
    let physical = function.physical_function?;
    let sentence = format!(
        "its physical function {physical} is not dom0's, and whoever drives that one can have it do DMA"
    );
    (owner(dom0, physical) != Some(Owner::Dom0)).then(|| {
        Hazard::new(HazardId::SharedDma, sentence, format!("it is a virtual function of {physical}"))
    })
}

/// Its requests may carry another's id, or another's may carry its own.
fn aliased(dom0: &Dom0, function: &Function) -> Option<Hazard> {
    let own = Aliases::of(dom0, function);
    let on_bus = dom0.functions.values().filter(|other| other.sbdf.same_bus(function.sbdf));
    let foreign = on_bus.filter(|other| other.sbdf != function.sbdf && is_foreign(dom0, other));
    foreign.into_iter().find_map(|other| {
        let evidence = own.meets(&Aliases::of(dom0, other))?;
        let sentence = format!("{} is not dom0's; their DMA cannot be told apart", other.sbdf);
        Some(Hazard::new(HazardId::SharedDma, sentence, evidence))
    })
}

/// Functions of its slot may use ids of others that are not there.
fn phantom(dom0: &Dom0, function: &Function) -> Option<Hazard> {
    let says_so = |function: &Function| {
        let Some(config) = &function.config else { return true };
        config.express.is_some_and(|express| express.phantom_bits > 0)
    };
    let slot = || dom0.functions.values().filter(|other| other.sbdf.same_slot(function.sbdf));
    let other = slot().find(|other| other.sbdf != function.sbdf && is_foreign(dom0, other))?;
    let evidence = match &dom0.xen_cmdline {
        _ if slot().any(says_so) => "phantom functions in the PCI Express device capabilities".to_owned(),
        Ok(_) => return None,
        Err(why) => format!("whether Xen's command line has pci-phantom= is not known: {why}"),
    };
    let sentence = format!("its slot may use phantom functions, and {} there is not dom0's", other.sbdf);
    Some(Hazard::new(HazardId::SharedDma, sentence, evidence))
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
