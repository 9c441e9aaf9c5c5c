//! Situations, one a line: the facts, and the hazards and the verdict that follow.

use super::situation::{failed, function, sbdf, Situation, NIC};
use crate::journal::JournalReading;
use crate::journal::{Identity, Source, StayEvent, StayRecord, Way};
use crate::names::{DriverName, ModuleName, Owner, Untrusted};
use crate::observe::exposure::{
    EarlierQube, Gap, IdentityChange, KnownIdentity, Seizure, StayEnd, Stayed, Why,
};
use crate::observe::qubes::{Qube, QubeState, Qubes, QubesSource};
use crate::observe::{Barred, Claim, Named, Says, Taken, TakenBy};
use crate::system::modprobe::Bar;
use std::collections::BTreeSet;

const NET: u32 = 0x02_0000;
const USB: u32 = 0x0c_0330;
const DISK: u32 = 0x01_0802;
const SCREEN: u32 = 0x03_0000;
/// A class that can do nothing special: a random number generator.
const PLAIN: u32 = 0x10_0000;

const SIBLING: &str = "0000:00:07.1";
const PORT: &str = "0000:00:1c.0";

fn plain() -> Situation {
    Situation::held(PLAIN)
}

/// It was with a qube that is gone; Xen keeps it in quarantine.
fn after(qube: &str, options: &str) -> Situation {
    plain().owned(Owner::Quarantine).used(7, qube, false, options)
}

fn module(name: &str) -> Claim {
    Claim {
        module: ModuleName::parse(name).unwrap(),
        drivers: None,
        blacklisted: false,
        blacklisted_in: None,
        barred: None,
        would_take: Vec::new(),
    }
}

/// A module that is not loaded and cannot be.
fn barred(name: &str) -> Claim {
    let module = module(name);
    let barred = Barred { module: module.module.clone(), by: Bar::Kernel };
    Claim { barred: Some(barred), ..module }
}

fn bridge(bdf: &str, kind: u8) -> crate::observe::Function {
    let mut bridge = function(bdf, 0x06_0400);
    if let Some(config) = &mut bridge.config {
        config.header = 1;
        config.express = Some(crate::observe::config_space::Express { kind, phantom_bits: 0 });
    }
    bridge
}

/// The function behind a bridge of this kind, and another one there with this owner.
fn behind(kind: u8, owner: Owner) -> Situation {
    let mut other = function("0000:00:08.0", PLAIN);
    other.parents = vec![sbdf(PORT)];
    plain()
        .with(|function| function.parents = vec![sbdf(PORT)])
        .beside(bridge(PORT, kind), Owner::Dom0)
        .beside(other, owner)
}

/// The function, and another one of its slot that dom0 has.
fn beside() -> Situation {
    plain().beside(function(SIBLING, PLAIN), Owner::Dom0)
}

/// That one is held.
fn held(mut other: crate::observe::Function) -> crate::observe::Function {
    other.driver = Some(DriverName::PCIBACK);
    other
}

/// A stay of a qube of this label that has ended.
fn stay(qube: &str, label: &str) -> Stayed {
    let stay = StayRecord {
        label: label.to_owned(),
        domain: Some(4),
        ..StayRecord::new(StayEvent::End, sbdf(SIBLING), qube, Source::Xenstore)
    };
    let (from, to) = (None, StayEnd::At(None));
    Stayed {
        stay,
        relabelled: BTreeSet::new(),
        from,
        begun: true,
        to,
        boot: String::new(),
        seq: 1,
        latest: (1, None),
        seen_to: None,
        steps: Vec::new(),
    }
}

fn virtual_function() -> crate::observe::Function {
    let mut one = function("0000:00:09.6", PLAIN);
    one.physical_function = Some(sbdf("0000:00:09.0"));
    one
}

fn gap() -> Gap {
    Gap { from: None, to: None, why: Why::NoRecorder }
}

fn earlier(qube: &str, label: &str) -> EarlierQube {
    let mut before = EarlierQube::default();
    before.had.qube = qube.to_owned();
    before.had.stays = 1;
    before.had.labels.extend((!label.is_empty()).then(|| label.to_owned()));
    before
}

