//! How a function stands and what keeps it from dom0 at the next boot, one situation after the
//! other: `reboot.txt`.

use super::situation::{sbdf, Situation, NIC};
use crate::assess::{advice, state_of};
use crate::names::{Owner, Untrusted};
use crate::observe::next_boot::ScriptOf::{self, Qubes42, Qubes43};
use crate::observe::next_boot::{CommandLine, Decider, Facts, File, ModuleFiles, Override, Release, Source};
use crate::observe::qubes::{Assignment, Mode, Port, PortIdentity, Qube, QubeState, Qubes, QubesSource};
use crate::observe::Live;

const NET: u32 = 0x02_0000;
const USB: u32 = 0x0c_0330;
const DISK: u32 = 0x01_0802;

fn booted(class: u32, script: ScriptOf, cmdline: &str) -> Situation {
    Situation::held(class).but(|one| {
        one.dom0.boot.release = Release::Qubes(script);
        one.dom0.boot.built_in.insert("pci-stub");
        one.dom0.boot.this_boot = Ok(CommandLine::plain(cmdline, "/proc/cmdline"));
    })
}

fn assigned(port: Port, mode: Mode, sbdf: Option<crate::names::Sbdf>) -> Assignment {
    Assignment { port, identity: PortIdentity::Any, mode, attached: false, options: Vec::new(), sbdf }
}

fn qube(name: &str, state: QubeState, starts: (Option<bool>, Option<bool>), assignment: Assignment) -> Qube {
    Qube {
        name: Untrusted::new(name.as_bytes()),
        uuid: String::new(),
        class: "AppVM".to_owned(),
        state,
        label: "red".to_owned(),
        provides_network: starts.1,
        autostart: starts.0,
        assignments: vec![assignment],
    }
}

fn known(source: QubesSource, qubes: Vec<Qube>) -> Situation {
    Situation::held(DISK).but(|one| one.dom0.qubes_known = Ok(Some(Qubes { source, qubes })))
}

fn at(mode: Mode) -> Assignment {
    assigned(Port::At("00_07.0".to_owned()), mode, Some(sbdf(NIC)))
}

fn situations() -> Vec<(String, Situation)> {
    let mut all = Vec::new();
    for (class, script, cmdline) in [
        (NET, Qubes43, "quiet"),
        (NET, Qubes42, "quiet"),
        (NET, Qubes42, "rd.qubes.dom0_usb=00:14.0,00:07.0"),
        (NET, Qubes42, "rd.qubes.dom0_usb=0000:00:07.0"),
        (NET, Qubes43, "rd.qubes.dom0_usb=0000:00:07.0"),
        (NET, Qubes43, "rd.qubes.dom0_usb=00:07.0 rd.qubes.dom0_usb=00:08.0"),
        (USB, Qubes43, "rd.qubes.hide_all_usb"),
        (USB, Qubes43, "rd.qubes.hide_all_usb=no"),
        (DISK, Qubes43, "rd.qubes.hide_pci=00:07.0"),
        (DISK, Qubes43, "rd.qubes.hide_pci=00:08.0,/"),
        (DISK, Qubes43, "rd.qubes.hide_pci=00:07.0,00:08.0"),
        (DISK, Qubes43, "xen-pciback.hide=(00:07.0)(00:08.0)"),
        (DISK, Qubes43, "xen-pciback.hide=(zz)(00:07.0)"),
        (DISK, Qubes43, "pci-stub.ids=8086:10d3"),
        (DISK, Qubes43, "modprobe.blacklist=x,card"),
        (DISK, Qubes43, "module_blacklist=card"),
        (DISK, Qubes43, "rd.driver.blacklist=card"),
    ] {
        all.push((format!("{script:?}, class {class:06x}, {cmdline:?}"), booted(class, script, cmdline)));
    }
    for driver in ["pciback", "vfio-pci", "none", "card", "a b"] {
        let overrides = |one: &mut Situation| {
            let file = format!("/etc/driverctl.d/pci-{NIC}");
            let found = Override { file, driver: driver.to_owned() };
            one.dom0.boot.overrides.insert(sbdf(NIC), found);
        };
        all.push((format!("driverctl: {driver}"), Situation::held(DISK).but(overrides)));
    }
    for text in ["blacklist card\n", "\ninstall card /bin/false\n", "options xen-pciback hide=(00:07.0)\n"] {
        let configured = |known: bool| {
            Situation::held(DISK).but(|one| {
                let file = File::new("/etc/modprobe.d/a.conf", text.as_bytes().to_vec());
                one.dom0.boot.modules = ModuleFiles::parse(vec![file]);
                one.dom0.boot.initramfs =
                    if known { Ok(one.dom0.boot.modules.clone()) } else { Err("not read".to_owned()) };
            })
        };
        all.push((format!("in both: {text:?}"), configured(true)));
        all.push((format!("perhaps in the initramfs: {text:?}"), configured(false)));
    }
    let decided = |one: &mut Situation| {
        one.dom0.boot.deciders = vec![Decider::Heads("/boot/kexec_default.1.txt".to_owned())];
    };
    all.push(("Heads decides".to_owned(), Situation::held(DISK).but(decided)));
    let virtual_function = |one: &mut Situation| {
        let device = one.dom0.boot.devices.get_mut(&sbdf(NIC)).unwrap();
        device.physical = Some(sbdf("0000:00:06.0"));
    };
    all.push(("a virtual function".to_owned(), Situation::held(DISK).but(virtual_function)));
    all.extend(of_states());
    all.extend(of_qubes());
    all
}

