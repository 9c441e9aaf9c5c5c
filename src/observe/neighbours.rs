//! Which functions stand so close to another that they share something with it, or can reach it past the
//! IOMMU.

use crate::names::Sbdf;
use crate::observe::config_space::PortKind;
use crate::observe::{Dom0, Function};

/// Functions that can reach it past the IOMMU, or go with it: those of its device, of its bus where that is
/// not the root bus (whose functions have nothing in common), and behind a conventional bridge with it.
#[must_use]
pub fn siblings<'a>(dom0: &'a Dom0, function: &Function) -> Vec<&'a Function> {
    dom0.functions
        .values()
        .filter(|other| other.sbdf != function.sbdf)
        .filter(|other| {
            of_one_device(dom0, function, other)
                || function.parents.first().is_some_and(|bridge| other.parents.first() == Some(bridge))
                || shared_bridge(dom0, function).is_some_and(|bridge| other.parents.contains(&bridge))
        })
        .collect()
}

/// Whether what a qube did with one may have reached the other: they are of one device, or nothing keeps
/// their requests apart on the way.
#[must_use]
pub fn share_a_past(dom0: &Dom0, one: &Function, other: &Function) -> bool {
    of_one_device(dom0, one, other) || reach_each_other(dom0, one, other)
}

/// Whether two are functions of one device, which may share firmware and registers: of a slot, of a device
/// that is virtualised (SR-IOV), or on one bus below a port of PCI Express. There is only one device below
/// such a port, whose functions may have the numbers of other slots (ARI).
#[must_use]
pub fn of_one_device(dom0: &Dom0, one: &Function, other: &Function) -> bool {
    let device = |it: &Function| it.physical_function.unwrap_or(it.sbdf);
    let port = one.parents.first().filter(|port| other.parents.first() == Some(port));
    let is_port = |port: &Sbdf| match dom0.functions.get(port).and_then(|port| port.config.as_ref()) {
        Some(config) => matches!(config.port(), Some(PortKind::Root | PortKind::Downstream)),
        // Not seen: the worse case.
        None => true,
    };
    one.sbdf != other.sbdf
        && (one.sbdf.same_slot(other.sbdf)
            || device(one).same_slot(device(other))
            || one.sbdf.same_bus(other.sbdf) && port.is_some_and(is_port))
}

/// Whether two functions below different ports can send each other requests that no IOMMU sees, because a
/// port where their ways part does not send them up first (ACS, PCI Express, 6.12). Ports of a switch, and
/// root ports of one slot; between root ports of different slots the kernel sees no such way either
/// (`drivers/iommu/iommu.c`, `pci_device_group`).
#[must_use]
pub fn reach_each_other(dom0: &Dom0, one: &Function, other: &Function) -> bool {
    let way = |function: &Function| {
        function.parents.iter().rev().copied().chain([function.sbdf]).collect::<Vec<_>>()
    };
    let (one, other) = (way(one), way(other));
    let shared = one.iter().zip(&other).take_while(|(one, other)| one == other).count();
    let (Some(here), Some(there)) = (one.get(shared), other.get(shared)) else { return false };
    // On the root bus only ports of one slot.
    if shared == 0 && !here.same_slot(*there) {
        return false;
    }
    let lets_through = |port: &Sbdf| {
        let Some(port) = dom0.functions.get(port) else { return true };
        let kind = port.config.as_ref().and_then(|config| config.port());
        matches!(kind, Some(PortKind::Root | PortKind::Downstream)) && port.isolates != Some(true)
    };
    // A way that ends there is the port itself.
    let leads_on = |way: &[Sbdf]| way.len() > shared + 1;
    leads_on(&one) && leads_on(&other) && (lets_through(here) || lets_through(there))
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
            Some(_) => config.port() == Some(PortKind::ToConventional),
            // No PCI Express capability: a bridge of conventional PCI.
            None => config.header == 1,
        }
    })
}
