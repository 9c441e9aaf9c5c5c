//! The history as a picture: one lane a function, time across, each stay with a qube as a letter in
//! the colour of the qube's label.

mod axis;
mod picture;

pub use picture::picture;

use crate::journal::Moment;
use crate::names::Sbdf;

/// What of it is drawn.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TimelineView {
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

#[cfg(test)]
mod tests;
