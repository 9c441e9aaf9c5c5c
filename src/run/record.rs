//! The journal's view of an operation: intent before, result after.
//!
//! A result is put on disk together with the next intent, in one append: a crash
//! between the two leaves the intent, and what the step did is read from the
//! machine anyway.

use crate::error::Failure;
use crate::names::Sbdf;
use audit::{Draft, Journal};
use std::path::Path;

/// The records of one operation.
pub struct Record {
    journal: Journal,
    operation: String,
    waiting: Vec<Draft>,
    lost: Option<Failure>,
}

impl Record {
    /// Opens the journal.
    ///
    /// # Errors
    /// Exit 7 where it is broken, 10 where the right is missing, 11 otherwise.
    pub fn open(folder: &Path, boot_id: &str, operation: String) -> Result<Self, Failure> {
        let boot: String = boot_id.chars().filter(char::is_ascii_hexdigit).take(8).collect();
        let journal = Journal::open(folder, &boot).map_err(|error| Failure::of_journal(&error))?;
        Ok(Self { journal, operation, waiting: Vec::new(), lost: None })
    }

    /// Begins: what is going to be done, to what, and what was accepted. It waits
    /// for the first intent.
    pub fn start(&mut self, command: &str, sbdf: Sbdf, describe: impl FnOnce(Draft) -> Draft) {
        let draft = Draft::new("op")
            .op(&self.operation)
            .text("phase", "start")
            .text("command", command)
            .text("bdf", &sbdf.to_string());
        self.waiting.push(describe(draft));
    }

    /// A step that is going to be done; on disk when this returns.
    ///
    /// # Errors
    /// The journal cannot be written: the step must not be done.
    pub fn intent(&mut self, step: &str, sbdf: Sbdf, what: &str) -> Result<(), Failure> {
        self.reading(step, sbdf, what);
        self.flush()
    }

    /// A step that only reads: its intent goes to disk with the next append.
    pub fn reading(&mut self, step: &str, sbdf: Sbdf, what: &str) {
        let draft = self.step(step, "intent", sbdf).text("what", what);
        self.waiting.push(draft);
    }

    /// A step that was proved.
    pub fn done(&mut self, step: &str, sbdf: Sbdf, proof: &str) {
        let draft = self.step(step, "done", sbdf).text("proof", proof);
        self.waiting.push(draft);
    }

    /// A step that failed.
    pub fn failed(&mut self, step: &str, sbdf: Sbdf, why: &str) {
        let draft = self.step(step, "failed", sbdf).text("why", why);
        self.waiting.push(draft);
    }

    /// A step that was not needed.
    pub fn skipped(&mut self, step: &str, why: &str) {
        let draft = Draft::new("step")
            .op(&self.operation)
            .text("step", step)
            .text("phase", "skipped")
            .text("why", why);
        self.waiting.push(draft);
    }

    /// Ends the operation and gives the head in short form.
    ///
    /// # Errors
    /// The journal could not be written, now or before.
    pub fn finish(&mut self, outcome: &str, state: &str) -> Result<String, Failure> {
        let draft = Draft::new("op")
            .op(&self.operation)
            .text("phase", "end")
            .text("outcome", outcome)
            .text("state", state);
        self.waiting.push(draft);
        self.flush()?;
        Ok(self.journal.head().short())
    }

    fn step(&self, step: &str, phase: &str, sbdf: Sbdf) -> Draft {
        Draft::new("step")
            .op(&self.operation)
            .text("step", step)
            .text("phase", phase)
            .text("bdf", &sbdf.to_string())
    }

    /// After one failure nothing is written any more: what the disk holds is then
    /// not known to this run.
    fn flush(&mut self) -> Result<(), Failure> {
        if let Some(failure) = &self.lost {
            return Err(failure.clone());
        }
        let written = self.journal.append(&self.waiting);
        self.waiting.clear();
        written.map(|_| ()).map_err(|error| {
            let failure = Failure::of_journal(&error);
            self.lost = Some(failure.clone());
            failure
        })
    }
}
