//! `audit log`: what was done, one line an operation.

use super::{failure, Context};
use crate::audit_cli::{LogArgs, LogForm};
use crate::error::{Exit, Failure};
use crate::names::DeviceArgument;
use crate::report::{emit, sentence, warn};
use audit::{Operation, Query, Record, Skipped};
use std::io::{BufWriter, ErrorKind, Write};
use std::ops::ControlFlow;

/// How many operations are shown where nothing was asked for.
const NEWEST: usize = 25;

/// Runs it.
///
/// # Errors
/// There is no journal, it cannot be read, or a filter is none.
pub fn run(context: &Context, args: &LogArgs) -> Result<Exit, Failure> {
    let query = query(args)?;
    let form = args.output.unwrap_or(if context.json { LogForm::Raw } else { LogForm::Table });
    let skipped = if form == LogForm::Table {
        operations(context, args, &query)?
    } else {
        records(context, args, &query, form)?
    };
    if skipped.lines > 0 {
        warn(&format!("{} lines that match are no records: see `audit verify`", skipped.lines));
    }
    Ok(Exit::Done)
}

fn query(args: &LogArgs) -> Result<Query, Failure> {
    let mut values = Vec::new();
    if let Some(device) = &args.device {
        let Some(DeviceArgument::Address(address)) = DeviceArgument::parse(device) else {
            return Err(Failure::usage(
                format!("{} is no device", crate::names::escape(device.as_bytes())),
                "give it as 0000:00:1f.6",
            ));
        };
        values.push((None, address.to_string()));
    }
    let named = [("op", &args.op), ("kind", &args.kind)];
    values.extend(named.into_iter().filter_map(|(key, value)| Some((Some(key.to_owned()), value.clone()?))));
    for text in &args.matches {
        let Some((key, value)) = text.split_once('=') else {
            return Err(Failure::usage(
                format!("{} is no KEY=VALUE", crate::names::escape(text.as_bytes())),
                "see `audit log --help`",
            ));
        };
        values.push((Some(key.to_owned()), value.to_owned()));
    }
    Ok(Query { values, since: time(&args.since)?, until: time(&args.until)?, ..Query::default() })
}

/// A time as the journal writes it, or a beginning of one.
fn time(text: &Option<String>) -> Result<Option<String>, Failure> {
    let Some(text) = text else { return Ok(None) };
    let text = text.replace(' ', "T");
    let like = "0000-00-00T00:00:00.000000Z";
    let fits = text.len() >= 4
        && text.len() <= like.len()
        && text.bytes().zip(like.bytes()).all(|(byte, model)| {
            if model == b'0' {
                byte.is_ascii_digit()
            } else {
                byte == model
            }
        });
    if fits {
        Ok(Some(text))
    } else {
        Err(Failure::usage(
            format!("{} is no time", crate::names::escape(text.as_bytes())),
            "give it in UTC, as 2026-11-22T13:47",
        ))
    }
}

/// How many of the newest are wanted; `None` for all.
fn newest(args: &LogArgs, query: &Query, when_unfiltered: Option<usize>) -> Option<usize> {
    let filtered = !query.values.is_empty() || query.since.is_some() || query.until.is_some() || args.failed;
    match args.newest {
        Some(0) => None,
        Some(count) => Some(count),
        None if filtered => None,
        None => when_unfiltered,
    }
}

fn operations(context: &Context, args: &LogArgs, query: &Query) -> Result<Skipped, Failure> {
    let newest = newest(args, query, Some(NEWEST));
    let read = if args.failed { None } else { newest };
    let (mut found, skipped) =
        audit::operations(&context.journal, query, read).map_err(|error| failure(&error))?;
    if args.failed {
        found.retain(|operation| operation.id.is_some() && outcome(operation) != "done");
        let surplus = newest.map_or(0, |count| found.len().saturating_sub(count));
        found.drain(..surplus);
    }
    if args.reverse {
        found.reverse();
    }
    let mut text = String::new();
    for operation in &found {
        text.push_str(&line(operation));
    }
    if args.newest.is_none() && newest.is_some_and(|count| found.len() == count) {
        text.push_str(&format!("the newest {NEWEST}; -n 0 shows all\n"));
    }
    emit(&text)?;
    Ok(skipped)
}

