//! The plans of some dom0s, word by word: `plans.txt`. And what gives a plan another id.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use super::{plan_hold, plan_return, Plan};
use crate::assess::tests::is_as_written;
use crate::assess::tests::situation::{sbdf, Situation, NIC};
use crate::assess::Case;
use crate::names::{DriverName, ModuleName, Owner};
use crate::observe::{Claim, Named};
use std::rc::Rc;

const NET: u32 = 0x02_0000;
const USB: u32 = 0x0c_0330;
const DISK: u32 = 0x01_0802;

fn returned(one: &Situation) -> Plan {
    plan_return(&one.case())
}

fn held(one: &Situation) -> Plan {
    let (dom0, past) = (Rc::new(one.dom0.clone()), Rc::new(one.past.clone()));
    plan_hold(&Case::of_hold(&dom0, &past, one.subject(), &[], &[]))
}

fn words(plan: &Plan) -> String {
    let mut text = format!("  candidates {:?}, loads {:?}\n", plan.candidates, plan.loads);
    for step in &plan.steps {
        match &step.skip {
            Some(why) => text += &format!("  {}: not, {why}\n", step.step.name()),
            None => text += &format!("  {}: {}\n", step.step.name(), step.what),
        }
        for line in &step.shell {
            text += &format!("    # {line}\n");
        }
    }
    text
}

/// The lines that one has and the other has not.
fn different(first: &str, other: &str) -> String {
    let only = |one: &str, other: &str, mark: char| -> String {
        let lines = one.lines().filter(|line| !other.lines().any(|it| it == *line));
        lines.map(|line| format!("{mark} {line}\n")).collect()
    };
    only(first, other, '-') + &only(other, first, '+')
}

fn claim(module: &str, drivers: Option<&[&str]>, blacklisted: bool) -> Claim {
    let drivers = drivers.map(|all| all.iter().map(|driver| DriverName::parse(driver).unwrap()).collect());
    let module = ModuleName::parse(module).unwrap();
    Claim { module, drivers, blacklisted, blacklisted_in: None, barred: None, would_take: Vec::new() }
}

fn after_a_qube(class: u32) -> Situation {
    Situation::held(class).owned(Owner::Quarantine)
}

fn claimed(class: u32, claims: Vec<Claim>) -> Situation {
    after_a_qube(class).but(|one| one.claims.by_alias = claims)
}

fn recorded(registered: bool) -> Situation {
    let driver = DriverName::parse("e1000e").unwrap();
    claimed(NET, Vec::new()).but(|one| one.claims.recorded = Some(Named { driver, registered }))
}

#[test]
fn the_plans_are_as_they_were_reviewed() {
    let driver = |name: &str| DriverName::parse(name);
    let returns = [
        ("a network card", after_a_qube(NET)),
        ("a USB controller", after_a_qube(USB)),
        ("a USB device controller, by its class", after_a_qube(0x0c_03fe)),
        ("a USB4 host", after_a_qube(0x0c_0340)),
        ("a disk", after_a_qube(DISK)),
        ("a device of no class", after_a_qube(0xff_0000)),
        ("held, and dom0's for Xen", Situation::held(NET)),
        ("driven, and all is well", Situation::driven(NET)),
        ("driven in quarantine", Situation::driven(USB).owned(Owner::Quarantine)),
        (
            "driven, and pciback lists it",
            Situation::driven(DISK).but(|one| {
                one.dom0.slots.insert(sbdf(NIC));
            }),
        ),
        (
            "driven, and pinned",
            Situation::driven(NET).with(|it| it.driver_override = Some("card".to_owned())),
        ),
        ("nobody has it", after_a_qube(NET).with(|it| it.driver = None)),
        ("no reset, a ROM", after_a_qube(NET).with(|it| (it.reset_methods, it.has_rom) = (None, true))),
        ("its module is not loaded", claimed(NET, vec![claim("card", None, true)])),
        ("two modules", claimed(NET, vec![claim("one", Some(&["one"]), false), claim("two", None, false)])),
        ("a module of two drivers", claimed(NET, vec![claim("card", Some(&["one", "two"]), false)])),
        ("a module without a driver", claimed(NET, vec![claim("card", Some(&[]), false)])),
        ("a driver that xl recorded", recorded(true)),
        ("one that is not there", recorded(false)),
        (
            "a driver was named",
            claimed(NET, vec![claim("card", None, false)]).but(|one| one.named = driver("mine")),
        ),
    ];
    let holds = [
        ("a network card", Situation::driven(NET)),
        ("nobody has it", Situation::driven(NET).with(|it| it.driver = None)),
        ("held already, quarantined", after_a_qube(NET)),
        ("held, and dom0's for Xen", Situation::held(NET)),
        ("held, no IOMMU", Situation::held(NET).but(|one| one.dom0.iommu = Ok(false))),
        ("held, and pinned", after_a_qube(NET).with(|it| it.driver_override = Some("none".to_owned()))),
        ("held, not listed", after_a_qube(NET).but(|one| one.dom0.slots.clear())),
        ("by vfio-pci", after_a_qube(NET).with(|it| it.driver = driver("vfio-pci"))),
        ("pciback is not loaded", Situation::driven(NET).but(|one| one.dom0.has_pciback = false)),
    ];
    let first = words(&returned(&returns[0].1));
    let mut text = format!("return: {}\n{first}", returns[0].0);
    for (what, one) in &returns[1..] {
        text +=
            &format!("return: {what}; what is different then\n{}", different(&first, &words(&returned(one))));
    }
    text.extend(holds.iter().map(|(what, one)| format!("hold: {what}\n{}", words(&held(one)))));
    text += &format!(
        "recover\n{}",
        words(&super::plan_recovery(sbdf(NIC), crate::names::Direction::Return, false))
    );
    is_as_written("src/plan/plans.txt", &text);
}

#[test]
fn what_a_reviewer_saw_gives_the_id_and_nothing_else_does() {
    let id = |one: Situation| returned(&one).id;
    let plain = id(after_a_qube(NET));
    assert_eq!(plain.len(), 16);
    // A driver or a reset writes the command register.
    assert_eq!(id(after_a_qube(NET).config(|config| config.command = 6)), plain);
    let others = [
        after_a_qube(NET).but(|one| one.dom0.boot_id = "another".to_owned()),
        after_a_qube(NET).with(|it| it.modalias = "pci:v1".to_owned()),
        after_a_qube(NET).with(|it| it.vendor = 1),
        after_a_qube(NET).with(|it| it.serial = Some(1)),
        after_a_qube(NET).config(|config| config.revision = 2),
        after_a_qube(NET).with(|it| it.driver_override = Some("x".to_owned())),
        after_a_qube(NET).but(|one| one.dom0.slots.clear()),
        after_a_qube(NET).owned(Owner::Dom0),
        after_a_qube(NET).but(|one| one.dom0.policy = Err("no".to_owned())),
        after_a_qube(NET).used(7, "sys-net", false, ""),
        after_a_qube(NET).used(7, "work", false, ""),
        claimed(NET, vec![claim("two", None, false)]),
    ];
    let mut ids: Vec<String> = others.into_iter().map(id).chain([plain]).collect();
    let all = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), all);
}
