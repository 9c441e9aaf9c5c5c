//! The one thing that travels through the stages: a function with all that is known of it, and what follows
//! from that.

use super::hazards::{of_hold, of_return};
use super::{advice, seen, state_of, Hazard, HazardId, Kind, Reboot, Severity, State, StateWord, Verdict};
use crate::names::{DriverName, Owner, Sbdf};
use crate::observe::exposure::{holders, Exposure, Past, PastHolder};
use crate::observe::neighbours::siblings;
use crate::observe::{Claim, Dom0, Subject};
use std::rc::Rc;

/// One function, from its facts to the verdict. Plan, consent, run and report take it whole.
#[derive(Clone, Debug)]
pub struct Case {
    /// The facts of all functions.
    pub dom0: Rc<Dom0>,
    /// The function, and what was read of it alone.
    pub subject: Subject,
    /// The driver that the admin named for it.
    pub named: Option<DriverName>,
    /// The state.
    pub state: State,
    /// What the journal tells.
    pub past: Rc<Past>,
    /// The hazards of what is asked for.
    pub hazards: Vec<Hazard>,
    /// What a reboot would do.
    pub reboot: Reboot,
    /// The verdict.
    pub verdict: Verdict,
}

impl Case {
    /// Judges the return of a function to dom0; `named` is the driver that the admin wants for it.
    #[must_use]
    pub fn of_return(
        dom0: &Rc<Dom0>,
        past: &Rc<Past>,
        subject: Subject,
        named: Option<&DriverName>,
        together: &[Sbdf],
    ) -> Self {
        let state = state_of(dom0, &subject.function);
        let mut hazards = of_return(dom0, past, &subject, named, together);
        let reboot = advice(&dom0.boot, &subject.function, &hazards);
        if !state.is_fine() {
            hazards.extend(reboot.note());
        }
        let verdict = Verdict::from(&state, &hazards, dom0.by_root);
        if !dom0.by_root {
            hazards = seen(hazards);
            hazards.retain(|hazard| verdict != Verdict::Unknown || hazard.severity != Severity::Stop);
        }
        let (dom0, past, named) = (Rc::clone(dom0), Rc::clone(past), named.cloned());
        Self { dom0, subject, named, state, past, hazards, reboot, verdict }
    }

    /// Judges taking a function from dom0; `dom0_uses` is what dom0 itself uses it for.
    #[must_use]
    pub fn of_hold(
        dom0: &Rc<Dom0>,
        past: &Rc<Past>,
        subject: Subject,
        dom0_uses: &[String],
        together: &[Sbdf],
    ) -> Self {
        let state = state_of(dom0, &subject.function);
        let hazards = of_hold(dom0, &subject.function, dom0_uses, together);
        let reboot = advice(&dom0.boot, &subject.function, &hazards);
        let verdict = match super::stops(&hazards) {
            stops if stops.is_empty() => Verdict::Ask(Vec::new()),
            stops => Verdict::Refused(stops),
        };
        let (dom0, past) = (Rc::clone(dom0), Rc::clone(past));
        Self { dom0, subject, named: None, state, past, hazards, reboot, verdict }
    }

    /// Puts an operation on it that is not settled before everything else.
    #[must_use]
    pub fn beside(self, unsettled: Option<Verdict>) -> Self {
        Self { verdict: unsettled.unwrap_or(self.verdict), ..self }
    }

    /// The address.
    #[must_use]
    pub fn sbdf(&self) -> Sbdf {
        self.subject.function.sbdf
    }

    /// Xen's owner in a word.
    #[must_use]
    pub fn owner(&self) -> String {
        let owner = self.dom0.owners.as_ref().ok().and_then(|owners| owners.get(&self.sbdf()));
        owner.map_or("?".to_owned(), Owner::to_string)
    }

    /// The qube that has it, if one does.
    #[must_use]
    pub fn qube(&self) -> Option<String> {
        match &self.state.kind {
            Kind::InUse(who) => Some(who.clone()),
            _ => None,
        }
    }

    /// Names of the functions of its slot and behind its bridge.
    #[must_use]
    pub fn siblings(&self) -> Vec<String> {
        siblings(&self.dom0, &self.subject.function).iter().map(|other| other.sbdf.to_string()).collect()
    }

    /// What the journal tells of this function.
    #[must_use]
    pub fn exposure(&self) -> Option<&Exposure> {
        self.past.of.get(&self.sbdf())
    }

    /// The qubes that had it in this boot, the latest first.
    #[must_use]
    pub fn had(&self) -> Vec<PastHolder> {
        holders(&self.dom0, self.sbdf(), self.exposure())
    }

    /// Whether nothing says that it was ever taken from dom0 and nothing could drive it there: a chipset's
    /// function.
    #[must_use]
    pub fn was_never_taken(&self) -> bool {
        let function = &self.subject.function;
        let untouched = self.state.word() == StateWord::NoDriver
            && !self.state.slot
            && self.state.stuck_override.is_none()
            && self.state.stale.is_empty();
        // What drives a bridge is part of the kernel, and does without.
        let idle = function.class >> 16 == 0x06 || !self.subject.claims.by_alias.iter().any(Claim::can_drive);
        let nobody = self.had().is_empty()
            && self
                .exposure()
                .is_none_or(|it| it.seized.is_none() && it.before.is_empty() && it.more_before == 0);
        let wanted = self.dom0.qubes_said().is_some_and(|known| !known.assigned(function).is_empty());
        untouched && idle && nobody && !wanted && self.subject.claims.recorded.is_none()
    }

    /// Whether a qube of this name has it, had it or is assigned it.
    #[must_use]
    pub fn is_of_qube(&self, name: &str) -> bool {
        let assigned = self.dom0.qubes_said().map(|known| known.assigned(&self.subject.function));
        self.qube().as_deref() == Some(name)
            || self.had().iter().any(|one| one.name == name || one.who == name)
            || self.exposure().is_some_and(|it| it.before.iter().any(|one| one.had.qube == name))
            || assigned.is_some_and(|all| all.iter().any(|(qube, _)| qube.name.to_string() == name))
    }

    /// The hash of its ROM that was recorded last.
    #[must_use]
    pub fn known_rom(&self) -> Option<&str> {
        self.exposure()?.rom_sha256.as_deref()
    }

    /// The worst stop.
    #[must_use]
    pub fn stop(&self) -> Option<&Hazard> {
        self.hazards.iter().find(|hazard| hazard.severity == Severity::Stop)
    }

    /// What the admin can do where this hazard stops a return. Where it is only not known who has it, that
    /// comes first.
    #[must_use]
    pub fn way_out(&self, stop: HazardId) -> &'static str {
        if stop == HazardId::OwnerUnknown && self.subject.function.sbdf.to_xen().is_none() {
            return "leave it: only the VMD controller that it is behind can be given";
        }
        let seen = self.dom0.uses.is_ok() && self.dom0.qubes_known.is_ok();
        if stop != HazardId::InUse || seen || matches!(self.state.kind, Kind::InUse(_)) {
            return stop.way_out();
        }
        if self.dom0.uses.is_err() {
            return "see whether xenstored answers (on Qubes: systemctl status xenstored)";
        }
        "see whether qubesd answers (systemctl status qubesd)"
    }
}