/// How it can stand, so that the words for it are held too.
fn of_states() -> Vec<(String, Situation)> {
    let nobody = || Situation::held(DISK).with(|it| it.driver = None);
    let all = [
        ("in quarantine", Situation::held(DISK).owned(Owner::Quarantine)),
        ("driven in quarantine", Situation::driven(DISK).owned(Owner::Quarantine)),
        ("driven", Situation::driven(DISK)),
        ("driven without pciback", Situation::driven(DISK).but(|one| one.dom0.has_pciback = false)),
        ("nobody has it", nobody()),
        ("nobody has it, in quarantine", nobody().owned(Owner::Quarantine)),
        ("nobody has it, without pciback", nobody().but(|one| one.dom0.has_pciback = false)),
        ("pinned", Situation::held(DISK).with(|it| it.driver_override = Some("none".to_owned()))),
        ("a qube had it", Situation::held(DISK).used(7, "sys-usb", false, "")),
        ("a qube has it", Situation::held(DISK).used(7, "sys-usb", true, "")),
        (
            "a qube has it, another had it",
            Situation::held(DISK).used(7, "a", true, "").used(8, "b", false, ""),
        ),
        ("Xen gave it away", Situation::held(DISK).owned(Owner::Domain(4))),
    ];
    all.map(|(what, one)| (what.to_owned(), one)).into()
}

