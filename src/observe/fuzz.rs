//! What devices, Xen and files of dom0 say.

use super::config_space::{is_all_ones, ConfigSpace};
use super::{owners, policy};
use crate::fuzz::run;

#[test]
fn fuzz_config_space() {
    let mut seed = [0u8; 256];
    seed[..4].copy_from_slice(&[0x86, 0x80, 0xd3, 0x10]);
    (seed[6], seed[0x34], seed[0x40], seed[0x41]) = (0x10, 0x40, 0x10, 0x60);
    (seed[0x60], seed[0x61]) = (0x05, 0x00);
    run("config-space", &[&seed, &[0xff; 256]], |bytes| (is_all_ones(bytes), ConfigSpace::parse(bytes)));
}

#[test]
fn fuzz_owners_that_xen_prints() {
    let seed = b"(XEN) ==== PCI devices ====\n(XEN) ==== segment 0000 ====\n(XEN) 0000:00:07.0 - DomIO:8005 - node -1 \n\
        (XEN) 0000:00:02.0 - d0 - node -1  - MSIs < 30 31 >\n";
    run("owners", &[seed], |bytes| owners::owner_in_dump(&String::from_utf8_lossy(bytes)));
}

#[test]
fn fuzz_the_policy() {
    let seed =
        b"# comment\nuntrusted-label red\nnever-return 0000:00:14.0\nnever-return 8086:10d3\nstop no-reset\n";
    run("policy", &[seed], policy::parse);
}
