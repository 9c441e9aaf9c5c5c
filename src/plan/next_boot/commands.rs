//! What to run after the files are edited.

use super::name::port;
use super::{is_behind, Done, Goal};
use crate::assess::next_boot::{means, Machine};
use crate::names::Sbdf;
use crate::observe::next_boot::{Device, Facts, Release};
use crate::observe::qubes::{Assignment, Mode, Port, PortIdentity, Qube, QubesSource};
use crate::observe::Qubes;

/// The commands, in their order.
pub fn commands(facts: &Facts, machine: &Machine<'_>, goal: &Goal, done: &Done<'_>) -> Vec<String> {
    let mut commands = Vec::new();
    if !done.proposal.files.is_empty() {
        commands.push(format!("qubes-dom0-pci next-boot{} --diff | patch -p1 -d /", arguments(goal)));
    }
    for file in &done.work.unpinned {
        // Not driverctl itself: to forget an override it takes the driver off the device, with --noprobe too.
        commands.push(format!("rm {file}"));
    }
    if done.work.setting.modules != facts.modules {
        commands.push(match facts.release {
            Release::Debian => "update-initramfs -u".to_owned(),
            _ => "dracut --force".to_owned(),
        });
    }
    commands.extend(generators(facts, done));
    let takes = |sbdf: &Sbdf| machine.devices.get(sbdf);
    if let (Ok(Some(Qubes { source: QubesSource::Xml { .. }, .. })), false) =
        (machine.qubes, done.work.setting.unassigned.is_empty())
    {
        // qvm-pci asks qubesd.
        commands.push("systemctl start qubesd".to_owned());
    }
    for device in done.work.setting.unassigned.iter().filter_map(takes) {
        if let Ok(Some(known)) = machine.qubes {
            let here = port(machine.devices, device, known.is_42());
            commands.extend(unassignments(known, device, &here));
        }
    }
    commands
}

fn arguments(goal: &Goal) -> String {
    let list = |option: &str, all: &[Sbdf]| {
        let names: Vec<String> = all.iter().map(ToString::to_string).collect();
        if names.is_empty() {
            String::new()
        } else {
            format!(" {option} {}", names.join(" "))
        }
    };
    format!("{}{}", list("--return", &goal.give), list("--keep-away", &goal.keep))
}

/// What makes the configuration of its source, for each one that is behind.
fn generators(facts: &Facts, done: &Done<'_>) -> Vec<String> {
    let line = &done.proposal.line;
    if facts.release == Release::XcpNg {
        return by_tool(facts, done);
    }
    let behind = |generated: &&crate::observe::next_boot::Generated| is_behind(line, &generated.booting);
    let late: Vec<&str> =
        facts.generated.iter().filter(behind).map(|generated| generated.path.as_str()).collect();
    let fresh = facts.generated.is_empty()
        && done.proposal.files.iter().any(|file| {
            facts.source.files.iter().chain(&facts.source.more).any(|source| source.path == file.path)
        });
    if facts.release == Release::Debian {
        return if late.is_empty() && !fresh { Vec::new() } else { vec!["update-grub".to_owned()] };
    }
    if fresh {
        return vec!["grub2-mkconfig -o /boot/grub2/grub.cfg".to_owned()];
    }
    late.iter().map(|path| format!("grub2-mkconfig -o {path}")).collect()
}

/// XCP-ng's own tool, which changes each configuration.
fn by_tool(facts: &Facts, done: &Done<'_>) -> Vec<String> {
    const TOOL: &str = "/opt/xensource/libexec/xen-cmdline";
    let before = crate::assess::next_boot::setting(facts).line;
    let Ok(before) = before else { return Vec::new() };
    let after = &done.work.drafts.0;
    let mut commands: Vec<String> = Vec::new();
    for word in &before.words {
        if !after.iter().any(|draft| draft.name == word.name) {
            commands.push(format!("{TOOL} --delete-dom0 {}", word.name));
        }
    }
    for draft in after {
        let old = draft.was.and_then(|number| before.words.get(number));
        if old.is_some_and(|old| old.value == draft.value) {
            continue;
        }
        let value = draft.value.as_deref().unwrap_or_default();
        commands.push(format!("{TOOL} --set-dom0 \"{}={value}\"", draft.name));
    }
    commands.dedup();
    commands
}

fn unassignments(known: &Qubes, device: &Device, here: &str) -> Vec<String> {
    let mut commands = Vec::new();
    for qube in &known.qubes {
        for assignment in &qube.assignments {
            if assignment.lasts() && assignment.mode != Mode::AskToAttach && means(assignment, device) {
                commands.extend(unassigning(known, qube, assignment, here));
            }
        }
    }
    commands
}

/// The command that takes an assignment away; `None` where the qube's name is not one that a shell may see.
#[must_use]
pub fn unassigning(known: &Qubes, qube: &Qube, assignment: &Assignment, here: &str) -> Option<String> {
    let qube = qube.known_name()?;
    if known.is_42() {
        let Port::At(port) = &assignment.port else { return None };
        return Some(format!("qvm-pci detach {qube} dom0:{port}"));
    }
    Some(match (&assignment.port, &assignment.identity) {
        (Port::At(port), PortIdentity::Any) => format!("qvm-pci unassign --port {qube} dom0:{port}"),
        (
            Port::At(port),
            PortIdentity::Is { vendor: Some(vendor), device: Some(device), class: Some(class) },
        ) => {
            format!("qvm-pci unassign {qube} dom0:{port}:0x{vendor:04x}:0x{device:04x}::p{class:06x}")
        }
        (Port::At(port), _) => format!("qvm-pci unassign {qube} dom0:{port}"),
        (Port::Any, _) => format!("qvm-pci unassign --device {qube} dom0:{here}"),
        (Port::Unreadable(_), _) => return None,
    })
}
