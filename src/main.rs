//! Gives PCI devices that a qube has used back to dom0.
mod assess; mod cli; mod error; mod names; mod observe; mod system;
fn main() {}
