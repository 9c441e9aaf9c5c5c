//! What a person at a prompt decides on: one screen, the worst first, then the choice.

use super::text::{cut, wrapped_to};
use crate::assess::{Case, Hazard, HazardId, Severity};
use crate::names::Sbdf;
use crate::system::terminal;
use console::style;

/// Rows of the choice below the dossier: its items, and the row that the cursor is in.
const CHOICE: usize = 4;

/// How many rows the commands to run before a reboot may take; more are `show`'s.
const COMMANDS: usize = 6;

/// More devices than this are counted, not shown.
const DEVICES: usize = 10;

/// The last line above the choice.
const HOW: &str = "Choose with the arrow keys and Enter:";

/// The screen it has to fit.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    rows: usize,
    columns: usize,
}

impl Size {
    /// The terminal's.
    #[must_use]
    pub fn of_terminal() -> Self {
        Self { rows: terminal::rows(), columns: terminal::columns().max(40) }
    }
}

/// The screen above the choice about one device: together with it as high as the terminal. What does not fit
/// is counted and named.
#[must_use]
pub fn dossier(case: &Case, asked: &[&Hazard], size: Size) -> String {
    let sbdf = case.sbdf();
    let name = size.first_line(&format!("{sbdf}  "), &case.subject.description);
    let mut head = vec![style(name).for_stderr().bold().to_string()];
    let now = format!("Xen's owner {}; {}", case.owner(), case.state.words());
    head.push(size.first_line("now   ", &now));
    head.push(String::new());
    head.push("What returning it to dom0 now would risk, the worst first:".to_owned());
    let mut all: Vec<(&Hazard, String)> = asked.iter().map(|hazard| (*hazard, String::new())).collect();
    all.extend(notes(case).map(|hazard| (hazard, String::new())));
    all.sort_by_key(|(hazard, _)| hazard.rank());
    size.page(head, &all, &[case])
}

/// The screen above the choice about several devices: a line for each, below them each hazard once.
#[must_use]
pub fn dossier_of(title: &[String], cases: &[&Case], asked: &[&Hazard], size: Size) -> String {
    let mut head: Vec<String> = Vec::new();
    for line in title {
        head.extend(wrapped_to(size.columns, "", line).lines().map(str::to_owned));
    }
    if let Some(first) = head.first_mut() {
        *first = style(&first).for_stderr().bold().to_string();
    }
    let all = hazards_of(cases, asked);
    let own = |case: &Case| -> Vec<String> {
        let of = all.iter().filter(|(_, of)| of.len() < cases.len() && of.contains(&case.sbdf()));
        of.map(|(hazard, _)| hazard.acceptance()).collect()
    };
    for case in cases.iter().take(DEVICES) {
        head.push(size.device(case, &own(case)));
    }
    if cases.len() > DEVICES {
        head.push(format!("  and {} more", cases.len() - DEVICES));
    }
    if cases.is_empty() {
        return head
            .into_iter()
            .chain([HOW.to_owned()])
            .fold(String::new(), |text, line| text + &line + "\n");
    }
    let it = if cases.len() == 1 { "it" } else { "them" };
    head.push(format!("What returning {it} to dom0 now would risk:"));
    let with_whose = all.into_iter().map(|(hazard, of)| {
        let names: Vec<String> = of.iter().map(|sbdf| short(*sbdf)).collect();
        let whose = if of.len() == cases.len() { String::new() } else { format!(" [{}]", names.join(", ")) };
        (hazard, whose)
    });
    size.page(head, &with_whose.collect::<Vec<_>>(), cases)
}

/// Each hazard once, with the devices that have it: those of all first, of these the worst first.
fn hazards_of<'a>(cases: &[&'a Case], asked: &[&Hazard]) -> Vec<(&'a Hazard, Vec<Sbdf>)> {
    let mut all: Vec<(&Hazard, Vec<Sbdf>)> = Vec::new();
    for case in cases {
        let is_asked = |hazard: &&Hazard| asked.iter().any(|other| other.acceptance() == hazard.acceptance());
        for hazard in case.hazards.iter().filter(is_asked).chain(notes(case)) {
            match all.iter_mut().find(|(known, _)| known.acceptance() == hazard.acceptance()) {
                Some((_, of)) => of.push(case.sbdf()),
                None => all.push((hazard, vec![case.sbdf()])),
            }
        }
    }
    all.sort_by_key(|(hazard, of)| (of.len() < cases.len(), hazard.rank()));
    all
}

