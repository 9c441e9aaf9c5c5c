//! Apply an edit, then predict: that gives what was promised, and taking the edit back gives the same
//! bytes.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use super::*;
use crate::assess::next_boot::Next;
use crate::names::{DriverName, ModuleName};
use crate::observe::next_boot::{Device, File, Module, ModuleFiles, ScriptOf, Source};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

fn at(text: &str) -> Sbdf {
    Sbdf::from_sysfs(text).unwrap()
}

fn device(address: &str, class: u32, module: &str) -> Device {
    let module = Module {
        name: ModuleName::parse(module).unwrap(),
        drivers: Some(vec![DriverName::parse(module).unwrap()]),
        built_in: false,
        needs: Vec::new(),
    };
    Device {
        sbdf: at(address),
        ids: (0x8086, u16::try_from(at(address).to_xen().unwrap()).unwrap()),
        subsystem: (0, 0),
        class,
        secondary_bus: None,
        parents: Vec::new(),
        driver: DriverName::parse("pciback"),
        behind: None,
        physical: None,
        modules: Ok(vec![module]),
    }
}

fn devices() -> BTreeMap<Sbdf, Device> {
    let mut all = vec![
        device("0000:00:14.0", 0x0c_0330, "xhci"),
        device("0000:00:1a.0", 0x0c_0320, "ehci"),
        device("0000:00:14.3", 0x02_8000, "wifi"),
        device("0000:01:00.0", 0x03_0000, "gpu"),
        device("0000:01:00.1", 0x04_0300, "sound"),
    ];
    let mut bridge = device("0000:00:01.0", 0x06_0400, "port");
    bridge.secondary_bus = Some(1);
    bridge.driver = DriverName::parse("port");
    for one in &mut all {
        if one.sbdf.below_segment().0 == 1 {
            one.parents = vec![bridge.sbdf];
        }
    }
    all.push(bridge);
    all.into_iter().map(|device| (device.sbdf, device)).collect()
}

fn facts(release: Release, grub: &[u8]) -> Facts {
    Facts {
        release,
        deciders: Vec::new(),
        devices: devices(),
        source: Source {
            files: vec![File::new("/etc/default/grub", grub.to_vec())],
            appends: true,
            ..Source::default()
        },
        generated: Vec::new(),
        this_boot: Ok(CommandLine::plain("quiet", "/proc/cmdline")),
        modules: ModuleFiles::default(),
        initramfs: Ok(ModuleFiles::default()),
        overrides: BTreeMap::new(),
        qubes: Ok(None),
        built_in: BTreeSet::from(["pci-stub"]),
        keyboards: Ok(Vec::new()),
        usb_rules: Ok(Vec::new()),
        unseen: Vec::new(),
    }
}

const Q42: Release = Release::Qubes(ScriptOf::Qubes42);
const Q43: Release = Release::Qubes(ScriptOf::Qubes43);

fn goal(give: &[&str], keep: &[&str]) -> Goal {
    let all = |names: &[&str]| names.iter().map(|name| at(name)).collect();
    Goal { give: all(give), keep: all(keep) }
}

/// The file after the edit.
fn after(release: Release, grub: &str, goal: &Goal) -> String {
    let proposal =
        propose(&facts(release, grub.as_bytes()), goal).unwrap_or_else(|refusal| panic!("{refusal:?}"));
    match proposal.files.as_slice() {
        [] => grub.to_owned(),
        [file] => String::from_utf8(file.after.clone()).unwrap(),
        _ => panic!("several files"),
    }
}

#[test]
fn two_usb_controllers_are_one_edit() {
    let grub = "A=1 # x\nGRUB_CMDLINE_LINUX=\"quiet\"\nGRUB_CMDLINE_LINUX=\"$GRUB_CMDLINE_LINUX rd.qubes.hide_all_usb\"\n# end";
    let both = goal(&["0000:00:14.0", "0000:00:1a.0"], &[]);
    let more = " rd.qubes.dom0_usb=00:14.0,00:1a.0 usbcore.authorized_default=0";
    let expected = grub.replace("hide_all_usb\"", &format!("hide_all_usb{more}\""));
    assert_eq!(after(Q42, grub, &both), expected);
    // One behind the other appends, and finds its first half done.
    let one = after(Q42, grub, &goal(&["0000:00:14.0"], &[]));
    assert_eq!(after(Q42, &one, &both).matches("00:14.0,00:1a.0").count(), 1);
}

#[test]
fn one_entry_is_taken_out_of_a_list_and_an_empty_list_goes() {
    let grub = "GRUB_CMDLINE_LINUX='a rd.qubes.hide_pci=01:00.0,01:00.1 b'\n";
    let card = goal(&["0000:01:00.0"], &[]);
    assert_eq!(after(Q42, grub, &card), "GRUB_CMDLINE_LINUX='a rd.qubes.hide_pci=01:00.1 b'\n");
    assert_eq!(after(Q42, grub, &goal(&["0000:01:00.0", "0000:01:00.1"], &[])), "GRUB_CMDLINE_LINUX='a b'\n");
    let first = "GRUB_CMDLINE_LINUX=\"rd.qubes.hide_pci=01:00.0 b\"\n";
    assert_eq!(after(Q42, first, &card), "GRUB_CMDLINE_LINUX=\"b\"\n");
    let quoted = "GRUB_CMDLINE_LINUX='a rd.qubes.hide_pci=\"01:00.0,01:00.1\"'\n";
    assert_eq!(after(Q43, quoted, &card), "GRUB_CMDLINE_LINUX='a rd.qubes.hide_pci=\"01:00.1\"'\n");
}

