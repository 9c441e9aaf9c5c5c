//! Where each function will be after the next boot, by pure rules.

mod because;
mod hazards;
mod keyboard;
mod line;
mod lists;
mod modules;
mod predict;
pub mod script;
mod setting;
mod taken;

pub use because::{Because, Rule};
pub use hazards::{hazards_at_boot, keyboard_locked};
pub use line::{deciding, differences, machine, setting, with_line, Differs, Kind};
pub use lists::{hide_list, id_matches, ids};
pub use modules::{is_named, loads, Loads, BY_DRACUT, BY_KERNEL, BY_MODPROBE};
pub use predict::{fate_of, predict, Fate, Next, Prediction};
pub use setting::{Machine, Setting};
pub use taken::{dead, means, takers, Dead};