/// What is said beside the hazards; what a reboot would not do has its own place.
fn notes(case: &Case) -> impl Iterator<Item = &Hazard> {
    let notes = case.hazards.iter().filter(|hazard| hazard.severity == Severity::Note);
    notes.filter(|hazard| hazard.id != HazardId::RebootWouldNotReturn)
}

/// The address as a table has it: segment 0000 is left out.
fn short(sbdf: Sbdf) -> String {
    let full = sbdf.to_string();
    full.strip_prefix("0000:").map_or(full.clone(), str::to_owned)
}

impl Size {
    /// The head, as many hazards as have room, the reboot, and how to choose.
    fn page(self, head: Vec<String>, hazards: &[(&Hazard, String)], cases: &[&Case]) -> String {
        let with_commands = [vec![String::new()], self.recommended(cases)].concat();
        let room = |tail: &[String]| {
            let taken: usize = head.iter().chain(tail).map(|line| self.rows_of(line)).sum();
            self.rows.saturating_sub(taken + 1 + CHOICE)
        };
        let wanted: usize = hazards.iter().map(|(hazard, whose)| self.block(hazard, whose).len()).sum();
        // The hazards come first; the choice of the reboot shows its commands.
        let tail = if wanted > room(&with_commands) { self.briefly(cases) } else { with_commands };
        let shown = self.fitted(cases, hazards, room(&tail));
        let lines = head.into_iter().chain(shown).chain(tail).chain([HOW.to_owned()]);
        lines.fold(String::new(), |text, line| text + &line + "\n")
    }

    /// A device on one line: its address, its name, the driver it would get, and what is its own.
    fn device(self, case: &Case, own: &[String]) -> String {
        let own = if own.is_empty() { String::new() } else { format!("  {}", own.join(", ")) };
        let address = format!("  {}  ", short(case.sbdf()));
        let room = self.columns.saturating_sub(address.len() + 1);
        let name = &case.subject.description;
        let name_room = room.saturating_sub(own.chars().count()).max(room / 2);
        let name = cut(name, name_room);
        cut(&format!("{address}{name}{own}"), self.columns - 1)
    }

    /// As many hazards as have room, whole; the last line names the others.
    fn fitted(self, cases: &[&Case], ordered: &[(&Hazard, String)], room: usize) -> Vec<String> {
        let all: Vec<Vec<String>> = ordered.iter().map(|(hazard, whose)| self.block(hazard, whose)).collect();
        let mut shown = Vec::new();
        for (number, lines) in all.iter().enumerate() {
            let is_last = number + 1 == all.len();
            if shown.len() + lines.len() + usize::from(!is_last) > room {
                let rest: Vec<String> =
                    ordered.iter().skip(number).map(|(hazard, _)| hazard.acceptance()).collect();
                let more = match cases {
                    [case] => format!("show {}", case.sbdf()),
                    _ => "see show".to_owned(),
                };
                shown.push(
                    self.first_line(&format!("  and {} more ({more}): ", rest.len()), &rest.join(", ")),
                );
                break;
            }
            shown.extend_from_slice(lines);
        }
        shown
    }

    fn block(self, hazard: &Hazard, whose: &str) -> Vec<String> {
        let word = match hazard.severity {
            Severity::Stop => style("stop").for_stderr().red().bold(),
            Severity::Warn => style("warn").for_stderr().yellow().bold(),
            Severity::Note => style("note").for_stderr().cyan(),
        };
        let evidence =
            if hazard.evidence.is_empty() { String::new() } else { format!(" ({})", hazard.evidence) };
        let text = format!("{}{whose}: {}{evidence}", hazard.acceptance(), hazard.sentence);
        wrapped_to(self.columns, &format!("  {word}  "), &text).lines().map(str::to_owned).collect()
    }

