//! `rollback`: undo a misattachment, every function of it.

mod act;
mod consent;
mod member;

use super::{Context, Purpose};
use crate::assess::{Case, HazardId, Verdict};
use crate::cli::RollbackArgs;
use crate::consent::{is_reviewed, Accepted, Asked, Review};
use crate::error::{Code, Exit, Failure};
use crate::journal::{Consent, Misattachment};
use crate::names::{hex, Sbdf};
use crate::observe::Sources;
use crate::report::text::wrapped;
use crate::report::{
    closing, common_hazards, complain, ending_block, json, note, reboot_block, reboot_instead, show,
};
use crate::run::{can_unassign, new_operation_ids, sum, Aim, Ended, Order, Task, Turn, Writer};
use crate::system::signals::HeldSignals;
use consent::Consented;
use member::{Member, MemberFate};
use serde_json::{json, Value};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;

/// Undoes it.
///
/// # Errors
/// Nothing is known to undo, it is refused, not consented to, or not possible here; nothing was changed.
pub fn run(context: &Context, args: &RollbackArgs) -> Result<Exit, Failure> {
    let accepted = Accepted::parse(&args.accept)?;
    let wanted = args.device.as_deref().map(|text| context.find_one(text, Purpose::Return)).transpose()?;
    context.must_be_root()?;
    let mut sources = context.open_all()?;
    if args.unassign {
        can_unassign(&sources)?;
    }
    let mut turn = Turn::take(&context.root, &context.journal, "rollback")?;
    turn.is_free(&sources)?;
    let boot_id = crate::observe::boot_id(&context.root)?;
    let act = act::find(context, &boot_id, wanted)?.ok_or_else(|| nothing_known(wanted))?;
    let members = member::assess(context, &mut sources, &act)?;
    let id = identity(&act, &members);
    let undo = Undo { context, args, act: &act, id: &id };
    is_reviewed(args.plan_id.as_deref(), &id, ": run `rollback` without --plan")?;
    let is_to_do = members.iter().any(|member| undo.is_to_do(member));
    if !is_to_do && members.iter().all(|member| member.fate == MemberFate::Back) {
        return undo.answer(&members, &[]);
    }
    if !is_to_do {
        return undo.refuse(&members);
    }
    let cases: Vec<&Case> = open(&members).filter_map(Member::case).collect();
    let review = Review::of(&cases, &accepted);
    // A person thinks as long as they like: others need not wait, and what may change in that time is looked
    // at again.
    let asked = undo.asks(&review);
    if asked {
        turn.give_back();
    }
    let accepted = match undo.consent(&members, &review, accepted) {
        Consented::Accepted(accepted) => accepted,
        Consented::Left(Asked::Reboot) => {
            show(&reboot_instead(&cases));
            return Ok(Exit::Consent);
        }
        Consented::Left(_) => {
            show("Nothing was changed.\n");
            return Ok(Exit::Consent);
        }
        Consented::Wanting(failure) => return undo.fail(&members, &review, failure),
    };
    if turn.take_again()? {
        undo.still_holds(&mut sources, &boot_id, wanted)?;
    }
    undo.carry_out(&mut sources, members, &accepted, asked)
}

/// The command that undoes more than the return of these devices: what was taken from dom0 together with the
/// first of them that waits for its return. Empty where nothing was, or the journal does not tell.
#[must_use]
pub fn undoes_more(context: &Context, boot_id: &str, cases: &[&Case]) -> String {
    let waits = |case: &&&Case| matches!(case.verdict, Verdict::Ask(_));
    let Some(sbdf) = cases.iter().find(waits).map(|case| case.sbdf()) else { return String::new() };
    let found = act::find(context, boot_id, Some(sbdf)).ok().flatten();
    let others = found.map_or(0, |act| act.taken.len().saturating_sub(1));
    let others = match others {
        0 => return String::new(),
        1 => "another device".to_owned(),
        more => format!("{more} other devices"),
    };
    let why = format!("{sbdf} was taken from dom0 together with {others}. To undo all of that:");
    format!("\n{}  sudo qubes-dom0-pci rollback {sbdf}\n", wrapped("", &why))
}