fn of_qubes() -> Vec<(String, Situation)> {
    use QubesSource::{Qubesd42, Qubesd43};
    let mut all = Vec::new();
    for starts in [
        (Some(true), Some(false)),
        (Some(false), Some(false)),
        (Some(false), Some(true)),
        (Some(false), None),
        (None, Some(false)),
    ] {
        let one = qube("sys-net", QubeState::Halted, starts, at(Mode::Required));
        all.push((
            format!("assigned, starts by itself, provides network: {starts:?}"),
            known(Qubesd43, vec![one]),
        ));
    }
    let itself = (Some(true), Some(true));
    for mode in [Mode::AutoAttach, Mode::AskToAttach, Mode::Manual, Mode::Other("new".to_owned())] {
        let what = format!("assigned, {mode:?}");
        all.push((what, known(Qubesd43, vec![qube("sys-net", QubeState::Halted, itself, at(mode))])));
    }
    for (grub, what) in [("quiet", "at the boot menu"), ("qubes.skip_autostart", "in the file")] {
        let one = known(Qubesd43, vec![qube("sys-net", QubeState::Halted, itself, at(Mode::Required))]);
        let one = one.but(|one| {
            let text = format!("GRUB_CMDLINE_LINUX={grub}\n").into_bytes();
            one.dom0.boot.source =
                Source { files: vec![File::new("/etc/default/grub", text)], ..Source::default() };
            one.dom0.boot.this_boot = Ok(CommandLine::plain("qubes.skip_autostart", "/proc/cmdline"));
        });
        all.push((format!("assigned, no qube starts, as was said {what}"), one));
    }
    let is = |vendor, device, class| PortIdentity::Is { vendor, device, class };
    for (port, identity) in [
        (Port::Any, is(Some(0x8086), Some(0x10d3), None)),
        (Port::At("00_07.0".to_owned()), is(Some(0x8086), Some(0x10d3), Some(DISK))),
        (Port::At("00_07.0".to_owned()), is(Some(0x8086), Some(0x10d3), None)),
        (Port::Unreadable("?".to_owned()), PortIdentity::Any),
    ] {
        for source in [Qubesd42, Qubesd43] {
            let one = Assignment {
                identity: identity.clone(),
                ..assigned(port.clone(), Mode::Required, Some(sbdf(NIC)))
            };
            let what = format!("{source:?}, {port:?} {identity:?}");
            all.push((what, known(source, vec![qube("sys-net", QubeState::Halted, itself, one)])));
        }
    }
    let odd = qube("$(id)", QubeState::Halted, itself, at(Mode::Required));
    all.push(("assigned to a qube with a strange name".to_owned(), known(Qubesd43, vec![odd])));
    let mut twice = qube("sys-net", QubeState::Halted, itself, at(Mode::Required));
    twice.assignments.push(assigned(Port::Any, Mode::Required, None));
    let work = qube("work", QubeState::Running, (Some(false), Some(false)), at(Mode::Required));
    all.push(("assigned twice, and to one that runs".to_owned(), known(Qubesd43, vec![twice, work])));
    for live in [
        None,
        Some(Err("no xenstore".to_owned())),
        Some(Ok(Vec::new())),
        Some(Ok(vec![Live { domain: 3, qube: None }])),
        Some(Ok(vec![Live { domain: 3, qube: Some(Untrusted::new(b"sys-net")) }])),
        Some(Ok(vec![Live { domain: 3, qube: Some(Untrusted::new(b"work")) }])),
        Some(Ok(vec![
            Live { domain: 3, qube: Some(Untrusted::new(b"work")) },
            Live { domain: 4, qube: None },
        ])),
    ] {
        let source = QubesSource::Xml { why: "qubesd is silent".to_owned(), is_42: true };
        let one = qube("sys-net", QubeState::NotTold, (Some(false), Some(false)), at(Mode::Required));
        let lives = |one: &mut Situation| one.dom0.live.clone_from(&live);
        all.push((format!("from the file, where live are {live:?}"), known(source, vec![one]).but(lives)));
        let blind = Situation::held(DISK).but(lives);
        let blind = blind.but(|one| one.dom0.qubes_known = Err("no file".to_owned()));
        all.push((format!("from nowhere, where live are {live:?}"), blind));
    }
    all
}

/// The advice and the hazards that Qubes is the evidence of, in words.
fn told(one: &Situation) -> String {
    let function = &one.dom0.functions[&sbdf(NIC)];
    let (hazards, _) = one.judged();
    let boot = Facts { qubes: one.dom0.qubes_known.clone(), ..one.dom0.boot.clone() };
    let reboot = advice(&boot, function, &hazards);
    let mut text = format!("  {}\n  {}\n", state_of(&one.dom0, function).words(), reboot.words());
    for hazard in hazards.iter().filter(|hazard| ["in-use", "still-assigned"].contains(&hazard.id.word())) {
        text += &format!("  {} {:?}: {}: {}\n", hazard.id, hazard.labels, hazard.sentence, hazard.evidence);
    }
    text
}

#[test]
fn what_keeps_it_from_dom0_at_the_next_boot() {
    let text: String = situations().iter().map(|(what, one)| format!("{what}\n{}", told(one))).collect();
    crate::assess::tests::is_as_written("src/assess/tests/reboot.txt", &text);
}
