//! One operation over a list of functions: all are pinned first, then each goes through its steps in turn.
//! Each has an operation of its own in the journal, and all of them begin there together.

use super::expected::Expected;
use super::operation::{Operation, Order};
use super::outcome::{Ending, Progress, StepReport, Trouble};
use super::writer::Writer;
use crate::error::{Code, Exit, Failure};
use crate::names::{Sbdf, Step};
use crate::observe::{Sources, Starting};
use crate::plan::Plan;
use crate::system::kernel_log::KernelLog;
use crate::system::signals::HeldSignals;
use crate::system::worker::Worker;

/// One function, and what is to be done to it.
pub struct Task<'a> {
    /// What the operation is started with.
    pub order: Order<'a>,
    /// The operation's records; the start is among them.
    pub writer: Writer,
    /// What is wanted.
    pub aim: Aim<'a>,
}

/// What is wanted of a function.
#[derive(Clone, Copy, Debug)]
pub enum Aim<'a> {
    /// dom0 gets it.
    Return,
    /// dom0 gets it, and what assigns it to this qube, or to any, is taken back before.
    ReturnUnassigned(Option<&'a str>),
    /// dom0 has it, and what assigns it to this qube, or to any, is taken back.
    Unassign(Option<&'a str>),
    /// pciback gets it, in quarantine.
    Hold,
}

/// What the operation tells while it goes on, and asks before the turn of each function but the first.
pub struct Watch<'a> {
    /// A function's turn begins.
    pub turn: &'a mut dyn FnMut(Sbdf),
    /// A step begins, waits, or is over.
    pub step: &'a mut dyn FnMut(&Progress<'_>),
    /// What speaks against going on with a function: those before it took time,
    /// and changed what is beside it.
    pub against: &'a mut dyn FnMut(&mut Sources, Sbdf) -> Option<String>,
}

/// How it went with one function.
#[derive(Clone, Debug)]
pub enum Ended {
    /// It came to an end, whichever.
    Came(Box<Ending>),
    /// The function's turn did not come.
    NotBegun(String),
    /// What its turn needs could not be opened; it was not touched.
    Failed(Failure),
}

impl Ended {
    /// The ending, where it came to one.
    #[must_use]
    pub fn ending(&self) -> Option<&Ending> {
        match self {
            Self::Came(ending) => Some(ending),
            Self::NotBegun(_) | Self::Failed(_) => None,
        }
    }

    /// Whether it came to the wanted end, whether or not the journal has that.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.ending().is_some_and(|ending| ending.code == Code::Done)
    }

    /// Why it did not.
    #[must_use]
    pub fn why(&self) -> &str {
        match self {
            Self::Came(ending) => &ending.message,
            Self::NotBegun(why) => why,
            Self::Failed(failure) => &failure.message,
        }
    }

    fn exit(&self) -> Exit {
        match self {
            Self::Came(ending) => ending.exit,
            Self::NotBegun(_) => Exit::Undone,
            Self::Failed(failure) => failure.exit,
        }
    }
}

/// The exit status of several; `None` is one that had nothing to do. A hang comes first, then what could not
/// be undone; else what was done counts.
pub fn sum<'a>(all: impl Iterator<Item = Option<&'a Ended>>) -> Exit {
    let all: Vec<&Ended> = all.flatten().collect();
    let exits: Vec<Exit> = all.iter().map(|ended| ended.exit()).collect();
    if let Some(worst) = [Exit::Hung, Exit::NotUndone].into_iter().find(|exit| exits.contains(exit)) {
        return worst;
    }
    let first = exits.into_iter().find(|exit| *exit != Exit::Done).unwrap_or(Exit::Done);
    let done = all.iter().filter(|ended| ended.is_done()).count();
    if done == 0 || done == all.len() {
        return first;
    }
    Exit::Partly
}

/// Carries out all tasks, and says of each how it ended, in their order.
pub fn carry_out(
    sources: &mut Sources,
    tasks: Vec<Task<'_>>,
    signals: &mut HeldSignals,
    watch: &mut Watch<'_>,
) -> Vec<(Sbdf, Ended)> {
    let alone = tasks.len() == 1;
    let mut turns = match opened(sources, tasks, signals) {
        Ok(turns) => turns,
        Err(ended) => return ended,
    };
    if !alone {
        begin_together(&mut turns);
        if let Some(why) = pin_all(&mut turns, sources, signals, watch) {
            return given_up(turns, &why, sources, signals, watch);
        }
    }
    for at in 0..turns.len() {
        let Some(turn) = turns.get_mut(at).filter(|turn| turn.ended.is_none()) else { continue };
        if at > 0 && signals.came() {
            return given_up(turns, "a signal asked to end", sources, signals, watch);
        }
        let against = if at > 0 { (watch.against)(sources, turn.sbdf()) } else { None };
        if !alone {
            (watch.turn)(turn.sbdf());
        }
        match against {
            Some(why) => turn.give_up(&why, sources, signals, watch.step),
            None => turn.go_on(sources, signals, watch.step),
        }
        if let Some(why) = turn.stops() {
            return given_up(turns, &why, sources, signals, watch);
        }
    }
    ended(turns)
}

