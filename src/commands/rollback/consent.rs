//! Consent to the whole act: what is missing, and the question where somebody can be asked.

use super::member::{self, Member};
use super::{act, identity, open, Undo};
use crate::consent::{can_ask, confirm, stale, Accepted, Asked, Review};
use crate::error::{Code, Exit, Failure};
use crate::names::Sbdf;
use crate::observe::Sources;

impl Undo<'_> {
    /// Whether a person will be asked.
    pub fn asks(&self, review: &Review<'_>) -> bool {
        can_ask(self.context.script()) && (self.is_unnamed() || !review.missing.is_empty())
    }

    /// Nobody said which act is meant: `--last` may be another than the one that was reviewed.
    fn is_unnamed(&self) -> bool {
        self.args.last && self.args.plan_id.is_none()
    }

    /// Refuses what is not accepted; asks where somebody can be asked.
    pub fn consent(
        &self,
        members: &[Member],
        review: &Review<'_>,
        accepted: Accepted,
    ) -> Result<Accepted, Failure> {
        let script = self.context.script();
        if self.is_unnamed() || !review.missing.is_empty() {
            self.show(members);
        }
        let asked = match (review.missing.is_empty(), self.is_unnamed()) {
            (true, true) => self.confirm(members, script),
            _ => review.ask(script),
        };
        match asked {
            Asked::GoOn => Ok(accepted.with(&review.missing)),
            Asked::Reboot => Err(Failure::new(
                Exit::Consent,
                Code::RebootChosen,
                "the reboot was chosen",
                "reboot; `show BDF` says for each function whether that returns it",
            )
            .untouched()),
            Asked::NoTerminal => Err(self.wanting(review)),
        }
    }

    /// Nothing is left to accept: whether this act is the one that is meant.
    fn confirm(&self, members: &[Member], script: bool) -> Asked {
        let first = open(members).next().or(members.first());
        let first = first.map(|member| member.taken.bdf.to_string()).unwrap_or_default();
        let aim = match open(members).next() {
            Some(_) => "give them back to dom0",
            None => "take back the assignment",
        };
        confirm(aim, &self.act.qube.clone().unwrap_or(first), script)
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
