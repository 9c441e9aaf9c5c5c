//! The operations that are not settled: what the journal says of them.

use super::expected::Expected;
use crate::error::{Code, Exit, Failure};
use crate::journal::identity::differences;
use crate::journal::{
    DeviceEvent, Entry, Identity, Moment, OperationPhase, OperationRecord, Start, StepPhase, StepRecord,
};
use crate::names::{Direction, Sbdf};
use crate::observe::{identity, Function, Sources};
use audit::{Query, Record as Line};
use std::ops::ControlFlow;
use std::path::Path;

/// An operation that has begun and whose end is not known.
pub struct Interrupted {
    /// The operation's id.
    pub id: String,
    /// The command.
    pub command: String,
    /// The device; `None` where no record of it that is left says so.
    pub sbdf: Option<Sbdf>,
    /// The boot it began in, as the journal names it.
    pub boot: String,
    /// The step that was recorded last; `None` where none was.
    pub step: Option<String>,
    /// When that was.
    pub since: Option<Moment>,
    /// `None` where the journal does not have its start: a power cut can have torn it
    /// off, a repair have given it up.
    pub(super) trail: Option<Trail>,
}

/// What an operation began with, and how far it got.
#[derive(Clone)]
pub(super) struct Trail {
    /// What the device may read, if nobody else touched it.
    pub expected: Expected,
    /// What stood there.
    pub device: Known,
}

/// The newest operation that is not settled: the lock lets only one command run at a time,
/// and none begins beside one that is pending. A command over several devices has an
/// operation for each, which begin together.
///
/// # Errors
/// The journal cannot be read.
pub fn pending(journal: &Path) -> Result<Option<Interrupted>, Failure> {
    let mut last = LastCommand::default();
    let found = audit::newest_first(journal, &mut |line| match Line::parse(line)
        .filter(|record| matches!(record.kind(), "op" | "step"))
    {
        Some(record) => last.take(record),
        None => ControlFlow::Continue(()),
    });
    match found {
        Err(error) if error.kind() == audit::Kind::Absent => return Ok(None),
        other => other.map_err(|error| Failure::of_journal(&error))?,
    }
    let Some((id, newest)) = last.unsettled() else { return Ok(None) };
    let id = id.as_str();
    let mut records = Vec::new();
    let query = Query { values: vec![(Some("op".to_owned()), id.to_owned())], ..Query::default() };
    audit::select(journal, &query, &mut |line| {
        records.extend(Line::parse(line));
        ControlFlow::Continue(())
    })
    .map_err(|error| Failure::of_journal(&error))?;
    let found = Interrupted::of(id, &records);
    Ok(Some(found.unwrap_or_else(|| Interrupted::without_start(id, &records, &newest))))
}

/// The operations of the command that wrote to the journal last, found from its newest record on.
#[derive(Default)]
struct LastCommand {
    operations: Vec<Begun>,
}

/// An operation, by its records so far.
struct Begun {
    id: String,
    newest: Line,
    settled: bool,
    started: bool,
}

impl LastCommand {
    /// Takes the next older record. All operations of a command begin together, before the first step of any.
    fn take(&mut self, record: Line) -> ControlFlow<()> {
        let starts = started(&record).is_some();
        let whole = !self.operations.is_empty() && self.operations.iter().all(|one| one.started);
        if whole && !starts {
            return ControlFlow::Break(());
        }
        let Some(id) = record.text("op").map(str::to_owned) else { return ControlFlow::Continue(()) };
        match self.operations.iter_mut().find(|one| one.id == id) {
            Some(one) => one.started |= starts,
            None => {
                // A hang is an end nobody knows: the write may have come through since.
                let phase = OperationRecord::read(&record).map(|record| record.phase);
                let settled = match phase {
                    Some(OperationPhase::End { outcome, .. }) => outcome != Code::Hung.word(),
                    _ => false,
                };
                self.operations.push(Begun { id, newest: record, settled, started: starts });
            }
        }
        ControlFlow::Continue(())
    }

    fn unsettled(self) -> Option<(String, Line)> {
        self.operations.into_iter().find(|one| !one.settled).map(|one| (one.id, one.newest))
    }
}

/// What an operation began with, where the record is that of its start.
fn started(record: &Line) -> Option<(Option<Sbdf>, Start)> {
    let record = OperationRecord::read(record)?;
    match record.phase {
        OperationPhase::Start(start) => Some((record.bdf, *start)),
        _ => None,
    }
}

fn step_of(record: &Line) -> Option<String> {
    record.text("step").map(|step| crate::names::escape(step.as_bytes()))
}

fn time_of(record: &Line) -> Option<Moment> {
    record.text("time").and_then(Moment::parse)
}

pub(super) fn unclear(id: &str) -> Failure {
    Failure::new(
        Exit::Io,
        Code::Journal,
        format!("the records of operation {id} do not say what it began with"),
        "reboot, then run `recover`; `audit show` and `audit verify` say more",
    )
    .untouched()
}

