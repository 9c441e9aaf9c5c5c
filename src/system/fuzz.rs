//! What the kernel, xenstored and qubesd send.

#![forbid(unsafe_code)]

use super::qubesd::wire::{answer, Feed};
use super::{kernel_log, modules, pci_ids, root::Sysroot, uevents, worker, xenstore, xenstore_watch};
use crate::fuzz::run;
use crate::names::{DriverName, ModuleName};

/// A file of `depmod` from nothing, as the model of a dom0 makes it.
#[path = "../../tests/model/modules.rs"]
mod index;

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

/// An answer of xenstored, of the form that the input's first byte chooses; a listing goes on in parts.
#[test]
fn fuzz_replies_of_xenstored() {
    let message = |kind: u32, id: u32, payload: &[u8]| {
        let length = u32::try_from(payload.len()).unwrap_or_default();
        let words = [kind, id, 0, length].map(u32::to_ne_bytes).concat();
        [words, payload.to_vec()].concat()
    };
    let parts =
        [message(16, 1, b"E2BIG\0"), message(17, 2, b"7\0a\0b\0"), message(17, 3, b"7\0c\0\0")].concat();
    let seeds =
        [message(1, 1, b"7\08\0"), message(2, 1, b"0000:00:07.0"), message(16, 1, b"ENOENT\0"), parts];
    let seeds: Vec<&[u8]> = seeds.iter().map(Vec::as_slice).collect();
    run("xenstore-replies", &seeds, |bytes| {
        let list = xenstore::answered(bytes, |store| store.list("/local"));
        let value = xenstore::answered(bytes, |store| store.read("/local"));
        (list.map_err(|failure| failure.message), value.map_err(|failure| failure.message))
    });
}

/// A modalias is made of config space, that is by the device; libkmod compares it with its patterns.
#[test]
fn fuzz_what_modules_claim() {
    let folder = std::env::temp_dir().join(format!("dom0-pci-fuzz-modules-{}", std::process::id()));
    let modules = folder.join("lib/modules/6.12.0");
    std::fs::create_dir_all(&modules).unwrap();
    std::fs::create_dir_all(folder.join("proc/sys/kernel")).unwrap();
    std::fs::write(folder.join("proc/sys/kernel/osrelease"), "6.12.0\n").unwrap_or_default();
    let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let nic = "pci:v00008086d000010D3sv00008086sd00000001bc02sc00i00";
    let aliases = [
        pair("pci:v00008086d000010D3sv*sd*bc*sc*i*", "first"),
        pair("pci:v*d*sv*sd*bc0Csc03i30*", "second"),
        pair("pci:v0000[18]0[!a-f]6d*[0-9]*sv*?sd\\*", "third"),
    ];
    for (name, entries) in
        [("modules.alias.bin", &aliases[..]), ("modules.dep.bin", &[]), ("modules.symbols.bin", &[])]
    {
        std::fs::write(modules.join(name), index::index(entries)).unwrap_or_default();
    }
    let known = modules::Modules::open(&Sysroot::new(Some(folder.clone())));
    let known = known.map_err(|failure| failure.message);
    assert!(known.is_ok(), "{:?}", known.err());
    run("modules", &[nic.as_bytes(), b"pci:v00008086d000010D3sv*", b"first_core", b"pci:first"], |bytes| {
        let text = String::from_utf8_lossy(bytes);
        let claiming = known.as_ref().ok().map(|known| known.claiming(&text).map_err(|failure| failure.code));
        (claiming, ModuleName::parse(&text), text.strip_prefix("pci:").and_then(DriverName::parse).is_some())
    });
    let _ = std::fs::remove_dir_all(folder);
}

#[test]
fn fuzz_pci_ids() {
    let seed = b"# c\n8086  Intel Corporation\n\t10d3  82574L Gigabit\n\t\t8086 0001  sub\nC 02  Network controller\n\t00  Ethernet\n";
    run("pci-ids", &[seed], pci_ids::described);
}

/// The child answers over a pipe; a broken one must not break the operation.
#[test]
fn fuzz_words_between_the_program_and_its_child() {
    run(
        "worker",
        &[b"ok", b"no 16 Device or resource busy", b"7772697465 2f73797320 0a", b"72656d6f7665 2f72756e"],
        |bytes| worker::understood(&String::from_utf8_lossy(bytes)),
    );
}
