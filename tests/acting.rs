//! The unmodified program against a model dom0 whose `/sys` acts: whole operations,
//! and what a failing step leaves.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::string_slice)]

#[allow(dead_code, unused_imports)]
#[path = "model/mod.rs"]
mod model;

mod matrix;
