//! The journal's view of an operation: intent before, result after.
//!
//! A result is put on disk together with the next intent, in one append: a crash
//! between the two leaves the intent, and what the step did is read from the
//! machine anyway.

use crate::assess::Case;
use crate::error::{Code, Exit, Failure};
use crate::journal::{
    journal_boot, Consent, Details, Entry, OperationPhase, OperationRecord, Start, StepPhase, StepRecord,
};
use crate::names::{escape, Sbdf, Standing, Step};
use crate::system::kernel_log;
use crate::system::root::Sysroot;
use crate::system::who::Who;
use audit::{Draft, Journal};
use std::path::Path;

/// The records of one operation.
pub struct Writer {
    /// `None` where it cannot be written; then `lost` says why.
    journal: Option<Journal>,
    operation: String,
    waiting: Vec<Draft>,
    lost: Option<Failure>,
}

impl Writer {
    /// Opens the journal.
    ///
    /// # Errors
    /// Exit 7 where it is broken, 10 where the right is missing, 11 otherwise.
    pub fn open(folder: &Path, boot_id: &str, operation: String) -> Result<Self, Failure> {
        let journal = Journal::open(folder, &journal_boot(boot_id));
        let journal = Some(journal.map_err(|error| Failure::of_journal(&error))?);
        Ok(Self { journal, operation, waiting: Vec::new(), lost: None })
    }

    /// Goes on with an operation that was interrupted. A journal that is whole but
    /// takes no record keeps nobody from the way back: its start names it already.
    ///
    /// # Errors
    /// Exit 7 where the journal is broken, 10 where the right is missing, 11
    /// where others could have written it.
    pub fn resume(
        folder: &Path,
        boot_id: &str,
        operation: String,
        sbdf: Option<Sbdf>,
    ) -> Result<Self, Failure> {
        let draft =
            OperationRecord { id: operation.clone(), bdf: sbdf, phase: OperationPhase::Recover }.draft();
        let (journal, lost) = match Journal::open(folder, &journal_boot(boot_id)) {
            Ok(journal) => (Some(journal), None),
            Err(error) => match Failure::of_journal(&error) {
                failure if failure.exit == Exit::Io && failure.code != Code::NotTrusted => {
                    (None, Some(failure))
                }
                failure => return Err(failure),
            },
        };
        Ok(Self { journal, operation, waiting: vec![draft], lost })
    }

    /// Begins: what is going to be done, to what, from which state, and what was
    /// accepted. It waits for the first intent. The state is where every undo leads
    /// back to: this record is the intent of all of them.
    pub fn start(&mut self, root: &Sysroot, command: &str, case: &Case, consent: Option<Consent>) {
        let function = &case.subject.function;
        let start = Start {
            command: command.to_owned(),
            standing: Standing::observed(&case.dom0, function),
            device: format!("{:04x}:{:04x}", function.vendor, function.device),
            class: format!("{:06x}", function.class),
            found: escape(case.state.words().as_bytes()),
            consent,
            who: Who::runs(root),
        };
        self.says(Some(function.sbdf), OperationPhase::Start(Box::new(start)));
    }

    /// What waits to be written: another record of the same journal takes it along.
    pub(super) fn take_waiting(&mut self) -> Vec<Draft> {
        std::mem::take(&mut self.waiting)
    }

    /// Takes along what another has to write.
    pub(super) fn wait_with(&mut self, drafts: Vec<Draft>) {
        self.waiting.extend(drafts);
    }

    /// A step that is going to be done; on disk when this returns.
    ///
    /// # Errors
    /// The journal cannot be written: the step must not be done.
    pub fn intent(&mut self, step: Step, sbdf: Sbdf, what: &str, details: &Details) -> Result<(), Failure> {
        let record = self.step(step, StepPhase::Intent, sbdf, what);
        self.waiting.push(StepRecord { details: details.clone(), ..record }.draft());
        self.flush()
    }

