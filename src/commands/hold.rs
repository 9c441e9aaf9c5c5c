//! `hold`: give a function to pciback, quarantined.

use super::assessed::gone;
use super::operation::{carry_out, nothing_pending, nothing_to_do, open_all, started};
use super::Context;
use crate::assess::{of_hold, state_of, stops, HazardId, Severity};
use crate::cli::HoldArgs;
use crate::consent::Accepted;
use crate::error::{Code, Exit, Failure};
use crate::names::Standing;
use crate::observe::Sources;
use crate::plan::plan_hold;
use crate::run::{new_operation_id, Order, Record};
use crate::system::lock::OperationLock;
use std::time::Duration;

/// Runs it.
///
/// # Errors
/// It is refused or not possible here; nothing was changed.
pub fn run(context: &Context, args: &HoldArgs) -> Result<Exit, Failure> {
    let sbdf = Sources::find(&context.root, &args.device)?;
    context.must_be_root()?;
    let mut sources = open_all(context)?;
    let _lock = OperationLock::take(&context.root, "hold")?;
    let dom0 = sources.observe()?;
    let mut function = dom0.functions.get(&sbdf).cloned().ok_or_else(|| gone(sbdf))?;
    function.serial = sources.serial(sbdf);
    let function = &function;
    let state = state_of(&dom0, function);
    let hazards = of_hold(&dom0, function, &state, &sources.dom0_uses(function)?);
    let plan = plan_hold(&dom0, function, &state, &hazards);
    let mut record = Record::open(&context.journal, &dom0.boot_id, new_operation_id(&sources)?)?;
    nothing_pending(context)?;
    if let Some(stop) = hazards.iter().find(|hazard| hazard.severity == Severity::Stop) {
        return Err(Failure::new(
            Exit::Refused,
            Code::Stop(stop.id.word()),
            format!(
                "refused ({}): {}: {}; nothing was changed",
                HazardId::list(&stops(&hazards)),
                stop.sentence,
                stop.evidence
            ),
            stop.id.way_out(),
        ));
    }
    if plan.steps.is_empty() {
        return nothing_to_do(context, "hold", sbdf, &state);
    }
    let start = Standing::observed(&dom0, function).ok_or_else(|| gone(sbdf))?;
    record.start(sbdf, started(context, "hold", function, &start, &state));
    let accepted = Accepted::default();
    let order = Order {
        function,
        start,
        plan: &plan,
        accepted: &accepted,
        known_rom: None,
        qubes: dom0.qubes_said(),
        timeout: Duration::from_secs(args.timeout),
    };
    carry_out(context, "hold", &mut sources, order, record, |operation| operation.hold())
}
