//! History: the words in which the journal says what happened to PCI functions. The recorder, an import and the
//! operations write them, everything that looks back reads them; nothing here reads or decides.

#![forbid(unsafe_code)]

mod entry;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod fuzz;
mod moment;
mod told;
mod uptime;

pub use entry::{
    Device, DeviceEvent, Entry, Identity, Lost, Qube, QubeEvent, Recorder, RecorderPhase, Stay, StayEvent,
};
pub use moment::{seconds, Moment};
pub use told::{journal_boot, up, Told, What};
pub use uptime::Uptime;
