//! Taking back an assignment in Qubes, so that the qube's next start does not take the function again.
//!
//! It is not undone with the rest: who wanted the function out of the qube wants that still, and an
//! assignment that was made anew might be another one. But every ending that is not the wanted one says that
//! it is gone, and how it is made again.

use crate::assess::assign_again;
use crate::error::{Code, Exit, Failure};
use crate::journal::Details;
use crate::names::{Step, Untrusted};
use crate::observe::qubes::{self, Assignment, Port, PortIdentity, Qube, Qubes, QubesSource};
use crate::observe::{Function, Sources};
use crate::run::operation::Operation;
use crate::run::outcome::{Ending, Outcome};
use crate::system::qubesd::Qubesd;
use std::time::Instant;

const STEP: Step = Step::Unassign;

impl Operation<'_> {
    /// Brings the function back to dom0, its assignment taken back before; all that
    /// the return needs is open by then.
    pub fn reattach_unassigned(mut self, only: Option<&str>) -> Ending {
        // What keeps it from beginning must not cost the assignment.
        if let Err(failure) = self.is_as_planned() {
            return self.end(failure.exit, failure.code, failure.message, failure.hint);
        }
        if let Err(trouble) = self.nobody_has_it() {
            return self.fail(trouble.at(STEP));
        }
        match self.unassign(only) {
            Ok(()) => self.follow(),
            Err(failure) => self.not_unassigned(failure),
        }
    }

    /// Takes back the assignment of a function that dom0 has already; of the function nothing is touched.
    pub fn unassigned(mut self, only: Option<&str>) -> Ending {
        match self.unassign(only) {
            Ok(()) => self.end(Exit::Done, Code::Done, "every step was proved".to_owned(), String::new()),
            Err(failure) => self.not_unassigned(failure),
        }
    }

    /// Ends where an assignment could not be taken back; one before it may have been.
    fn not_unassigned(self, failure: Failure) -> Ending {
        if self.expected.lost.is_empty() || failure.exit == Exit::Io {
            return self.end(failure.exit, failure.code, failure.message, failure.hint);
        }
        let failure = failed(failure.message);
        self.end(failure.exit, failure.code, failure.message, failure.hint)
    }

    /// Takes back what assigns the function to `only`, or to any qube where none is named;
    /// each is proved by reading back.
    ///
    /// # Errors
    /// qubesd does not answer, refuses, or still lists the assignment; what was taken back before stays so.
    fn unassign(&mut self, only: Option<&str>) -> Result<(), Failure> {
        let known = read(self.sources)?;
        for (qube, assignment) in wanted(&known, self.function, only) {
            let began = Instant::now();
            let proved = self.unassign_one(&known, qube, assignment);
            let (outcome, detail) = match &proved {
                Ok(what) => {
                    let detail = format!("{what}: Qubes does not list it any more");
                    self.writer.done(STEP, self.plan.sbdf, &detail);
                    (Outcome::Done, detail)
                }
                Err(failure) => {
                    self.writer.failed(STEP, self.plan.sbdf, &failure.message);
                    (Outcome::Failed, failure.message.clone())
                }
            };
            self.report(STEP, outcome, detail, began.elapsed());
            proved?;
        }
        Ok(())
    }

    fn unassign_one(
        &mut self,
        known: &Qubes,
        qube: &Qube,
        assignment: &Assignment,
    ) -> Result<String, Failure> {
        let name = Untrusted::to_string(&qube.name);
        let request = Request::of(&known.source, &name, assignment)?;
        let what = words(qube, assignment);
        let again = assign_again(known, qube, assignment, self.function).unwrap_or_default();
        let details = Details::Unassign { qube: name.clone(), again };
        self.writer.intent(STEP, self.plan.sbdf, &what, &details)?;
        self.expected.begin(STEP, &what, &details);
        let answered = Qubesd::new(&self.sources.root).call(request.method, &request.argument, &name, b"");
        // Whatever it answered: it may have done it, or not.
        let is_listed = read(self.sources).map(|known| lists(&known, self.function, &what));
        match &is_listed {
            Ok(true) => drop(self.expected.lost.pop()),
            Ok(false) => self.expected.lost.iter_mut().for_each(|lost| lost.proved = true),
            Err(_) => {}
        }
        answered?;
        if is_listed? {
            return Err(failed(format!("Qubes still lists {what}")));
        }
        Ok(what)
    }

    /// What an interrupted run took back, or may have: what Qubes still lists it did not.
    pub(in crate::run) fn find_lost(&mut self) {
        if self.expected.lost.is_empty() {
            return;
        }
        if let Ok(known) = read(self.sources) {
            self.expected.lost.retain(|lost| !lists(&known, self.function, &lost.what));
            self.expected.lost.iter_mut().for_each(|lost| lost.proved = true);
        }
    }
}

/// An assignment in words: its port and its qube.
fn words(qube: &Qube, assignment: &Assignment) -> String {
    format!("{} of {}", assignment.port.text(), qube.name)
}

/// Whether Qubes has it still.
fn lists(known: &Qubes, function: &Function, what: &str) -> bool {
    wanted(known, function, None).into_iter().any(|(qube, assignment)| words(qube, assignment) == what)
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
fn wanted<'a>(known: &'a Qubes, function: &Function, only: Option<&str>) -> Vec<(&'a Qube, &'a Assignment)> {
    let all = known.assigned(function).into_iter().filter(|(_, assignment)| assignment.lasts());
    all.filter(|(qube, _)| only.is_none_or(|only| only == Untrusted::to_string(&qube.name))).collect()
}

/// A request to qubesd.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Request {
    method: &'static str,
    argument: String,
}

impl Request {
    /// 4.2 detaches a persistent assignment by its address; 4.3 unassigns by port and identity, just as
    /// assigned: `:` written as `+`, `*` as `_` (core-admin `qubes/api/admin.py`).
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
            PortIdentity::Any => "_".to_owned(),
            PortIdentity::Is { vendor: Some(vendor), device: Some(device), class: Some(class) } => {
                format!("0x{vendor:04x}+0x{device:04x}++p{class:06x}")
            }
            PortIdentity::Is { .. } => return Err(by_hand()),
        };
        Ok(Self { method: "admin.vm.device.pci.Unassign", argument: format!("dom0+{port}+{identity}") })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn assignment(port: &[u8], identity: &[u8]) -> Assignment {
        Assignment {
            port: Port::parse(port),
            identity: PortIdentity::parse(identity),
            ..Assignment::anything()
        }
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
