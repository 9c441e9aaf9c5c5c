//! `plan`: the verdict, the steps and the equal commands; it changes nothing and
//! exits as `reattach` would.

use super::{Context, Purpose};
use crate::assess::{Case, HazardId, Verdict};
use crate::cli::PlanArgs;
use crate::consent::{to_accept, Accepted, Invocation, Review};
use crate::error::{Exit, Failure};
use crate::observe::exposure::is_for_root_alone;
use crate::observe::Sources;
use crate::plan::{id_of_all, Proposal};
use crate::report::text::wrapped;
use crate::report::{
    self, device_block, emit, hazards_block, json, next_block, no_qubes, plan_block, qubes_asked,
    reboot_block, unseen_block,
};
use crate::run::{takes_records, Unsettled};
use serde_json::{json, Value};
use std::rc::Rc;

/// Plans the return.
///
/// # Errors
/// There is no such device, this is no dom0, or something cannot be read.
pub fn run(context: &Context, args: &PlanArgs) -> Result<Exit, Failure> {
    let accepted = Accepted::parse(&args.accept)?;
    let wanted = context.wanted(&args.devices.device, Purpose::Look)?;
    let driver = Sources::driver(&context.root, args.driver.as_deref())?;
    let mut sources = Sources::open(&context.root)?;
    // Without root nobody could change anything; what only shows goes on.
    let lacking = sources.all_open().err().filter(|_| nix::unistd::geteuid().is_root());
    let dom0 = Rc::new(sources.observe()?);
    let unsettled = context.unsettled(&dom0);
    let named: Vec<_> = wanted.iter().map(|sbdf| (*sbdf, driver.clone())).collect();
    let mut proposals = Vec::new();
    for case in context.returns(&mut sources, &dom0, &named, &wanted)? {
        case.subject.is_known().map_err(|failure| lacking.clone().unwrap_or(failure))?;
        let verdict = unsettled.verdict(case.sbdf());
        proposals.push(Proposal::to_return(case.beside(verdict)));
    }
    if lacking.is_none() {
        takes_records(&context.journal)?;
        proposals.first().map_or(Ok(()), |one| one.case.past.is_usable())?;
        is_readable(&unsettled)?;
    }
    let called = context.called("reattach", &wanted, args.driver.as_ref());
    let cases: Vec<&Case> = proposals.iter().map(|one| &one.case).collect();
    let review = Review::of(&cases, &accepted);
    let answer = PlanAnswer {
        id: id_of_all(&proposals),
        accept: to_accept(&accepted, &review.missing),
        exit: exit(lacking.as_ref(), &unsettled, &cases, &review),
        proposals: &proposals,
        review,
        lacking,
    };
    let mut not_seen = dom0.unseen();
    not_seen.extend(cases.first().and_then(|case| case.past.unseen()));
    if context.json {
        let (pending, running) = report::unsettled(&unsettled);
        let members = json!({
            "accept": answer.review.acceptances(),
            "pending": pending,
            "running": running,
            "exit": answer.exit.status(),
            "qubes": qubes_asked(&dom0),
            "unseen": not_seen,
        });
        emit(&json::document("plan", json::with(members, answer.members())))?;
        return Ok(answer.exit);
    }
    let mut text = report::heading(dom0.by_root, &not_seen, &unsettled, &called.line("plan"));
    text.push_str(&answer.text(&called));
    text.push_str(&super::rollback::undoes_more(context, &dom0.boot_id, &cases));
    let no_qubes = no_qubes(&dom0);
    if !not_seen.is_empty() || !no_qubes.is_empty() {
        text.push('\n');
    }
    text.push_str(&no_qubes);
    text.push_str(&unseen_block(&not_seen));
    emit(&text)?;
    Ok(answer.exit)
}

/// Whether the journal says what is pending; without root a changing command would not come that far.
fn is_readable(unsettled: &Unsettled) -> Result<(), Failure> {
    match unsettled {
        Unsettled::Unknown(why) if !is_for_root_alone(why) => Err(why.clone()),
        _ => Ok(()),
    }
}

