//! What the kernel, xenstored and qubesd send.

#![forbid(unsafe_code)]

use super::qubesd::wire::{answer, Feed};
use super::{kernel_log, uevents, xenstore_watch};
use crate::fuzz::run;

#[test]
fn fuzz_answers_of_qubesd() {
    run("answers", &[b"0\0dom0 class=AdminVM\n", b"2\0QubesValueError\0\0no such\0", b""], |bytes| {
        answer(bytes).map(<[u8]>::to_vec)
    });
}

#[test]
fn fuzz_events_of_qubesd_cut_anywhere() {
    let seeds: [&[u8]; 2] = [
        b"1\0\0connection-established\0\0",
        b"1\0work\0device-assign:pci\0device\0dom0:00_1f.3:*\0options\0{'permissive': 'True'}\0\0",
    ];
    run("events", &seeds, |bytes| {
        let whole = Feed::default().take(bytes);
        let half = bytes.len() / 2;
        let mut feed = Feed::default();
        let parts = feed.take(&bytes[..half]).and_then(|mut first| {
            first.extend(feed.take(&bytes[half..])?);
            Ok(first)
        });
        assert_eq!(whole, parts);
        whole
    });
}

#[test]
fn fuzz_uevents() {
    let seed =
        b"bind@/devices/pci0000:00/0000:00:02.0\0ACTION=bind\0DEVPATH=/devices/pci0000:00/0000:00:02.0\0\
        SUBSYSTEM=pci\0DRIVER=pciback\0PCI_SLOT_NAME=0000:00:02.0\0SEQNUM=1234\0";
    run("uevents", &[seed], uevents::parse);
}

#[test]
fn fuzz_packets_of_xenstored() {
    let seed =
        [15u32, 0, 0, 6].iter().flat_map(|word| word.to_le_bytes()).chain(*b"a\0tok\0").collect::<Vec<u8>>();
    run("xenstore", &[&seed], |bytes| {
        xenstore_watch::whole_message(bytes).map_err(|error| error.to_string())
    });
}

#[test]
fn fuzz_lines_of_the_kernel_log() {
    let seed = b"6,1234,567890,-;pciback 0000:00:02.0: xen_pciback: vpci: assign to virtual slot 0\n SUBSYSTEM=pci\n";
    run("kernel-log", &[seed], |bytes| {
        kernel_log::kernel_record(bytes).map(|(number, text)| (number, text.to_vec()))
    });
}
