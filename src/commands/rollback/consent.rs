//! Consent to the whole act: what is missing, and the question where somebody can be asked.

use super::member::{self, Member, MemberFate};
use super::{act, identity, open, Undo};
use crate::assess::{Case, Hazard};
use crate::consent::{can_ask, stale, Accepted, Asked, Question, Review};
use crate::error::{Code, Exit, Failure};
use crate::names::Sbdf;
use crate::observe::Sources;
use crate::report::{dossier_of, Size};

/// What came of asking for consent.
pub enum Consented {
    /// This is accepted.
    Accepted(Accepted),
    /// A person has chosen not to go on.
    Left(Asked),
    /// Nobody can be asked, and something is missing.
    Wanting(Failure),
}

impl Undo<'_> {
    /// Whether a person will be asked.
    pub fn asks(&self, review: &Review<'_>) -> bool {
        can_ask(self.context.script()) && (self.is_unnamed() || !review.missing.is_empty())
    }

    /// Nobody said which act is meant: `--last` may be another than the one that was reviewed.
    fn is_unnamed(&self) -> bool {
        self.args.last && self.args.plan_id.is_none()
    }

    /// Asks where somebody can be asked, and refuses what is not accepted where nobody can.
    pub fn consent(&self, members: &[Member], review: &Review<'_>, accepted: Accepted) -> Consented {
        let script = self.context.script();
        if !self.is_unnamed() && review.missing.is_empty() {
            return Consented::Accepted(accepted);
        }
        let screen = if can_ask(script) { self.screen(members, review) } else { String::new() };
        if screen.is_empty() {
            self.show(members);
        }
        let asked = match review.missing.is_empty() {
            true => self.confirm(members, &screen),
            false => review.ask(&screen, script),
        };
        match asked {
            Asked::GoOn => Consented::Accepted(accepted.with(&review.missing)),
            Asked::NoTerminal => Consented::Wanting(self.wanting(review)),
            Asked::Reboot | Asked::Leave => Consented::Left(asked),
        }
    }

    /// The act, what is left alone, and what giving the others back would risk.
    fn screen(&self, members: &[Member], review: &Review<'_>) -> String {
        let mut title = vec![act::title(self.act)];
        let left = members.iter().filter(|member| member.fate != MemberFate::Open);
        title.extend(left.map(|member| format!("Left as it is: {}", member.line())));
        let cases: Vec<&Case> = open(members).filter_map(Member::case).collect();
        let accepted = Accepted::default();
        let all: Vec<&Hazard> = match review.missing.as_slice() {
            [] => cases.iter().flat_map(|case| accepted.missing(&case.hazards)).collect(),
            missing => missing.to_vec(),
        };
        dossier_of(&title, &cases, &all, Size::of_terminal())
    }

    /// Nothing is left to accept: whether this act is the one that is meant.
    fn confirm(&self, members: &[Member], screen: &str) -> Asked {
        let first = open(members).next().or(members.first());
        let first = first.map(|member| member.taken.bdf.to_string()).unwrap_or_default();
        let (go_on, reboot) = match open(members).count() {
            0 => ("take back the assignment now", false),
            1 => ("return it now", true),
            _ => ("return them now", true),
        };
        let words = [self.act.qube.clone().unwrap_or(first)];
        Question { screen, go_on, reboot, words: &words }.ask(self.context.script())
    }

    /// What a script has to say to go on.
    fn wanting(&self, review: &Review<'_>) -> Failure {
        let words = review.acceptances();
        let mut wanting = Vec::new();
        if self.is_unnamed() {
            wanting.push(format!("the act is not named (--plan {})", self.id));
        }
        if !words.is_empty() {
            wanting.push(format!("not accepted: {}", words.join(", ")));
        }
        let accept = if words.is_empty() { String::new() } else { format!(" --accept {}", words.join(",")) };
        Failure::new(
            Exit::Consent,
            Code::ConsentMissing,
            wanting.join("; "),
            format!("reboot (recommended), or review the act and add --plan {}{accept}", self.id),
        )
        .untouched()
    }

    /// Holds what was shown against the machine and the journal once more.
    ///
    /// # Errors
    /// It is not what there is now.
    pub fn still_holds(
        &self,
        sources: &mut Sources,
        boot_id: &str,
        wanted: Option<Sbdf>,
    ) -> Result<(), Failure> {
        let Some(act) = act::find(self.context, boot_id, wanted)? else { return Err(stale()) };
        let members = member::assess(self.context, sources, &act)?;
        if identity(&act, &members) == self.id {
            return Ok(());
        }
        Err(stale())
    }
}
