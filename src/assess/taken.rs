//! Who else takes a function at the next boot: pciback by its own list, a driver that driverctl was told, no driver at
//! all, or a qube that starts.

use super::boot_script::{last, names, replacing};
use super::reboot::Obstacle;
use crate::names::{escape, DriverName, ModuleName};
use crate::observe::qubes::{Assignment, Identity, Mode, Port, Qube, Qubes};
use crate::observe::{Bar, Claim, Claims, Dom0, Function};

/// xen-pciback's list of what it takes when it is loaded, which is before any other driver is: on the command line or
/// in modprobe's files.
pub fn by_pciback(dom0: &Dom0, function: &Function) -> Vec<Obstacle> {
    let mut obstacles = Vec::new();
    let entries = |list: &str| -> Vec<String> {
        list.split(['(', ')']).filter(|entry| hides(entry, function)).map(str::to_owned).collect()
    };
    // The kernel takes `-` and `_` in a module's name for the same.
    for name in ["xen-pciback.hide", "xen_pciback.hide"] {
        let list = last(&dom0.cmdline, name).unwrap_or_default();
        let ours = entries(list);
        if !ours.is_empty() {
            let rest =
                ours.iter().fold(list.to_owned(), |list, entry| list.replace(&format!("({entry})"), ""));
            let new = if rest.is_empty() { rest } else { format!("{name}={rest}") };
            let commands = replacing(&format!("{name}={list}"), &new);
            obstacles.push(Obstacle { what: "xen-pciback.hide names it".to_owned(), commands });
        }
    }
    for option in dom0.boot.hidden.iter().filter(|option| !entries(&option.list).is_empty()) {
        let file = escape(option.file.as_bytes());
        let edit = |entry: &String| {
            format!("sed -i 's/({})//' {file}", entry.replace('.', "\\.").replace('*', "\\*"))
        };
        let plain =
            |entry: &String| entry.bytes().all(|byte| byte.is_ascii_hexdigit() || b":.*".contains(&byte));
        let ours = entries(&option.list);
        let mut commands: Vec<String> = if ours.iter().all(plain) {
            ours.iter().map(edit).collect()
        } else {
            vec![format!("edit {file}")]
        };
        commands.push("dracut --force".to_owned());
        obstacles.push(Obstacle { what: format!("{file} tells xen-pciback to hide it"), commands });
    }
    obstacles
}

/// Whether an entry of `xen-pciback.hide` names the function: an address, or one with `*` for its function, or for its
/// device and function. What is not understood may.
fn hides(entry: &str, function: &Function) -> bool {
    if let Some(told) = names(entry, function) {
        return told;
    }
    let whole = function.sbdf.to_string();
    let full = if entry.matches(':').count() == 1 { format!("0000:{entry}") } else { entry.to_owned() };
    let wild = full.strip_suffix("*.*").or(full.strip_suffix('*')).filter(|start| {
        start.len() >= "0000:00:".len()
            && start.bytes().all(|byte| byte.is_ascii_hexdigit() || b":.".contains(&byte))
    });
    match wild {
        Some(start) => whole.starts_with(start),
        None => !entry.trim().is_empty(),
    }
}

/// A driver that driverctl binds at each boot and that only holds devices for others, or none.
pub fn by_driverctl(dom0: &Dom0, function: &Function) -> Option<Obstacle> {
    let text = dom0.boot.overrides.get(&function.sbdf)?;
    let drives = DriverName::parse(text).is_some_and(|driver| !driver.is_holder() && text != "none");
    (!drives).then(|| {
        let what = format!("driverctl binds it to {}", escape(text.as_bytes()));
        // Not driverctl itself: to forget an override, with or without --noprobe, it takes the driver off the device.
        Obstacle::new(what, &[&format!("rm /etc/driverctl.d/pci-{}", function.sbdf)])
    })
}

/// Every module that claims it is blacklisted or cannot be loaded at all: the next boot loads none.
pub fn by_nobody(claims: &Claims) -> Vec<Obstacle> {
    let all: Option<Vec<Obstacle>> = claims.by_alias.iter().map(unloaded).collect();
    all.unwrap_or_default()
}

/// Why the next boot does not load a module; `None` where it does, as far as can be told.
fn unloaded(claim: &Claim) -> Option<Obstacle> {
    // "xhci_pci" may be written "xhci-pci" in a file.
    let line = |command: &str, module: &ModuleName, end: &str, file: &str| {
        let pattern = module.as_str().replace('_', "[-_]");
        let edit = format!("sed -i '/^ *{command}  *{pattern} {end}/d' {}", escape(file.as_bytes()));
        vec![edit, "dracut --force".to_owned()]
    };
    if let Some(barred) = claim.barred.as_ref().filter(|barred| barred.by.loads_nothing()) {
        let (module, what) =
            (&barred.module, format!("the module {} is not loaded ({barred})", claim.module));
        let commands = match &barred.by {
            Bar::Kernel => replacing(&format!("module_blacklist={module}"), ""),
            Bar::Install { file, .. } => line("install", module, "", file),
        };
        return Some(Obstacle { what, commands });
    }
    let place = claim.blacklisted_in.as_deref()?;
    let what = format!("the module {} is blacklisted", claim.module);
    let commands = if place == "/proc/cmdline" {
        replacing(&format!("modprobe.blacklist={}", claim.module), "")
    } else {
        line("blacklist", &claim.module, "*$", place)
    };
    Some(Obstacle { what, commands })
}

