//! `audit timeline`: who had which function when, as a picture.

use super::{boot, device, failure, moment, no_records, Context};
use crate::cli::audit::TimelineArgs;
use crate::error::{Exit, Failure};
use crate::journal::coverage::Point;
use crate::journal::timeline::{StaySpan, Timeline, TimelineFold};
use crate::journal::{Moment, PastRecord, Uptime};
use crate::names::Sbdf;
use crate::report::timeline::{picture, TimelineView};
use crate::report::{emit, json, warn};
use crate::system::lock::RecorderMark;
use audit::{Query, Record};
use serde_json::{json, Value};
use std::ops::ControlFlow;

/// The kinds of record a picture is drawn from.
const KINDS: [&str; 6] = ["recorder", "device", "stay", "qube", "lost", "op"];

/// Draws the timeline.
///
/// # Errors
/// There is no journal, it cannot be read, or an argument is none.
pub fn run(context: &Context, args: &TimelineArgs) -> Result<Exit, Failure> {
    let wanted = args.device.as_deref().map(|text| device(context, text)).transpose()?;
    let since = args.since.as_deref().map(moment).transpose()?;
    let until = args.until.as_deref().map(moment).transpose()?;
    let (story, skipped) = story(context, wanted)?;
    let Some((first, last)) = story.span else {
        emit(&if context.json {
            document(context, &story, None)
        } else {
            "nothing is told yet\n".to_owned()
        })?;
        return Ok(Exit::Done);
    };
    let (from, to) = (since.unwrap_or(first), until.unwrap_or(last));
    if to <= from && (since.is_some() || until.is_some()) {
        return Err(Failure::usage(
            format!("nothing lies between {from} and {to}"),
            "give a --since before --until and within what `audit log` lists",
        ));
    }
    let view = TimelineView {
        from,
        to: to.max(from.after(1)),
        width: usize::from(args.width),
        device: wanted,
        colours: console::colors_enabled(),
    };
    if context.json {
        emit(&document(context, &story, Some(&view)))?;
    } else {
        emit(&(picture(&story, &view).join("\n") + "\n"))?;
    }
    if skipped > 0 {
        warn(&no_records(skipped, ["", ""]));
    }
    Ok(Exit::Done)
}

/// Reads what the picture needs. How much that is depends on the history, not on the operations' steps.
fn story(context: &Context, wanted: Option<Sbdf>) -> Result<(Timeline, u64), Failure> {
    let is = |key: &str, value: &str| (Some(key.to_owned()), value.to_owned());
    // Of the others' records nothing is needed: they are not even parsed.
    let of_kind = |kind: &str| match wanted.filter(|_| ["device", "stay"].contains(&kind)) {
        Some(bdf) => vec![is("kind", kind), is("bdf", &bdf.to_string())],
        None => vec![is("kind", kind)],
    };
    let query = Query { any: KINDS.map(of_kind).to_vec(), ..Query::default() };
    let mut story = TimelineFold::default();
    let holder = holder(context);
    let skipped = audit::select(&context.journal, &query, &mut |line| {
        if let Some(record) = Record::parse(line).as_ref().and_then(PastRecord::read) {
            story.take(record, wanted);
        }
        ControlFlow::Continue(())
    })
    .map_err(|error| failure(&error))?;
    Ok((finished(context, story, holder), skipped.lines))
}

/// The run of the recorder that hears now. Ask before the journal is read: a recorder that ends while it is
/// read may have missed something.
pub(super) fn holder(context: &Context) -> Option<String> {
    RecorderMark::holder(&context.root)
}

/// Ends the story: in the boot that still runs, what is open lasts to now, if the same recorder still
/// hears.
pub(super) fn finished(context: &Context, story: TimelineFold, holder: Option<String>) -> Timeline {
    let runs = story.boot().is_some_and(|told| told == boot(context));
    let now = runs.then(|| Point { time: Moment::now(), up: Uptime::now() });
    let holder = holder.filter(|run| runs && RecorderMark::holder(&context.root).as_ref() == Some(run));
    story.finish(now, holder.as_deref())
}

fn document(context: &Context, story: &Timeline, view: Option<&TimelineView>) -> String {
    let stay = |it: &StaySpan| {
        json!({
            "qube": &*it.qube,
            "label": &*it.label,
            "from": it.from.to_string(),
            "to": it.to.to_string(),
            "begun": it.begun,
            "ended": it.ended,
            "at_latest": it.at_latest,
            "imported": it.imported,
        })
    };
    let lanes: Vec<Value> = story
        .lanes
        .iter()
        .filter(|(bdf, _)| view.and_then(|view| view.device).is_none_or(|wanted| wanted == **bdf))
        .map(|(bdf, lane)| {
            let stays: Vec<Value> = lane.stays.iter().map(stay).collect();
            json!({ "bdf": bdf.to_string(), "stays": stays })
        })
        .collect();
    let gaps = view.map(|view| story.shown.gaps(view.from, view.to)).unwrap_or_default();
    let pair = |(from, to): &(Moment, Moment)| json!({ "from": from.to_string(), "to": to.to_string() });
    let boot = |(from, boot): &(Moment, String)| json!({ "boot": boot, "from": from.to_string() });
    let members = json!({
        "input": context.shown_journal,
        "from": view.map(|view| view.from.to_string()),
        "to": view.map(|view| view.to.to_string()),
        "lanes": lanes,
        "not_recorded": gaps.iter().map(pair).collect::<Vec<_>>(),
        "boots": story.boots.iter().map(boot).collect::<Vec<_>>(),
        "operations": story.operations.iter().map(|it| json!({
            "op": it.id,
            "time": it.time.to_string(),
            "command": it.command,
            "bdf": it.bdf.map(|bdf| bdf.to_string()),
            "outcome": it.outcome,
        })).collect::<Vec<_>>(),
    });
    json::document("audit-timeline", members)
}
