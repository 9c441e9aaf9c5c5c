//! Journal: the records in which it is kept what happened to PCI functions, each written and read in one
//! file. The recorder, imports and operations write them, everything that looks back reads them.

#![forbid(unsafe_code)]

/// Gives an enum the words that the journal has for it.
macro_rules! words {
    ($type:ty { $($variant:ident = $word:literal),+ $(,)? }) => {
        impl $type {
            /// The word in the journal.
            #[must_use]
            pub fn word(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }

            fn parse(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$variant),)+ _ => None }
            }
        }
    };
}

pub mod account;
pub mod coverage;
mod device;
mod earlier_identity;
mod earlier_stays;
mod entry;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod fuzz;
pub mod identity;
mod loss;
mod members;
mod misattachments;
mod moment;
mod operation;
mod past_record;
mod place;
mod prune;
mod qube;
mod reading;
mod recorder;
mod source;
mod stay;
pub mod stays;
mod step;
mod sum;
pub mod timeline;
mod uptime;

pub use device::{DeviceEvent, DeviceRecord, Way};
pub use earlier_identity::EarlierIdentity;
pub use earlier_stays::{EarlierStays, EarlierStaysRecord};
pub use entry::Entry;
pub use identity::Identity;
pub use loss::{LossCause, LossRecord};
pub use misattachments::{Misattachment, Misattachments, TakenFunction};
pub use moment::Moment;
pub use operation::{Consent, OperationPhase, OperationRecord, Start};
pub use past_record::{journal_boot, PastEvent, PastRecord};
pub use place::Place;
pub use prune::PruneRecord;
pub use qube::{QubeEvent, QubeRecord};
pub use reading::{
    is_safe, records_at, records_of_boot, records_of_functions, IdentifiedFunction, JournalReading,
};
pub use recorder::{RecorderPhase, RecorderRecord};
pub use source::{Log, Source};
pub use stay::{StayEvent, StayRecord};
pub use step::{Details, StepName, StepPhase, StepRecord};
pub use sum::Sum;
pub use uptime::Uptime;
