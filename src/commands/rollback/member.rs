//! One function of the act: what is found, what can be done, what became of it.

use super::Context;
use crate::assess::{Case, Hazard, HazardId, Verdict};
use crate::error::Failure;
use crate::journal::{Misattachment, TakenFunction};
use crate::names::{DriverName, Sbdf};
use crate::observe::{identity, Dom0, Sources};
use crate::plan::Proposal;
use crate::report::json;
use crate::run::{Ended, Ending};
use serde_json::{json, Value};
use std::collections::BTreeSet;
use std::rc::Rc;

/// What is, or became, of a function.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum MemberFate {
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
    pub taken: TakenFunction,
    /// What is found now, and the steps back; `None` where it is gone.
    pub proposal: Option<Proposal>,
    /// What becomes of it.
    pub fate: MemberFate,
    /// The hazard that stops it, where one does.
    pub stop: Option<HazardId>,
    /// Whether its assignment to the qube of the act was taken back.
    pub unassigned: bool,
}

/// Assesses each function of the act by the same facts. What is given back goes together: what is left alone
/// does not count among it.
pub fn assess(context: &Context, sources: &mut Sources, act: &Misattachment) -> Result<Vec<Member>, Failure> {
    let dom0 = Rc::new(sources.observe()?);
    let mut together: Vec<Sbdf> = act.taken.iter().map(|taken| taken.bdf).collect();
    loop {
        let members = assess_together(context, sources, act, &dom0, &together)?;
        let given: Vec<Sbdf> = members
            .iter()
            .filter(|member| matches!(member.fate, MemberFate::Open | MemberFate::Back))
            .map(|member| member.taken.bdf)
            .collect();
        if given.len() >= together.len() {
            return Ok(members);
        }
        together = given;
    }
}

fn assess_together(
    context: &Context,
    sources: &mut Sources,
    act: &Misattachment,
    dom0: &Rc<Dom0>,
    together: &[Sbdf],
) -> Result<Vec<Member>, Failure> {
    let there: Vec<&TakenFunction> =
        act.taken.iter().filter(|taken| dom0.functions.contains_key(&taken.bdf)).collect();
    let wanted: Vec<_> = there.iter().map(|taken| (taken.bdf, driver_of(sources, taken))).collect();
    let mut cases = context.returns(sources, dom0, &wanted, together)?.into_iter();
    let mut members = Vec::new();
    for taken in &act.taken {
        members.push(match dom0.functions.contains_key(&taken.bdf).then(|| cases.next()).flatten() {
            Some(case) => member(sources, taken, case)?,
            None => Member {
                taken: taken.clone(),
                proposal: None,
                fate: MemberFate::Left("it is gone".to_owned()),
                stop: None,
                unassigned: false,
            },
        });
    }
    Ok(members)
}

/// The driver it was taken from, where it is still registered; otherwise the kernel's aliases say.
fn driver_of(sources: &Sources, taken: &TakenFunction) -> Option<DriverName> {
    sources.sysfs.driver_folder(&taken.driver).exists().then(|| taken.driver.clone())
}

fn member(sources: &Sources, taken: &TakenFunction, case: Case) -> Result<Member, Failure> {
    let id = identity::of(&sources.sysfs, &case.subject.function).id;
    let mut stop = None;
    let fate = if case.verdict == Verdict::Nothing {
        MemberFate::Back
    } else if !taken.id.is_empty() && id != taken.id {
        MemberFate::Left(format!("another device stands there now ({id}, it was {})", taken.id))
    } else if let Verdict::Refused(ids) = &case.verdict {
        stop = ids.first().copied();
        MemberFate::Left(format!("refused: {}", HazardId::list(ids)))
    } else if let Some(failure) = &case.subject.claims.unreadable {
        MemberFate::Left(failure.message.clone())
    } else {
        match dom0_needs(sources, &case)? {
            Some(what) => {
                stop = Some(HazardId::Dom0NeedsIt);
                MemberFate::Left(format!("refused: {}: {what}", HazardId::Dom0NeedsIt))
            }
            None => MemberFate::Open,
        }
    };
    let proposal = Some(Proposal::to_return(case));
    Ok(Member { taken: taken.clone(), proposal, fate, stop, unassigned: false })
}