/// Opens what each needs, before anything of any is changed.
fn opened<'a>(
    sources: &mut Sources,
    tasks: Vec<Task<'a>>,
    signals: &mut HeldSignals,
) -> Result<Vec<FunctionTurn<'a>>, Vec<(Sbdf, Ended)>> {
    let mut turns = Vec::new();
    let all: Vec<Sbdf> = tasks.iter().map(|task| task.order.plan.sbdf).collect();
    for Task { order, writer, aim } in tasks {
        let mut silent = |_: &Progress<'_>| {};
        match Operation::prepare(sources, order.clone(), writer, signals, &mut silent) {
            Ok(operation) => {
                let paused = Some(operation.pause());
                turns.push(FunctionTurn { order, aim, paused, ended: None });
            }
            Err(failure) => {
                let why = || Ended::NotBegun(format!("not begun: {}", failure.message));
                let ended = all.iter().enumerate().map(|(at, sbdf)| {
                    (*sbdf, if at == turns.len() { Ended::Failed(failure.clone()) } else { why() })
                });
                return Err(ended.collect());
            }
        }
    }
    Ok(turns)
}

/// All starts go to disk with the first intent: `recover` then knows of each.
fn begin_together(turns: &mut [FunctionTurn<'_>]) {
    let Some((first, rest)) = turns.split_first_mut() else { return };
    let others = rest.iter_mut().filter_map(|turn| turn.paused.as_mut());
    let starts: Vec<_> = others.flat_map(|paused| paused.writer.take_waiting()).collect();
    if let Some(paused) = &mut first.paused {
        paused.writer.wait_with(starts);
    }
}

/// Pins all that are pinned before anything else; why no more is begun, where that is so.
fn pin_all(
    turns: &mut [FunctionTurn<'_>],
    sources: &mut Sources,
    signals: &mut HeldSignals,
    watch: &mut Watch<'_>,
) -> Option<String> {
    for (at, turn) in turns.iter_mut().enumerate() {
        if at > 0 && signals.came() {
            return Some("a signal asked to end".to_owned());
        }
        // What takes back an assignment first is not touched before that.
        if !turn.begins_with_its_steps() {
            continue;
        }
        (watch.turn)(turn.sbdf());
        turn.pin(sources, signals, watch.step);
        if let Some(why) = turn.stops() {
            return Some(why);
        }
    }
    None
}

/// Nothing more is begun: what was pinned is let go again, unless the kernel hangs.
fn given_up(
    mut turns: Vec<FunctionTurn<'_>>,
    why: &str,
    sources: &mut Sources,
    signals: &mut HeldSignals,
    watch: &mut Watch<'_>,
) -> Vec<(Sbdf, Ended)> {
    let is_hung = |ended: &Ended| ended.ending().is_some_and(|ending| ending.exit == Exit::Hung);
    let hung = turns.iter().any(|turn| turn.ended.as_ref().is_some_and(is_hung));
    let why = format!("not begun: {why}");
    for turn in turns.iter_mut().filter(|turn| turn.ended.is_none()) {
        if hung {
            // No write beside one that hangs; `recover` settles it.
            turn.ended = Some(Ended::NotBegun(why.clone()));
        } else {
            turn.give_up(&why, sources, signals, watch.step);
        }
    }
    ended(turns)
}

fn ended(turns: Vec<FunctionTurn<'_>>) -> Vec<(Sbdf, Ended)> {
    let never = || Ended::NotBegun("not begun".to_owned());
    turns.into_iter().map(|turn| (turn.sbdf(), turn.ended.unwrap_or_else(never))).collect()
}

/// One function of the operation.
struct FunctionTurn<'a> {
    order: Order<'a>,
    aim: Aim<'a>,
    /// Where it stands between its steps.
    paused: Option<Paused>,
    ended: Option<Ended>,
}

impl<'a> FunctionTurn<'a> {
    fn sbdf(&self) -> Sbdf {
        self.order.plan.sbdf
    }

    /// Whether nothing else comes before its steps.
    fn begins_with_its_steps(&self) -> bool {
        matches!(self.aim, Aim::Return | Aim::Hold)
    }

    fn resume<'b>(
        &mut self,
        sources: &'b mut Sources,
        signals: &'b mut HeldSignals,
        step: &'b mut dyn FnMut(&Progress<'_>),
    ) -> Option<Operation<'b>>
    where
        'a: 'b,
    {
        Some(self.paused.take()?.resume(self.order.clone(), sources, signals, step))
    }

    fn pin(&mut self, sources: &mut Sources, signals: &mut HeldSignals, step: &mut dyn FnMut(&Progress<'_>)) {
        let Some(operation) = self.resume(sources, signals, step) else { return };
        match operation.pinned() {
            Ok(operation) => self.paused = Some(operation.pause()),
            Err(ending) => self.ended = Some(Ended::Came(ending)),
        }
    }

    fn go_on(
        &mut self,
        sources: &mut Sources,
        signals: &mut HeldSignals,
        step: &mut dyn FnMut(&Progress<'_>),
    ) {
        let aim = self.aim;
        let Some(operation) = self.resume(sources, signals, step) else { return };
        let ending = match aim {
            Aim::ReturnUnassigned(only) => operation.reattach_unassigned(only),
            Aim::Unassign(only) => operation.unassigned(only),
            Aim::Return | Aim::Hold if operation.has_begun() => operation.rest(),
            Aim::Return | Aim::Hold => operation.follow(),
        };
        self.ended = Some(Ended::Came(Box::new(ending)));
    }

    /// Takes back what was done to it, and does no more.
    fn give_up(
        &mut self,
        why: &str,
        sources: &mut Sources,
        signals: &mut HeldSignals,
        step: &mut dyn FnMut(&Progress<'_>),
    ) {
        let Some(operation) = self.resume(sources, signals, step) else { return };
        let hint = "review it again with `plan`; a reboot is recommended";
        let ending = if operation.has_begun() {
            operation.fail(Trouble::failed(why, hint))
        } else {
            operation.end(Exit::Undone, Code::Undone, why.to_owned(), hint.to_owned())
        };
        self.ended = Some(match ending.exit {
            Exit::Undone => Ended::NotBegun(why.to_owned()),
            _ => Ended::Came(Box::new(ending)),
        });
    }

    /// Why nothing more is begun after it: the kernel hangs, somebody else
    /// acts, or the journal takes nothing.
    fn stops(&self) -> Option<String> {
        let ending = self.ended.as_ref()?.ending()?;
        let stops = [Exit::Hung, Exit::NotUndone, Exit::Io, Exit::JournalBroken, Exit::Pending];
        stops.contains(&ending.exit).then(|| format!("{} ended with {}", self.sbdf(), ending.code.word()))
    }
}

/// An operation between two of its steps, while another function has its turn.
struct Paused {
    writer: Writer,
    worker: Worker,
    kernel_log: KernelLog,
    starting: Starting,
    expected: Expected,
    rom_sha256: String,
    reports: Vec<StepReport>,
}

impl Paused {
    fn resume<'a>(
        self,
        order: Order<'a>,
        sources: &'a mut Sources,
        signals: &'a mut HeldSignals,
        progress: &'a mut dyn FnMut(&Progress<'_>),
    ) -> Operation<'a> {
        let Self { writer, worker, kernel_log, starting, expected, rom_sha256, reports } = self;
        Operation {
            sources,
            function: order.function,
            plan: order.plan,
            accepted: order.accepted,
            writer,
            worker,
            signals,
            kernel_log,
            starting,
            expected,
            known_rom: order.known_rom,
            beside: order.beside,
            rom_sha256,
            reports,
            progress,
        }
    }
}

