//! Gives PCI devices that a qube has used back to dom0.
fn main() {}