/// All that can be given back.
fn open(members: &[Member]) -> impl Iterator<Item = &Member> {
    members.iter().filter(|member| member.fate == MemberFate::Open)
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
fn identity(act: &Misattachment, members: &[Member]) -> String {
    let mut hash = Sha256::new();
    hash.update(format!("act {} {} {:?}\n", act.seq, act::time(act), act.qube));
    for member in members {
        let (plan, why) = (member.plan_id(), member.why());
        hash.update(format!("{} {} {plan} {why}\n", member.taken.bdf, member.taken.driver));
    }
    hex(&hash.finalize()).chars().take(16).collect()
}

/// One rollback: what it was called with, and what it found.
struct Undo<'a> {
    context: &'a Context,
    args: &'a RollbackArgs,
    act: &'a Misattachment,
    id: &'a str,
}

impl Undo<'_> {
    /// Whether it can be given back, or is back and its assignment is to be taken back.
    fn is_to_do(&self, member: &Member) -> bool {
        member.fate == MemberFate::Open || (self.args.unassign && member.is_back_but_assigned(self.act))
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
            "none of its functions can be given back now",
            hints.join("; "),
        )
        .untouched();
        self.fail(members, &Review::of(&[], &Accepted::default()), failure)
    }

    /// Ends with an error that carries what was found, so that a script can review it.
    fn fail(&self, members: &[Member], review: &Review<'_>, failure: Failure) -> Result<Exit, Failure> {
        if !self.context.json {
            return Err(failure);
        }
        let more = json!({
            "accept": review.acceptances(),
            "error": json::failure(&failure),
            "exit": failure.exit.status(),
            "outcome": failure.code.word(),
        });
        let document = json::with(self.document(members, &[]), more);
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
        }
        let cases: Vec<&Case> = members
            .iter()
            .filter(|member| member.fate != MemberFate::Back)
            .filter_map(Member::case)
            .collect();
        note(common_hazards(&cases).trim_end());
        note(&reboots(&cases));
        note(&format!("Plan {}", self.id));
    }

    /// Gives the functions back as one operation: all, or as many as is safe.
    fn carry_out(
        &self,
        sources: &mut Sources,
        mut members: Vec<Member>,
        accepted: &Accepted,
        asked: bool,
    ) -> Result<Exit, Failure> {
        let mut tasks = Vec::new();
        let ids = new_operation_ids(sources, members.len())?;
        for (member, id) in members.iter().zip(ids).filter(|(member, _)| self.is_to_do(member)) {
            let Some(proposal) = &member.proposal else { continue };
            let (case, plan) = (&proposal.case, &proposal.plan);
            let mut writer = Writer::open(&self.context.journal, &case.dom0.boot_id, id)?;
            let consent = Consent {
                plan: plan.id.clone(),
                act: Some(i64::try_from(self.act.seq).unwrap_or(-1)),
                accepted: accepted.words().to_vec(),
                asked,
            };
            writer.start(&self.context.root, "rollback", case, Some(consent));
            let order = Order::of(case, plan, accepted, self.args.timeout.duration())?;
            tasks.push(Task { order, writer, aim: self.aim(member) });
        }
        let mut against = |sources: &mut Sources, sbdf: Sbdf| {
            let now = member::assess(self.context, sources, self.act);
            self.against(now, sbdf, accepted)
        };
        let mut signals = HeldSignals::hold();
        let ended = self.context.carry_out(sources, tasks, &mut signals, &mut against);
        for member in &mut members {
            if let Some((_, ended)) = ended.iter().find(|(sbdf, _)| *sbdf == member.taken.bdf) {
                member.ends(ended, self.args.unassign);
            }
        }
        self.answer(&members, &ended)
    }

    fn aim(&self, member: &Member) -> Aim<'_> {
        let only = self.act.qube.as_deref();
        match (&member.fate, self.args.unassign) {
            (MemberFate::Back, _) => Aim::Unassign(only),
            (_, true) => Aim::ReturnUnassigned(only),
            (_, false) => Aim::Return,
        }
    }

    /// What speaks against going on with one: those before it took time, and changed its siblings.
    fn against(&self, now: Result<Vec<Member>, Failure>, sbdf: Sbdf, accepted: &Accepted) -> Option<String> {
        let now = match now {
            Ok(now) => now,
            Err(failure) => return Some(failure.message),
        };
        let member = now.into_iter().find(|member| member.taken.bdf == sbdf)?;
        if let MemberFate::Left(why) = &member.fate {
            return Some(why.clone());
        }
        let hazards = member.case().filter(|_| member.fate == MemberFate::Open)?;
        let missing: Vec<String> =
            accepted.missing(&hazards.hazards).iter().map(|hazard| hazard.acceptance()).collect();
        (!missing.is_empty()).then(|| format!("new since it was reviewed: {}", missing.join(", ")))
    }

    /// The answer, and the exit status that sums it up.
    fn answer(&self, members: &[Member], ended: &[(Sbdf, Ended)]) -> Result<Exit, Failure> {
        let exit = exit_of(members, ended);
        let failure = failure_of(exit, members, ended);
        if self.context.json {
            let outcome = failure
                .as_ref()
                .map_or(if ended.is_empty() { "nothing" } else { "done" }, |it| it.code.word());
            let sum = json!({ "outcome": outcome, "exit": exit.status() });
            let members = json::with(self.document(members, ended), sum);
            let members = json::with(members, failure.as_ref().map_or(json!({}), json::error));
            crate::report::emit(&json::document("rollback", members))?;
            return Ok(exit);
        }
        if ended.is_empty() {
            note(&act::block(self.act));
            note("All of it is dom0's already; there is nothing to do");
        }
        for member in members.iter().filter(|_| !ended.is_empty()) {
            note(&member.line());
            if let Some(ending) = member.ending(ended) {
                let block = member
                    .case()
                    .map_or_else(|| ending_block(ending), |case| closing("rollback", case, ending));
                note(block.trim_end());
            }
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
        for member in
            members.iter().filter(|member| matches!(member.fate, MemberFate::Back | MemberFate::Returned))
        {
            match member.assigned() {
                // As it was before this run.
                Some(assigned) => {
                    let stays = |qube: &String| !(member.unassigned && self.act.may_be_for(qube));
                    takers.extend(assigned.into_iter().filter(stays));
                }
                None if member.fate == MemberFate::Returned && !member.unassigned => {
                    takers.insert(self.act.qube.clone().unwrap_or_else(|| "the qube".to_owned()));
                }
                None => {}
            }
        }
        let text = |qube| format!("as long as it is assigned to it, the next start of {qube} takes it again");
        takers.into_iter().map(text).collect()
    }

    fn document(&self, members: &[Member], ended: &[(Sbdf, Ended)]) -> Value {
        let functions: Vec<Value> = members.iter().map(|member| member.value(member.ending(ended))).collect();
        json!({
            "act": act::value(self.act),
            "plan": self.id,
            "functions": functions,
            "warnings": self.warnings(members),
        })
    }
}

