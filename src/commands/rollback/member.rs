//! One function of the act: what is found, what can be done, what became of it.

use super::super::assessed::{gone, Assessed};
use super::super::history::past_of;
use super::super::operation::{perform, started};
use super::Context;
use crate::assess::{Act, Hazard, HazardId, Taken, Verdict};
use crate::consent::Accepted;
use crate::error::{Code, Exit, Failure};
use crate::journal::{Consent, Start};
use crate::names::{DriverName, Standing};
use crate::observe::{identity, Sources};
use crate::plan::{plan_return, Plan};
use crate::report::json;
use crate::run::{new_operation_id, Ending, Order, Record};
use crate::system::signals::HeldSignals;
use serde_json::{json, Value};
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

/// What is, or became, of a function.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Fate {
    /// dom0 drives it already.
    Back,
    /// It can be given back.
    Open,
    /// It is not touched.
    Left(String),
    /// It was given back, each step proved.
    Returned,
    /// It was tried and did not come to its end.
    Failed(String),
}

/// One function of the act.
pub struct Member {
    /// What was taken.
    pub taken: Taken,
    /// What is found now; `None` where it is gone.
    pub assessed: Option<Assessed>,
    /// The steps back.
    pub plan: Option<Plan>,
    /// What becomes of it.
    pub fate: Fate,
    /// The hazard that stops it, where one does.
    pub stop: Option<HazardId>,
    /// The status of an error before the first step.
    pub exit: Option<Exit>,
    /// Whether its assignment to the qube of the act was taken back.
    pub unassigned: bool,
}

/// Assesses each function of the act by the same facts.
pub fn assess(context: &Context, sources: &mut Sources, act: &Act) -> Result<Vec<Member>, Failure> {
    let dom0 = Rc::new(sources.observe()?);
    let taken: Vec<_> = act.taken.iter().map(|taken| taken.bdf).collect();
    let past = Rc::new(past_of(context, sources, &dom0, &taken));
    act.taken
        .iter()
        .map(|taken| {
            if !dom0.functions.contains_key(&taken.bdf) {
                let fate = Fate::Left("it is gone".to_owned());
                let taken = taken.clone();
                return Ok(Member {
                    taken,
                    assessed: None,
                    plan: None,
                    fate,
                    stop: None,
                    exit: None,
                    unassigned: false,
                });
            }
            let driver = driver_of(sources, taken);
            let one =
                Assessed::from(sources, Rc::clone(&dom0), Rc::clone(&past), taken.bdf, driver.as_ref())?;
            member(sources, taken, one)
        })
        .collect()
}

/// The driver it was taken from, where it is still registered; otherwise the kernel's aliases say.
fn driver_of(sources: &Sources, taken: &Taken) -> Option<DriverName> {
    sources.sysfs.driver_folder(&taken.driver).exists().then(|| taken.driver.clone())
}

fn member(sources: &Sources, taken: &Taken, one: Assessed) -> Result<Member, Failure> {
    let driver = driver_of(sources, taken);
    let function = &one.function;
    let id = identity::of(&sources.sysfs, function).id;
    let mut stop = None;
    let fate = if one.verdict == Verdict::Nothing {
        Fate::Back
    } else if !taken.id.is_empty() && id != taken.id {
        Fate::Left(format!("another device stands there now ({id}, it was {})", taken.id))
    } else if let Verdict::Refused(ids) = &one.verdict {
        stop = ids.first().copied();
        Fate::Left(format!("refused: {}", HazardId::list(ids)))
    } else if let Some(failure) = &one.claims.unreadable {
        Fate::Left(failure.message.clone())
    } else {
        match dom0_needs(sources, &one)? {
            Some(what) => {
                stop = Some(HazardId::Dom0NeedsIt);
                Fate::Left(format!("refused: {}: {what}", HazardId::Dom0NeedsIt))
            }
            None => Fate::Open,
        }
    };
    let plan = plan_return(&one.dom0, function, &one.state, &one.hazards, &one.claims, driver.as_ref());
    let taken = taken.clone();
    Ok(Member { taken, assessed: Some(one), plan: Some(plan), fate, stop, exit: None, unassigned: false })
}

/// A function that dom0 drives in a way that does not hold must not be torn from what uses it.
fn dom0_needs(sources: &Sources, one: &Assessed) -> Result<Option<String>, Failure> {
    if one.function.driver.as_ref().is_none_or(DriverName::is_holder) {
        return Ok(None);
    }
    Ok(sources.dom0_uses(&one.function)?.into_iter().next())
}

impl Member {
    /// The id of its plan.
    pub fn plan_id(&self) -> &str {
        self.plan.as_ref().map_or("", |plan| plan.id.as_str())
    }

    /// Its hazards.
    pub fn hazards(&self) -> &[Hazard] {
        self.assessed.as_ref().map_or(&[], |one| one.hazards.as_slice())
    }

    /// The qubes that it is assigned to and that take it at their next start; `None` where Qubes does not say.
    pub fn assigned(&self) -> Option<BTreeSet<String>> {
        let one = self.assessed.as_ref()?;
        let all = one.dom0.qubes_said()?.assigned(&one.function).into_iter();
        let lasting = all.filter(|(_, assignment)| assignment.lasts());
        Some(lasting.map(|(qube, _)| qube.name.to_string()).collect())
    }

