//! Run: the only part that changes anything. Every step re-reads its
//! precondition, journals its intent, acts through the worker, and proves itself
//! by reading back; a failure is undone as far as only this run touched it.

#![forbid(unsafe_code)]

mod guard;
mod held;
mod identified;
mod left;
mod outcome;
mod record;
mod recover;
mod returned;
mod rom;
mod several;
mod turn;
mod unassign;
mod undo;
mod unsettled;
mod verify;

pub use outcome::{Ending, Outcome, StepReport};
pub use record::Record;
pub use recover::{pending, settle, settle_gone, Interrupted};
pub use several::{carry_out, sum, Aim, Ended, Task, Watch};
pub use turn::{nothing_pending, Turn};
pub use unassign::can_unassign;
pub use unsettled::Unsettled;

use crate::assess::{of_one_requester, Case};
use crate::consent::Accepted;
use crate::error::{Code, Exit, Failure};
use crate::names::{Owner, Sbdf, Standing, Step};
use crate::observe::kernel_lines::is_torn_from_a_domain;
use crate::observe::qubes::Qubes;
use crate::observe::{gone, Function, Sources, Starting};
use crate::plan::{Plan, Planned};
use crate::system::kernel_log::KernelLog;
use crate::system::signals::HeldSignals;
use crate::system::worker::{Act, Answer, Worker};
use crate::system::xen::LogMark;
use left::Left;
use outcome::Trouble;
use std::time::{Duration, Instant};

/// Everything one operation on one function works with.
pub struct Operation<'a> {
    sources: &'a mut Sources,
    function: &'a Function,
    plan: &'a Plan,
    accepted: &'a Accepted,
    record: Record,
    worker: Worker,
    signals: &'a mut HeldSignals,
    kernel_log: KernelLog,
    starting: Starting,
    xen_log: Option<LogMark>,
    start: Standing,
    left: Left,
    guard: guard::Guard,
    /// The reset methods to put back, while they are narrowed.
    narrowed: Option<String>,
    /// Whether Xen was asked to take the function out of quarantine.
    opened: bool,
    /// The assignments in Qubes that were taken back, or may have been.
    lost: Vec<unassign::Lost>,
    /// The hash of its ROM that was recorded last.
    known_rom: Option<&'a str>,
    /// Functions whose DMA the IOMMU cannot tell from this one's.
    beside: Vec<Sbdf>,
    /// The one that was read in this run; empty where none was.
    rom_sha256: String,
    reports: Vec<StepReport>,
    /// Called with each report as it comes.
    progress: &'a mut dyn FnMut(&StepReport),
}

