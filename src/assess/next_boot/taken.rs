//! Qubes that take a function by themselves after the boot, and assignments that lead nowhere.

use super::setting::{Machine, Setting};
use crate::names::Sbdf;
use crate::observe::next_boot::Device;
use crate::observe::qubes::{Assignment, Mode, Port, PortIdentity, Qube};

/// A qube that takes a function some seconds after the boot.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Taker {
    /// The name, escaped.
    pub qube: String,
    /// Why it starts.
    pub why: &'static str,
}

/// The qubes that take a function; why that is not known.
///
/// # Errors
/// What Qubes knows could not be read.
pub fn takers(machine: &Machine<'_>, setting: &Setting, device: &Device) -> Result<Vec<Taker>, String> {
    let Some(known) = machine.qubes.as_ref().map_err(Clone::clone)? else { return Ok(Vec::new()) };
    if setting.unassigned.contains(&device.sbdf) {
        return Ok(Vec::new());
    }
    let skips = setting.line.as_ref().is_ok_and(|line| line.last("qubes.skip_autostart").is_some());
    let mut takers: Vec<Taker> = Vec::new();
    for qube in &known.qubes {
        let takes = |assignment: &&Assignment| {
            assignment.lasts() && assignment.mode != Mode::AskToAttach && means(assignment, device)
        };
        let Some(why) = starts(qube).filter(|_| !skips) else { continue };
        if qube.assignments.iter().any(|assignment| takes(&assignment)) {
            takers.push(Taker { qube: qube.name.to_string(), why });
        }
    }
    Ok(takers)
}

/// Whether an assignment means a function: port and identity must both fit.
#[must_use]
pub fn means(assignment: &Assignment, device: &Device) -> bool {
    let here = match assignment.port {
        Port::Any => true,
        Port::At(_) => assignment.sbdf == Some(device.sbdf),
        Port::Unreadable(_) => true,
    };
    here && is_such(&assignment.identity, device)
}

fn is_such(identity: &PortIdentity, device: &Device) -> bool {
    let PortIdentity::Is { vendor, device: id, class } = identity else { return true };
    vendor.is_none_or(|vendor| vendor == device.ids.0)
        && id.is_none_or(|id| id == device.ids.1)
        && class.is_none_or(|class| class == device.class)
}

/// Why a qube starts without anybody asking. What is not known counts as yes.
fn starts(qube: &Qube) -> Option<&'static str> {
    match (qube.autostart, qube.provides_network) {
        (Some(true), _) => Some("starts by itself"),
        (None, _) => Some("may start by itself"),
        (Some(false), Some(false)) => None,
        (Some(false), _) => Some("starts with the first qube that uses its network"),
    }
}

/// An assignment to a device that is not there, or has been replaced.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Dead<'a> {
    /// The qube.
    pub qube: &'a Qube,
    /// The assignment.
    pub assignment: &'a Assignment,
    /// What is at its port now; `None` where nothing is.
    pub there: Option<Sbdf>,
}

/// Assignments that lead to no device.
#[must_use]
pub fn dead<'a>(machine: &Machine<'a>) -> Vec<Dead<'a>> {
    let Ok(Some(known)) = machine.qubes else { return Vec::new() };
    let all = known.qubes.iter().flat_map(|qube| qube.assignments.iter().map(move |one| (qube, one)));
    let dead = all.filter(|(_, one)| one.lasts() && !matches!(one.port, Port::Unreadable(_)));
    let dead = dead.filter(|(_, one)| !machine.devices.values().any(|device| means(one, device)));
    let there = |one: &Assignment| one.sbdf.filter(|sbdf| machine.devices.contains_key(sbdf));
    dead.map(|(qube, assignment)| Dead { qube, assignment, there: there(assignment) }).collect()
}