    /// A step that only reads: its intent goes to disk with the next append.
    pub fn reading(&mut self, step: Step, sbdf: Sbdf, what: &str) {
        self.waiting.push(self.step(step, StepPhase::Intent, sbdf, what).draft());
    }

    /// What the history is to know of the function.
    pub fn told(&mut self, entry: &Entry) {
        self.waiting.push(entry.draft().op(&self.operation));
    }

    /// A step that was proved.
    pub fn done(&mut self, step: Step, sbdf: Sbdf, proof: &str) {
        self.proved(step, sbdf, proof, "");
    }

    /// A step that was proved, with the hash of the ROM that it read; empty where it read none.
    pub fn proved(&mut self, step: Step, sbdf: Sbdf, proof: &str, rom_sha256: &str) {
        let record = self.step(step, StepPhase::Done, sbdf, proof);
        self.waiting.push(StepRecord { rom_sha256: rom_sha256.to_owned(), ..record }.draft());
    }

    /// A step that failed.
    pub fn failed(&mut self, step: Step, sbdf: Sbdf, why: &str) {
        self.waiting.push(self.step(step, StepPhase::Failed, sbdf, why).draft());
    }

    /// A step that was not needed.
    pub fn skipped(&mut self, step: Step, sbdf: Sbdf, why: &str) {
        self.waiting.push(self.step(step, StepPhase::Skipped, sbdf, why).draft());
    }

    /// Ends the operation and gives the head in short form. What the journal does not take is said in the
    /// kernel's log, which outlives the terminal.
    ///
    /// # Errors
    /// The journal could not be written, now or before.
    pub fn finish(
        &mut self,
        root: &Sysroot,
        sbdf: impl Into<Option<Sbdf>>,
        outcome: &str,
        state: &str,
    ) -> Result<String, Failure> {
        let sbdf = sbdf.into();
        self.ended(sbdf, outcome, state).map_err(|failure| {
            let device = sbdf.map_or_else(|| "a device that is not known".to_owned(), |it| it.to_string());
            let words = format!(
                "operation {} on {device} ended as {outcome}; now {state}; the journal does not say so: {}",
                self.operation, failure.message
            );
            match kernel_log::notice(root, &words) {
                Ok(()) => failure,
                Err(error) => Failure {
                    message: format!("{}; nor does the kernel's log take it: {error}", failure.message),
                    ..failure
                },
            }
        })
    }

    fn ended(&mut self, sbdf: Option<Sbdf>, outcome: &str, state: &str) -> Result<String, Failure> {
        let [outcome, state] = [outcome, state].map(|text| escape(text.as_bytes()));
        self.says(sbdf, OperationPhase::End { outcome, state }); // mutant: end-not-written
        self.leave()
    }

    /// Writes down what is known of an operation that stays pending, and gives the head in short form.
    ///
    /// # Errors
    /// The journal could not be written, now or before.
    pub fn leave(&mut self) -> Result<String, Failure> {
        self.flush()?;
        Ok(self.journal.as_ref().map_or_else(String::new, |journal| journal.head().short()))
    }

    fn says(&mut self, bdf: Option<Sbdf>, phase: OperationPhase) {
        self.waiting.push(OperationRecord { id: self.operation.clone(), bdf, phase }.draft());
    }

    fn step(&self, step: Step, phase: StepPhase, sbdf: Sbdf, said: &str) -> StepRecord {
        StepRecord::new(&self.operation, step, phase, sbdf, said)
    }

    /// After one failure nothing is written any more: what the disk holds is then
    /// not known to this run.
    fn flush(&mut self) -> Result<(), Failure> {
        if let Some(failure) = &self.lost {
            return Err(failure.clone());
        }
        let Some(journal) = &mut self.journal else { return Ok(()) };
        let written = journal.append(&self.waiting);
        self.waiting.clear();
        written.map(|_| ()).map_err(|error| {
            let failure = Failure::of_journal(&error);
            self.lost = Some(failure.clone());
            failure
        })
    }
}