#[test]
fn an_edit_never_leaves_a_boot_that_stops() {
    // The absent 05:00.0 would come to be the last.
    let grub = "GRUB_CMDLINE_LINUX=rd.qubes.hide_pci=05:00.0,01:00.0\n";
    assert_eq!(after(Q42, grub, &goal(&["0000:01:00.0"], &[])), "GRUB_CMDLINE_LINUX=\n");
    // One that stops now is mended with it.
    let grub = "GRUB_CMDLINE_LINUX=\"rd.qubes.hide_pci=01:00.0,05:00.0\"\n";
    assert_eq!(
        after(Q42, grub, &goal(&[], &["0000:01:00.1"])),
        "GRUB_CMDLINE_LINUX=\"rd.qubes.hide_pci=01:00.0,05:00.0,01:00.1\"\n"
    );
}

#[test]
fn a_path_is_written_where_4_3_takes_it_and_a_bridge_may_be_renumbered() {
    let grub = "GRUB_CMDLINE_LINUX=quiet";
    let card = goal(&[], &["0000:01:00.0"]);
    assert_eq!(after(Q43, grub, &card), "GRUB_CMDLINE_LINUX=quiet\" rd.qubes.hide_pci=00_01.0-00_00.0\"");
    assert_eq!(after(Q42, grub, &card), "GRUB_CMDLINE_LINUX=quiet\" rd.qubes.hide_pci=01:00.0\"");
}

#[test]
fn lists_of_xen_pciback_ids_and_blacklists_are_edited_too() {
    for (grub, expected) in [
        (
            "GRUB_CMDLINE_LINUX=\"xen-pciback.hide='(01:00.0)(01:00.1)'\"\n",
            "GRUB_CMDLINE_LINUX=\"xen-pciback.hide='(01:00.1)'\"\n",
        ),
        ("GRUB_CMDLINE_LINUX=\"a xen-pciback.hide='(01:00.0)' b\"\n", "GRUB_CMDLINE_LINUX=\"a b\"\n"),
        (
            "GRUB_CMDLINE_LINUX=\"pci-stub.ids=8086:0100,10de:10f0\"\n",
            "GRUB_CMDLINE_LINUX=\"pci-stub.ids=10de:10f0\"\n",
        ),
        (
            "GRUB_CMDLINE_LINUX=\"modprobe.blacklist=x,gpu,y rd.driver.blacklist=gpu\"\n",
            "GRUB_CMDLINE_LINUX=\"modprobe.blacklist=x,y\"\n",
        ),
        (
            "GRUB_CMDLINE_LINUX=\"module_blacklist=x module_blacklist=gpu,z\"\n",
            "GRUB_CMDLINE_LINUX=\"module_blacklist=x module_blacklist=z\"\n",
        ),
    ] {
        assert_eq!(after(Release::Fedora, grub, &goal(&["0000:01:00.0"], &[])), expected);
    }
    // Both functions have these ids: returning one returns the other.
    let mut facts = facts(Release::Fedora, b"GRUB_CMDLINE_LINUX=pci-stub.ids=8086:0100\n");
    facts.devices.get_mut(&at("0000:01:00.1")).unwrap().ids.1 = 0x100;
    assert!(propose(&facts, &goal(&["0000:01:00.0"], &[])).unwrap_err().why.contains("0000:01:00.1"));
}

#[test]
fn companion_usb_controllers_go_together() {
    let mut facts = facts(Q43, b"GRUB_CMDLINE_LINUX=rd.qubes.hide_all_usb\n");
    for (address, class) in [("0000:00:1d.0", 0x0c_0300), ("0000:00:1d.7", 0x0c_0320)] {
        facts.devices.insert(at(address), device(address, class, "usb"));
    }
    for one in ["0000:00:1d.0", "0000:00:1d.7"] {
        assert!(propose(&facts, &goal(&[one], &[])).unwrap_err().why.contains("parted"), "{one}");
    }
    assert!(propose(&facts, &goal(&["0000:00:1d.0", "0000:00:1d.7"], &[])).is_ok());
    assert!(propose(&facts, &goal(&["0000:00:1a.0"], &[])).is_ok());
}

