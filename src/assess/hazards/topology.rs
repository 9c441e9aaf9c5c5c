//! Where the function stands: what is behind it, beside it, and whose DMA looks like its own.

use super::requester::Aliases;
use super::{owner, Hazard, HazardId};
use crate::names::{DriverName, Owner, Sbdf};
use crate::observe::neighbours::shared_bridge;
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

/// A USB controller of its slot that pciback has. When one of them gets its driver, the kernel takes what the
/// driver of the other has stored for a USB controller's (`for_each_companion` of
/// drivers/usb/core/hcd-pci.c), and reads what is not there.
pub fn companion(dom0: &Dom0, function: &Function) -> Option<Hazard> {
    let own = (function.sbdf, function.class);
    let other = dom0.functions.values().find(|other| {
        are_companions(own, (other.sbdf, other.class))
            && other.driver.as_ref().is_some_and(DriverName::is_holder)
    })?;
    let sentence = format!(
        "{} is a USB controller of its slot and stays with {}: the kernel would crash when this one gets \
         its driver",
        other.sbdf,
        other.driver.as_ref().map_or("pciback", DriverName::as_str)
    );
    let classes = format!("classes {:06x} and {:06x}", function.class, other.class);
    Some(Hazard::new(HazardId::CompanionApart, sentence, classes))
}

/// Whether two functions, each with its class, are a fast USB controller (EHCI) and a slow one of its slot
/// (UHCI, OHCI).
#[must_use]
pub fn are_companions(one: (Sbdf, u32), other: (Sbdf, u32)) -> bool {
    const FAST: u32 = 0x0c_0320;
    const SLOW: [u32; 2] = [0x0c_0300, 0x0c_0310];
    let kinds = (one.1 == FAST && SLOW.contains(&other.1)) || (other.1 == FAST && SLOW.contains(&one.1));
    kinds && one.0.same_slot(other.0)
}

/// Functions whose DMA may carry the same requester id as this one's, or that decide what it does.
#[must_use]
pub fn of_one_requester<'a>(dom0: &'a Dom0, function: &Function) -> Vec<&'a Function> {
    let bridge = shared_bridge(dom0, function);
    let own = Aliases::of(dom0, function);
    let phantom = phantoms(dom0, function).is_some();
    let others = dom0.functions.values().filter(|other| other.sbdf != function.sbdf);
    others
        .filter(|other| {
            bridge.is_some_and(|bridge| other.parents.contains(&bridge))
                || function.physical_function == Some(other.sbdf)
                || other.sbdf.same_bus(function.sbdf) && own.meets(&Aliases::of(dom0, other)).is_some()
                || phantom && other.sbdf.same_slot(function.sbdf)
        })
        .collect()
}

/// Another domain's DMA could not be told from its own. What goes `together` with it must only not be a
/// qube's.
pub fn shared_dma(dom0: &Dom0, function: &Function, together: &[Sbdf]) -> Option<Hazard> {
    let hazard = behind_a_bridge(dom0, function, together)
        .or_else(|| steered(dom0, function))
        .or_else(|| aliased(dom0, function, together))
        .or_else(|| phantom(dom0, function, together))?;
    Some(hazard.resting_on_the_unseen(dom0.owners.is_err()))
}

/// Whether it is not dom0's, nor goes to dom0 together with the other while no qube has it.
fn is_foreign(dom0: &Dom0, other: &Function, together: &[Sbdf]) -> bool {
    let used = || dom0.uses.iter().flat_map(|uses| uses.of(other.sbdf)).any(|use_| use_.alive);
    match owner(dom0, other.sbdf) {
        Some(Owner::Dom0) => false,
        Some(Owner::Quarantine) => !together.contains(&other.sbdf) || used(),
        _ => true,
    }
}

fn behind_a_bridge(dom0: &Dom0, function: &Function, together: &[Sbdf]) -> Option<Hazard> {
    let bridge = shared_bridge(dom0, function)?;
    let other = dom0
        .functions
        .values()
        .filter(|other| other.sbdf != function.sbdf && other.parents.contains(&bridge))
        .find(|other| is_foreign(dom0, other, together))?;
    Some(Hazard::new(
        HazardId::SharedDma,
        format!("{} behind the same bridge is not dom0's; their DMA cannot be told apart", other.sbdf),
        format!("the bridge {bridge} leads to conventional PCI"),
    ))
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

/// The requests may carry another's id, or another's may carry its own.
fn aliased(dom0: &Dom0, function: &Function, together: &[Sbdf]) -> Option<Hazard> {
    let own = Aliases::of(dom0, function);
    let on_bus = dom0.functions.values().filter(|other| other.sbdf.same_bus(function.sbdf));
    let mut foreign = on_bus.filter(|other| other.sbdf != function.sbdf && is_foreign(dom0, other, together));
    foreign.find_map(|other| {
        let evidence = own.meets(&Aliases::of(dom0, other))?;
        let sentence = format!("{} is not dom0's; their DMA cannot be told apart", other.sbdf);
        Some(Hazard::new(HazardId::SharedDma, sentence, evidence))
    })
}

/// Functions of its slot may use ids of others that are not there.
fn phantom(dom0: &Dom0, function: &Function, together: &[Sbdf]) -> Option<Hazard> {
    let slot = || dom0.functions.values().filter(|other| other.sbdf.same_slot(function.sbdf));
    let other = slot().find(|other| other.sbdf != function.sbdf && is_foreign(dom0, other, together))?;
    let evidence = phantoms(dom0, function)?;
    let sentence = format!("its slot may use phantom functions, and {} there is not dom0's", other.sbdf);
    Some(Hazard::new(HazardId::SharedDma, sentence, evidence))
}

/// Why functions of its slot may use ids of others; `None` where they do not.
fn phantoms(dom0: &Dom0, function: &Function) -> Option<String> {
    let says_so = |function: &Function| {
        let Some(config) = &function.config else { return true };
        config.express.is_some_and(|express| express.phantom_bits > 0)
    };
    let mut slot = dom0.functions.values().filter(|other| other.sbdf.same_slot(function.sbdf));
    match &dom0.xen_cmdline {
        _ if slot.any(says_so) => Some("phantom functions in the PCI Express device capabilities".to_owned()),
        Ok(_) => None,
        Err(why) => Some(format!("whether Xen's command line has pci-phantom= is not known: {why}")),
    }
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
