//! Consent to the whole act: what is missing, and the question where somebody can be asked.

use super::member::{self, Fate, Member};
use super::{act, identity, Undo};
use crate::assess::Hazard;
use crate::commands::operation::nothing_pending;
use crate::consent::{ask, can_ask, confirm, Accepted, Asked};
use crate::error::{Code, Exit, Failure};
use crate::names::{escape, Sbdf};
use crate::observe::Sources;
use crate::system::lock::OperationLock;

impl Undo<'_> {
    /// Whether a person will be asked.
    pub fn asks(&self, members: &[Member], accepted: &Accepted) -> bool {
        can_ask(self.context.script()) && (self.is_unnamed() || !missing(members, accepted).is_empty())
    }

    /// Nobody said which act is meant: `--last` may be another than the one that was reviewed.
    fn is_unnamed(&self) -> bool {
        self.args.last && self.args.plan_id.is_none()
    }

    /// Refuses what is not accepted; asks where somebody can be asked.
    pub fn consent(&self, members: &[Member], accepted: Accepted) -> Result<Accepted, Failure> {
        let missing = missing(members, &accepted);
        let script = self.context.script();
        if self.is_unnamed() || !missing.is_empty() {
            self.show(members);
        }
        let latest = missing.iter().find_map(|hazard| hazard.qube.clone());
        let first = open(members).next().or(members.first());
        let first = first.map(|member| member.taken.bdf.to_string()).unwrap_or_default();
        let aim = match open(members).next() {
            Some(_) => "give them back to dom0",
            None => "take back the assignment",
        };
        let word = latest.or_else(|| self.act.qube.clone()).unwrap_or(first);
        let asked = match (missing.is_empty(), self.is_unnamed()) {
            (true, true) => confirm(aim, &word, script),
            (false, true) if !can_ask(script) => Asked::NoTerminal,
            _ => ask(&missing, &word, script),
        };
        match asked {
            Asked::GoOn => Ok(accepted.with(&missing)),
            Asked::Reboot => Err(Failure::new(
                Exit::Consent,
                Code::RebootChosen,
                "nothing was changed",
                "reboot; `show BDF` says for each function whether that returns it",
            )),
            Asked::NoTerminal => Err(self.wanting(&missing)),
        }
    }

    /// What a script has to say besides.
    fn wanting(&self, missing: &[&Hazard]) -> Failure {
        let words: Vec<String> = missing.iter().map(|hazard| hazard.acceptance()).collect();
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
            format!("{}; nothing was changed", wanting.join("; ")),
            format!("reboot (recommended), or review the act and add --plan {}{accept}", self.id),
        )
    }

    /// The reviewed plan is another than that of now.
    pub fn stale(&self, given: &str) -> Failure {
        Failure::new(
            Exit::Consent,
            Code::PlanStale,
            format!("the reviewed plan {} no longer holds; it is {} now", escape(given.as_bytes()), self.id),
            "review it again: run `rollback` without --plan; a reboot is recommended",
        )
    }

    /// Takes the lock that was given back while a person thought, and holds what was shown against the machine and the
    /// journal once more.
    pub fn again(
        &self,
        sources: &mut Sources,
        boot_id: &str,
        wanted: Option<Sbdf>,
    ) -> Result<(OperationLock, Vec<Member>), Failure> {
        let lock = OperationLock::take(&self.context.root, "rollback")?;
        nothing_pending(self.context)?;
        if let Some(act) = act::find(self.context, boot_id, wanted)? {
            let members = member::assess(self.context, sources, &act)?;
            if identity(&act, &members) == self.id {
                return Ok((lock, members));
            }
        }
        Err(Failure::new(
            Exit::Consent,
            Code::PlanStale,
            "something changed while the question was open; nothing was changed by this program",
            "run `rollback` again; a reboot is recommended",
        ))
    }
}

fn open(members: &[Member]) -> impl Iterator<Item = &Member> {
    members.iter().filter(|member| member.fate == Fate::Open)
}

/// The hazards of all functions that are not accepted, each acceptance once.
fn missing<'a>(members: &'a [Member], accepted: &Accepted) -> Vec<&'a Hazard> {
    let mut missing: Vec<&Hazard> =
        open(members).flat_map(|member| accepted.missing(member.hazards())).collect();
    missing.sort_by_key(|hazard| hazard.acceptance());
    missing.dedup_by_key(|hazard| hazard.acceptance());
    missing
}
