//! Consent: what a human said, and whether it covers what there is.

#![forbid(unsafe_code)]

mod accepted;
mod confirm;
mod prompt;

pub use accepted::Accepted;
pub use confirm::confirm;
pub use prompt::{ask, can_ask, Asked};