/// A qube that is assigned it and starts by itself, or with another.
pub fn by_qubes(dom0: &Dom0, function: &Function) -> Vec<Obstacle> {
    let known = match &dom0.qubes_known {
        Ok(Some(known)) => known,
        Ok(None) => return Vec::new(),
        Err(_) => {
            let what = "it cannot be told whether a qube that starts by itself takes it";
            // To see is nobody's harm: without root it may answer others.
            return vec![Obstacle::new(what, &["systemctl status qubesd"])];
        }
    };
    let mut obstacles: Vec<Obstacle> = Vec::new();
    for (qube, assignment) in
        known.assigned(function).into_iter().filter(|(_, assignment)| assignment.lasts())
    {
        let Some(why) = starts(dom0, qube) else { continue };
        let what = format!("{} is assigned it and {why}", qube.name);
        let command = unassign(known, qube, assignment, function);
        match obstacles.iter_mut().find(|other| other.what == what) {
            Some(other) => other.commands.extend(command),
            None => obstacles.push(Obstacle { what, commands: command.into_iter().collect() }),
        }
    }
    obstacles
}

/// Why a qube starts without anybody asking. What is not known counts as yes.
fn starts(dom0: &Dom0, qube: &Qube) -> Option<&'static str> {
    const SKIP: &str = "qubes.skip_autostart";
    let now = last(&dom0.cmdline, SKIP).is_some();
    // What a person typed at the boot menu holds for this boot only.
    let always = now && dom0.boot.grub.contains(SKIP);
    match (qube.autostart, qube.provides_network) {
        _ if always => None,
        (Some(true), _) if now => Some("starts by itself (qubes.skip_autostart holds for this boot only)"),
        (Some(true), _) => Some("starts by itself"),
        (None, _) => Some("may start by itself"),
        (Some(false), Some(false)) => None,
        (Some(false), _) => Some("starts with the first qube that uses its network"),
    }
}

/// The command that takes the assignment away; `None` where the qube's name is none that a shell may see.
fn unassign(known: &Qubes, qube: &Qube, assignment: &Assignment, function: &Function) -> Option<String> {
    let verb = if known.is_42() { "detach" } else { "unassign" };
    by_hand(known, verb, qube, assignment, function)
}

/// The command that assigns it again as it was; `None` where the qube's name or an option is none that a shell may see.
pub fn assign_again(
    known: &Qubes,
    qube: &Qube,
    assignment: &Assignment,
    function: &Function,
) -> Option<String> {
    let plain =
        |option: &String| option.bytes().all(|it| it.is_ascii_alphanumeric() || b"-_=.".contains(&it));
    if matches!(assignment.port, Port::Unreadable(_)) || !assignment.options.iter().all(plain) {
        return None;
    }
    let mode = match assignment.mode {
        _ if known.is_42() => "attach --persistent",
        Mode::Required => "assign --required",
        Mode::AskToAttach => "assign --ask",
        _ => "assign",
    };
    let options: String = assignment.options.iter().map(|option| format!(" -o {option}")).collect();
    by_hand(known, &format!("{mode}{options}"), qube, assignment, function)
}

/// `qvm-pci` with this verb, for this assignment.
fn by_hand(
    known: &Qubes,
    verb: &str,
    qube: &Qube,
    assignment: &Assignment,
    function: &Function,
) -> Option<String> {
    let qube = qube.known_name()?;
    if known.is_42() {
        let Port::At(port) = &assignment.port else { return Some(format!("qvm-pci {verb} {qube}")) };
        return Some(format!("qvm-pci {verb} {qube} dom0:{port}"));
    }
    Some(match (&assignment.port, &assignment.identity) {
        (Port::At(port), Identity::Any) => format!("qvm-pci {verb} --port {qube} dom0:{port}"),
        (Port::At(port), Identity::Is { vendor: Some(vendor), device: Some(device), class: Some(class) }) => {
            format!("qvm-pci {verb} {qube} dom0:{port}:0x{vendor:04x}:0x{device:04x}::p{class:06x}")
        }
        (Port::At(port), _) => format!("qvm-pci {verb} {qube} dom0:{port}"),
        (Port::Any, _) => format!("qvm-pci {verb} --device {qube} dom0:{}", function.port()),
        (Port::Unreadable(_), _) => format!("qvm-pci {verb} {qube}"),
    })
}
