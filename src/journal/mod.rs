//! Journal: the records in which it is kept what happened to PCI functions, each written and read in one file. The
//! recorder, imports and operations write them, everything that looks back reads them.

#![forbid(unsafe_code)]

mod carried;
pub mod coverage;
mod entry;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod fuzz;
mod moment;
mod operation;
mod place;
mod shown;
pub mod stays;
mod step;
mod sum;
mod told;
mod uptime;

pub use carried::{Carried, Prune, Recorded};
pub use entry::{
    Device, DeviceEvent, Entry, Identity, Lost, Qube, QubeEvent, Recorder, RecorderPhase, Stay, StayEvent,
};
pub use moment::{seconds, Moment};
pub use operation::{Consent, OperationPhase, OperationRecord, Start};
pub use place::Place;
pub use step::{Details, StepName, StepPhase, StepRecord};
pub use sum::Sum;
pub use told::{journal_boot, up, Told, What};
pub use uptime::Uptime;
