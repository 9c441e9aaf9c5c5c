//! What decides where each function stands after the next boot: the boot configuration, modprobe's,
//! driverctl's, Qubes'.

mod command_line;
mod device;
mod facts;
mod grub_cfg;
mod grub_script;
mod module_files;
mod place;
mod read;
mod release;
mod shell;
mod source;
mod tokens;

pub use command_line::{CommandLine, Word};
pub use device::{short, Device, Module};
pub use facts::{Booting, Facts, Generated, Keyboard, Override};
pub use module_files::{Line, ModuleFiles};
pub use place::{File, Piece, Place, Quote, Unknown};
pub use read::{read, read_beside, Depth};
pub use release::{Decider, Release, ScriptOf};
pub use source::{Evaluated, Source};
