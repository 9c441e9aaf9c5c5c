//! The screen for people.

use super::{identity, removal, Answer, Edit, Returns, Shown};
use crate::assess::next_boot::{Because, Differs, Fate, Kind, Next, Rule};
use crate::assess::Hazard;
use crate::plan::next_boot::Proposal;
use crate::report::text::wrapped;

/// The whole screen.
#[must_use]
pub fn screen(answer: &Answer<'_>) -> String {
    let mut text = boot(answer);
    let full = answer.functions.iter().any(|shown| shown.sbdf.segment() != 0);
    for shown in &answer.functions {
        text.push_str(&row(shown, full));
    }
    if !answer.dead.is_empty() {
        text.push_str("\nAssignments that lead to no device\n");
        for dead in answer.dead {
            let there =
                dead.there.map_or("nothing is there".to_owned(), |sbdf| format!("{sbdf} is another device"));
            let remove =
                removal(answer, dead).map(|command| format!("; remove it: {command}")).unwrap_or_default();
            let what = format!("{} {}: {there}{remove}", dead.assignment.port.text(), identity(dead));
            text.push_str(&wrapped(&format!("  {}  ", dead.qube.name), &what));
        }
    }
    if let Some(edit) = answer.edit {
        text.push('\n');
        text.push_str(&self::edit(answer, edit));
    }
    for decider in &answer.facts.deciders {
        text.push_str(&wrapped("note: ", decider.advice()));
    }
    for what in &answer.facts.unseen {
        text.push_str(&wrapped("not seen: ", what));
    }
    text
}

fn boot(answer: &Answer<'_>) -> String {
    let prediction = answer.prediction;
    let mut text = match (answer.line, &prediction.stops) {
        (Err(unknown), _) => wrapped("Next boot: ", &format!("unknown, because {unknown}")),
        (Ok(line), Some(stop)) => {
            let why = format!("it would STOP ({}): {}", line.from, stop.why);
            let rest = "at the boot menu press e, delete the word, press F10";
            wrapped("Next boot: ", &format!("{why}; {rest}"))
        }
        (Ok(line), None) => wrapped(
            "Next boot: ",
            &format!("as {} says{}", line.from, usbguard(prediction.usbguard, prediction.usbguard_starts)),
        ),
    };
    for differs in answer.differs {
        text.push_str(&wrapped("  ", &difference(differs, answer)));
    }
    text.push('\n');
    text
}

fn usbguard(enabled: bool, starts: bool) -> &'static str {
    match (enabled, starts) {
        (true, true) => "; usbguard guards dom0's USB",
        (true, false) => "; usbguard is enabled and does not start (usbcore.authorized_default=0 is missing)",
        _ => "",
    }
}

/// How another command line differs, and what follows.
fn difference(differs: &Differs, answer: &Answer<'_>) -> String {
    let words = |all: &[String]| all.join(" ");
    let mut what = Vec::new();
    if !differs.has.is_empty() {
        what.push(format!("has {} and the next boot has not", words(&differs.has)));
    }
    if !differs.lacks.is_empty() {
        what.push(format!("lacks {}, which the next boot has", words(&differs.lacks)));
    }
    if what.is_empty() {
        what.push("has the same words in another order".to_owned());
    }
    let what = what.join("; it ");
    let run = match answer.facts.release {
        crate::observe::next_boot::Release::Debian => "update-grub".to_owned(),
        _ => answer
            .line
            .map_or_else(|_| "the generator".to_owned(), |line| format!("grub2-mkconfig -o {}", line.from)),
    };
    match differs.kind {
        Kind::Source => format!("{} {what}: it takes effect with: {run}", differs.file),
        Kind::Generated => format!("{} {what}: run grub2-mkconfig for both", differs.file),
        Kind::ThisBoot => format!("this boot {what}: that held for this boot only"),
    }
}

fn row(shown: &Shown<'_>, full: bool) -> String {
    let address = if full { shown.sbdf.to_string() } else { crate::observe::next_boot::short(shown.sbdf) };
    let returns = match (shown.returns, &shown.fate.next) {
        (Returns::AfterEdits, _) => "; an edit returns it",
        (Returns::No, Next::Driver(_)) => "",
        (Returns::No, _) => "; no edit returns it",
        _ => "",
    };
    wrapped(
        &format!("  {address}  {:<9}  ", shown.fate.next.word()),
        &format!("{}{returns}", fate(shown.fate)),
    )
}

