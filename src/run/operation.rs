//! One operation on one device: what it works with, its steps in their order, and how it ends.

use super::expected::Expected;
use super::lost::Lost;
use super::outcome::{Ending, Outcome, Progress, StepReport, Trouble};
use super::writer::Writer;
use crate::assess::{of_one_requester, Case};
use crate::consent::Accepted;
use crate::error::{Code, Exit, Failure};
use crate::journal::Details;
use crate::names::{Sbdf, Standing, Step};
use crate::observe::qubes::Qubes;
use crate::observe::{gone, Function, Sources, Starting};
use crate::plan::{Plan, Planned};
use crate::system::kernel_log::KernelLog;
use crate::system::signals::HeldSignals;
use crate::system::worker::{Act, Answer, Worker};
use std::time::{Duration, Instant};

/// Everything one operation on one function works with.
pub struct Operation<'a> {
    pub(super) sources: &'a mut Sources,
    pub(super) function: &'a Function,
    pub(super) plan: &'a Plan,
    pub(super) accepted: &'a Accepted,
    pub(super) writer: Writer,
    pub(super) worker: Worker,
    pub(super) signals: &'a mut HeldSignals,
    pub(super) kernel_log: KernelLog,
    pub(super) starting: Starting,
    /// What the steps so far may have left.
    pub(super) expected: Expected,
    /// The hash of its ROM that was recorded last.
    pub(super) known_rom: Option<&'a str>,
    /// Functions whose DMA the IOMMU cannot tell from this one's.
    pub(super) beside: Vec<Sbdf>,
    /// The one that was read in this run; empty where none was.
    pub(super) rom_sha256: String,
    pub(super) reports: Vec<StepReport>,
    /// Told what goes on.
    pub(super) progress: &'a mut dyn FnMut(&Progress<'_>),
}

/// What an operation is started with.
#[derive(Clone)]
pub struct Order<'a> {
    /// The function, as it was observed.
    pub function: &'a Function,
    /// The state the plan was made for; undo goes back to it.
    pub start: Standing,
    /// The plan that was consented to.
    pub plan: &'a Plan,
    /// The hazards that were accepted.
    pub accepted: &'a Accepted,
    /// The hash of its ROM that was recorded last; `None` where none is known.
    pub known_rom: Option<&'a str>,
    /// What Qubes said when it was planned; `None` where there is no Qubes or nothing could be read.
    pub qubes: Option<&'a Qubes>,
    /// Functions whose DMA the IOMMU cannot tell from this one's.
    pub beside: Vec<Sbdf>,
    /// Seconds after which a step counts as hung.
    pub timeout: Duration,
}

impl<'a> Order<'a> {
    /// What was assessed and planned, with what was accepted for it.
    ///
    /// # Errors
    /// Xen does not say who owns it.
    pub fn of(
        case: &'a Case,
        plan: &'a Plan,
        accepted: &'a Accepted,
        timeout: Duration,
    ) -> Result<Self, Failure> {
        let function = &case.subject.function;
        Ok(Self {
            function,
            start: Standing::observed(&case.dom0, function).ok_or_else(|| gone(function.sbdf))?,
            plan,
            accepted,
            known_rom: case.known_rom(),
            qubes: case.dom0.qubes_said(),
            beside: of_one_requester(&case.dom0, function).iter().map(|other| other.sbdf).collect(),
            timeout,
        })
    }
}

