//! What an interrupted operation left, and how it is settled.
//!
//! The journal says what was intended, the machine what is. First it looks whether the same device stands there. It
//! goes forward where dom0's driver is bound and nothing failed: then verify, unguard and unpin are made up for. Else
//! it goes back, by the same undo that a failed step has.

use super::left::Left;
use super::outcome::Trouble;
use super::unassign::Lost;
use super::{guard, Ending, Operation};
use crate::assess::identity_differences;
use crate::error::{Code, Exit, Failure};
use crate::journal::{
    Details, DeviceEvent, Entry, Identity, Moment, OperationPhase, OperationRecord, Start, StepPhase,
    StepRecord,
};
use crate::names::{DriverName, Owner, Sbdf, Standing, Step};
use crate::observe::{identity, Function, Sources};
use crate::system::kernel_log::KernelLog;
use crate::system::root::Sysroot;
use crate::system::worker::{Answer, Worker};
use crate::system::xen::LogMark;
use audit::{Query, Record as Line};
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

impl Operation<'_> {
    /// What the intent of a step has to hold besides its name: what is read before the step changes it.
    pub(super) fn details(&self, step: Step) -> Result<Details, Trouble> {
        Ok(match step {
            Step::Settle if self.narrows_reset() => {
                let methods = self.function.reset_methods.as_deref().unwrap_or_default();
                Details::Settle { methods: methods.join(" ") }
            }
            Step::Guard => match self.guard_before() {
                Some((path, before)) => Details::Guard { global: path.to_owned(), before },
                None => Details::None,
            },
            Step::Bind => {
                let drivers = self.drivers_to_try()?.into_iter().map(|(driver, _)| driver).collect();
                let xen_log = self.sources.xen.as_ref().ok().and_then(|xen| xen.log_end().ok());
                Details::Bind { drivers, xen_log }
            }
            _ => Details::None,
        })
    }
}

/// An operation that has begun and whose end is not known.
pub struct Interrupted {
    /// Its id.
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
    /// `None` where the journal does not have its start: a power cut can have torn it off, a repair have given it up.
    trail: Option<Trail>,
}

/// What an operation began with, and how far it got.
#[derive(Clone)]
struct Trail {
    holds: bool,
    start: Standing,
    left: Left,
    back: Left,
    opened: bool,
    /// What stood there.
    device: Known,
    /// Whether bind was begun, and whether it was proved.
    binding: bool,
    bound: bool,
    verified: bool,
    /// Whether an undo was begun; whether that, or a step that failed.
    undoing: bool,
    backwards: bool,
    narrowed: Option<String>,
    guarded: bool,
    unguarded: bool,
    global: Option<(String, String)>,
    xen_log: Option<LogMark>,
    /// The assignments in Qubes that it took back, or may have.
    lost: Vec<Lost>,
}

/// The newest operation that is not settled: the lock lets only one command run at a time, and none begins beside one
/// that is pending. A command over several devices has an operation for each, which begin together.
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
                let settled = matches!(phase, Some(OperationPhase::End { outcome, .. }) if outcome != Code::Hung.word());
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