/// The status `reattach` would end with.
fn exit(lacking: Option<&Failure>, unsettled: &Unsettled, cases: &[&Case], review: &Review<'_>) -> Exit {
    if let Some(failure) = lacking {
        return failure.exit;
    }
    let any = |is: fn(&Verdict) -> bool| cases.iter().any(|case| is(&case.verdict));
    match unsettled {
        Unsettled::Pending { .. } => Exit::Pending,
        // Somebody else's turn: a return would wait, and then be refused.
        Unsettled::Running { .. } => Exit::Undone,
        _ if any(|verdict| matches!(verdict, Verdict::Refused(_))) => Exit::Refused,
        _ if any(|verdict| *verdict == Verdict::Unknown) => Exit::NotDom0,
        _ if !review.missing.is_empty() && any(|verdict| matches!(verdict, Verdict::Ask(_))) => Exit::Consent,
        _ => Exit::Done,
    }
}

struct PlanAnswer<'a> {
    proposals: &'a [Proposal],
    id: String,
    review: Review<'a>,
    /// What has to be accepted in all.
    accept: String,
    lacking: Option<Failure>,
    exit: Exit,
}

impl PlanAnswer<'_> {
    fn members(&self) -> Value {
        let one = |proposal: &Proposal| {
            let Proposal { case, plan } = proposal;
            json!({ "device": json::device(case), "plan": json::plan(plan, &case.reboot) })
        };
        match self.proposals {
            [proposal] => one(proposal),
            all => {
                let functions: Vec<Value> = all.iter().map(one).collect();
                json!({ "id": self.id, "functions": functions })
            }
        }
    }

    fn text(&self, called: &Invocation) -> String {
        let mut text = String::new();
        for proposal in self.proposals {
            text.push_str(&self.block(proposal));
            text.push('\n');
        }
        let asks = |proposal: &&Proposal| matches!(proposal.case.verdict, Verdict::Ask(_));
        let works = self.proposals.iter().any(|one| asks(&one))
            && self.proposals.iter().all(|one| asks(&one) || one.case.verdict == Verdict::Nothing);
        if self.lacking.is_none() && works {
            let what = if self.accept.is_empty() { "do it" } else { "take the risk" };
            text.push_str(&format!("To {what} in a script:\n"));
            text.push_str(&called.reviewed(&self.id, &self.accept));
            return text;
        }
        text.truncate(text.trim_end().len());
        text + "\n"
    }

    fn block(&self, proposal: &Proposal) -> String {
        let Proposal { case, plan } = proposal;
        let mut text = device_block(case);
        text.push('\n');
        if !case.hazards.is_empty() {
            text.push_str("Hazards\n");
            text.push_str(&hazards_block(&case.hazards));
            text.push('\n');
        }
        match (&self.lacking, &case.verdict) {
            (Some(failure), _) => {
                let why = format!("It would fail: {}; {}.", failure.message, failure.hint);
                text.push_str(&wrapped("", &why));
            }
            (None, Verdict::Nothing) => text.push_str("dom0 drives it; there is nothing to do.\n"),
            (None, Verdict::Refused(ids)) => text.push_str(&refused(case, ids)),
            (None, Verdict::Ask(_)) => {
                text.push_str(&wrapped("", &format!("Recommended: reboot; {}.", case.reboot.words())));
                text.push_str(&reboot_block(&case.reboot));
                text.push('\n');
                text.push_str(&plan_block(plan));
            }
            (None, Verdict::Unknown) => {
                let words = format!(
                    "What `reattach` would do rests on what only root sees: run this with sudo. What a \
                     reboot would do: {}.",
                    case.reboot.words()
                );
                text.push_str(&wrapped("", &words));
                text.push_str(&reboot_block(&case.reboot));
            }
            (None, Verdict::Pending) => {
                text.push_str("An operation on it was interrupted: run `recover` first.\n");
            }
            (None, Verdict::Running) => {
                text.push_str("An operation on it is running: plan again when it has ended.\n");
            }
        }
        text
    }
}

fn refused(case: &Case, ids: &[HazardId]) -> String {
    let way_out = ids.first().map_or("", |id| case.way_out(*id));
    let mut refused = format!("It would be refused: {}; {way_out}.", HazardId::list(ids));
    if !ids.contains(&HazardId::InUse) {
        refused.push_str(&format!(" What a reboot would do: {}.", case.reboot.words()));
    }
    wrapped("", &refused) + &reboot_block(&case.reboot) + &next_block(std::slice::from_ref(case))
}
