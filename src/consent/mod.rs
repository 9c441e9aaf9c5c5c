//! Consent: what a human said, and whether it covers what there is.

#![forbid(unsafe_code)]

mod accepted;
mod invocation;
mod prompt;
mod refusal;
mod review;

pub use accepted::Accepted;
pub use invocation::{to_accept, Invocation};
pub use prompt::{can_ask, offer, Asked, Offered, Question};
pub use refusal::{is_reviewed, not_accepted, refused, stale};
pub use review::Review;