impl<'a> Operation<'a> {
    /// Opens what an operation needs; nothing is changed yet.
    ///
    /// # Errors
    /// Something cannot be opened or read.
    pub fn prepare(
        sources: &'a mut Sources,
        order: Order<'a>,
        writer: Writer,
        signals: &'a mut HeldSignals,
        progress: &'a mut dyn FnMut(&Progress<'_>),
    ) -> Result<Self, Failure> {
        let kernel_log = KernelLog::from_now(&sources.root)?;
        let worker = Worker::start(&sources.root, order.timeout).map_err(Failure::untouched)?;
        let root = sources.root.clone();
        Ok(Self {
            sources,
            function: order.function,
            plan: order.plan,
            accepted: order.accepted,
            writer,
            worker,
            signals,
            kernel_log,
            starting: Starting::listen(&root, order.function, order.qubes),
            expected: Expected::as_found(order.plan.direction, order.start),
            known_rom: order.known_rom,
            beside: order.beside,
            rom_sha256: String::new(),
            reports: Vec::new(),
            progress,
        })
    }

    /// What would be put back must be what was found.
    pub(super) fn is_as_planned(&self) -> Result<(), Failure> {
        let Some(what) = self.changed_since_planned()? else { return Ok(()) };
        Err(Failure::new(
            Exit::Consent,
            Code::PlanStale,
            format!("{what} since it was planned; the device was not touched by this program"),
            "review it again with `plan`; a reboot is recommended",
        ))
    }

    fn changed_since_planned(&self) -> Result<Option<&'static str>, Failure> {
        let (sysfs, sbdf) = (&self.sources.sysfs, self.plan.sbdf);
        if sysfs.driver(sbdf)? != self.expected.start.driver {
            return Ok(Some("its driver changed"));
        }
        if self.sources.driver_override(sbdf)? != self.expected.start.driver_override {
            return Ok(Some("its driver_override changed"));
        }
        Ok((sysfs.slots()?.contains(&sbdf) != self.expected.start.slot)
            .then_some("pciback's list of slots changed"))
    }

    /// Takes one step: its intent is on disk before it, its proof behind it.
    pub(super) fn take(&mut self, planned: &Planned) -> Result<(), Trouble> {
        let (step, sbdf) = (planned.step, self.plan.sbdf);
        if let Some(why) = &planned.skip {
            self.writer.skipped(step, sbdf, why);
            self.report(step, Outcome::Skipped, why.clone(), Duration::ZERO);
            return Ok(());
        }
        // One that came while the step before waited was told of then.
        if self.signals.came() {
            return Err(Trouble::interrupted());
        }
        (self.progress)(&Progress::Begins(step));
        let began = Instant::now();
        let details = self.details(step).map_err(|trouble| trouble.at(step))?;
        // Before verify too, so that the proof of bind is on disk while it waits.
        if step.changes() || step == Step::Verify {
            self.writer.intent(step, sbdf, &planned.what, &details).map_err(Trouble::Journal)?;
        // mutant: no-intent, journal-ignored
        } else {
            self.writer.reading(step, sbdf, &planned.what);
        }
        match self.is_ready(step).and_then(|()| self.carry_out(step, &planned.what, &details)) {
            Ok(detail) => {
                self.expected.prove(step);
                let rom = if step == Step::Settle { self.rom_sha256.as_str() } else { "" };
                self.writer.proved(step, sbdf, &detail, rom);
                self.report(step, Outcome::Done, detail, began.elapsed());
                Ok(())
            }
            Err(trouble) => {
                self.writer.failed(step, sbdf, &trouble.message());
                self.report(step, Outcome::Failed, trouble.message(), began.elapsed());
                Err(trouble.at(step))
            }
        }
    }

    fn carry_out(&mut self, step: Step, what: &str, details: &Details) -> Result<String, Trouble> {
        self.expected.begin(step, what, details);
        self.perform(step)
    }

    pub(super) fn report(&mut self, step: Step, outcome: Outcome, detail: String, took: Duration) {
        let report = StepReport { step, outcome, detail, took };
        (self.progress)(&Progress::Over(&report));
        self.reports.push(report);
    }

    /// Carries out one change.
    pub(super) fn act(&mut self, act: &Act) -> Result<(), Trouble> {
        let (signals, progress) = (&mut *self.signals, &mut *self.progress);
        let mut waits = |waited: Duration, limit: Duration| {
            if signals.arrived() {
                progress(&Progress::Interrupted(Some(limit.saturating_sub(waited))));
            }
            progress(&Progress::Waits(waited, limit));
        };
        match self.worker.carry_out_watched(act, &mut waits) {
            Answer::Accepted => Ok(()),
            Answer::Refused { errno, message } => {
                let what = match act {
                    Act::Write(path, _)
                    | Act::Command(path, _)
                    | Act::Create(path, _)
                    | Act::Remove(path) => {
                        format!("writing {}", path.display())
                    }
                    Act::Quarantine(_) => "asking Xen to quarantine it".to_owned(),
                    Act::Dequarantine(_) => "asking Xen to give it to dom0".to_owned(),
                    Act::Load { module, .. } => format!("loading the module {module}"),
                    Act::ReloadUdev => "having udev read its rules".to_owned(),
                };
                Err(Trouble::Failed {
                    message: format!("{what}: {message}"),
                    hint: "see the kernel's log (dmesg); a reboot returns to a known state".to_owned(),
                    errno,
                })
            }
            Answer::Hung => Err(Trouble::Hung(self.worker.stuck_in())),
            Answer::Lost(why) => match self.worker.replace(&self.sources.root) {
                Ok(()) => Err(Trouble::Lost(format!("the child for kernel writes was lost: {why}"))),
                // A child that cannot be reaped sits in the kernel.
                Err(failure) if failure.code == Code::Hung => Err(Trouble::Hung(self.worker.stuck_in())),
                // The way back asks for one again at each change.
                Err(failure) => Err(Trouble::Lost(format!(
                    "the child for kernel writes was lost ({why}), and no other starts: {}",
                    failure.message
                ))),
            },
        }
    }

    /// Writes an attribute of the function.
    pub(super) fn write(&mut self, attribute: &str, text: &str) -> Result<(), Trouble> {
        let path = self.sources.sysfs.attribute_path(self.plan.sbdf, attribute);
        self.act(&Act::Write(path, text.to_owned()))
    }

    /// Ends the operation: the journal first, then the answer.
    pub(super) fn end(mut self, exit: Exit, code: Code, message: String, hint: String) -> Ending {
        self.guard_off();
        if code == Code::Done {
            // That they are taken back was wanted then.
            self.expected.lost.clear();
        }
        self.stop(exit, code, message, hint)
    }

    /// Leaves everything as it is, the operation pending: `recover` settles it.
    pub(super) fn leave(self, message: &str) -> Ending {
        let message = format!("{message}; nothing more is changed, and the operation stays pending");
        let hint =
            "to keep the device: `recover --keep` (it has to pass verify); to give it back: stop using it, \
                    then run `recover`";
        self.stop(Exit::Pending, Code::Pending, message, hint.to_owned())
    }

    /// Says how it stands, in the journal first; a pending operation has no end there.
    pub(super) fn stop(mut self, exit: Exit, code: Code, message: String, hint: String) -> Ending {
        let message =
            self.expected.lost.iter().fold(message, |message, lost| format!("{message}; {}", lost.words()));
        // After a hang nothing more of the function is read: the kernel may hold the
        // lock that its attributes need, for ever.
        let state = if exit == Exit::Hung {
            "not read: the kernel hangs in a write to it".to_owned()
        } else if self.is_gone() {
            "gone".to_owned()
        } else {
            let snapshot = self.sources.standing(self.plan.sbdf);
            snapshot.map_or_else(|failure| failure.message, |snapshot| snapshot.to_string())
        };
        let head = match code {
            Code::Pending => self.writer.leave(),
            _ => self.writer.finish(&self.sources.root, self.plan.sbdf, code.word(), &state),
        };
        // An operation whose end is not on disk is not done for an auditor.
        let (exit, message, hint) = match &head {
            Err(failure) => {
                let message = format!("{message}; but the journal lacks this end: {}", failure.message);
                let (exit, hint) =
                    if exit == Exit::Done { (Exit::Io, failure.hint.clone()) } else { (exit, hint) };
                (exit, format!("{message}; now {state}"), hint)
            }
            Ok(_) => (exit, message, hint),
        };
        let advice = self.guard_advice();
        let lost = self.expected.lost.iter().map(Lost::advice);
        Ending {
            exit,
            code,
            message,
            hint,
            state,
            steps: self.reports,
            head: head.ok(),
            advice: advice.into_iter().chain(lost).collect(),
        }
    }
}

/// The id of an operation: eight hex digits the kernel drew.
pub fn new_operation_id(sources: &Sources) -> Result<String, Failure> {
    let path = sources.root.path("/proc/sys/kernel/random/uuid");
    let text = crate::system::root::read_text(&path).map_err(|error| Failure::unreadable(&path, &error))?;
    Ok(text.chars().take(8).collect())
}

/// Ids for operations that begin together, each another.
pub fn new_operation_ids(sources: &Sources, count: usize) -> Result<Vec<String>, Failure> {
    let mut ids: Vec<String> = Vec::new();
    for _ in 0..count {
        let mut id = new_operation_id(sources)?;
        while ids.contains(&id) {
            let drawn = u32::from_str_radix(&id, 16).unwrap_or_default();
            id = format!("{:08x}", drawn.wrapping_add(1));
        }
        ids.push(id);
    }
    Ok(ids)
}
