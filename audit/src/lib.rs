//! A hash-chained journal.
#![forbid(unsafe_code)]
