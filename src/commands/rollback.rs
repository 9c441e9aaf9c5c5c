//! `rollback`: undo a misattachment, every function of it.

mod act;
mod consent;
mod member;

use super::operation::{nothing_pending, open_all};
use super::Context;
use crate::assess::{Act, HazardId};
use crate::cli::RollbackArgs;
use crate::consent::Accepted;
use crate::error::{Code, Exit, Failure};
use crate::names::Sbdf;
use crate::observe::Sources;
use crate::report::{complain, ending_block, hazards_block, json, note};
use crate::run::{can_unassign, new_operation_id, Ending, Record};
use crate::system::lock::OperationLock;
use crate::system::signals::HeldSignals;
use member::{Fate, Member, Return};
use serde_json::{json, Value};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::time::Duration;

/// Runs it.
///
/// # Errors
/// Nothing is known to undo, it is refused, not consented to, or not possible here; nothing was changed.
pub fn run(context: &Context, args: &RollbackArgs) -> Result<Exit, Failure> {
    let accepted = Accepted::parse(&args.accept)?;
    let wanted = args.device.as_deref().map(|text| Sources::find(&context.root, text)).transpose()?;
    context.must_be_root()?;
    let mut sources = open_all(context)?;
    if args.unassign {
        can_unassign(&sources)?;
    }
    let lock = OperationLock::take(&context.root, "rollback")?;
    let boot_id = crate::observe::boot_id(&context.root)?;
    // A journal that cannot be written refuses before anything is asked.
    drop(Record::open(&context.journal, &boot_id, new_operation_id(&sources)?)?);
    nothing_pending(context)?;
    let act = act::find(context, &boot_id, wanted)?.ok_or_else(|| nothing_known(wanted))?;
    let members = member::assess(context, &mut sources, &act)?;
    let id = identity(&act, &members);
    let undo = Undo { context, args, act: &act, id: &id };
    if args.plan_id.as_ref().is_some_and(|given| *given != id) {
        return Err(undo.stale(args.plan_id.as_deref().unwrap_or_default()));
    }
    let is_to_do = members.iter().any(|member| undo.is_to_do(member));
    if !is_to_do && members.iter().all(|member| member.fate == Fate::Back) {
        return undo.answer(&members, Vec::new());
    }
    if !is_to_do {
        return undo.refuse(&members);
    }
    // A person thinks as long as they like: others need not wait, and what may change meanwhile is looked at again.
    let asks = undo.asks(&members, &accepted);
    let lock = if asks {
        lock.let_go();
        None
    } else {
        Some(lock)
    };
    let accepted = match undo.consent(&members, accepted) {
        Ok(accepted) => accepted,
        Err(failure) => return undo.fail(&members, failure),
    };
    let (_lock, members) = match lock {
        Some(lock) => (lock, members),
        None => undo.again(&mut sources, &boot_id, wanted)?,
    };
    let order = Return {
        context,
        accepted: &accepted,
        asked: asks,
        timeout: Duration::from_secs(args.timeout),
        boot_id: &boot_id,
        unassign: args.unassign,
        act: &act,
    };
    undo.carry_out(&mut sources, members, &order)
}

fn nothing_known(wanted: Option<Sbdf>) -> Failure {
    let of = wanted.map(|sbdf| format!(" of {sbdf}")).unwrap_or_default();
    Failure::new(
        Exit::Refused,
        Code::NothingKnown,
        format!("nothing known to undo: the journal of this boot has no seizure{of} from a driver of dom0"),
        "`plan BDF` and `reattach BDF` return one function; a reboot is recommended",
    )
}

/// Hashes what a reviewer saw: the act and the plan of each function.
fn identity(act: &Act, members: &[Member]) -> String {
    let mut hash = Sha256::new();
    hash.update(format!("act {} {} {:?}\n", act.seq, act.time, act.qube));
    for member in members {
        let (plan, why) = (member.plan_id(), member.why());
        hash.update(format!("{} {} {plan} {why}\n", member.taken.bdf, member.taken.driver));
    }
    hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// One rollback: what it was called with, and what it found.
struct Undo<'a> {
    context: &'a Context,
    args: &'a RollbackArgs,
    act: &'a Act,
    id: &'a str,
}

