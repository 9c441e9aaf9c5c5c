//! Types that cannot hold nonsense: what is parsed here at the border needs no
//! second look anywhere else.

#![forbid(unsafe_code)]

mod driver;
mod escape;
#[cfg(test)]
mod fuzz;
mod qube;
mod sbdf;

pub use driver::{DriverName, ModuleName};
pub use escape::{escape, unescape, Untrusted};
pub use qube::QubeName;
pub use sbdf::{DeviceArgument, Hop, Sbdf};
