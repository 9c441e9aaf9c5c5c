//! The judgement, held against situations: what is found, and which hazards and verdict follow.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod monotone;
mod reboot;
pub mod situation;
mod table;

/// A text that is long and stands in a file, so that a change of it is read line by line.
/// `REGENERATE=1` writes it anew.
pub fn is_as_written(file: &str, text: &str) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    if std::env::var_os("REGENERATE").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap();
    let differ = text.lines().zip(written.lines()).find(|(is, was)| is != was);
    assert!(text == written, "{file}: {differ:?}");
}