#[test]
fn a_source_that_is_not_understood_and_others_who_decide_are_refused() {
    let usb = goal(&["0000:00:14.3"], &[]);
    for grub in [
        "eval x\n",
        "GRUB_CMDLINE_LINUX=$(x)\n",
        "if true; then GRUB_CMDLINE_LINUX=x; fi\n",
        "GRUB_CMDLINE_LINUX=\"a;b\"\n",
    ] {
        let refusal = propose(&facts(Q42, grub.as_bytes()), &usb).unwrap_err();
        assert!(refusal.why.contains("line 1"), "{refusal:?}");
    }
    use crate::observe::next_boot::Decider;
    for decider in [
        Decider::Heads("/boot/kexec_default.1.txt".into()),
        Decider::AntiEvilMaid("x".into()),
        Decider::Unified("y".into()),
    ] {
        let mut facts = facts(Q42, b"");
        facts.deciders = vec![decider.clone()];
        assert_eq!(propose(&facts, &usb).unwrap_err().hint, decider.advice());
    }
}

fn words() -> impl Strategy<Value = String> {
    let entry = prop::sample::select(vec![
        "00:14.0",
        "00:1a.0",
        "00:14.3",
        "01:00.0",
        "01:00.1",
        "05:00.0",
        "00_01.0-00_00.0",
        "x",
    ]);
    let list = prop::collection::vec(entry, 1..4).prop_map(|all| all.join(","));
    let name = prop::sample::select(vec!["rd.qubes.hide_pci", "rd.qubes.dom0_usb"]);
    prop_oneof![
        3 => (name, list).prop_map(|(name, list)| format!("{name}={list}")),
        2 => Just("rd.qubes.hide_all_usb".to_owned()),
        1 => Just("usbcore.authorized_default=1".to_owned()),
        1 => Just("quiet".to_owned()),
        1 => Just("xen-pciback.hide=(01:00.*)".to_owned()),
        1 => Just("modprobe.blacklist=gpu,sound".to_owned()),
        1 => Just("pci-stub.ids=8086:0100".to_owned()),
    ]
}

fn assignment() -> impl Strategy<Value = String> {
    (
        prop::collection::vec(words(), 0..4),
        0..5,
        0..2_usize,
        prop::sample::select(vec!["", " # x \"y", "\t", "; A=1"]),
    )
        .prop_map(|(words, quote, variable, end)| {
            let words = words.join(" ");
            let variable = ["GRUB_CMDLINE_LINUX", "GRUB_CMDLINE_LINUX_DEFAULT"][variable];
            match quote {
                0 => format!("{variable}=\"{words}\"{end}"),
                1 => format!("{variable}='{words}'{end}"),
                2 => format!("{variable}=\"${variable} {words}\"{end}"),
                3 => format!("{variable}+=\" {words}\"{end}"),
                _ => format!("{variable}=\"${{{variable}}}\"' {words}'{end}"),
            }
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn apply_then_predict_gives_the_promise(
        lines in prop::collection::vec(assignment(), 0..4),
        newline: bool,
        windows: bool,
        is_43: bool,
        asked in prop::collection::vec(0..3, 5),
    ) {
        let mut grub = format!("# x\nX=y\n{}", lines.join("\n"));
        if newline { grub.push('\n'); }
        if windows { grub = grub.replace('\n', "\r\n"); }
        let mut wanted = Goal::default();
        for (sbdf, ask) in devices().keys().filter(|sbdf| **sbdf != at("0000:00:01.0")).zip(&asked) {
            match ask {
                1 => wanted.give.push(*sbdf),
                2 => wanted.keep.push(*sbdf),
                _ => {}
            }
        }
        let facts = facts(if is_43 { Q43 } else { Q42 }, grub.as_bytes());
        let Ok(proposal) = propose(&facts, &wanted) else { return Ok(()) };
        let mut source = facts.source.clone();
        for file in &proposal.files {
            source = source.with(&file.path, file.after.clone());
            prop_assert!(!file.diff().is_empty());
        }
        let made = source.evaluated().line().unwrap();
        let prediction = predict(&machine(&facts), &with_line(&facts, Ok(made)));
        prop_assert!(prediction.stops.is_none());
        for sbdf in &wanted.give {
            let is_given = matches!(prediction.functions[sbdf].next, Next::Driver(_));
            prop_assert!(is_given, "{sbdf}\n{grub}\n{}", String::from_utf8_lossy(&proposal.diff()));
        }
        for sbdf in &wanted.keep {
            let is_kept = matches!(prediction.functions[sbdf].next, Next::Hidden | Next::Stub);
            prop_assert!(is_kept, "{sbdf}\n{grub}\n{}", String::from_utf8_lossy(&proposal.diff()));
        }
        // And then nothing is left to do.
        let done = Facts { source, ..facts.clone() };
        prop_assert!(propose(&done, &wanted).unwrap().files.is_empty());
    }

    #[test]
    fn most_edits_can_be_made(lines in prop::collection::vec(assignment(), 0..4), which in 0..5_usize) {
        let grub = format!("{}\n", lines.join("\n"));
        let sbdf = devices().keys().copied().filter(|sbdf| *sbdf != at("0000:00:01.0")).nth(which).unwrap();
        if let Err(refusal) = propose(&facts(Q43, grub.as_bytes()), &Goal { give: vec![sbdf], keep: vec![] }) {
            prop_assert!(refusal.why.contains("not asked for"), "{refusal:?}\n{grub}");
        }
    }
}