/// Why a function is where it is, and who takes it then.
fn fate(fate: &Fate) -> String {
    let driver = match &fate.next {
        Next::Driver(Some(driver)) => driver.to_string(),
        Next::Driver(None) => "a driver that is not loaded now".to_owned(),
        _ => String::new(),
    };
    let mut parts: Vec<String> = Some(driver).filter(|text| !text.is_empty()).into_iter().collect();
    parts.extend(fate.because.iter().map(reason));
    let mut text = parts.join("; ");
    match &fate.takers {
        Ok(takers) => {
            for taker in takers {
                text.push_str(&format!("; then {} takes it, which {}", taker.qube, taker.why));
            }
        }
        Err(_) if matches!(fate.next, Next::Absent) => {}
        Err(_) => text.push_str("; whether a qube takes it is not known"),
    }
    text.trim_start_matches("; ").to_owned()
}

fn reason(because: &Because) -> String {
    let place = because.place.as_ref().map(|place| format!(" ({place})")).unwrap_or_default();
    let what = match &because.rule {
        Rule::Network => "Qubes hides every network device".to_owned(),
        Rule::VirtualFunction => "a virtual function: not there until sriov_numvfs is written".to_owned(),
        Rule::BehindVmd => "behind a VMD controller".to_owned(),
        Rule::NoModule => "no module of this kernel claims it".to_owned(),
        Rule::Stops(_) => "the boot would stop".to_owned(),
        Rule::NotKnown(why) => why.clone(),
        Rule::Driverctl => "driverctl's override".to_owned(),
        rule => rule.name(),
    };
    format!("{what}{place}")
}

fn edit(answer: &Answer<'_>, edit: &Edit) -> String {
    let mut text = String::new();
    let Some(proposal) = edit.proposal.as_ref().filter(|proposal| !proposal.is_empty()) else {
        let open = edit.proposal.iter().flat_map(|proposal| &proposal.notes);
        open.for_each(|note| text.push_str(&wrapped("note: ", note)));
        let known = if text.is_empty() { "" } else { ", as far as that can be told" };
        let start = "No edit is needed: after the next boot the devices are where they are wanted";
        return wrapped("", &format!("{start}{known}.")) + &text;
    };
    if proposal.files.is_empty() {
        text.push_str("The files need no edit. What is still missing, as root:\n");
    } else {
        text.push_str("One edit for all of them\n\n");
        let diff = String::from_utf8_lossy(&proposal.diff()).into_owned();
        for line in diff.lines() {
            text.push_str(&format!("{}\n", crate::names::escape(line.as_bytes())));
        }
        text.push_str("\nThen, as root:\n");
    }
    for command in &proposal.commands {
        text.push_str(&format!("  {command}\n"));
    }
    text.push_str(&afterwards(answer, proposal));
    for note in &proposal.notes {
        text.push_str(&wrapped("note: ", note));
    }
    for (sbdf, hazards) in &edit.hazards {
        for hazard in hazards {
            text.push_str(&hazard_line(&sbdf.to_string(), hazard));
        }
    }
    text.push('\n');
    text.push_str(&wrapped("", &proposal.way_out));
    text
}

fn hazard_line(bdf: &str, hazard: &Hazard) -> String {
    let evidence = if hazard.evidence.is_empty() { String::new() } else { format!(" ({})", hazard.evidence) };
    wrapped(
        &format!("  {}  ", hazard.severity.word()),
        &format!("{bdf} {}: {}{evidence}", hazard.acceptance(), hazard.sentence),
    )
}

/// Where the devices are once the edit is in force.
fn afterwards(answer: &Answer<'_>, proposal: &Proposal) -> String {
    let mut text =
        format!("\nAfter that{}\n", usbguard(proposal.after.usbguard, proposal.after.usbguard_starts));
    for shown in &answer.functions {
        if let Some(after) = proposal.after.functions.get(&shown.sbdf) {
            let first = format!("  {}  {:<9}  ", shown.sbdf, after.next.word());
            text.push_str(&wrapped(&first, &fate(after)));
        }
    }
    text
}
