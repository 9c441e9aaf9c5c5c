//! What the function has been through: in this boot by the journal and xenstore together, in earlier ones by
//! the journal.

use super::{Hazard, HazardId};
use crate::assess::state::State;
use crate::assess::words::{gap_words, span, when};
use crate::journal::JournalReading;
use crate::journal::Way;
use crate::observe::exposure::{holders, EarlierQube, Exposure, IdentityChange, Past, PastHolder};
use crate::observe::{Dom0, Function};

/// How many qubes, gaps and changes a sentence names.
const NAMED: usize = 5;

const NO_RECORD: &str = "no record covers the time since it was taken from dom0";

/// Who had it, with which options, what is not known, and whether it is still the same.
pub fn past(dom0: &Dom0, function: &Function, state: &State, past: &Past) -> Vec<Hazard> {
    let exposure = past.of.get(&function.sbdf);
    let had = holders(dom0, function.sbdf, exposure);
    let mut hazards: Vec<Hazard> = had.iter().map(|one| exposed(dom0, one)).collect();
    let option = |wanted: &[&str]| {
        let who = had.iter().filter(|one| one.options.iter().any(|option| wanted.contains(&option.as_str())));
        who.map(|one| one.who.clone()).collect::<Vec<_>>()
    };
    let relaxed = option(&["rdm_policy=relaxed", "no-strict-reset=True"]);
    if !relaxed.is_empty() {
        hazards.push(Hazard::new(
            HazardId::NoStrictReset,
            "a qube was given it without a reset being required",
            format!("rdm_policy=relaxed for {}", few(&relaxed)),
        ));
    }
    let forgotten = past.pruned.is_some_and(|prune| prune.forgotten);
    hazards.extend(exposure.and_then(|exposure| before(dom0, exposure, forgotten)));
    hazards.extend(known(dom0, state, past, exposure, &had));
    hazards.extend(journal_broken(past));
    hazards.extend(exposure.and_then(changed));
    let permissive = option(&["permissive=1", "permissive=True"]);
    if dom0.permissive.contains(&function.sbdf) || dom0.all_permissive {
        hazards.push(Hazard::new(
            HazardId::Permissive,
            "a qube could write all of its config space",
            "pciback's permissive mode",
        ));
    } else if !permissive.is_empty() {
        let evidence = format!("permissive=1 for {}", few(&permissive));
        hazards.push(Hazard::new(
            HazardId::Permissive,
            "a qube could write all of its config space",
            evidence,
        ));
    }
    hazards
}

/// A qube of this boot. Every qube is less trusted than dom0: its label only says how loudly.
fn exposed(dom0: &Dom0, had: &PastHolder) -> Hazard {
    let mut details: Vec<&str> = had.labels.iter().map(String::as_str).collect();
    if !had.class.is_empty() {
        details.push(&had.class);
    }
    if had.network == Some(true) {
        details.push("provides network");
    }
    let details = if details.is_empty() { String::new() } else { format!(" ({})", details.join(", ")) };
    let distrusted = ["red", "orange"];
    let loud =
        had.network == Some(true) || had.labels.iter().any(|label| distrusted.contains(&label.as_str()));
    let grade = match (loud, had.labels.is_empty()) {
        (true, _) => "had it in this boot: take it that it was turned against dom0",
        (false, true) => "had it in this boot and could have turned it against dom0",
        (false, false) => "had it in this boot and could have turned it against dom0, whatever its label",
    };
    let mut evidence: Vec<String> = had.nodes.clone();
    let kept = had.stays.len().saturating_sub(NAMED);
    if kept > 0 {
        evidence.push(format!("{kept} stays before"));
    }
    evidence.extend(had.stays.iter().skip(kept).map(|(from, to)| format!("with it {}", span(*from, *to))));
    evidence.extend(had.options.iter().cloned());
    let sentence = format!("{}{details} {grade}", had.who);
    Hazard {
        qube: Some(had.name.clone()),
        labels: with_present(dom0, [had.name.as_str()], had.labels.clone()),
        ..Hazard::new(HazardId::Exposed, sentence, evidence.join("; "))
    }
}

