//! Types that cannot hold nonsense: what is parsed here at the border needs no
//! second look anywhere else.

#![forbid(unsafe_code)]

mod driver;
mod escape;
#[cfg(test)]
mod fuzz;
mod hex;
mod owner;
mod qube;
mod sbdf;
mod seconds;
mod standing;
mod step;

pub use driver::{DriverName, ModuleName};
pub use escape::{escape, harmless, unescape, Untrusted};
pub use hex::{hex, unhex};
pub use owner::Owner;
pub use qube::QubeName;
pub use sbdf::{DeviceArgument, Hop, Sbdf};
pub use seconds::{to_the_minute, to_the_second};
pub use standing::Standing;
pub use step::{Direction, Step};
