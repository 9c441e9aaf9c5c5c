//! `audit report`: what a journal tells an auditor, on one page.

use super::timeline::{finished, holder};
use super::{device, failure, moment, no_records, shown, Context};
use crate::cli::audit::ReportArgs;
use crate::error::{Code, Exit, Failure};
use crate::journal::account::Account;
use crate::journal::timeline::TimelineFold;
use crate::journal::{Moment, PastRecord};
use crate::names::Sbdf;
use crate::report::account::{heading, html, row, text, Break, Told};
use crate::report::{emit, json, sentence, taken, warn};
use audit::{Against, Checkpoint, Query, Record, Verdict};
use std::io::{BufWriter, Write};
use std::ops::ControlFlow;
use std::path::Path;

/// The kinds of record that a report is made of.
const KINDS: [&str; 9] = ["recorder", "device", "stay", "qube", "lost", "op", "gap", "pruned", "moved"];
/// As many records of a repair, a prune or a move are told.
const MOST_BREAKS: usize = 100;

/// Writes the report, as text, as a page or as comma-separated values.
///
/// # Errors
/// There is no journal, it cannot be read, an argument is none, or the page cannot be written.
pub fn run(context: &Context, args: &ReportArgs) -> Result<Exit, Failure> {
    if context.json && (args.csv || args.html.is_some()) {
        return Err(Failure::usage("--json, --csv and --html are three forms", "ask for one of them"));
    }
    let asked = ReportRange::of(context, args)?;
    let read = |text: &String| Checkpoint::parse(text).map_err(|error| failure(&error));
    let against = Against {
        checkpoints: args.checkpoints.iter().map(read).collect::<Result<_, _>>()?,
        from: None,
        threads: None,
    };
    let verified = audit::verify(&context.journal, &against, &|_, _| ()).map_err(|error| failure(&error))?;
    let exit = match verified.verdict() {
        Verdict::Sound => Exit::Done,
        Verdict::TornTail => Exit::TornTail,
        Verdict::Altered => Exit::JournalBroken,
    };
    if args.csv {
        table(context, &asked)?;
        return Ok(exit);
    }
    let told = told(context, &asked, verified)?;
    match &args.html {
        Some(path) => write(path, &html(&told))?,
        None if context.json => emit(&json::document("audit-report", told.to_json()))?,
        None => emit(&text(&told))?,
    }
    Ok(exit)
}

/// What is asked for.
struct ReportRange {
    device: Option<Sbdf>,
    since: Option<Moment>,
    until: Option<Moment>,
}

impl ReportRange {
    fn of(context: &Context, args: &ReportArgs) -> Result<Self, Failure> {
        Ok(Self {
            device: args.device.as_deref().map(|text| device(context, text)).transpose()?,
            since: args.since.as_deref().map(moment).transpose()?,
            until: args.until.as_deref().map(moment).transpose()?,
        })
    }

    fn wants(&self, record: &Record) -> bool {
        let Some(time) = record.text("time").and_then(Moment::parse) else { return true };
        let in_time =
            self.since.is_none_or(|since| time >= since) && self.until.is_none_or(|until| time < until);
        let named = record.text("bdf").and_then(Sbdf::from_sysfs);
        in_time && (self.device.is_none() || named.is_none() || named == self.device)
    }
}

fn told(context: &Context, asked: &ReportRange, verified: audit::Report) -> Result<Told, Failure> {
    let mut story = TimelineFold::default();
    let mut account = Account::default();
    let mut breaks = Vec::new();
    let holder = holder(context);
    let skipped = each(context, &KINDS, &mut |record| {
        if let Some(record) = PastRecord::read(record) {
            story.take(record, asked.device);
        }
        if !asked.wants(record) {
            return;
        }
        match record.kind() {
            "op" => drop(account.take(record)),
            "gap" | "pruned" | "moved" if breaks.len() < MOST_BREAKS => breaks.push(Break {
                seq: record.seq(),
                time: record.text("time").and_then(Moment::parse),
                says: sentence::of_record(record),
            }),
            _ => {}
        }
    })?;
    account.finish();
    let drawn = finished(context, story, holder);
    let period = drawn.span.map(|(first, last)| (asked.since.unwrap_or(first), asked.until.unwrap_or(last)));
    if period.is_some_and(|(from, to)| to < from) {
        return Err(Failure::usage(
            "nothing lies between --since and --until",
            "give a --since before --until and within what `audit log` lists",
        ));
    }
    if skipped > 0 {
        warn(&no_records(skipped, ["", ""]));
    }
    let journal = context.shown_journal.clone().unwrap_or_else(|| shown(&context.journal));
    let device = asked.device;
    Ok(Told { journal, now: Moment::now(), period, verified, account, drawn, breaks, device })
}

/// Gives each record of these kinds; counts the lines that are not records.
fn each(context: &Context, kinds: &[&str], take: &mut dyn FnMut(&Record)) -> Result<u64, Failure> {
    let is = |kind: &&str| vec![(Some("kind".to_owned()), (*kind).to_owned())];
    let query = Query { any: kinds.iter().map(is).collect(), ..Query::default() };
    let skipped = audit::select(&context.journal, &query, &mut |line| {
        if let Some(record) = Record::parse(line) {
            take(&record);
        }
        ControlFlow::Continue(())
    })
    .map_err(|error| failure(&error))?;
    Ok(skipped.lines)
}

/// All operations, a line each, as they end.
fn table(context: &Context, asked: &ReportRange) -> Result<(), Failure> {
    let mut out = BufWriter::new(std::io::stdout().lock());
    let mut account = Account::default();
    let mut written = out.write_all(heading().as_bytes());
    let skipped = each(context, &["op"], &mut |record| {
        let ended = if asked.wants(record) { account.take(record) } else { None };
        if let (Some(ran), Ok(())) = (ended, &written) {
            written = out.write_all(row(&ran).as_bytes());
        }
    })?;
    for ran in account.finish() {
        written = written.and_then(|()| out.write_all(row(&ran).as_bytes()));
    }
    taken(written.and_then(|()| out.flush()))?;
    if skipped > 0 {
        warn(&no_records(skipped, ["", ""]));
    }
    Ok(())
}

/// Writes the page; `-` is stdout.
fn write(path: &Path, page: &str) -> Result<(), Failure> {
    if path.as_os_str() == "-" {
        return emit(page);
    }
    std::fs::write(path, page).map_err(|error| {
        let shown = shown(path);
        let hint = "give a file in a folder that you may write, or - for stdout";
        Failure::new(Exit::Io, Code::Page, format!("cannot write the page {shown}: {error}"), hint)
    })?;
    Ok(())
}
