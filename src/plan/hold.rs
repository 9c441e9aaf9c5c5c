//! The sequence the other way: from dom0 to pciback, quarantined.

use super::identity::identified;
use super::{Load, Plan, Planned};
use crate::assess::Case;
use crate::names::{Direction, DriverName, ModuleName, Step};
use crate::observe::Function;

/// Plans giving one function to pciback. No step where it is there already.
#[must_use]
pub fn plan_hold(case: &Case) -> Plan {
    let (dom0, function, state) = (&case.dom0, &case.subject.function, &case.state);
    let held = function.driver.as_ref().is_some_and(DriverName::is_pciback);
    let contained = state.quarantined || dom0.iommu == Ok(false);
    let loads: Vec<Load> = ModuleName::parse("xen_pciback")
        .filter(|_| !dom0.has_pciback)
        .map(|module| Load { module, blacklisted: false })
        .into_iter()
        .collect();
    let steps = if held && contained && state.slot && state.stuck_override.is_none() {
        Vec::new()
    } else {
        steps(function, held && state.slot, contained, &loads)
    };
    let plan = Plan {
        sbdf: function.sbdf,
        direction: Direction::Hold,
        guard: None,
        steps,
        candidates: Vec::new(),
        loads,
        id: String::new(),
    };
    identified(plan, case)
}

fn steps(function: &Function, held: bool, contained: bool, loads: &[Load]) -> Vec<Planned> {
    let bdf = function.sbdf;
    let folder = format!("/sys/bus/pci/devices/{bdf}");
    let holds = "pciback holds it";
    vec![
        Planned::when(
            !loads.is_empty(),
            Planned::run(Step::Load, "load xen_pciback", vec!["modprobe xen_pciback".to_owned()]),
            "loaded or built in",
        ),
        Planned::when(
            !held,
            Planned::run(
                Step::Pin,
                "set driver_override to pciback",
                vec![format!("echo pciback > {folder}/driver_override")],
            ),
            holds,
        ),
        Planned::when(
            !held && function.driver.is_some(),
            Planned::run(
                Step::Unbind,
                format!("take it from {}", function.driver.as_ref().map_or("its driver", DriverName::as_str)),
                vec![format!("echo {bdf} > {folder}/driver/unbind")],
            ),
            if held { holds } else { "no driver is bound" },
        ),
        Planned::when(
            !contained,
            Planned::run(
                Step::Quarantine,
                "give it to DomIO in Xen",
                vec![format!("xl pci-assignable-add {bdf}")],
            ),
            "quarantined, or there is no IOMMU",
        ),
        Planned::when(
            !held,
            Planned::run(
                Step::Bind,
                "bind pciback",
                // `xl pci-assignable-add` above has bound it.
                if contained {
                    vec![format!("echo {bdf} > /sys/bus/pci/drivers/pciback/bind")]
                } else {
                    Vec::new()
                },
            ),
            holds,
        ),
        Planned::run(
            Step::Unpin,
            "clear driver_override; pciback's list of slots keeps it there",
            vec![format!("echo > {folder}/driver_override")],
        ),
    ]
}
