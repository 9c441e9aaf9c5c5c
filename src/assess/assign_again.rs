//! The command by which an assignment is made again.

use crate::observe::qubes::{Assignment, Mode, Port, PortIdentity, Qube, Qubes};
use crate::observe::Function;

/// The command that assigns it again as it was; `None` where the qube's name or an option is none that a
/// shell may see.
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
        (Port::At(port), PortIdentity::Any) => format!("qvm-pci {verb} --port {qube} dom0:{port}"),
        (
            Port::At(port),
            PortIdentity::Is { vendor: Some(vendor), device: Some(device), class: Some(class) },
        ) => {
            format!("qvm-pci {verb} {qube} dom0:{port}:0x{vendor:04x}:0x{device:04x}::p{class:06x}")
        }
        (Port::At(port), _) => format!("qvm-pci {verb} {qube} dom0:{port}"),
        (Port::Any, _) => format!("qvm-pci {verb} --device {qube} dom0:{}", function.port()),
        (Port::Unreadable(_), _) => format!("qvm-pci {verb} {qube}"),
    })
}
