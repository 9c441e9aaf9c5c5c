//! Records by operation, as a log shows them: each operation once, with its first and its last record.
#![forbid(unsafe_code)]

use std::collections::{HashMap, VecDeque};
use std::ops::ControlFlow;
use std::path::Path;

use memchr::memmem;

use crate::error::Result;
use crate::query::{backwards, operation_of, select_in, Query, Skipped};
use crate::record::whole;
use crate::snapshot::Snapshot;

/// An operation, or a record that belongs to none: one line of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// The id; none for a single record.
    pub id: Option<String>,
    /// The line of the first record.
    pub first: Vec<u8>,
    /// The line of its last record.
    pub last: Vec<u8>,
    /// How many records it has.
    pub records: u64,
}

/// So many groups are kept whole where all are wanted, some 4 MiB.
const FEW: usize = 4096;

type Each<'a> = &'a mut dyn FnMut(&Operation) -> ControlFlow<()>;

/// Gives the wanted records, grouped by operation, in the order in which the operations began. With
/// `newest`, only that many, and where nothing has to be searched for, read from the end: how long the
/// journal is does not matter. Without it, and where they are many, the journal is read again, and only the
/// operations' ends are kept meanwhile.
///
/// # Errors
/// As [`select`](crate::select).
pub fn operations(path: &Path, query: &Query, newest: Option<usize>, each: Each<'_>) -> Result<Skipped> {
    let snapshot = Snapshot::take(path)?;
    let query = Query { with_operation: true, ..query.clone() };
    match newest {
        Some(most) => latest(&snapshot, &query, most, each),
        None => every(&snapshot, &query, each),
    }
}

fn every(snapshot: &Snapshot, query: &Query, each: Each<'_>) -> Result<Skipped> {
    // Few are kept whole: a search that finds little reads the journal once.
    let mut few = Newest::of(FEW);
    let skipped = select_in(snapshot, query, &mut |line| few.add(line))?;
    if few.before == 0 {
        let _ = few.list.iter().try_for_each(each);
        return Ok(skipped);
    }
    let mut ends = Ends::default();
    let skipped = select_in(snapshot, query, &mut |line| ends.add(line))?;
    select_in(snapshot, query, &mut |line| {
        ends.group(line).map_or(ControlFlow::Continue(()), |it| each(&it))
    })?;
    Ok(skipped)
}

fn latest(snapshot: &Snapshot, query: &Query, most: usize, each: Each<'_>) -> Result<Skipped> {
    let mut groups = Newest::of(most);
    let mut skipped = Skipped::default();
    let plain =
        query.values.is_empty() && query.any.is_empty() && query.since.is_none() && query.until.is_none();
    if plain {
        let mut lines = newest_lines(snapshot, most)?;
        lines.reverse();
        for line in lines {
            if whole(&line).is_some() {
                let _ = groups.add(&line);
            } else {
                skipped.lines += 1;
            }
        }
    } else {
        skipped = select_in(snapshot, query, &mut |line| {
            let _ = groups.add(line);
            ControlFlow::Continue(())
        })?;
    }
    let _ = groups.list.iter().try_for_each(each);
    Ok(skipped)
}

impl Operation {
    /// One of which this is the only record so far.
    fn begins(id: Option<&[u8]>, line: &[u8]) -> Self {
        let id = id.map(|id| String::from_utf8_lossy(id).into_owned());
        Self { id, first: line.to_vec(), last: line.to_vec(), records: 1 }
    }
}

/// The last record of each operation, and how many it has: what its line of a
/// log needs before it can be given.
#[derive(Default)]
struct Ends(HashMap<Vec<u8>, (Vec<u8>, u64)>);

impl Ends {
    fn add(&mut self, line: &[u8]) -> ControlFlow<()> {
        if let Some(id) = operation_of(line) {
            let (last, records) = self.0.entry(id.to_vec()).or_default();
            line.clone_into(last);
            *records += 1;
        }
        ControlFlow::Continue(())
    }

    /// The operation that begins with this record, or the record alone; none for
    /// an operation's further records.
    fn group(&mut self, line: &[u8]) -> Option<Operation> {
        let Some(id) = operation_of(line) else { return Some(Operation::begins(None, line)) };
        let (last, records) = self.0.remove(id)?;
        Some(Operation { last, records, ..Operation::begins(Some(id), line) })
    }
}

/// The groups that began last.
struct Newest {
    most: usize,
    list: VecDeque<Operation>,
    /// How many began before those in the list.
    before: usize,
    /// Which one an operation is, of all.
    places: HashMap<Vec<u8>, usize>,
}

impl Newest {
    fn of(most: usize) -> Self {
        Self { most, list: VecDeque::new(), before: 0, places: HashMap::new() }
    }

    /// Takes a record; breaks off where the first group was let go for it.
    fn add(&mut self, line: &[u8]) -> ControlFlow<()> {
        let id = operation_of(line);
        if let Some(place) = id.and_then(|id| self.places.get(id)) {
            let known = place.checked_sub(self.before).and_then(|place| self.list.get_mut(place));
            if let Some(operation) = known {
                operation.last = line.to_vec();
                operation.records += 1;
            }
            return ControlFlow::Continue(());
        }
        if let Some(id) = id {
            self.places.insert(id.to_vec(), self.before + self.list.len());
        }
        self.list.push_back(Operation::begins(id, line));
        if self.list.len() <= self.most {
            return ControlFlow::Continue(());
        }
        self.list.pop_front();
        self.before += 1;
        ControlFlow::Break(())
    }
}

/// How far behind the wanted number of operations the beginning of the oldest one is looked for, in lines.
const FURTHER: usize = 4096;

/// The lines from the end backwards that hold `count` operations, and some more.
fn newest_lines(snapshot: &Snapshot, count: usize) -> Result<Vec<Vec<u8>>> {
    let mut lines: Vec<Vec<u8>> = Vec::new();
    let mut seen: HashMap<Vec<u8>, bool> = HashMap::new();
    let mut single = 0;
    let mut further = 0;
    for span in snapshot.segments.iter().rev() {
        let segment = snapshot.open(*span)?;
        let done = backwards(&segment, *span, &mut |line| {
            let enough = seen.len() + single >= count;
            let started = memmem::find(line, b",\"phase\":\"start\"").is_some();
            match operation_of(line) {
                Some(id) => match seen.get_mut(id) {
                    Some(begun) => *begun |= started,
                    None if enough => further += 1,
                    None => {
                        seen.insert(id.to_vec(), started);
                    }
                },
                None if enough => further += 1,
                None => single += 1,
            }
            lines.push(line.to_vec());
            let complete = enough && (seen.values().all(|begun| *begun) || further > FURTHER);
            if complete {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        })?;
        if done.is_break() {
            break;
        }
    }
    Ok(lines)
}