impl Interrupted {
    /// In words.
    #[must_use]
    pub fn words(&self) -> String {
        match self.sbdf {
            Some(sbdf) => format!("operation {} ({} {sbdf})", self.id, self.command),
            None => format!("operation {} ({} a device that is not known)", self.id, self.command),
        }
    }

    fn of(id: &str, records: &[Line]) -> Option<Self> {
        // Ids are eight digits: should one come twice, the later is meant.
        let (begin, started) =
            records.iter().enumerate().rev().find_map(|(at, record)| Some((at, started(record)?)))?;
        let (bdf, started) = started;
        let (first, rest) = records.get(begin..)?.split_first()?;
        let start = started.standing.clone()?;
        let command = crate::names::escape(started.command.as_bytes());
        let mut expected = Expected::as_found(Direction::of(&command), start);
        for record in rest {
            expected.read(record);
        }
        expected.may_be_undone();
        Some(Self {
            id: id.to_owned(),
            command,
            sbdf: Some(bdf?),
            boot: first.text("boot")?.to_owned(),
            step: rest.iter().rev().find_map(step_of),
            since: records.last().and_then(time_of),
            trail: Some(Trail { expected, device: Known::of(&started, rest) }),
        })
    }

    /// What it began with is not known: its newest record is enough to say that a reboot ended it.
    fn without_start(id: &str, records: &[Line], newest: &Line) -> Self {
        Self {
            id: id.to_owned(),
            command: "of unknown purpose,".to_owned(),
            sbdf: records.iter().rev().find_map(|record| record.text("bdf").and_then(Sbdf::from_sysfs)),
            boot: newest.text("boot").unwrap_or_default().to_owned(),
            step: step_of(newest),
            since: time_of(newest),
            trail: None,
        }
    }

    /// What it took back in Qubes, or may have: in words, and how it is made again.
    #[must_use]
    pub fn lost(&self) -> Vec<(String, String)> {
        let lost = self.trail.iter().flat_map(|trail| &trail.expected.lost);
        lost.map(|lost| (lost.words(), lost.advice())).collect()
    }

    /// Where it leads, by its command.
    #[must_use]
    pub fn direction(&self) -> Direction {
        Direction::of(&self.command)
    }

    /// The device, where the journal says what the operation began with.
    ///
    /// # Errors
    /// It does not.
    pub fn clear(&self) -> Result<Sbdf, Failure> {
        self.sbdf.filter(|_| self.trail.is_some()).ok_or_else(|| unclear(&self.id))
    }
}

impl Expected {
    /// Enters what a record says of a step.
    fn read(&mut self, record: &Line) {
        if OperationRecord::read(record).is_some_and(|it| matches!(it.phase, OperationPhase::End { .. })) {
            self.hang();
        }
        let Some(record) = StepRecord::read(record) else { return };
        match (record.step.known(), &record.phase) {
            (Some(step), StepPhase::Intent) => {
                self.begin(step, &record.whole().unwrap_or_default(), &record.details);
            }
            (Some(step), StepPhase::Done) => self.prove(step),
            (_, StepPhase::Failed) => self.fail(),
            _ => {}
        }
    }
}

/// What the journal knows of the device that an operation is of.
#[derive(Clone, Default)]
pub(super) struct Known {
    /// Vendor and device, and the class, as the kernel had them.
    ids: Option<(String, String)>,
    identity: Option<Identity>,
}

impl Known {
    fn of(start: &Start, records: &[Line]) -> Self {
        let ids = (start.device.clone(), start.class.clone());
        let present = records.iter().find_map(|record| match Entry::read(record) {
            Some(Entry::Device(device)) if device.event == DeviceEvent::Present => Some(device.identity),
            _ => None,
        });
        Self { ids: Some(ids).filter(|(device, _)| !device.is_empty()), identity: present }
    }

    /// In what the device that stands there differs; `None` where it may be the same. Base addresses and the
    /// ROM do not count: drivers and firmware change them.
    pub fn differs(&self, sources: &Sources, function: &Function) -> Option<String> {
        let ids =
            (format!("{:04x}:{:04x}", function.vendor, function.device), format!("{:06x}", function.class));
        if let Some(was) = self.ids.as_ref().filter(|was| **was != ids) {
            return Some(format!("{} {} -> {} {}", was.0, was.1, ids.0, ids.1));
        }
        // One that does not answer tells nothing else.
        let (was, _) = self.identity.as_ref().zip(function.config.as_ref())?;
        let differences = differences(&lasting(was), &lasting(&identity::of(&sources.sysfs, function)));
        (!differences.is_empty()).then(|| differences.join(", "))
    }
}

/// The ids, the serial number and the conventional capabilities.
fn lasting(identity: &Identity) -> Identity {
    let conventional = identity.capabilities.iter().filter(|id| id.len() == 2).cloned().collect();
    let Identity { id, revision, header, .. } = identity.clone();
    Identity { id, revision, header, capabilities: conventional, ..Identity::default() }
}
