//! The judgement, held against situations: what is found, and which hazards and verdict follow.

#![allow(clippy::unwrap_used, clippy::panic)]

mod monotone;
mod situation;
mod table;