/// Performs one step and says what was proved.
type Perform<'a> = fn(&mut Operation<'a>, Step) -> Result<String, Trouble>;

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
        record: Record,
        signals: &'a mut HeldSignals,
        progress: &'a mut dyn FnMut(&StepReport),
    ) -> Result<Self, Failure> {
        let kernel_log = KernelLog::from_now(&sources.root)?;
        let worker = Worker::start(&sources.root, order.timeout).map_err(|failure| Failure {
            message: format!("{}; nothing was changed", failure.message),
            ..failure
        })?;
        let root = sources.root.clone();
        Ok(Self {
            sources,
            function: order.function,
            plan: order.plan,
            accepted: order.accepted,
            record,
            worker,
            signals,
            kernel_log,
            starting: Starting::listen(&root, order.function, order.qubes),
            xen_log: None,
            left: Left::as_found(&order.start),
            start: order.start,
            guard: guard::Guard::default(),
            narrowed: None,
            opened: false,
            lost: Vec::new(),
            known_rom: order.known_rom,
            beside: order.beside,
            rom_sha256: String::new(),
            reports: Vec::new(),
            progress,
        })
    }

    /// Brings the function back to dom0.
    fn reattach(self) -> Ending {
        self.follow(Self::return_step)
    }

    /// What would be put back must be what was found.
    fn is_as_planned(&self) -> Result<(), Failure> {
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
        if sysfs.driver(sbdf)? != self.start.driver {
            return Ok(Some("its driver changed"));
        }
        if self.sources.driver_override(sbdf)? != self.start.driver_override {
            return Ok(Some("its driver_override changed"));
        }
        Ok((sysfs.slots()?.contains(&sbdf) != self.start.slot).then_some("pciback's list of slots changed"))
    }

    fn take(&mut self, planned: &Planned, perform: Perform<'a>) -> Result<(), Trouble> {
        let step = planned.step;
        if let Some(why) = &planned.skip {
            self.record.skipped(step, self.plan.sbdf, why);
            self.report(step, Outcome::Skipped, why.clone(), Duration::ZERO);
            return Ok(());
        }
        if self.signals.arrived() {
            return Err(Trouble::failed("it was interrupted by a signal", "run it again when ready"));
        }
        let began = Instant::now();
        let sbdf = self.plan.sbdf;
        if step.changes() || step == Step::Verify {
            // Before verify, so that the proof of bind is on disk while it waits.
            let details = self.details(step).map_err(|trouble| trouble.at(step))?;
            self.record.intent(step, sbdf, &planned.what, details).map_err(Trouble::Journal)?;
        } else {
            self.record.reading(step, sbdf, &planned.what);
        }
        match perform(self, planned.step) {
            Ok(detail) => {
                let rom = if step == Step::Settle { self.rom_sha256.as_str() } else { "" };
                self.record.proved(step, sbdf, &detail, rom);
                self.report(step, Outcome::Done, detail, began.elapsed());
                Ok(())
            }
            Err(trouble) => {
                self.record.failed(step, sbdf, &trouble.message());
                self.report(step, Outcome::Failed, trouble.message(), began.elapsed());
                Err(trouble.at(step))
            }
        }
    }

    fn report(&mut self, step: Step, outcome: Outcome, detail: String, took: Duration) {
        let report = StepReport { step, outcome, detail, took };
        (self.progress)(&report);
        self.reports.push(report);
    }

    /// Carries out one change.
    fn act(&mut self, act: &Act) -> Result<(), Trouble> {
        match self.worker.carry_out(act) {
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
    fn write(&mut self, attribute: &str, text: &str) -> Result<(), Trouble> {
        let path = self.sources.sysfs.attribute_path(self.plan.sbdf, attribute);
        self.act(&Act::Write(path, text.to_owned()))
    }

    /// Asks anew whether a qube has the function, just before a change.
    fn nobody_has_it(&mut self) -> Result<(), Trouble> {
        self.nobody_is_seen_with_it()?;
        let (root, sysfs) = (&self.sources.root, &self.sources.sysfs);
        match self.starting.taker(root, sysfs, self.function) {
            Ok(taker) => free_of(taker),
            Err(why) => Err(Trouble::failed(
                format!("it cannot be told whether a qube is about to take it: qubesd, which answered before, does not now ({why})"),
                "see `systemctl status qubesd`; once it runs, run this again",
            )),
        }
    }

    /// What Xen and xenstore say of it.
    fn nobody_is_seen_with_it(&mut self) -> Result<(), Trouble> {
        let sbdf = self.plan.sbdf;
        let owner = self.sources.owner(sbdf)?;
        if let Owner::Domain(id) = owner {
            return Err(Trouble::HandsOff(format!("Xen gave it to domain {id} meanwhile")));
        }
        let user = self.sources.uses_of(sbdf)?.into_iter().find(|use_| use_.alive);
        free_of(user.map(|user| (user.who(), user.node)))
    }

    /// Dom0's driver is not bound any more: it gave up, unless a qube takes the function or somebody pinned it.
    fn let_go(&mut self) -> Trouble {
        let asked = self.nobody_has_it();
        if let Err(Trouble::InUse { message, .. } | Trouble::HandsOff(message)) = asked {
            return Trouble::HandsOff(message);
        }
        // qubesd answers nobody while it starts a qube, but it announced that.
        if let Err(Trouble::HandsOff(message)) = self.nobody_takes_it() {
            return Trouble::HandsOff(message);
        }
        match self.sources.driver_override(self.plan.sbdf) {
            Ok(is) if !self.left.overrides.contains(&is) => {
                Trouble::HandsOff(format!("another set driver_override to `{}`", shown(is.as_deref())))
            }
            Ok(_) => Trouble::failed("the driver let it go again", "see dmesg"),
            Err(failure) => failure.into(),
        }
    }

    /// No qube has a function whose DMA the IOMMU cannot tell from this one's.
    fn no_qube_is_beside(&mut self) -> Result<(), Trouble> {
        for sbdf in self.beside.clone() {
            let owner = self.sources.owner(sbdf)?;
            let user = self.sources.uses_of(sbdf)?.into_iter().find(|use_| use_.alive);
            let who = match (user, owner) {
                (Some(user), _) => user.who(),
                (None, Owner::Dom0 | Owner::Quarantine) => continue,
                (None, owner) => owner.to_string(),
            };
            return Err(Trouble::InUse {
                message: format!("{who} has {sbdf}, and their DMA cannot be told apart"),
                hint: "shut that qube down, and run `list`".to_owned(),
            });
        }
        Ok(())
    }

    /// Sets `driver_override` and proves it; `None` clears it.
    fn set_override(&mut self, pinned: Option<&str>) -> Result<(), Trouble> {
        self.left.overrides.push(pinned.map(str::to_owned));
        self.write("driver_override", pinned.unwrap_or("\n"))?;
        let is = self.sources.driver_override(self.plan.sbdf)?;
        if is.as_deref() != pinned {
            return Err(Trouble::failed(
                format!("driver_override reads `{}` after the write", shown(is.as_deref())),
                "something else writes it too: see driverctl and udev rules",
            ));
        }
        self.left.overrides = vec![is];
        Ok(())
    }

    /// Takes the function from the driver that holds it and proves it.
    fn take_from_driver(&mut self) -> Result<String, Trouble> {
        let sbdf = self.plan.sbdf;
        let Some(driver) = self.sources.sysfs.driver(sbdf)? else {
            // The one that was there was this run's to take.
            self.left.drivers = vec![None];
            return Ok("no driver is bound".to_owned());
        };
        if !self.left.drivers.contains(&Some(driver.clone())) {
            return Err(Trouble::HandsOff(format!("{driver} took it meanwhile")));
        }
        self.left.drivers.push(None);
        let path = self.sources.sysfs.driver_folder(&driver).join("unbind");
        self.act(&Act::Write(path, sbdf.to_string()))?;
        if let Some(still) = self.sources.sysfs.driver(sbdf)? {
            return Err(Trouble::failed(
                format!("{still} still holds it after the unbind"),
                "see the kernel's log (dmesg)",
            ));
        }
        self.left.drivers = vec![None];
        let (lines, overrun) = self.kernel_log.read()?;
        if overrun {
            return Err(Trouble::failed(
                "the kernel's log ran over; a warning may have been missed",
                "try again",
            ));
        }
        if lines.iter().any(|line| is_torn_from_a_domain(line, sbdf)) {
            return Err(Trouble::HandsOff("a domain was still using it (kernel log)".to_owned()));
        }
        Ok(format!("{driver} let it go"))
    }

    /// Proves that nobody bound the function while it had to stay without driver.
    fn still_driverless(&self) -> Result<(), Trouble> {
        match self.sources.sysfs.driver(self.plan.sbdf)? {
            None => self.still_there(),
            Some(driver) => Err(Trouble::HandsOff(format!("{driver} took it meanwhile"))),
        }
    }

    /// The device is there, and no driver is bound but one that this run found or left; none may be bound by now.
    fn no_other_driver(&self) -> Result<(), Trouble> {
        self.still_there()?;
        match self.sources.sysfs.driver(self.plan.sbdf)? {
            Some(driver) if !self.left.drivers.contains(&Some(driver.clone())) => {
                Err(Trouble::HandsOff(format!("{driver} took it meanwhile")))
            }
            _ => Ok(()),
        }
    }

    /// A device that was pulled has no driver either.
    fn still_there(&self) -> Result<(), Trouble> {
        match self.sources.sysfs.is_there(self.plan.sbdf)? {
            true => Ok(()),
            false => Err(Trouble::failed("it is not there any more", "look at it")),
        }
    }

    /// Where a step does not need the function driverless: its driver is one that
    /// this run left there.
    fn still_ours(&self) -> Result<(), Trouble> {
        let driver = self.sources.sysfs.driver(self.plan.sbdf)?;
        if self.left.drivers.contains(&driver) {
            return self.still_there();
        }
        let who =
            driver.map_or_else(|| "its driver let it go".to_owned(), |driver| format!("{driver} took it"));
        Err(Trouble::HandsOff(format!("{who} meanwhile")))
    }

    /// Has Xen quarantine the function and proves it.
    fn quarantine(&mut self) -> Result<String, Trouble> {
        let sbdf = self.plan.sbdf;
        self.left.owners.push(Owner::Quarantine);
        self.act(&Act::Quarantine(sbdf))?;
        self.prove_owner(Owner::Quarantine)?;
        Ok("Xen's owner is DomIO".to_owned())
    }

    /// Reads Xen's owner back.
    fn prove_owner(&mut self, wanted: Owner) -> Result<(), Trouble> {
        let owner = self.sources.owner(self.plan.sbdf)?;
        if let Owner::Domain(id) = owner {
            return Err(Trouble::HandsOff(format!("Xen gave it to domain {id} meanwhile")));
        }
        if owner != wanted {
            return Err(Trouble::failed(
                format!("Xen's owner is {owner} and not {wanted} after the call"),
                "see Xen's log (xl dmesg)",
            ));
        }
        self.left.owners = vec![owner];
        Ok(())
    }

    /// Ends the operation: the journal first, then the answer.
    fn end(mut self, exit: Exit, code: Code, message: String, hint: String) -> Ending {
        self.guard_off();
        if code == Code::Done {
            // That they are taken back was wanted then.
            self.lost.clear();
        }
        self.stop(exit, code, message, hint)
    }

    /// Leaves everything as it is, the operation pending: `recover` settles it.
    fn leave(self, message: &str) -> Ending {
        let message = format!("{message}; nothing more is changed, and the operation stays pending");
        let hint =
            "to keep the device: `recover --keep` (it has to pass verify); to give it back: stop using it, \
                    then run `recover`";
        self.stop(Exit::Pending, Code::Pending, message, hint.to_owned())
    }

    /// Says how it stands, in the journal first; a pending operation has no end there.
    fn stop(mut self, exit: Exit, code: Code, message: String, hint: String) -> Ending {
        let message = self.lost.iter().fold(message, |message, lost| format!("{message}; {}", lost.words()));
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
            Code::Pending => self.record.leave(),
            _ => self.record.finish(&self.sources.root, self.plan.sbdf, code.word(), &state),
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
        let lost = self.lost.iter().map(unassign::Lost::advice);
        Ending {
            exit,
            code,
            message,
            hint,
            state,
            steps: self.reports,
            head: head.ok(),
            advice: self.guard.advice(self.function).into_iter().chain(lost).collect(),
        }
    }
}

/// A qube that takes it, and how that is known.
fn free_of(taker: Option<(String, String)>) -> Result<(), Trouble> {
    match taker {
        Some((who, why)) => Err(Trouble::InUse {
            message: format!("{who} is about to take it ({why})"),
            hint: "shut that qube down, and run `list`".to_owned(),
        }),
        None => Ok(()),
    }
}

fn shown(text: Option<&str>) -> String {
    crate::names::escape(text.unwrap_or("(null)").as_bytes())
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