/// Qubes of earlier boots.
fn before(dom0: &Dom0, exposure: &Exposure, forgotten: bool) -> Option<Hazard> {
    if exposure.before.is_empty() && exposure.more_before == 0 && !forgotten {
        return None;
    }
    let words = |one: &EarlierQube| {
        let times = if one.had.stays > 1 { format!(" {} times,", one.had.stays) } else { String::new() };
        let last = one.had.last.map_or("when is not known".to_owned(), |last| format!("last {}", when(last)));
        let mut more = String::new();
        for (holds, text) in [
            (one.had.imported, ", imported"),
            (one.moved, ", at another address"),
            (one.perhaps, ", or its twin"),
        ] {
            if holds {
                more.push_str(text);
            }
        }
        let options: String = one.had.options.iter().map(|option| format!(", {option}")).collect();
        format!("{}{times} {last}{options}{more}", one.had.qube)
    };
    let mut all: Vec<String> = exposure.before.iter().take(NAMED).map(words).collect();
    let rest = exposure.before.len().saturating_sub(NAMED);
    if rest > 0 || exposure.more_before > 0 {
        all.push("and more qubes".to_owned());
    }
    if forgotten {
        all.push("records were pruned, and which qubes they told of was not kept".to_owned());
    }
    let unknown = |one: &EarlierQube| one.had.unlabelled || one.had.labels.is_empty();
    let unlabelled = forgotten || exposure.more_before > 0 || exposure.before.iter().any(unknown);
    let mut hazard = Hazard::new(
        HazardId::ExposedBefore,
        "a qube had it in an earlier boot: neither a reboot nor a reset clears its firmware",
        all.join("; "),
    );
    if !unlabelled {
        let labels = exposure.before.iter().flat_map(|one| one.had.labels.iter().cloned()).collect();
        hazard.labels = with_present(dom0, exposure.before.iter().map(|one| one.had.qube.as_str()), labels);
    }
    Some(hazard)
}

/// Labels that were recorded, and those that Qubes tells of these qubes now. None stays none: then no label
/// is known of the time that counts.
pub fn with_present<'a>(
    dom0: &Dom0,
    names: impl IntoIterator<Item = &'a str>,
    mut labels: Vec<String>,
) -> Vec<String> {
    if labels.is_empty() {
        return labels;
    }
    labels.extend(names.into_iter().filter_map(|name| present(dom0, name)));
    labels.sort();
    labels.dedup();
    labels
}

/// The label that Qubes tells of a qube now.
pub fn present(dom0: &Dom0, name: &str) -> Option<String> {
    let said = dom0.qubes_said()?;
    let one = said.qubes.iter().find(|one| one.known_name().is_some_and(|known| known.as_str() == name))?;
    Some(one.label.clone()).filter(|label| !label.is_empty())
}

