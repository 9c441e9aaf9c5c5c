//! The history as a picture: one lane a function, time across, each stay with a qube as a letter in the colour of the
//! qube's label. A pure function from records to lines.

mod axis;
mod lanes;
mod picture;

pub use lanes::{lanes, Lane, Span};
pub use picture::picture;

use crate::assess::Coverage;
use crate::history::{Entry, Moment};
use crate::names::Sbdf;

/// One record of the history, with what the journal says of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Told {
    /// When it was written.
    pub time: Moment,
    /// In which boot.
    pub boot: String,
    /// What it says.
    pub entry: Entry,
}

/// An operation of this program.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Operation {
    /// Its id.
    pub id: String,
    /// When it began.
    pub time: Moment,
    /// What it was.
    pub command: String,
    /// On which function; `None` where its record names none.
    pub bdf: Option<Sbdf>,
    /// How it ended, as far as it got.
    pub outcome: String,
}

/// All that the picture is drawn from.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Story {
    /// The history's records in the journal's order.
    pub told: Vec<Told>,
    /// The operations in the journal's order.
    pub operations: Vec<Operation>,
    /// Up to when something could have been told: now, or the last record of a journal that is not this boot's.
    pub until: Moment,
}

/// What of it is drawn.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct View {
    /// The first moment.
    pub from: Moment,
    /// The last moment.
    pub to: Moment,
    /// Columns of a line.
    pub width: usize,
    /// Only this function.
    pub device: Option<Sbdf>,
    /// Whether colours are wanted.
    pub colours: bool,
}

impl Story {
    /// What a recorder covered of it.
    #[must_use]
    pub fn coverage(&self) -> Coverage {
        Coverage::of(self.told.iter().map(|told| (told.time, told.boot.as_str(), &told.entry)))
    }

    /// The first moment of each boot but of those only an import speaks of.
    #[must_use]
    pub fn boots(&self) -> Vec<(Moment, String)> {
        let mut boots: Vec<(Moment, String)> = Vec::new();
        for told in self.told.iter().filter(|told| !is_import(&told.entry)) {
            if boots.last().is_none_or(|(_, boot)| *boot != told.boot) {
                boots.push((told.time, told.boot.clone()));
            }
        }
        boots
    }

    /// From the first to the last moment it speaks of.
    #[must_use]
    pub fn span(&self) -> Option<(Moment, Moment)> {
        let told = self.told.iter().filter_map(|told| {
            if is_import(&told.entry) {
                at(&told.entry)
            } else {
                Some(told.time)
            }
        });
        let times: Vec<Moment> = told.chain(self.operations.iter().map(|it| it.time)).collect();
        Some((*times.iter().min()?, (*times.iter().max()?).max(self.until)))
    }
}

/// Whether a record tells of the time before the recorder.
fn is_import(entry: &Entry) -> bool {
    source(entry).starts_with("import:")
}

fn source(entry: &Entry) -> &str {
    match entry {
        Entry::Device(it) => &it.source,
        Entry::Stay(it) => &it.source,
        Entry::Qube(it) => &it.source,
        Entry::Recorder(_) | Entry::Lost(_) => "",
    }
}

/// The time that the source of an import gives.
fn at(entry: &Entry) -> Option<Moment> {
    match entry {
        Entry::Device(it) => Moment::parse(&it.at),
        Entry::Stay(it) => Moment::parse(&it.at),
        Entry::Qube(it) => Moment::parse(&it.at),
        Entry::Recorder(_) | Entry::Lost(_) => None,
    }
}

#[cfg(test)]
mod tests;