/// What Qubes tells of a qube.
fn labelled(name: &str, label: &str) -> Qubes {
    let one = Qube {
        name: Untrusted::new(name.as_bytes()),
        uuid: String::new(),
        class: "AppVM".to_owned(),
        state: QubeState::NotTold,
        label: label.to_owned(),
        provides_network: None,
        autostart: None,
        assignments: Vec::new(),
    };
    Qubes { source: QubesSource::Qubesd43, qubes: vec![one] }
}

fn altered() -> IdentityChange {
    let known =
        KnownIdentity { identity: Identity::default(), sbdf: sbdf(NIC), time: None, boot: String::new() };
    IdentityChange { known, fields: vec!["revision 01, now 02".to_owned()] }
}

fn rows() -> Vec<(&'static str, Situation, &'static str)> {
    vec![
        // Nothing to do, or only something to tidy.
        ("dom0 drives it", Situation::driven(PLAIN), "-> nothing"),
        ("dom0 drives a network card", Situation::driven(NET), "-> nothing"),
        (
            "dom0 drives it, pciback lists its slot",
            Situation::driven(PLAIN).but(|one| one.dom0.slots.extend([sbdf(NIC)])),
            "-> heal",
        ),
        (
            "dom0 drives it, an override is stuck",
            Situation::driven(PLAIN).with(|function| function.driver_override = Some("pciback".to_owned())),
            "-> heal",
        ),
        (
            "dom0's driver is bound in quarantine",
            Situation::driven(PLAIN).owned(Owner::Quarantine),
            "unknown-history -> ask",
        ),
        // Held since the boot, by class.
        ("held since the boot, nobody had it", plain(), "~never-exposed -> heal"),
        ("nobody drives it", plain().with(|function| function.driver = None), "~never-exposed -> heal"),
        ("a network card", Situation::held(NET), "network ~never-exposed -> ask"),
        ("a wireless card", Situation::held(0x0d_8000), "network ~never-exposed -> ask"),
        ("a USB controller", Situation::held(USB), "usb ~never-exposed -> ask"),
        ("a USB4 host", Situation::held(0x0c_0340), "usb ~never-exposed -> ask"),
        ("a disk", Situation::held(DISK), "storage ~never-exposed -> ask"),
        ("a card reader", Situation::held(0x08_0501), "storage ~never-exposed -> ask"),
        ("Fibre Channel", Situation::held(0x0c_0400), "storage ~never-exposed -> ask"),
        ("FireWire", Situation::held(0x0c_0010), "storage ~never-exposed -> ask"),
        ("a card reader of no class", Situation::held(0xff_0000), "storage ~never-exposed -> ask"),
        ("made before there were classes", Situation::held(0x00_ff00), "storage ~never-exposed -> ask"),
        ("another peripheral", Situation::held(0x08_8000), "storage ~never-exposed -> ask"),
        ("a clock", Situation::held(0x08_0300), "~never-exposed -> heal"),
        (
            "a screen from before there were classes",
            Situation::held(0x00_0100),
            "display ~never-exposed -> ask",
        ),
        ("a signal processor", Situation::held(0x11_8000), "~never-exposed -> heal"),
        ("a screen", Situation::held(SCREEN), "display ~never-exposed -> ask"),
        ("a 3D controller", Situation::held(0x03_0200), "display ~never-exposed -> ask"),
        ("a sound card", Situation::held(0x04_0300), "~never-exposed -> heal"),
        ("an SMBus", Situation::held(0x0c_0500), "firmware ~never-exposed -> ask"),
        ("a flash controller", Situation::held(0x0c_8000), "firmware ~never-exposed -> ask"),
        ("an LPC bridge", Situation::held(0x06_0100), "firmware ~never-exposed -> ask"),
        ("the management engine's", Situation::held(0x07_8000), "firmware ~never-exposed -> ask"),
        (
            "an expansion ROM",
            plain().config(|config| config.expansion_rom = true),
            "firmware ~never-exposed -> ask",
        ),
        // Who had it.
        ("a qube had it", after("sys-net", ""), "exposed:sys-net -> ask"),
        (
            "two qubes had it",
            after("sys-net", "").used(9, "work", false, ""),
            "exposed:sys-net exposed:work -> ask",
        ),
        ("a qube of a hostile name had it", after("sys\x1b[2J", ""), "exposed:domain-7 -> ask"),
        (
            "a qube had it with permissive",
            after("sys-net", "permissive=1"),
            "exposed:sys-net permissive -> ask",
        ),
        (
            "a qube had it without a strict reset",
            after("sys-net", "rdm_policy=relaxed"),
            "exposed:sys-net no-strict-reset -> ask",
        ),
        (
            "pciback's permissive list",
            plain().but(|one| one.dom0.permissive.extend([sbdf(NIC)])),
            "permissive ~never-exposed -> ask",
        ),
        (
            "every device permissive",
            plain().but(|one| one.dom0.all_permissive = true),
            "permissive ~never-exposed -> ask",
        ),
        ("quarantined, no qube known", plain().owned(Owner::Quarantine), "unknown-history -> ask"),
        (
            "quarantined by this program's hold",
            plain().owned(Owner::Quarantine).past(|past| {
                past.seized = Some(Seizure {
                    place: crate::journal::Place { seq: 5, time: None, up: None },
                    way: Some(Way::Hold),
                    source: Source::Operation,
                    since: 5,
                    from_dom0: Some(true),
                });
            }),
            "~never-exposed -> heal",
        ),
        (
            "quarantined before this program's hold",
            plain().owned(Owner::Quarantine).past(|past| {
                past.seized = Some(Seizure {
                    place: crate::journal::Place { seq: 5, time: None, up: None },
                    way: Some(Way::Hold),
                    source: Source::Operation,
                    since: 0,
                    from_dom0: Some(false),
                });
            }),
            "unknown-history -> ask",
        ),
        ("no recorder ran", plain().past(|past| past.uncovered.push(gap())), "unknown-history -> ask"),
        (
            "no journal",
            plain().but(|one| one.past.journal = JournalReading::Absent),
            "unknown-history -> ask",
        ),
        (
            "the journal cannot be read",
            plain().but(|one| one.past.journal = JournalReading::Unreadable(failed())),
            "unknown-history -> ask",
        ),
        (
            "the journal is broken",
            plain().but(|one| one.past.journal = JournalReading::Broken(failed())),
            "journal-broken unknown-history -> ask",
        ),
        (
            "the journal has odd lines",
            plain().but(|one| one.past.journal = JournalReading::Read { odd: 1 }),
            "journal-broken unknown-history -> ask",
        ),
        (
            "a repair accepted a loss",
            plain().but(|one| one.past.repairs = 1),
            "journal-broken ~never-exposed -> ask",
        ),
        (
            "a qube had it in an earlier boot",
            plain().past(|past| past.before.push(earlier("sys-net", "red"))),
            "exposed-before ~never-exposed -> ask",
        ),
        (
            "it is not what was recorded",
            plain().past(|past| past.changes.push(altered())),
            "identity-changed ~never-exposed -> ask",
        ),
        // How it is reset.
        (
            "no reset",
            plain().with(|function| function.reset_methods = None),
            "no-reset ~never-exposed -> ask",
        ),
        (
            "reset by its power state",
            plain().with(|function| function.reset_methods = Some(vec!["pm".to_owned()])),
            "reset-doubtful ~never-exposed -> ask",
        ),
        (
            "reset nobody knows how",
            plain().with(|function| function.reset_methods = Some(Vec::new())),
            "reset-doubtful ~never-exposed -> ask",
        ),
        (
            "reset with its bus",
            plain().with(|function| function.reset_methods = Some(vec!["bus".to_owned()])),
            "bus-reset-only ~never-exposed -> ask",
        ),
        // Its DMA.
        ("no IOMMU", plain().but(|one| one.dom0.iommu = Ok(false)), "no-iommu ~never-exposed -> ask"),
        (
            "an IOMMU nobody can ask for",
            plain().but(|one| one.dom0.iommu = Err("no Xen".to_owned())),
            "no-iommu ~never-exposed -> ask",
        ),
        (
            "a sibling is dom0's",
            plain().beside(function(SIBLING, PLAIN), Owner::Dom0),
            "~never-exposed -> heal",
        ),
        (
            "a sibling is in quarantine, and nobody knows why",
            plain().beside(held(function(SIBLING, PLAIN)), Owner::Quarantine),
            "siblings-elsewhere ~never-exposed -> ask",
        ),
        (
            "a sibling is held since the boot",
            plain().beside(held(function(SIBLING, PLAIN)), Owner::Dom0),
            "~never-exposed -> heal",
        ),
        (
            "a sibling is held, and there was a time when nobody recorded",
            plain()
                .beside(held(function(SIBLING, PLAIN)), Owner::Dom0)
                .past_of(SIBLING, |past| past.uncovered.push(gap())),
            "siblings-elsewhere ~never-exposed -> ask",
        ),
        (
            "a sibling is dom0's, and there was a time when nobody recorded",
            beside().past_of(SIBLING, |past| past.uncovered.push(gap())),
            "~never-exposed -> heal",
        ),
        (
            "of both functions nobody recorded",
            plain()
                .beside(held(function(SIBLING, PLAIN)), Owner::Dom0)
                .past(|past| past.uncovered.push(gap()))
                .past_of(SIBLING, |past| past.uncovered.push(gap())),
            "unknown-history -> ask",
        ),
        (
            "a sibling is with a qube",
            plain().beside(function(SIBLING, PLAIN), Owner::Domain(9)),
            "siblings-elsewhere ~never-exposed -> ask",
        ),
        (
            "a sibling was with a qube in this boot",
            beside().uses(SIBLING, 7, "sys-usb", false, ""),
            "siblings-elsewhere ~never-exposed -> ask",
        ),
        (
            "a sibling was with a qube in an earlier boot",
            beside().past_of(SIBLING, |past| past.before.push(earlier("sys-usb", "red"))),
            "siblings-elsewhere ~never-exposed -> ask",
        ),
        (
            "more qubes had a sibling than are kept",
            beside().past_of(SIBLING, |past| past.more_stays = 1),
            "siblings-elsewhere ~never-exposed -> ask",
        ),
        (
            "a qube had both functions",
            after("sys-usb", "")
                .beside(function(SIBLING, PLAIN), Owner::Quarantine)
                .uses(SIBLING, 7, "sys-usb", false, ""),
            "exposed:sys-usb -> ask",
        ),
        (
            "a qube had both functions, the sibling only in an earlier boot",
            after("sys-usb", "")
                .beside(function(SIBLING, PLAIN), Owner::Dom0)
                .past_of(SIBLING, |past| past.before.push(earlier("sys-usb", "red"))),
            "exposed:sys-usb -> ask",
        ),
        (
            "a qube had both functions, but the sibling alone in this boot",
            beside()
                .past(|past| past.before.push(earlier("sys-usb", "red")))
                .uses(SIBLING, 7, "sys-usb", false, ""),
            "exposed-before siblings-elsewhere ~never-exposed -> ask",
        ),
        (
            "another virtual function of the same device was with a qube",
            plain()
                .with(|function| function.physical_function = Some(sbdf("0000:00:09.0")))
                .beside(function("0000:00:09.0", PLAIN), Owner::Dom0)
                .beside(virtual_function(), Owner::Quarantine)
                .uses("0000:00:09.6", 7, "sys-usb", false, ""),
            "siblings-elsewhere ~never-exposed -> ask",
        ),
        (
            "a function of its bus was with a qube",
            behind(5, Owner::Dom0).uses("0000:00:08.0", 7, "sys-usb", false, ""),
            "~never-exposed -> heal",
        ),
        (
            "a function of its bus was with a qube, and a root port has one device below it (ARI)",
            behind(4, Owner::Dom0).uses("0000:00:08.0", 7, "sys-usb", false, ""),
            "siblings-elsewhere ~never-exposed -> ask",
        ),
        (
            "a neighbour on the root bus is with a qube",
            plain().beside(function("0000:00:08.0", PLAIN), Owner::Domain(9)),
            "~never-exposed -> heal",
        ),
        (
            "a function of its bus is with a qube",
            behind(4, Owner::Domain(9)),
            "siblings-elsewhere ~never-exposed -> ask",
        ),
        ("a function of its bus is dom0's", behind(4, Owner::Dom0), "~never-exposed -> heal"),
        (
            "its physical function is with a qube",
            plain()
                .with(|function| function.physical_function = Some(sbdf("0000:00:09.0")))
                .beside(function("0000:00:09.0", PLAIN), Owner::Domain(9)),
            "!shared-dma siblings-elsewhere ~never-exposed -> refused",
        ),
        (
            "who has its physical function is not known",
            plain().with(|function| function.physical_function = Some(sbdf("0000:00:09.0"))),
            "!shared-dma ~never-exposed -> refused",
        ),
        (
            "behind a bridge to PCI, the other is a qube's",
            behind(7, Owner::Domain(9)),
            "!shared-dma siblings-elsewhere ~never-exposed -> refused",
        ),
        (
            "behind a bridge to PCI, the other is quarantined",
            behind(7, Owner::Quarantine),
            "!shared-dma ~never-exposed -> refused",
        ),
        ("behind a bridge to PCI, the other is dom0's", behind(7, Owner::Dom0), "~never-exposed -> heal"),
        (
            "a sibling with phantom functions is quarantined",
            plain().beside(held(function(SIBLING, PLAIN)), Owner::Quarantine).config(|config| {
                config.express = Some(crate::observe::config_space::Express { kind: 0, phantom_bits: 1 })
            }),
            "!shared-dma siblings-elsewhere ~never-exposed -> refused",
        ),
        // Nobody can accept.
        ("a running qube has it", plain().used(7, "sys-net", true, ""), "!in-use exposed:sys-net -> refused"),
        ("Xen gave it to a domain", plain().owned(Owner::Domain(7)), "!in-use ~never-exposed -> refused"),
        ("Xen keeps it", plain().owned(Owner::Xen), "!in-use ~never-exposed -> refused"),
        (
            "xenstore cannot be read",
            plain().but(|one| one.dom0.uses = Err("no xenstored".to_owned())),
            "!in-use unknown-history -> refused",
        ),
        (
            "Xen's owners cannot be read",
            plain().but(|one| one.dom0.owners = Err("no Xen".to_owned())),
            "!owner-unknown ~never-exposed -> refused",
        ),
        (
            "Xen does not list it",
            plain().but(|one| one.dom0.owners = Ok(Default::default())),
            "!owner-unknown ~never-exposed -> refused",
        ),
        (
            "dom0 drives it, and Xen's owners cannot be read",
            Situation::driven(PLAIN).but(|one| one.dom0.owners = Err("no Xen".to_owned())),
            "!owner-unknown ~never-exposed -> refused",
        ),
        (
            "it answers nothing",
            plain().with(|function| function.config = None),
            "!dead ~never-exposed -> refused",
        ),
        ("a bridge", plain().config(|config| config.header = 1), "!bridge ~never-exposed -> refused"),
        ("a host bridge", Situation::held(0x06_0000), "!bridge ~never-exposed -> refused"),
        (
            "a port held for sleep",
            plain().but(|one| one.dom0.sleep_ports.extend([sbdf(NIC)])),
            "!sleep-port ~never-exposed -> refused",
        ),
        (
            "virtual functions are on",
            plain().with(|function| function.virtual_functions = 2),
            "!sriov-pf-with-vfs ~never-exposed -> refused",
        ),
        // What drives it.
        (
            "nothing drives it",
            plain().but(|one| one.claims.by_alias.clear()),
            "!no-driver ~never-exposed -> refused",
        ),
        (
            "the modules cannot be asked",
            plain().but(|one| one.claims.unreadable = Some(failed())),
            "!no-driver ~never-exposed -> refused",
        ),
        (
            "a driver is named",
            plain().but(|one| {
                one.claims.by_alias.clear();
                one.named = DriverName::parse("card");
            }),
            "~never-exposed -> heal",
        ),
        (
            "two modules claim it",
            plain().but(|one| one.claims.by_alias.push(module("other"))),
            "driver-ambiguous ~never-exposed -> ask",
        ),
        (
            "its module is blacklisted",
            plain().but(|one| one.claims.by_alias = vec![Claim { blacklisted: true, ..module("card") }]),
            "driver-blacklisted ~never-exposed -> ask",
        ),
        (
            "the kernel refuses its module, which would take another",
            plain().but(|one| {
                let by = TakenBy::Override("card".to_owned());
                let would_take = vec![Taken { sbdf: sbdf(SIBLING), by }];
                one.claims.by_alias = vec![Claim { would_take, ..barred("card") }];
            }),
            "!no-driver ~never-exposed -> refused",
        ),
        (
            "the kernel refuses its module, which is loaded",
            plain().but(|one| {
                let drivers = one.claims.by_alias[0].drivers.clone();
                one.claims.by_alias = vec![Claim { drivers, ..barred("card") }];
            }),
            "~never-exposed -> heal",
        ),
        (
            "its module has no driver",
            plain().but(|one| one.claims.by_alias[0].drivers = Some(Vec::new())),
            "!no-driver ~never-exposed -> refused",
        ),
        (
            "its module would take another",
            plain().but(|one| {
                let by = TakenBy::Override("card".to_owned());
                let taken = Taken { sbdf: sbdf(SIBLING), by };
                one.claims.by_alias = vec![Claim { would_take: vec![taken], ..module("card") }]
            }),
            "!load-takes-others ~never-exposed -> refused",
        ),
        (
            "it had another driver before",
            plain().but(|one| {
                one.claims.recorded =
                    DriverName::parse("before").map(|driver| Named { driver, registered: true })
            }),
            "driver-differs ~never-exposed -> ask",
        ),
        // The policy.
        (
            "never to be returned",
            plain().rule(Says::NeverReturnAddress(sbdf(NIC))),
            "!policy ~never-exposed -> refused",
        ),
        (
            "its kind is never to be returned",
            plain().rule(Says::NeverReturnKind { vendor: 0x8086, device: 0x10d3 }),
            "!policy ~never-exposed -> refused",
        ),
        (
            "another is never to be returned",
            plain().rule(Says::NeverReturnAddress(sbdf(SIBLING))),
            "~never-exposed -> heal",
        ),
        (
            "its hazard is a stop",
            Situation::held(NET).rule(Says::Stop("network".to_owned())),
            "!network ~never-exposed -> refused",
        ),
        (
            "another hazard is a stop",
            Situation::held(NET).rule(Says::Stop("usb".to_owned())),
            "network ~never-exposed -> ask",
        ),
        (
            "no hazard is called so",
            plain().rule(Says::Stop("nonsense".to_owned())),
            "!policy ~never-exposed -> refused",
        ),
        (
            "the policy cannot be read",
            plain().but(|one| one.dom0.policy = Err("line 3".to_owned())),
            "!policy ~never-exposed -> refused",
        ),
        (
            "a qube of unknown label, and a policy on labels",
            after("sys-net", "").rule(Says::UntrustedLabel("red".to_owned())),
            "!exposed:sys-net -> refused",
        ),
        (
            "a sibling was with a qube of unknown label, and a policy on labels",
            beside().uses(SIBLING, 7, "sys-usb", false, "").rule(Says::UntrustedLabel("red".to_owned())),
            "!siblings-elsewhere ~never-exposed -> refused",
        ),
        (
            "a sibling was with a qube of the untrusted label",
            beside()
                .past_of(SIBLING, |past| past.before.push(earlier("sys-usb", "red")))
                .rule(Says::UntrustedLabel("red".to_owned())),
            "!siblings-elsewhere ~never-exposed -> refused",
        ),
        (
            "a sibling was with a qube of another label",
            beside()
                .past_of(SIBLING, |past| past.before.push(earlier("vault", "black")))
                .rule(Says::UntrustedLabel("red".to_owned())),
            "siblings-elsewhere ~never-exposed -> ask",
        ),
        (
            "a qube that had the sibling when its label was untrusted, and both later",
            after("work", "")
                .beside(function(SIBLING, PLAIN), Owner::Dom0)
                .past(|past| past.stays.push(stay("work", "green")))
                .past_of(SIBLING, |past| past.before.push(earlier("work", "red")))
                .rule(Says::UntrustedLabel("red".to_owned())),
            "!siblings-elsewhere exposed:work -> refused",
        ),
        (
            "a sibling is with a qube that had it when its label was untrusted",
            beside()
                .past_of(SIBLING, |past| past.stays.push(stay("work", "red")))
                .uses(SIBLING, 9, "work", true, "")
                .but(|one| one.dom0.qubes_known = Ok(Some(labelled("work", "green"))))
                .rule(Says::UntrustedLabel("red".to_owned())),
            "!siblings-elsewhere ~never-exposed -> refused",
        ),
        (
            "a sibling was with a qube, once when its label was untrusted",
            beside()
                .past_of(SIBLING, |past| {
                    past.stays.push(stay("work", "green"));
                    past.before.push(earlier("work", "red"));
                })
                .rule(Says::UntrustedLabel("red".to_owned())),
            "!siblings-elsewhere ~never-exposed -> refused",
        ),
        (
            "a sibling is with a qube of another label",
            beside()
                .uses(SIBLING, 7, "vault", true, "")
                .but(|one| one.dom0.qubes_known = Ok(Some(labelled("vault", "black"))))
                .rule(Says::UntrustedLabel("red".to_owned())),
            "siblings-elsewhere ~never-exposed -> ask",
        ),
        (
            "a sibling is with a qube of the untrusted label",
            beside()
                .uses(SIBLING, 7, "sys-usb", true, "")
                .but(|one| one.dom0.qubes_known = Ok(Some(labelled("sys-usb", "red"))))
                .rule(Says::UntrustedLabel("red".to_owned())),
            "!siblings-elsewhere ~never-exposed -> refused",
        ),
        (
            "an earlier qube of the untrusted label",
            plain()
                .past(|past| past.before.push(earlier("sys-net", "red")))
                .rule(Says::UntrustedLabel("red".to_owned())),
            "!exposed-before ~never-exposed -> refused",
        ),
        (
            "an earlier qube of another label",
            plain()
                .past(|past| past.before.push(earlier("vault", "black")))
                .rule(Says::UntrustedLabel("red".to_owned())),
            "exposed-before ~never-exposed -> ask",
        ),
        (
            "an earlier qube of another label, and of one stay no label is known",
            plain()
                .past(|past| {
                    past.before.push(earlier("vault", "black"));
                    past.before[0].had.unlabelled = true;
                })
                .rule(Says::UntrustedLabel("red".to_owned())),
            "!exposed-before ~never-exposed -> refused",
        ),
        (
            "an earlier qube that has the untrusted label now",
            plain()
                .past(|past| past.before.push(earlier("vault", "black")))
                .but(|one| one.dom0.qubes_known = Ok(Some(labelled("vault", "red"))))
                .rule(Says::UntrustedLabel("red".to_owned())),
            "!exposed-before ~never-exposed -> refused",
        ),
        (
            "an earlier qube of unknown label, and a policy on labels",
            plain()
                .past(|past| past.before.push(earlier("vault", "")))
                .rule(Says::UntrustedLabel("red".to_owned())),
            "!exposed-before ~never-exposed -> refused",
        ),
        (
            "a time nobody recorded, and a policy on labels",
            plain().past(|past| past.uncovered.push(gap())).rule(Says::UntrustedLabel("red".to_owned())),
            "!unknown-history -> refused",
        ),
        (
            "dom0 drives what is never to be returned",
            Situation::driven(NET).rule(Says::NeverReturnAddress(sbdf(NIC))),
            "-> nothing",
        ),
    ]
}

#[test]
fn each_situation_has_its_hazards_and_its_verdict() {
    let rows = rows();
    assert!(rows.len() >= 60, "{}", rows.len());
    let wrong: Vec<String> = rows
        .iter()
        .filter(|(_, situation, expected)| situation.line() != *expected)
        .map(|(what, situation, expected)| {
            format!("{what}:\n  is       {}\n  expected {expected}", situation.line())
        })
        .collect();
    assert!(wrong.is_empty(), "{} of {} rows:\n{}", wrong.len(), rows.len(), wrong.join("\n"));
}

#[test]
fn every_hazard_of_a_return_rests_on_evidence() {
    for (what, situation, _) in rows() {
        for hazard in situation.judged().0 {
            assert!(!hazard.sentence.is_empty() && !hazard.evidence.is_empty(), "{what}: {hazard:?}");
        }
    }
}
