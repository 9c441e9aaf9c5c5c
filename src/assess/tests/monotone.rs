//! What makes things worse, and what takes knowledge away, never makes the verdict milder.
//!
//! Left out is what Qubes says of a qube's state: with qubesd down only Xen and xenstore tell who has a
//! device, and the way back has to stay open then.

use super::situation::{failed, function, sbdf, Situation, NIC};
use crate::assess::Verdict;
use crate::journal::Identity;
use crate::journal::JournalReading;
use crate::names::Owner;
use crate::observe::exposure::{EarlierQube, IdentityChange, KnownIdentity};
use crate::observe::exposure::{Gap, Why};
use crate::observe::Says;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

/// Changes a situation.
type Alteration = (&'static str, fn(Situation) -> Situation);

/// What is simply worse. To learn who had it is not only worse but also something known: a policy that stops
/// at `unknown-history` is not among these, it asks for just that.
const BAD: &[Alteration] = &[
    ("a qube had it", |one| one.used(7, "sys-net", false, "")),
    ("another qube had it", |one| one.used(8, "work", false, "permissive=1")),
    ("without a strict reset", |one| one.used(9, "sys-usb", false, "rdm_policy=relaxed")),
    ("a qube has it", |one| one.used(10, "games", true, "")),
    ("Xen gave it away", |one| one.owned(Owner::Domain(4))),
    ("Xen keeps it", |one| one.owned(Owner::Xen)),
    ("permissive", |one| one.but(|one| one.dom0.permissive.extend([sbdf(NIC)]))),
    ("all permissive", |one| one.but(|one| one.dom0.all_permissive = true)),
    ("held for sleep", |one| one.but(|one| one.dom0.sleep_ports.extend([sbdf(NIC)]))),
    ("no IOMMU", |one| one.but(|one| one.dom0.iommu = Ok(false))),
    ("virtual functions", |one| one.with(|function| function.virtual_functions = 1)),
    ("a ROM", |one| one.config(|config| config.expansion_rom = true)),
    ("a bridge", |one| one.config(|config| config.header = 1)),
    ("a sibling with a qube", |one| one.beside(function("0000:00:07.1", 0x02_0000), Owner::Domain(9))),
    ("a sibling after a qube", |one| one.uses("0000:00:07.1", 11, "games", false, "")),
    ("no reset", |one| one.with(|function| function.reset_methods = None)),
    ("nothing claims it", |one| one.but(|one| one.claims.by_alias.clear())),
    ("blacklisted", |one| {
        one.but(|one| one.claims.by_alias.iter_mut().for_each(|claim| claim.blacklisted = true))
    }),
    ("a gap", |one| one.past(|past| past.uncovered.push(Gap { from: None, to: None, why: Why::NoRecorder }))),
    ("an earlier qube", |one| one.past(|past| past.before.push(EarlierQube::default()))),
    ("altered", |one| {
        let known =
            KnownIdentity { identity: Identity::default(), sbdf: sbdf(NIC), time: None, boot: String::new() };
        one.past(|past| past.changes.push(IdentityChange { known, fields: vec!["revision".to_owned()] }))
    }),
    ("a repair", |one| one.but(|one| one.past.repairs = 1)),
    ("never return it", |one| one.rule(Says::NeverReturnAddress(sbdf(NIC)))),
    ("stop at the network", |one| one.rule(Says::Stop("network".to_owned()))),
    ("red is not trusted", |one| one.rule(Says::UntrustedLabel("red".to_owned()))),
];

/// What is not known any more.
const BLIND: &[Alteration] = &[
    ("no owners", |one| one.but(|one| one.dom0.owners = Err("no Xen".to_owned()))),
    ("not listed", |one| one.but(|one| one.dom0.owners = Ok(Default::default()))),
    ("no xenstore", |one| one.but(|one| one.dom0.uses = Err("no xenstored".to_owned()))),
    ("no word on the IOMMU", |one| one.but(|one| one.dom0.iommu = Err("no Xen".to_owned()))),
    ("no config space", |one| one.with(|function| function.config = None)),
    ("no capabilities", |one| {
        one.config(|config| {
            config.express = None;
            config.capabilities.clear();
            config.function_level_reset = None;
        })
    }),
    ("how it resets is not told", |one| {
        one.with(|function| function.reset_methods = function.reset_methods.take().map(|_| Vec::new()))
    }),
    ("no modules", |one| one.but(|one| one.claims.unreadable = Some(failed()))),
    ("no policy", |one| one.but(|one| one.dom0.policy = Err("cannot read it".to_owned()))),
    ("no journal", |one| one.but(|one| one.past.journal = JournalReading::Absent)),
    ("a broken journal", |one| one.but(|one| one.past.journal = JournalReading::Broken(failed()))),
    ("an unreadable journal", |one| one.but(|one| one.past.journal = JournalReading::Unreadable(failed()))),
    ("odd lines", |one| one.but(|one| one.past.journal = JournalReading::Read { odd: 2 })),
];

/// How strict a verdict is: nothing to do, healing without a question, a question, a refusal.
fn strictness(verdict: &Verdict) -> u8 {
    match verdict {
        Verdict::Nothing => 0,
        Verdict::Ask(accept) if accept.is_empty() => 1,
        Verdict::Ask(_) => 2,
        Verdict::Refused(_) | Verdict::Unknown | Verdict::Pending | Verdict::Running => 3,
    }
}

fn start() -> impl Strategy<Value = Situation> {
    let classes = select(vec![0x02_0000, 0x0c_0330, 0x01_0802, 0x03_0000, 0x10_0000, 0x0c_8000]);
    (classes, 0..4).prop_map(|(class, kind)| match kind {
        0 => Situation::driven(class),
        1 => Situation::held(class),
        2 => Situation::held(class).owned(Owner::Quarantine),
        _ => Situation::driven(class).owned(Owner::Quarantine),
    })
}

fn some() -> impl Strategy<Value = Vec<Alteration>> {
    let all: Vec<Alteration> = BAD.iter().chain(BLIND).copied().collect();
    let most = all.len();
    subsequence(all, 0..most.min(8)).prop_shuffle()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn a_bad_fact_never_makes_the_verdict_milder(start in start(), before in some(), bad in select(BAD)) {
        let one = before.iter().fold(start, |one, (_, change)| change(one));
        let worse = (bad.1)(one.clone());
        let (was, is) = (one.judged().1, worse.judged().1);
        prop_assert!(strictness(&is) >= strictness(&was), "{}: {} became {}", bad.0, one.line(), worse.line());
    }

    #[test]
    fn knowing_less_never_makes_the_verdict_milder(start in start(), before in some(), blind in select(BLIND)) {
        let one = before.iter().fold(start, |one, (_, change)| change(one));
        let less = (blind.1)(one.clone());
        let (was, is) = (one.judged().1, less.judged().1);
        prop_assert!(strictness(&is) >= strictness(&was), "{}: {} became {}", blind.0, one.line(), less.line());
    }

    #[test]
    fn who_may_not_see_everything_is_told_that_it_is_not_known_and_no_stop_but_those_root_is_told(
        start in start(),
        before in subsequence(BAD.to_vec(), 0..6),
    ) {
        let seen = before.iter().fold(start, |one, (_, change)| change(one));
        let stops = |verdict: Verdict| if let Verdict::Refused(stops) = verdict { stops } else { Vec::new() };
        let roots = stops(seen.judged().1);
        let hidden = seen.but(|one| {
            one.dom0.by_root = false;
            one.dom0.owners = Err("no right".to_owned());
            one.dom0.uses = Err("no right".to_owned());
            one.past.journal = JournalReading::Unreadable(failed());
        });
        let told = hidden.judged().1;
        prop_assert!(matches!(told, Verdict::Unknown | Verdict::Refused(_)), "{}", hidden.line());
        prop_assert!(stops(told).iter().all(|stop| roots.contains(stop)), "{roots:?}: {}", hidden.line());
    }

    #[test]
    fn a_rule_of_the_policy_takes_no_hazard_away(start in start(), before in some(), id in "[a-z-]{1,12}|network|exposed|usb") {
        let one = before.iter().fold(start, |one, (_, change)| change(one));
        let under = one.clone().rule(Says::Stop(id));
        let found = under.judged().0;
        for hazard in one.judged().0 {
            prop_assert!(
                found.iter().any(|other| other.acceptance() == hazard.acceptance() && other.severity <= hazard.severity),
                "{hazard:?}"
            );
        }
    }
}