/// One operation, or one record that belongs to none, on one line.
fn line(operation: &Operation) -> String {
    let Some(first) = Record::parse(&operation.first) else { return String::new() };
    let time = moment(&first);
    let device = first.text("bdf").unwrap_or("");
    if operation.id.is_none() {
        let what = summary(&first);
        return format!("{time}  {:<8}  {:<10} {device:<12}  {what}\n", "", first.kind())
            .trim_end()
            .to_owned()
            + "\n";
    }
    let id = operation.id.as_deref().unwrap_or("");
    let command = first.text("command").unwrap_or(first.kind());
    format!("{time}  {id:<8}  {command:<10} {device:<12}  {}\n", outcome(operation))
}

/// How an operation ended, as far as it got.
fn outcome(operation: &Operation) -> String {
    let Some(last) = Record::parse(&operation.last) else { return String::new() };
    match (last.kind(), last.text("phase")) {
        ("op", Some("end")) => last.text("outcome").unwrap_or("ended").to_owned(),
        (_, phase) => {
            let step =
                last.text("step").map(|step| format!(": {step} {}", phase.unwrap_or(""))).unwrap_or_default();
            format!("not finished{step}")
        }
    }
}

/// The time to the second, in UTC.
fn moment(record: &Record) -> String {
    record.text("time").and_then(|time| time.get(..19)).unwrap_or("").replace('T', " ")
}

/// What a record says, in a sentence that is cut to the line.
fn summary(record: &Record) -> String {
    console::truncate_str(&sentence::of_record(record), 60, "...").into_owned()
}

fn records(context: &Context, args: &LogArgs, query: &Query, form: LogForm) -> Result<Skipped, Failure> {
    let limit = newest(args, query, (form == LogForm::Records).then_some(NEWEST));
    let mut out = BufWriter::with_capacity(64 * 1024, std::io::stdout().lock());
    let mut kept: std::collections::VecDeque<Vec<u8>> = std::collections::VecDeque::new();
    let hold = limit.is_some() || args.reverse;
    let mut written: std::io::Result<()> = Ok(());
    let failed_only = |line: &[u8]| {
        !args.failed || Record::parse(line).is_some_and(|record| record.text("phase") == Some("failed"))
    };
    let skipped = audit::select(&context.journal, query, &mut |line| {
        if !failed_only(line) {
            return ControlFlow::Continue(());
        }
        if hold {
            if limit.is_some_and(|limit| kept.len() >= limit) {
                kept.pop_front();
            }
            kept.push_back(line.to_vec());
            return ControlFlow::Continue(());
        }
        written = print(&mut out, line, form);
        if written.is_err() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    })
    .map_err(|error| failure(&error))?;
    let mut print_kept = |line: &Vec<u8>| print(&mut out, line, form);
    let printed = if args.reverse {
        kept.iter().rev().try_for_each(&mut print_kept)
    } else {
        kept.iter().try_for_each(&mut print_kept)
    };
    match written.and(printed).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(Failure::new(
            Exit::Io,
            "stdout",
            format!("cannot write to stdout: {error}"),
            "free space where the output goes",
        )),
        _ => Ok(skipped),
    }
}

fn print(out: &mut impl Write, line: &[u8], form: LogForm) -> std::io::Result<()> {
    if form == LogForm::Raw {
        out.write_all(line)?;
        return out.write_all(b"\n");
    }
    let Some(record) = Record::parse(line) else { return Ok(()) };
    let (id, device) = (record.text("op").unwrap_or(""), record.text("bdf").unwrap_or(""));
    writeln!(
        out,
        "{:>7} {}  {id:<8}  {:<8} {device:<12}  {}",
        record.seq(),
        moment(&record),
        record.kind(),
        summary(&record)
    )
}
