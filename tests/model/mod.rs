//! A model of a dom0: a plain directory for `--sysroot`, laid out as the kernel,
//! Xen and the toolstack lay out the real one. It stands still: nothing answers a
//! write, so it serves the commands that only read and every refusal of the others.
//! `acting` mounts a `/sys` over it that answers writes as the kernel does.

#[allow(dead_code, unused_imports)]
pub mod acting;
mod dom0;
mod function;
mod missing;
mod modules;
mod past;
mod qubesd;
mod said;
pub mod schema;
pub mod terminal;
mod xenstored;

pub use dom0::Dom0;
pub use function::Function;
pub use missing::missing;
pub use qubesd::{bytes_of, Qubesd, QubesdFault, QUBES_42, QUBES_43};
pub use said::{folded, Said};
pub use xenstored::Fault;
