//! Taking back an assignment in Qubes, so that the qube's next start does not take the function again.

use super::{Ending, Operation, Record};
use crate::error::{Code, Exit, Failure};
use crate::names::Untrusted;
use crate::observe::qubes::{self, Assignment, Identity, Port, Qubes, QubesSource};
use crate::observe::{Function, Sources};
use crate::system::qubesd::Qubesd;

/// The step's name in the journal.
const STEP: &str = "unassign";

impl Operation<'_> {
    /// Brings the function back to dom0, its assignment taken back before; all that the return needs is open by then.
    pub fn reattach_unassigned(mut self, only: Option<&str>) -> Ending {
        match unassign(self.sources, self.function, only, &mut self.record) {
            Ok(_) => self.reattach(),
            Err(failure) => self.end(failure.exit, failure.code, failure.message, failure.hint),
        }
    }
}

/// Takes back what assigns the function to `only`, or to any qube where none is named; each is proved by reading back.
/// Gives what was done, in words.
///
/// # Errors
/// qubesd does not answer, refuses, or still lists the assignment; what was taken back before stays so.
fn unassign(
    sources: &Sources,
    function: &Function,
    only: Option<&str>,
    record: &mut Record,
) -> Result<Vec<String>, Failure> {
    let known = read(sources)?;
    let qubesd = Qubesd::new(&sources.root);
    let mut done = Vec::new();
    for (qube, assignment) in wanted(&known, function, only) {
        let request = Request::of(&known.source, &qube, assignment)?;
        let what = format!("{} of {}", assignment.port.text(), qube);
        record.intent(STEP, function.sbdf, &what, |draft| draft.text("qube", &qube))?;
        let answered = qubesd.call(request.method, &request.argument, &qube, b"").map(drop);
        let proved = answered.and_then(|()| {
            let left = read(sources)?;
            let still = wanted(&left, function, Some(&qube)).iter().any(|(_, it)| it.port == assignment.port);
            if still {
                Err(failed(format!("Qubes still lists {what}")))
            } else {
                Ok(())
            }
        });
        if let Err(failure) = proved {
            record.failed(STEP, function.sbdf, &failure.message);
            return Err(failure);
        }
        record.done(STEP, function.sbdf, "Qubes does not list it any more");
        done.push(what);
    }
    Ok(done)
}

/// Whether qubesd is there to take something back.
///
/// # Errors
/// Exit 10: it is not.
pub fn can_unassign(sources: &Sources) -> Result<(), Failure> {
    read(sources).map(drop)
}

fn failed(message: String) -> Failure {
    Failure::new(
        Exit::Undone,
        Code::NotUnassigned,
        message,
        "take it back by hand (qvm-pci), or leave out --unassign",
    )
}

/// What Qubes knows now; only qubesd can take something back.
fn read(sources: &Sources) -> Result<Qubes, Failure> {
    let missing = |why: String| {
        let message = format!("assignments cannot be taken back: {why}; the device was not touched");
        Failure::new(Exit::NotDom0, Code::NoQubesd, message, "start qubesd, or leave out --unassign")
    };
    let known = qubes::read(&sources.root, &sources.sysfs).map_err(missing)?;
    match known {
        None => Err(missing("this is no Qubes".to_owned())),
        Some(Qubes { source: QubesSource::Xml { why, .. }, .. }) => Err(missing(why)),
        Some(known) => Ok(known),
    }
}

/// The lasting assignments that name the function.
fn wanted<'a>(known: &'a Qubes, function: &Function, only: Option<&str>) -> Vec<(String, &'a Assignment)> {
    let all = known.assigned(function).into_iter().filter(|(_, assignment)| assignment.lasts());
    all.map(|(qube, assignment)| (Untrusted::to_string(&qube.name), assignment))
        .filter(|(qube, _)| only.is_none_or(|only| only == qube))
        .collect()
}

/// A request to qubesd.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Request {
    method: &'static str,
    argument: String,
}

impl Request {
    /// 4.2 detaches a persistent assignment by its address; 4.3 unassigns by port and identity, just as assigned:
    /// `:` written as `+`, `*` as `_` (core-admin `qubes/api/admin.py`).
    fn of(source: &QubesSource, qube: &str, assignment: &Assignment) -> Result<Self, Failure> {
        let by_hand = || failed(format!("the assignment to {qube} cannot be named to qubesd"));
        if crate::names::QubeName::parse(qube).is_none() {
            return Err(by_hand());
        }
        let port = match &assignment.port {
            Port::At(text) => text.as_str(),
            Port::Any => "_",
            Port::Unreadable(_) => return Err(by_hand()),
        };
        if *source == QubesSource::Qubesd42 {
            let argument = format!("dom0+{port}");
            return Ok(Self { method: "admin.vm.device.pci.Detach", argument });
        }
        let identity = match &assignment.identity {
            Identity::Any => "_".to_owned(),
            Identity::Is { vendor: Some(vendor), device: Some(device), class: Some(class) } => {
                format!("0x{vendor:04x}+0x{device:04x}++p{class:06x}")
            }
            Identity::Is { .. } => return Err(by_hand()),
        };
        Ok(Self { method: "admin.vm.device.pci.Unassign", argument: format!("dom0+{port}+{identity}") })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn assignment(port: &[u8], identity: &[u8]) -> Assignment {
        Assignment { port: Port::parse(port), identity: Identity::parse(identity), ..Assignment::anything() }
    }

    #[test]
    fn qubesd_is_asked_as_it_was_recorded() {
        let full = assignment(b"00_1f.3", b"0x8086:0x02c8::p040380");
        let request = Request::of(&QubesSource::Qubesd43, "work", &full).unwrap();
        assert_eq!(request.method, "admin.vm.device.pci.Unassign");
        assert_eq!(request.argument, "dom0+00_1f.3+0x8086+0x02c8++p040380");
        let port_only = assignment(b"00_1c.0-00_00.0", b"*");
        let request = Request::of(&QubesSource::Qubesd43, "sys-net", &port_only).unwrap();
        assert_eq!(request.argument, "dom0+00_1c.0-00_00.0+_");
        let request = Request::of(&QubesSource::Qubesd42, "sys-usb", &full).unwrap();
        assert_eq!(
            (request.method, request.argument.as_str()),
            ("admin.vm.device.pci.Detach", "dom0+00_1f.3")
        );
    }

    #[test]
    fn what_cannot_be_named_is_left_to_a_person() {
        let any = assignment(b"00_1f.3", b"0x8086:*::p040380");
        assert!(Request::of(&QubesSource::Qubesd43, "work", &any).is_err());
        let full = assignment(b"00_1f.3", b"*");
        assert!(Request::of(&QubesSource::Qubesd43, "a b", &full).is_err());
        let nonsense = assignment(b"../../etc", b"*");
        assert!(Request::of(&QubesSource::Qubesd43, "work", &nonsense).is_err());
    }
}
