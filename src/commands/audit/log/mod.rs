//! `audit log`: what was done and what happened, a line each, the newest last.

mod filter;
mod follow;
mod shown;

use super::{failure, Context};
use crate::audit_cli::{LogArgs, LogForm};
use crate::error::{Exit, Failure};
use crate::report::{taken, warn};
use audit::{Query, Record, Skipped};
use std::collections::VecDeque;
use std::io::{BufWriter, Write};
use std::ops::ControlFlow;

/// How many are shown where nothing was asked for.
const NEWEST: usize = 25;

/// Runs it.
///
/// # Errors
/// There is no journal, it cannot be read, or a filter is none.
pub fn run(context: &Context, args: &LogArgs) -> Result<Exit, Failure> {
    if context.json && args.output.is_some_and(|form| form != LogForm::Raw) {
        return Err(Failure::usage(
            "--json prints records as they are, no table",
            "leave out --json or --output",
        ));
    }
    let query = filter::query(context, args)?;
    let form = args.output.unwrap_or(if context.json { LogForm::Raw } else { LogForm::Table });
    let skipped = match form {
        _ if args.follow => follow::run(context, args, &query, form)?,
        LogForm::Table => operations(context, args, &query)?,
        LogForm::Records | LogForm::Raw => records(context, args, &query, form)?,
    };
    if skipped.lines > 0 {
        let lines = if skipped.lines == 1 {
            "1 line that matches is no record".to_owned()
        } else {
            format!("{} lines that match are no records", skipped.lines)
        };
        warn(&format!("{lines}: see `audit verify`"));
    }
    Ok(Exit::Done)
}

/// How many of the newest are wanted; `None` for all.
fn newest(args: &LogArgs, query: &Query, when_unfiltered: Option<usize>) -> Option<usize> {
    let filtered = !query.values.is_empty()
        || !query.any.is_empty()
        || query.since.is_some()
        || query.until.is_some()
        || args.failed;
    match args.limit {
        Some(0) => None,
        Some(count) => Some(count),
        None if filtered => None,
        None => when_unfiltered,
    }
}

fn operations(context: &Context, args: &LogArgs, query: &Query) -> Result<Skipped, Failure> {
    let newest = newest(args, query, Some(NEWEST));
    let read = if args.failed { None } else { newest };
    let mut out = BufWriter::with_capacity(64 * 1024, std::io::stdout().lock());
    let mut written: std::io::Result<()> = Ok(());
    let mut kept: VecDeque<String> = VecDeque::new();
    let hold = args.reverse || args.failed && newest.is_some();
    let mut count = 0;
    let skipped = audit::operations(&context.journal, query, read, &mut |operation| {
        if args.failed && (operation.id.is_none() || shown::outcome(operation) == "done") {
            return ControlFlow::Continue(());
        }
        count += 1;
        let text = shown::operation(operation);
        if hold {
            if newest.is_some_and(|most| kept.len() >= most) {
                kept.pop_front();
            }
            kept.push_back(text);
            return ControlFlow::Continue(());
        }
        written = out.write_all(text.as_bytes());
        if written.is_err() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    })
    .map_err(|error| failure(&error))?;
    if count == 0 {
        warn("nothing matches");
    }
    if args.reverse {
        kept.make_contiguous().reverse();
    }
    if args.limit.is_none() && newest == Some(count) {
        kept.push_back(format!("the newest {NEWEST}; -n 0 shows all\n"));
    }
    let mut printed =
        || kept.iter().try_for_each(|text| out.write_all(text.as_bytes())).and_then(|()| out.flush());
    taken(written.and_then(|()| printed()))?;
    Ok(skipped)
}

fn records(context: &Context, args: &LogArgs, query: &Query, form: LogForm) -> Result<Skipped, Failure> {
    let limit = newest(args, query, (form == LogForm::Records).then_some(NEWEST));
    let mut out = BufWriter::with_capacity(64 * 1024, std::io::stdout().lock());
    let mut kept: VecDeque<Vec<u8>> = VecDeque::new();
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
    taken(written.and(printed).and_then(|()| out.flush()))?;
    Ok(skipped)
}

fn print(out: &mut impl Write, line: &[u8], form: LogForm) -> std::io::Result<()> {
    if form == LogForm::Raw {
        out.write_all(line)?;
        return out.write_all(b"\n");
    }
    let Some(record) = Record::parse(line) else { return Ok(()) };
    let text = if form == LogForm::Records { shown::numbered(&record) } else { shown::record(&record) };
    out.write_all(text.as_bytes())
}
