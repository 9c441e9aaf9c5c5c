//! What a log prints: each line as it comes, or all at the end, where only the newest
//! are wanted or the newest first.

use crate::error::Failure;
use crate::report::taken;
use std::collections::VecDeque;
use std::io::{BufWriter, StdoutLock, Write};
use std::ops::ControlFlow;

/// How one of them is printed.
pub type Print<'a> = &'a dyn Fn(&mut dyn Write, &[u8]) -> std::io::Result<()>;

/// Where they go.
pub struct Output<'a> {
    out: BufWriter<StdoutLock<'static>>,
    print: Print<'a>,
    /// Whether they are kept till the end, and how many at most.
    keeps: bool,
    most: Option<usize>,
    kept: VecDeque<Vec<u8>>,
    written: std::io::Result<()>,
}

impl<'a> Output<'a> {
    /// None yet. `keeps`: print them at the end; of them the last `most`.
    pub fn new(keeps: bool, most: Option<usize>, print: Print<'a>) -> Self {
        let out = BufWriter::with_capacity(64 * 1024, std::io::stdout().lock());
        Self { out, print, keeps, most, kept: VecDeque::new(), written: Ok(()) }
    }

    /// Takes the next one; breaks off where stdout takes no more.
    pub fn take(&mut self, one: &[u8]) -> ControlFlow<()> {
        if self.keeps {
            if self.most.is_some_and(|most| self.kept.len() >= most) {
                self.kept.pop_front();
            }
            self.kept.push_back(one.to_vec());
            return ControlFlow::Continue(());
        }
        self.written = (self.print)(&mut self.out, one);
        if self.written.is_err() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }

    /// Prints those that were kept, the last first where that is wanted, and then `end`.
    ///
    /// # Errors
    /// stdout takes no more.
    pub fn finish(mut self, reverse: bool, end: &str) -> Result<(), Failure> {
        if reverse {
            self.kept.make_contiguous().reverse();
        }
        let mut printed = || {
            self.kept.iter().try_for_each(|one| (self.print)(&mut self.out, one))?;
            self.out.write_all(end.as_bytes())?;
            self.out.flush()
        };
        taken(self.written.and_then(|()| printed()))
    }
}
