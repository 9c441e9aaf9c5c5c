//! Records and operations as lines of a table: when, which function, what.

use crate::journal::{OperationPhase, OperationRecord, StepPhase, StepRecord};
use crate::names::to_the_second;
use crate::report::sentence;
use crate::report::text::wrapped;
use audit::{Operation, Record};
use console::style;

/// One operation, or one record that belongs to none.
pub fn operation(operation: &Operation) -> String {
    let Some(first) = Record::parse(&operation.first) else { return String::new() };
    let Some(id) = operation.id.as_deref() else { return record(&first) };
    let outcome = outcome(operation);
    let command = first.text("command").unwrap_or(first.kind());
    row(&first, &format!("{command}: {outcome} ({id})"), outcome != "done")
}

/// One record.
pub fn record(record: &Record) -> String {
    let operation = record.text("op").map(|id| format!(" ({id})")).unwrap_or_default();
    let failed = record.kind() == "lost" || StepPhase::of(record) == Some(StepPhase::Failed);
    let says = Some(sentence::of_record(record)).filter(|says| !says.is_empty());
    row(record, &(says.unwrap_or_else(|| record.kind().to_owned()) + &operation), failed)
}

/// One record with its number and its kind.
pub fn numbered(record: &Record) -> String {
    let operation = record.text("op").map(|id| format!(" ({id})")).unwrap_or_default();
    let says = format!("{}: {}{operation}", record.kind(), sentence::of_record(record));
    let first = format!("{:>7} {}  {:<12}  ", record.seq(), moment(record), record.text("bdf").unwrap_or(""));
    wrapped(&first, &says)
}

fn row(record: &Record, says: &str, loud: bool) -> String {
    let first = format!("{}  {:<12}  ", moment(record), record.text("bdf").unwrap_or(""));
    let text = wrapped(&first, says);
    if loud {
        style(text.trim_end()).red().to_string() + "\n"
    } else {
        text
    }
}

/// How an operation ended, as far as it got.
pub fn outcome(operation: &Operation) -> String {
    let Some(last) = Record::parse(&operation.last) else { return String::new() };
    if let Some(OperationRecord { phase: OperationPhase::End { outcome, .. }, .. }) =
        OperationRecord::read(&last)
    {
        return if outcome.is_empty() { "ended".to_owned() } else { outcome };
    }
    let step = StepRecord::read(&last).map(|it| format!(": {} {}", it.step.word(), it.phase.word()));
    format!("not finished{}", step.unwrap_or_default())
}

/// The time to the second, in UTC.
fn moment(record: &Record) -> String {
    record.text("time").map(to_the_second).unwrap_or_default()
}