fn unclear(id: &str) -> Failure {
    Failure::new(
        Exit::Io,
        Code::Journal,
        format!("the records of operation {id} do not say what it began with; nothing was changed"),
        "reboot, then run `recover`; `audit show` and `audit verify` say more",
    )
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
        let mut trail = Trail {
            holds: command == "hold",
            left: Left::as_found(&start),
            back: Left::as_found(&start),
            start,
            opened: false,
            device: Known::of(&started, rest),
            binding: false,
            bound: false,
            verified: false,
            undoing: false,
            backwards: false,
            narrowed: None,
            guarded: false,
            unguarded: false,
            global: None,
            xen_log: None,
            lost: Vec::new(),
        };
        trail.may_have_gone_back();
        for record in rest {
            // Whether the step that hung failed, nobody knows.
            if OperationRecord::read(record).is_some_and(|it| matches!(it.phase, OperationPhase::End { .. }))
            {
                trail.backwards = trail.undoing;
            }
            let Some(record) = StepRecord::read(record) else { continue };
            match (record.step.known(), &record.phase) {
                (Some(step), StepPhase::Intent) => trail.intended(step, &record),
                (Some(step), StepPhase::Done) => trail.done(step),
                (_, StepPhase::Failed) => trail.backwards = true,
                _ => {}
            }
        }
        Some(Self {
            id: id.to_owned(),
            command,
            sbdf: Some(bdf?),
            boot: first.text("boot")?.to_owned(),
            step: rest.iter().rev().find_map(step_of),
            since: records.last().and_then(time_of),
            trail: Some(trail),
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
        let lost = self.trail.iter().flat_map(|trail| &trail.lost);
        lost.map(|lost| (lost.words(), lost.advice())).collect()
    }

    /// The device, where the journal says what the operation began with.
    ///
    /// # Errors
    /// It does not.
    pub fn clear(&self) -> Result<Sbdf, Failure> {
        self.sbdf.filter(|_| self.trail.is_some()).ok_or_else(|| unclear(&self.id))
    }
}

impl Trail {
    /// The way back runs even where the journal takes no record of it any more: what
    /// it leads to is never another actor's.
    fn may_have_gone_back(&mut self) {
        let found = &self.start;
        self.back = Left {
            drivers: vec![None, found.driver.clone(), DriverName::parse("pciback")],
            overrides: vec![found.driver_override.clone(), None, Some("pciback".to_owned())],
            slots: vec![found.slot, true],
            owners: vec![found.owner, Owner::Quarantine],
        };
        self.back.overrides.push(found.driver.as_ref().map(DriverName::to_string));
    }

    /// What the machine may read after this intent, whether it was acted on or not.
    fn intended(&mut self, step: Step, record: &StepRecord) {
        let pinned = if self.holds { "pciback" } else { "none" };
        let left = &mut self.left;
        match (step, &record.details) {
            (Step::Unassign, Details::Unassign { again, .. }) => self.lost.push(Lost {
                what: record.whole().unwrap_or_default(),
                again: again.clone(),
                proved: false,
            }),
            (Step::Pin, _) => left.overrides.push(Some(pinned.to_owned())),
            (Step::Unbind, _) => left.drivers.push(None),
            (Step::Settle, Details::Settle { methods }) => self.narrowed = Some(methods.clone()),
            (Step::Settle, _) => self.narrowed = None,
            (Step::RemoveSlot, _) => left.slots.push(false),
            (Step::Guard, details) => {
                self.guarded = true;
                self.global = match details {
                    Details::Guard { global, before } => Some((global.clone(), before.clone())),
                    _ => None,
                };
            }
            (Step::Quarantine, _) => left.owners.push(Owner::Quarantine),
            (Step::Dequarantine, _) => {
                left.owners.push(Owner::Dom0);
                self.opened = true;
            }
            (Step::Bind, Details::Bind { drivers, xen_log }) => {
                let holder = DriverName::parse("pciback").filter(|_| self.holds);
                for driver in drivers.iter().cloned().chain(holder) {
                    left.overrides.push(Some(driver.to_string()));
                    left.drivers.push(Some(driver));
                }
                left.overrides.extend([None, Some("none".to_owned())]);
                left.drivers.push(None);
                left.slots = vec![true, false];
                self.binding = true;
                self.xen_log = *xen_log;
            }
            (Step::Unpin, _) => left.overrides.push(None),
            // The way back from a hold leads out of quarantine: what is open is closed first.
            (Step::UndoOwner, _) => self.opened |= self.start.owner == Owner::Dom0,
            _ => {}
        }
        self.undoing |= step.is_undo();
        self.backwards |= self.undoing;
    }

    /// What was proved is all the machine may read; what another changed since is
    /// told from it.
    fn done(&mut self, step: Step) {
        let left = &mut self.left;
        match step {
            Step::Pin | Step::Unpin => keep_last(&mut left.overrides),
            Step::Unbind => left.drivers = vec![None],
            Step::Unassign => self.lost.iter_mut().for_each(|lost| lost.proved = true),
            Step::Settle => self.narrowed = None,
            Step::RemoveSlot => left.slots = vec![false],
            Step::Quarantine | Step::Dequarantine => keep_last(&mut left.owners),
            Step::Bind => {
                // A driver that probes in the background may have let it go since.
                left.drivers.retain(|driver| !self.holds || driver.is_some());
                self.bound = true;
            }
            Step::Verify => self.verified = true,
            // What another sets from now on is not this run's. The rule for its disks stays, and goes with the rest.
            Step::Unguard => {
                self.unguarded = true;
                self.global = None;
            }
            _ => {}
        }
    }

    /// Whether all that is missing comes after bind: it was proved, or dom0 drives the function. A hold that was not
    /// proved is undone.
    fn leads_on(&self, now: &Standing, has_iommu: bool) -> bool {
        let held = self.holds;
        let owner = if held && has_iommu { Owner::Quarantine } else { Owner::Dom0 };
        let driver = now.driver.as_ref().is_some_and(|driver| driver.is_holder() == held);
        (self.bound || self.binding && !held)
            && !self.backwards
            && driver
            && self.left.drivers.contains(&now.driver)
            && now.owner == owner
    }
}

/// What the journal knows of the device that an operation is of.
#[derive(Clone, Default)]
struct Known {
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

    /// In what the device that stands there differs; `None` where it may be the same. Base addresses and the ROM do not
    /// count: drivers and firmware change them.
    fn differs(&self, sources: &Sources, function: &Function) -> Option<String> {
        let ids =
            (format!("{:04x}:{:04x}", function.vendor, function.device), format!("{:06x}", function.class));
        if let Some(was) = self.ids.as_ref().filter(|was| **was != ids) {
            return Some(format!("{} {} -> {} {}", was.0, was.1, ids.0, ids.1));
        }
        // One that does not answer tells nothing else.
        let (was, _) = self.identity.as_ref().zip(function.config.as_ref())?;
        let differences =
            identity_differences(&lasting(was), &lasting(&identity::of(&sources.sysfs, function)));
        (!differences.is_empty()).then(|| differences.join(", "))
    }
}

/// The ids, the serial number and the conventional capabilities.
fn lasting(identity: &Identity) -> Identity {
    let conventional = identity.capabilities.iter().filter(|id| id.len() == 2).cloned().collect();
    let Identity { id, revision, header, .. } = identity.clone();
    Identity { id, revision, header, capabilities: conventional, ..Identity::default() }
}

fn keep_last<T>(values: &mut Vec<T>) {
    let last = values.pop();
    values.clear();
    values.extend(last);
}

/// Puts back what an interrupted operation set for all devices, where its own is gone; in words, where there was anything.
///
/// # Errors
/// It could not be put back, or its intent not be written.
pub fn settle_gone(
    root: &Sysroot,
    found: &Interrupted,
    record: &mut super::Record,
    timeout: Duration,
) -> Result<Option<String>, Failure> {
    let Some(trail) = found.trail.as_ref().filter(|trail| trail.guarded) else { return Ok(None) };
    let sbdf = found.clear()?;
    let what = "what was set for all devices is put back";
    record.intent(Step::Unguard, sbdf, what, Details::None)?;
    let global = trail.global.as_ref().map(|(path, before)| (path.as_str(), before.as_str()));
    // Whether it was a USB controller cannot be read any more: a rule that is not there is not removed.
    let mut guard = guard::Guard::interrupted(root, sbdf, global, false);
    let mut worker = Worker::start(root, timeout)?;
    let undone = guard.undo(&mut |act| match worker.carry_out(act) {
        Answer::Accepted => Ok(()),
        Answer::Refused { message, .. } => Err(Trouble::failed(message, "")),
        Answer::Hung => Err(Trouble::Hung(worker.stuck_in())),
        Answer::Lost(why) => Err(Trouble::Lost(format!("the child for kernel writes was lost: {why}"))),
    });
    match undone {
        Ok(note) => {
            let said = note.unwrap_or_else(|| what.to_owned());
            record.done(Step::Unguard, sbdf, &said);
            Ok(Some(said))
        }
        Err(trouble) => {
            let why = trouble.message();
            record.failed(Step::Unguard, sbdf, &why);
            Err(Failure::new(Exit::NotUndone, Code::Gone, why, "put it back by hand, or reboot"))
        }
    }
}

/// Settles an operation of this boot. The order's plan has the steps that come
/// after bind; the operation was prepared with what the interrupted one began with.
/// `keep`: forward only, and only where verify holds.
pub fn settle(mut operation: Operation<'_>, found: Interrupted, keep: bool) -> Ending {
    let was = format!("{} was interrupted", found.words());
    let sbdf = operation.plan.sbdf;
    let Some(found) = found.trail else {
        let failure = unclear(&found.id);
        return operation.end(failure.exit, failure.code, failure.message, failure.hint);
    };
    operation.left = found.left.clone();
    operation.left.or(&found.back);
    operation.start = found.start.clone();
    operation.opened = found.opened;
    operation.narrowed = found.narrowed.clone();
    operation.xen_log = found.xen_log;
    operation.has_lost(found.lost.clone());
    let differs = found.device.differs(operation.sources, operation.function);
    if found.guarded {
        let global = found.global.as_ref().map(|(path, before)| (path.as_str(), before.as_str()));
        // Of another device it tells nothing: a rule that is not there is not removed.
        let usb = differs.is_none() && operation.function.is_usb();
        operation.guard = guard::Guard::interrupted(&operation.sources.root, sbdf, global, usb);
    }
    if let Some(differs) = differs {
        return operation.another_device(&was, &differs);
    }
    let now = match operation.sources.standing(sbdf) {
        Ok(now) => now,
        Err(_) if operation.is_gone() => return operation.gone(&was),
        Err(failure) => return operation.unreadable(&was, failure),
    };
    if let Some(foreign) = operation.left.foreign(&now) {
        return operation.hands_off(&format!("{was}; meanwhile {foreign}"));
    }
    let has_iommu = operation.has_iommu();
    let driven = now.owner == Owner::Dom0 && now.driver.as_ref().is_some_and(|driver| !driver.is_holder());
    if keep && !driven {
        let message = format!("{was}; no driver of dom0 has it, so there is nothing to keep");
        return operation.leave(&message);
    }
    if !keep && !found.leads_on(&now, has_iommu) {
        // What dom0 drives as it did at the beginning is not open.
        operation.opened &= !(driven && now.driver == found.start.driver);
        return operation.undo(&was, String::new(), Exit::Done);
    }
    operation.left.drivers = vec![now.driver, None];
    // What speaks against it may have been said before the crash.
    match KernelLog::from_boot(&operation.sources.root) {
        Ok(log) => operation.kernel_log = log,
        Err(failure) if keep => return operation.leave(&format!("{was}; {}", failure.message)),
        Err(failure) => {
            return operation.undo(&format!("{was}; {}", failure.message), failure.hint, Exit::Done)
        }
    }
    let held = found.holds && !keep;
    let perform: super::Perform<'_> = if held { Operation::hold_step } else { Operation::return_step };
    // A hold notes no place in Xen's log: then all of it counts.
    operation.xen_log = operation.xen_log.or_else(|| LogMark::from_number(0).filter(|_| keep));
    for planned in &operation.plan.steps {
        let needless = match planned.step {
            Step::Verify => (found.verified || held) && !keep,
            Step::Unguard => !found.guarded || found.unguarded,
            Step::RemoveSlot => !now.slot,
            _ => false,
        };
        if needless {
            continue;
        }
        match operation.take(planned, perform) {
            Ok(()) => {}
            Err(trouble) if keep && planned.step == Step::Verify => {
                return operation.leave(&format!("{was}; {}", trouble.message()))
            }
            Err(trouble) => return operation.fail(trouble),
        }
    }
    operation.end(Exit::Done, Code::Done, format!("{was}; what was missing is made up for"), String::new())
}
