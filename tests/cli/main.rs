//! The unmodified program against a model dom0: what every command shows, and
//! everything the changing ones refuse. Each test reads as the manual would: given
//! this dom0, this is said.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::string_slice)]

#[path = "../lib/code.rs"]
mod code;
#[path = "../model/mod.rs"]
mod model;

mod arguments;
mod assigned;
mod completion;
mod consent;
mod documents;
mod drivers;
mod ended;
mod errors;
mod hazards;
mod history;
mod import;
mod in_use;
mod journals;
mod list;
mod log;
mod machine;
mod move_journal;
mod naming;
mod next_boot;
mod output;
mod place;
mod policy;
mod privilege;
mod prompt;
mod prune;
mod readme;
mod reboot;
mod recorder;
mod recording;
mod recover;
mod replay;
mod report;
mod reports;
mod rollback;
mod schemas;
mod several;
mod source;
mod states;
mod status;
mod streams;
mod stubs;
mod timeline;
mod topology;
mod xenstore;