    /// The reboot: whether it returns the devices, its command, and what to change first.
    fn recommended(self, cases: &[&Case]) -> Vec<String> {
        let reboot = Instead::of(cases);
        let title = style("Recommended:").for_stderr().green().bold();
        let (verb, it, command) = (reboot.verb, reboot.it, reboot.command);
        if reboot.obstacles.is_empty() {
            return vec![format!("{title} {verb}; that returns {it}:  {command}")];
        }
        let mut lines = vec![format!("{title} {verb}; to make that return {it}, first run:")];
        let taken: usize = reboot.commands.iter().map(|command| self.rows_of(&format!("  {command}"))).sum();
        if reboot.commands.is_empty() || taken > COMMANDS {
            lines = vec![self.first_line(&format!("{title} {verb}; but "), &reboot.obstacles.join("; "))];
            lines.push(format!("  qubes-dom0-pci next-boot {}", reboot.addresses));
        } else {
            lines.extend(reboot.commands.iter().map(|command| format!("  {command}")));
        }
        lines.push(format!("  {command}"));
        lines
    }

    /// The reboot, where the hazards take the room of its commands.
    fn briefly(self, cases: &[&Case]) -> Vec<String> {
        let reboot = Instead::of(cases);
        let title = style("Recommended:").for_stderr().green().bold();
        let first =
            if reboot.obstacles.is_empty() { "" } else { "; its choice below shows what to run first" };
        let text = format!("{} ({}){first}.", reboot.verb, reboot.command);
        wrapped_to(self.columns, &format!("{title} "), &text).lines().map(str::to_owned).collect()
    }

    /// Rows a line takes on the screen: a command is not broken, the terminal does it.
    fn rows_of(self, line: &str) -> usize {
        console::measure_text_width(line).div_ceil(self.columns).max(1)
    }

    /// Text cut to one line of the page, marked where it was cut.
    fn first_line(self, start: &str, text: &str) -> String {
        let whole = wrapped_to(self.columns, start, text);
        let mut lines = whole.lines();
        let first = lines.next().unwrap_or_default();
        if lines.next().is_none() {
            return first.to_owned();
        }
        // What was cut off was a word or more: there is room for the mark, or it takes the last letters.
        if console::measure_text_width(first) + 4 <= self.columns {
            return format!("{first} ...");
        }
        let kept: String = first.chars().take(self.columns.saturating_sub(4)).collect();
        format!("{} ...", kept.trim_end())
    }
}

/// What to do to get devices back by a reboot.
struct Instead {
    verb: &'static str,
    command: &'static str,
    it: &'static str,
    obstacles: Vec<String>,
    commands: Vec<String>,
    addresses: String,
}

impl Instead {
    fn of(cases: &[&Case]) -> Self {
        let power_off = cases.iter().any(|case| case.reboot.power_off);
        let (verb, command) = if power_off {
            ("power off and start", "systemctl poweroff")
        } else {
            ("reboot", "systemctl reboot")
        };
        let once = |texts: &mut dyn Iterator<Item = &String>| {
            let mut all: Vec<String> = Vec::new();
            for text in texts {
                if !all.contains(text) {
                    all.push(text.clone());
                }
            }
            all
        };
        let addresses: Vec<String> = cases.iter().map(|case| case.sbdf().to_string()).collect();
        Self {
            verb,
            command,
            it: if cases.len() == 1 { "it" } else { "them" },
            obstacles: once(&mut cases.iter().flat_map(|case| &case.reboot.obstacles)),
            commands: once(&mut cases.iter().flat_map(|case| &case.reboot.commands)),
            addresses: addresses.join(" "),
        }
    }
}

/// What to do to get these devices back by a reboot, for who has chosen it.
#[must_use]
pub fn reboot_instead(cases: &[&Case]) -> String {
    let reboot = Instead::of(cases);
    let (verb, it) = (reboot.verb, reboot.it);
    let columns = Size::of_terminal().columns;
    let mut text = String::from("Nothing was changed.\n");
    if reboot.obstacles.is_empty() {
        text.push_str(&format!("To get {it} back, {verb}:\n"));
    } else if reboot.commands.is_empty() {
        let why = reboot.obstacles.join("; ");
        text.push_str(&wrapped_to(columns, "", &format!("A reboot alone does not return {it}: {why}.")));
        text.push_str(&format!("What decides it:\n  sudo qubes-dom0-pci next-boot {}\n", reboot.addresses));
        text.push_str(&format!("When that has changed, {verb}:\n"));
    } else {
        text.push_str(&format!("To get {it} back, run this as root; the last command is to {verb}:\n"));
        reboot.commands.iter().for_each(|command| text.push_str(&format!("  {command}\n")));
    }
    text + &format!("  {}\n", reboot.command)
}