    /// Whether dom0 has it, and the qube of the act, or any where none is known, is assigned it still.
    pub fn is_back_but_assigned(&self, act: &Act) -> bool {
        let meant = |assigned: BTreeSet<String>| assigned.iter().any(|qube| act.may_be_for(qube));
        self.fate == Fate::Back && self.assigned().is_some_and(meant)
    }

    /// Why it is not, or was not, given back.
    pub fn why(&self) -> &str {
        match &self.fate {
            Fate::Left(why) | Fate::Failed(why) => why,
            Fate::Back | Fate::Open | Fate::Returned => "",
        }
    }

    /// It is not begun.
    pub fn leave(&mut self, why: String) {
        self.fate = Fate::Left(why);
    }

    /// One line for people.
    pub fn line(&self) -> String {
        let what = match &self.fate {
            Fate::Back => "dom0's already".to_owned(),
            Fate::Open => format!("back to {}", self.taken.driver),
            Fate::Left(why) => format!("left alone: {why}"),
            Fate::Returned => format!("given back to {}", self.taken.driver),
            Fate::Failed(why) => format!("not given back: {why}"),
        };
        format!("{}  {what}", self.taken.bdf)
    }

    /// The same for scripts.
    pub fn value(&self, ending: Option<&Ending>) -> Value {
        let word = match &self.fate {
            Fate::Back => "back",
            Fate::Open => "open",
            Fate::Left(_) => "left",
            Fate::Returned => "returned",
            Fate::Failed(_) => "failed",
        };
        let never = self.hazards().iter().any(|hazard| hazard.id == HazardId::NeverExposed);
        json!({
            "bdf": self.taken.bdf.to_string(),
            "driver": self.taken.driver.as_str(),
            "fate": word,
            "why": self.why(),
            "never_exposed": never,
            "hazards": json::hazards(self.hazards()),
            "operation": ending.map(json::ending),
        })
    }

    /// Gives it back, or takes back the assignment of what is back already. What was consented to is held against the
    /// machine once more: the functions before it took time, and changed its siblings.
    pub fn bring_back(
        &mut self,
        order: &Return<'_>,
        sources: &mut Sources,
        signals: &mut HeldSignals,
    ) -> Option<Ending> {
        match self.try_back(order, sources, signals) {
            Ok(Some(ending)) => {
                // Where only the journal lacks the end (exit 11), dom0 has it all the same.
                self.unassigned = order.unassign && ending.code == Code::Done;
                self.fate = match (ending.code, &self.fate) {
                    (Code::Done, Fate::Back) => Fate::Back,
                    (Code::Done, _) => Fate::Returned,
                    _ => Fate::Failed(ending.message.clone()),
                };
                Some(ending)
            }
            Ok(None) => None,
            Err(failure) => {
                self.exit = Some(failure.exit);
                self.fate = Fate::Failed(failure.message);
                None
            }
        }
    }

    fn try_back(
        &mut self,
        order: &Return<'_>,
        sources: &mut Sources,
        signals: &mut HeldSignals,
    ) -> Result<Option<Ending>, Failure> {
        let driver = driver_of(sources, &self.taken);
        let one = Assessed::of(order.context, sources, self.taken.bdf, driver.as_ref())?;
        let now = member(sources, &self.taken, one)?;
        let missing: Vec<String> =
            order.accepted.missing(now.hazards()).iter().map(|it| it.acceptance()).collect();
        let was_back = self.fate == Fate::Back;
        *self = now;
        if was_back && self.fate != Fate::Back {
            self.leave("dom0 does not have it any more".to_owned());
        }
        let is_back = was_back && self.is_back_but_assigned(order.act);
        if self.fate != Fate::Open && !is_back {
            return Ok(None);
        }
        if !is_back && !missing.is_empty() {
            self.leave(format!("new since it was reviewed: {}", missing.join(", ")));
            return Ok(None);
        }
        let (Some(one), Some(plan)) = (&self.assessed, &self.plan) else { return Ok(None) };
        let function = &one.function;
        let start = Standing::observed(&one.dom0, function).ok_or_else(|| gone(function.sbdf))?;
        let mut record = Record::open(&order.context.journal, order.boot_id, new_operation_id(sources)?)?;
        let consent = Consent {
            plan: plan.id.clone(),
            act: Some(i64::try_from(order.act.seq).unwrap_or(-1)),
            accepted: order.accepted.words().to_vec(),
            asked: order.asked,
        };
        let started = started(order.context, "rollback", function, &start, &one.state);
        record.start(function.sbdf, Start { consent: Some(consent), ..started });
        let (accepted, timeout, known_rom) = (order.accepted, order.timeout, one.known_rom());
        let qubes = one.dom0.qubes_said();
        let run = Order { function, start, plan, accepted, known_rom, qubes, timeout };
        perform(order.context, sources, run, record, signals, |operation| {
            let only = order.act.qube.as_deref();
            match (is_back, order.unassign) {
                (true, _) => operation.unassigned(only),
                (false, true) => operation.reattach_unassigned(only),
                (false, false) => operation.reattach(),
            }
        })
        .map(Some)
    }
}

/// What each return is started with.
pub struct Return<'a> {
    /// Root, journal, form of the output.
    pub context: &'a Context,
    /// The hazards that were accepted, of all functions.
    pub accepted: &'a Accepted,
    /// Whether a person was asked.
    pub asked: bool,
    /// When a step counts as hung.
    pub timeout: Duration,
    /// The kernel's id of this boot.
    pub boot_id: &'a str,
    /// Whether the assignment is taken back too.
    pub unassign: bool,
    /// The act that is undone.
    pub act: &'a Act,
}