/// What a reboot would do instead, of each function, and the one edit that makes it return all.
fn reboots(cases: &[&Case]) -> String {
    let mut text = String::new();
    for case in cases {
        text.push_str(&wrapped(
            "",
            &format!("Recommended for {}: reboot; {}.", case.sbdf(), case.reboot.words()),
        ));
    }
    text.extend(cases.iter().map(|case| reboot_block(&case.reboot)));
    text.trim_end().to_owned()
}

/// Why not all of it is dom0's now, or not by the journal.
fn failure_of(exit: Exit, members: &[Member], ended: &[(Sbdf, Ended)]) -> Option<Failure> {
    if exit == Exit::Done {
        return None;
    }
    let left: Vec<String> = members
        .iter()
        .filter(|member| !member.is_good())
        .map(|member| format!("{} ({})", member.taken.bdf, member.why()))
        .collect();
    if left.is_empty() {
        // All are back; what the journal lacks is said of one.
        let lacking =
            ended.iter().filter_map(|(_, ended)| ended.ending()).find(|it| it.exit != Exit::Done)?;
        return Some(Failure { code: Code::Journal, ..lacking.failure() });
    }
    let code = if exit == Exit::Partly { Code::Partly } else { Code::NotReturned };
    let hint = "`show BDF` says what state each is in; a reboot is recommended";
    Some(Failure::new(exit, code, format!("not given back: {}", left.join("; ")), hint))
}

/// The status of what was tried; what was left alone counts as refused.
fn exit_of(members: &[Member], ended: &[(Sbdf, Ended)]) -> Exit {
    let tried = sum(ended.iter().map(|(_, ended)| Some(ended)));
    let all_good = members.iter().all(Member::is_good);
    match tried {
        Exit::Done if all_good => Exit::Done,
        Exit::Hung | Exit::NotUndone => tried,
        _ if all_good => tried,
        _ if ended.iter().any(|(_, ended)| ended.is_done()) => Exit::Partly,
        Exit::Done => Exit::Refused,
        other => other,
    }
}