/// Whether the journal covers the time since it was taken: `never-exposed`, `unknown-history`, or neither
/// where all is known and it was with a qube. That is said by `exposed`.
///
/// That Xen's owner is still dom0 is no proof, though Xen quarantines what a qube had: whether it does is set
/// by its build and its command line (`iommu=quarantine=...`), and its build's default is told nowhere at run
/// time; and what was quarantined may have been taken out again, by `xl pci-assignable-remove`.
fn known(
    dom0: &Dom0,
    state: &State,
    past: &Past,
    exposure: Option<&Exposure>,
    had: &[PastHolder],
) -> Option<Hazard> {
    let mut missing = Vec::new();
    let mut unseen = 0;
    if had.is_empty() && is_unexplained(state, exposure) {
        missing.push("Xen holds it in quarantine, as it does when a qube that had it has ended".to_owned());
    }
    if let Err(why) = &dom0.uses {
        missing.push(format!("which qubes have it cannot be read: {why}"));
        unseen += 1;
    }
    match (&past.journal, exposure) {
        (JournalReading::Read { odd: 0 }, Some(exposure)) => {
            if exposure.nobody_recorded() {
                missing.extend(missing.is_empty().then(|| NO_RECORD.to_owned()));
            } else {
                missing.extend(exposure.uncovered.iter().take(NAMED).map(gap_words));
            }
            if exposure.uncovered.len() > NAMED {
                missing.push(format!("and {} more gaps", exposure.uncovered.len() - NAMED));
            }
            if exposure.more_stays > 0 {
                missing.push("more stays of this boot than are kept".to_owned());
            }
        }
        (JournalReading::Read { .. }, _) => {
            missing.push("the journal has lines that are no records".to_owned())
        }
        (JournalReading::Broken(_), _) => missing.push("the journal is broken".to_owned()),
        (JournalReading::Unreadable(_), _) => {
            missing.push("the journal cannot be read".to_owned());
            unseen += 1;
        }
        (JournalReading::Absent, _) => missing.extend(missing.is_empty().then(|| NO_RECORD.to_owned())),
    }
    if !missing.is_empty() {
        let sentence = "which qubes had it is not known for sure";
        let hazard = Hazard::new(HazardId::UnknownHistory, sentence, missing.join("; "));
        return Some(hazard.resting_on_the_unseen(missing.len() == unseen));
    }
    if !had.is_empty() {
        return None;
    }
    let since = match exposure.and_then(|exposure| exposure.seized.as_ref()) {
        Some(seized) if seized.since > 0 => {
            let time = seized.place.time.map_or("some time".to_owned(), when);
            format!("the recorder heard everything since it was taken from dom0, {time}")
        }
        _ => "the recorder heard everything since before the first qube of this boot".to_owned(),
    };
    Some(Hazard::new(HazardId::NeverExposed, "no qube had it since it was taken from dom0", since))
}

/// Whether it is in quarantine and no record says why. A hold and xl quarantine it themselves, unless it was
/// there before them.
pub fn is_unexplained(state: &State, exposure: Option<&Exposure>) -> bool {
    let seized = exposure.and_then(|exposure| exposure.seized.as_ref());
    let explained = seized.is_some_and(|seized| {
        seized.from_dom0 == Some(true) && matches!(seized.way, Some(Way::Hold | Way::Xl))
    });
    state.quarantined && !explained
}

/// A loss that a repair accepted, or one that nobody has accepted yet.
fn journal_broken(past: &Past) -> Option<Hazard> {
    let evidence = match &past.journal {
        JournalReading::Broken(failure) => failure.message.clone(),
        JournalReading::Read { odd } if *odd > 0 => "lines of it are altered or torn".to_owned(),
        _ if past.repairs > 0 => "records were lost or could have been written by others, and the journal \
                                  went on: `audit log` says where"
            .to_owned(),
        _ => return None,
    };
    Some(Hazard::new(
        HazardId::JournalBroken,
        "records of its history are missing: what they told is not known",
        evidence,
    ))
}

/// It is not what was recorded.
fn changed(exposure: &Exposure) -> Option<Hazard> {
    if exposure.changes.is_empty() {
        return None;
    }
    let words = |change: &IdentityChange| {
        let time = change.known.time.map_or("once".to_owned(), when);
        format!("recorded {time}: {}", change.fields.join("; "))
    };
    let all: Vec<String> = exposure.changes.iter().map(words).collect();
    Some(Hazard::new(
        HazardId::IdentityChanged,
        "it is not the device that was recorded, or it was altered",
        all.join("; "),
    ))
}

/// The first of them.
pub fn few(names: &[String]) -> String {
    let mut text = names.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
    if names.len() > NAMED {
        text.push_str(", and more");
    }
    text
}
