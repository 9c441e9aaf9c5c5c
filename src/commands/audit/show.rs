//! `audit show`: one operation, what was intended and what came of it; or one record with all its members.

use super::{failure, Context};
use crate::error::{Code, Exit, Failure};
use crate::journal::{OperationPhase, OperationRecord, StepName, StepPhase, StepRecord};
use crate::names::to_the_second;
use crate::report::text::wrapped;
use crate::report::{emit, json, sentence};
use audit::{Query, Record};
use serde_json::{json, Value};
use std::ops::ControlFlow;

/// Shows a record, an operation or a snapshot.
///
/// # Errors
/// There is no journal or no such operation or record, or it cannot be read.
pub fn run(context: &Context, what: &str) -> Result<Exit, Failure> {
    let records = of_operation(context, what)?;
    if !records.is_empty() {
        return operation(context, what, &records);
    }
    let lines = match what.parse::<u64>() {
        Ok(seq) => audit::numbered(&context.journal, seq).map_err(|error| failure(&error))?,
        Err(_) => Vec::new(),
    };
    let records: Vec<Record> = lines.iter().filter_map(|line| Record::parse(line)).collect();
    if records.is_empty() {
        let shown = crate::names::escape(what.as_bytes());
        let head = audit::head(&context.journal).ok();
        if what.parse::<u64>().is_ok_and(|seq| head.is_some_and(|head| seq <= head.head.seq)) {
            return Err(Failure::new(
                Exit::Usage,
                Code::NoSuchOperation,
                format!("record {shown} is not there as it was written: altered, removed or pruned"),
                "`audit verify` says what is wrong at its place",
            ));
        }
        return Err(Failure::new(
            Exit::Usage,
            Code::NoSuchOperation,
            format!("there is no operation and no record {shown}"),
            "run `audit log`, or `audit log -o records` for the numbers",
        ));
    }
    if context.json {
        let records: Vec<Value> =
            records.iter().map(|record| Value::Object(record.members().clone())).collect();
        emit(&json::document("audit-show", json!({ "records": records })))?;
    } else {
        emit(&records.iter().map(whole).collect::<String>())?;
    }
    Ok(Exit::Done)
}

fn of_operation(context: &Context, id: &str) -> Result<Vec<Record>, Failure> {
    let query = Query { values: vec![(Some("op".to_owned()), id.to_owned())], ..Query::default() };
    let mut records = Vec::new();
    audit::select(&context.journal, &query, &mut |line| {
        records.extend(Record::parse(line));
        ControlFlow::Continue(())
    })
    .map_err(|error| failure(&error))?;
    Ok(records)
}

/// One record with all its members, in the order of their names.
fn whole(record: &Record) -> String {
    let time = record.text("time").unwrap_or("").replace('T', " ");
    let mut text = format!("record {}, {}\n", record.seq(), time.trim_end_matches('Z'));
    text.push_str(&wrapped("", &sentence::of_record(record)));
    for (key, value) in record.members() {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        text.push_str(&wrapped(&format!("  {key:<12}"), &value));
    }
    text
}

fn operation(context: &Context, operation: &str, records: &[Record]) -> Result<Exit, Failure> {
    let unfinished = unfinished(records);
    if context.json {
        let members_of = |record: &Record| Value::Object(record.members().clone());
        let members = json!({
            "op": operation,
            "unfinished": unfinished.iter().map(|(step, _)| step.word()).collect::<Vec<_>>(),
            "finished": records.iter().any(is_end),
            "records": records.iter().map(members_of).collect::<Vec<_>>(),
        });
        emit(&json::document("audit-show", members))?;
        return Ok(Exit::Done);
    }
    let mut text = String::new();
    for (step, record) in &unfinished {
        let step = step.word();
        text.push_str(&format!(
            "UNFINISHED  {step}: it was intended at {}; nothing says what came of it\n",
            moment(record)
        ));
    }
    for record in records {
        text.push_str(&block(record));
    }
    emit(&text)?;
    Ok(Exit::Done)
}

fn is_end(record: &Record) -> bool {
    OperationRecord::read(record).is_some_and(|it| matches!(it.phase, OperationPhase::End { .. }))
}

/// The intents that no later record of the same step answers.
fn unfinished(records: &[Record]) -> Vec<(StepName, &Record)> {
    let mut open: Vec<(StepName, &Record)> = Vec::new();
    for record in records {
        let Some(StepRecord { step, phase, .. }) = StepRecord::read(record) else { continue };
        match phase {
            StepPhase::Intent => open.push((step, record)),
            _ => open.retain(|(intended, _)| *intended != step),
        }
    }
    open
}

/// The time of day, to the millisecond.
fn moment(record: &Record) -> &str {
    record.text("time").and_then(|time| time.get(11..23)).unwrap_or("")
}

fn block(record: &Record) -> String {
    let own = ["v", "prev", "seq", "time", "boot", "op", "kind", "hash", "step", "phase"];
    let what = match record.kind() {
        "step" => StepRecord::read(record)
            .map_or_else(String::new, |it| format!("{} {}", it.step.word(), it.phase.word())),
        kind => format!("{kind} {}", record.text("phase").unwrap_or("")),
    };
    let mut members = String::new();
    for (key, value) in record.members().iter().filter(|(key, _)| !own.contains(&key.as_str())) {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        members.push_str(&format!("{key}={value}  "));
    }
    let moment = if record.kind() == "op" {
        record.text("time").map(to_the_second).unwrap_or_default()
    } else {
        moment(record).to_owned()
    };
    wrapped(&format!("{:>7}  {moment:<19}  {what:<18} ", record.seq()), members.trim_end())
}