impl Undo<'_> {
    /// Whether it can be given back, or is back and its assignment is to be taken back.
    fn is_to_do(&self, member: &Member) -> bool {
        member.fate == Fate::Open || (self.args.unassign && member.is_back_but_assigned(self.act))
    }

    /// Every function of it is refused.
    fn refuse(&self, members: &[Member]) -> Result<Exit, Failure> {
        self.show(members);
        let mut hints: Vec<&str> =
            members.iter().filter_map(|member| member.stop.map(HazardId::way_out)).collect();
        hints.dedup();
        hints.push("`show BDF` says more; a reboot is recommended");
        let failure = Failure::new(
            Exit::Refused,
            Code::Refused,
            "none of its functions can be given back now; nothing was changed",
            hints.join("; "),
        );
        self.fail(members, failure)
    }

    /// Ends with an error that carries what was found, so that a script can review it.
    fn fail(&self, members: &[Member], failure: Failure) -> Result<Exit, Failure> {
        if !self.context.json {
            return Err(failure);
        }
        let mut document = self.document(members, &[]);
        if let Some(object) = document.as_object_mut() {
            object.insert("error".to_owned(), json::failure(&failure));
            object.insert("exit".to_owned(), json!(failure.exit.status()));
            object.insert("outcome".to_owned(), json!(failure.code.word()));
        }
        crate::report::emit(&json::document("rollback", document))?;
        Ok(failure.exit)
    }

    /// Shows the act and what would become of each function.
    fn show(&self, members: &[Member]) {
        if self.context.json {
            return;
        }
        note(&act::block(self.act));
        for member in members {
            note(&member.line());
            if let Some(one) = member.assessed.as_ref().filter(|_| member.fate != Fate::Back) {
                note(hazards_block(&one.hazards).trim_end());
            }
        }
        note(&format!("Plan {}", self.id));
    }

    /// Gives back one function after the other: all, or as many as is safe.
    fn carry_out(
        &self,
        sources: &mut Sources,
        members: Vec<Member>,
        order: &Return<'_>,
    ) -> Result<Exit, Failure> {
        let mut signals = HeldSignals::hold();
        let mut endings = Vec::new();
        let mut members = members;
        let mut stopped = None;
        for member in &mut members {
            if !self.is_to_do(member) {
                endings.push(None);
                continue;
            }
            // Heard by whichever function was at work: it counts for all that follow.
            if stopped.is_none() && signals.came() {
                stopped = Some("a signal asked to end".to_owned());
            }
            if let Some(why) = &stopped {
                member.leave(format!("not begun: {why}"));
                endings.push(None);
                continue;
            }
            if !self.context.json {
                note(&member.line());
            }
            let ending = member.bring_back(order, sources, &mut signals);
            if let Some(ending) = &ending {
                // Where the kernel hangs or somebody else acts, the next function is not touched.
                if matches!(ending.exit, Exit::Hung | Exit::NotUndone | Exit::Io | Exit::JournalBroken) {
                    stopped = Some(format!("{} ended with {}", member.taken.bdf, ending.code.word()));
                }
                if !self.context.json {
                    note(ending_block(ending).trim_end());
                }
            }
            endings.push(ending);
        }
        self.answer(&members, endings)
    }

    /// The answer, and the exit status that sums it up.
    fn answer(&self, members: &[Member], endings: Vec<Option<Ending>>) -> Result<Exit, Failure> {
        let exit = sum(members, &endings);
        let mut document = self.document(members, &endings);
        let left: Vec<String> = members
            .iter()
            .filter(|member| !matches!(member.fate, Fate::Back | Fate::Returned))
            .map(|member| format!("{} ({})", member.taken.bdf, member.why()))
            .collect();
        let hint = "`show BDF` says what state each is in; a reboot is recommended";
        let failure = (exit != Exit::Done).then(|| {
            if let Some(ending) = unwritten(&endings).filter(|_| left.is_empty()) {
                // All are back; what the journal lacks is said of one.
                return Failure::new(exit, Code::Journal, ending.message.clone(), ending.hint.clone());
            }
            let message = format!("not given back: {}", left.join("; "));
            Failure::new(
                exit,
                if exit == Exit::Partly { Code::Partly } else { Code::NotReturned },
                message,
                hint,
            )
        });
        if self.context.json {
            let outcome = failure
                .as_ref()
                .map_or(if endings.is_empty() { "nothing" } else { "done" }, |it| it.code.word());
            if let Some(object) = document.as_object_mut() {
                object.insert("outcome".to_owned(), json!(outcome));
                object.insert("exit".to_owned(), json!(exit.status()));
                if let Some(failure) = &failure {
                    object.insert("error".to_owned(), json::failure(failure));
                }
            }
            crate::report::emit(&json::document("rollback", document))?;
            return Ok(exit);
        }
        if endings.is_empty() {
            note(&act::block(self.act));
            note("All of it is dom0's already; there is nothing to do");
        }
        for warning in self.warnings(members) {
            crate::report::warn(&warning);
        }
        if let Some(failure) = &failure {
            complain(failure);
        }
        Ok(exit)
    }

    /// What the next start of the qube would do.
    fn warnings(&self, members: &[Member]) -> Vec<String> {
        let mut takers = BTreeSet::new();
        for member in members.iter().filter(|member| matches!(member.fate, Fate::Back | Fate::Returned)) {
            match member.assigned() {
                // As it was before this run.
                Some(assigned) => {
                    let stays = |qube: &String| !(member.unassigned && self.act.may_be_for(qube));
                    takers.extend(assigned.into_iter().filter(stays));
                }
                None if member.fate == Fate::Returned && !member.unassigned => {
                    takers.insert(self.act.qube.clone().unwrap_or_else(|| "the qube".to_owned()));
                }
                None => {}
            }
        }
        let text = |qube| format!("as long as it is assigned to it, the next start of {qube} takes it again");
        takers.into_iter().map(text).collect()
    }

    fn document(&self, members: &[Member], endings: &[Option<Ending>]) -> Value {
        let functions: Vec<Value> = members
            .iter()
            .enumerate()
            .map(|(at, member)| member.value(endings.get(at).and_then(Option::as_ref)))
            .collect();
        json!({ "act": act::value(self.act), "plan": self.id, "functions": functions, "warnings": self.warnings(members) })
    }
}

/// One that was given back, and the journal lacks its end.
fn unwritten(endings: &[Option<Ending>]) -> Option<&Ending> {
    endings.iter().flatten().find(|ending| ending.code == Code::Done && ending.exit != Exit::Done)
}

/// All back: done, where the journal has it. Some: partly. None: as the first that was tried ended, or refused.
fn sum(members: &[Member], endings: &[Option<Ending>]) -> Exit {
    let good = |member: &&Member| matches!(member.fate, Fate::Back | Fate::Returned);
    if members.iter().all(|member| good(&member)) {
        return unwritten(endings).map_or(Exit::Done, |ending| ending.exit);
    }
    if members.iter().any(|member| member.fate == Fate::Returned || member.unassigned) {
        return Exit::Partly;
    }
    let ended = endings.iter().flatten().map(|ending| ending.exit).find(|exit| *exit != Exit::Done);
    ended.or_else(|| members.iter().find_map(|member| member.exit)).unwrap_or(Exit::Refused)
}