impl Operation<'_> {
    fn pause(self) -> Paused {
        let Self { writer, worker, kernel_log, starting, expected, rom_sha256, reports, .. } = self;
        Paused { writer, worker, kernel_log, starting, expected, rom_sha256, reports }
    }

    /// Whether a step was taken.
    fn has_begun(&self) -> bool {
        !self.reports.is_empty()
    }

    /// Goes through all steps.
    pub(super) fn follow(self) -> Ending {
        match self.pinned() {
            Ok(operation) => operation.rest(),
            Err(ending) => *ending,
        }
    }

    /// Begins, and goes through the steps up to the pin.
    fn pinned(mut self) -> Result<Self, Box<Ending>> {
        if let Err(failure) = self.is_as_planned() {
            if !self.expected.lost.is_empty() {
                return Err(Box::new(self.fail(failure.into())));
            }
            return Err(Box::new(self.end(failure.exit, failure.code, failure.message, failure.hint)));
        }
        self.found();
        for planned in self.plan.steps.iter().take(pinning(self.plan)) {
            if let Err(trouble) = self.take(planned) {
                return Err(Box::new(self.fail(trouble)));
            }
        }
        Ok(self)
    }

    /// Goes through the steps behind the pin.
    fn rest(mut self) -> Ending {
        for planned in self.plan.steps.iter().skip(pinning(self.plan)) {
            if let Err(trouble) = self.take(planned) {
                return self.fail(trouble);
            }
        }
        self.settled();
        self.end(Exit::Done, Code::Done, "every step was proved".to_owned(), String::new())
    }
}

/// How many steps a plan has up to the pin.
fn pinning(plan: &Plan) -> usize {
    plan.steps.iter().position(|planned| planned.step == Step::Pin).map_or(0, |at| at + 1)
}