/// A function that dom0 drives in a way that does not hold must not be torn from what uses it.
fn dom0_needs(sources: &Sources, case: &Case) -> Result<Option<String>, Failure> {
    let function = &case.subject.function;
    if function.driver.as_ref().is_none_or(DriverName::is_holder) {
        return Ok(None);
    }
    Ok(sources.dom0_uses(function)?.into_iter().next())
}

impl Member {
    /// What was found of it.
    pub fn case(&self) -> Option<&Case> {
        self.proposal.as_ref().map(|proposal| &proposal.case)
    }

    /// The id of its plan.
    pub fn plan_id(&self) -> &str {
        self.proposal.as_ref().map_or("", |proposal| proposal.plan.id.as_str())
    }

    /// The hazards.
    fn hazards(&self) -> &[Hazard] {
        self.case().map_or(&[], |case| case.hazards.as_slice())
    }

    /// Whether dom0 has it.
    pub fn is_good(&self) -> bool {
        matches!(self.fate, MemberFate::Back | MemberFate::Returned)
    }

    /// How it ended, where it came to an end.
    pub fn ending<'a>(&self, ended: &'a [(Sbdf, Ended)]) -> Option<&'a Ending> {
        ended.iter().find(|(sbdf, _)| *sbdf == self.taken.bdf)?.1.ending()
    }

    /// Takes in how it ended. Where only the journal lacks the end, dom0 has it all the same.
    pub fn ends(&mut self, ended: &Ended, unassign: bool) {
        self.unassigned = unassign && ended.is_done();
        self.fate = match (ended, &self.fate) {
            (ended, MemberFate::Back) if ended.is_done() => MemberFate::Back,
            (ended, _) if ended.is_done() => MemberFate::Returned,
            (Ended::NotBegun(why), _) => MemberFate::Left(why.clone()),
            (ended, _) => MemberFate::Failed(ended.why().to_owned()),
        };
    }

    /// The qubes that it is assigned to and that take it at their next start; `None` where Qubes does not
    /// say.
    pub fn assigned(&self) -> Option<BTreeSet<String>> {
        let case = self.case()?;
        let all = case.dom0.qubes_said()?.assigned(&case.subject.function).into_iter();
        let lasting = all.filter(|(_, assignment)| assignment.lasts());
        Some(lasting.map(|(qube, _)| qube.name.to_string()).collect())
    }

    /// Whether dom0 has it, and the qube of the act, or any where none is known, is assigned it still.
    pub fn is_back_but_assigned(&self, act: &Misattachment) -> bool {
        let meant = |assigned: BTreeSet<String>| assigned.iter().any(|qube| act.may_be_for(qube));
        self.fate == MemberFate::Back && self.assigned().is_some_and(meant)
    }

    /// Why it is not, or was not, given back.
    pub fn why(&self) -> &str {
        match &self.fate {
            MemberFate::Left(why) | MemberFate::Failed(why) => why,
            MemberFate::Back | MemberFate::Open | MemberFate::Returned => "",
        }
    }

    /// One line for people.
    pub fn line(&self) -> String {
        let what = match &self.fate {
            MemberFate::Back => "dom0's already".to_owned(),
            MemberFate::Open => format!("back to {}", self.taken.driver),
            MemberFate::Left(why) => format!("left alone: {why}"),
            MemberFate::Returned => format!("given back to {}", self.taken.driver),
            MemberFate::Failed(why) => format!("not given back: {why}"),
        };
        format!("{}  {what}", self.taken.bdf)
    }

    /// The member for scripts.
    pub fn value(&self, ending: Option<&Ending>) -> Value {
        let word = match &self.fate {
            MemberFate::Back => "back",
            MemberFate::Open => "open",
            MemberFate::Left(_) => "left",
            MemberFate::Returned => "returned",
            MemberFate::Failed(_) => "failed",
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
}
