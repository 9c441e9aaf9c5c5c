//! The system boundary: everything that touches the world outside this process.
//! Nothing else opens a file, starts a program or calls Xen. Nothing here decides.

pub mod choice;
pub mod confine;
pub mod folder_watch;
#[cfg(test)]
#[allow(clippy::indexing_slicing, clippy::unwrap_used)]
mod fuzz;
pub mod kernel_log;
#[allow(unsafe_code)] // the fence: the only module with unsafe code, see its head
mod libxenctrl;
pub mod lock;
pub mod logs;
pub mod modprobe;
pub mod modules;
pub mod pci_ids;
pub mod qubesd;
pub mod root;
pub mod scratch;
pub mod signals;
pub mod space;
pub mod sysfs;
pub mod terminal;
pub mod uevents;
pub mod unit;
pub mod waiting;
pub mod who;
pub mod worker;
pub mod xen;
pub mod xenstore;
pub mod xenstore_watch;
