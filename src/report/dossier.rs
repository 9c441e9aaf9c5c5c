//! What a person at a prompt decides on: one screen, the worst first, then the choice.

use super::text::{width, wrapped};
use crate::assess::{Case, Hazard, HazardId, Severity};
use console::style;

/// Lines that the choice takes below the dossier.
const CHOICE: usize = 3;

/// How many rows the commands to run before a reboot may take; more are `show`'s.
const COMMANDS: usize = 6;

/// The screen above the prompt: at most `rows` lines together with it. What does not fit is counted and
/// named.
#[must_use]
pub fn dossier(case: &Case, asked: &[&Hazard], rows: usize) -> String {
    let sbdf = case.sbdf();
    let name = first_line(&format!("{sbdf}  "), &case.subject.description);
    let mut head = vec![style(name).for_stderr().bold().to_string()];
    head.push(first_line("now   ", &format!("Xen's owner {}; {}", case.owner(), case.state.words())));
    head.push(String::new());
    head.push("What giving it back to dom0 now would risk, the worst first:".to_owned());

    let tail = recommended(case);
    let mut ordered: Vec<&Hazard> = asked.to_vec();
    let notes = case.hazards.iter().filter(|hazard| hazard.severity == Severity::Note);
    // What a reboot would not do is said below.
    ordered.extend(notes.filter(|hazard| hazard.id != HazardId::RebootWouldNotReturn));
    ordered.sort_by_key(|hazard| hazard.rank());
    let room =
        rows.saturating_sub(head.len() + tail.iter().map(|line| rows_of(line)).sum::<usize>() + CHOICE);
    let lines = head.into_iter().chain(fitted(case, &ordered, room)).chain(tail);
    lines.fold(String::new(), |text, line| text + &line + "\n")
}

/// As many hazards as have room, whole; the last line names the others.
fn fitted(case: &Case, ordered: &[&Hazard], room: usize) -> Vec<String> {
    let all: Vec<Vec<String>> = ordered.iter().map(|hazard| block(hazard)).collect();
    let mut shown = Vec::new();
    for (number, lines) in all.iter().enumerate() {
        let is_last = number + 1 == all.len();
        if shown.len() + lines.len() + usize::from(!is_last) > room {
            let rest: Vec<String> = ordered.iter().skip(number).map(|hazard| hazard.acceptance()).collect();
            let sbdf = case.sbdf();
            let start = format!("  and {} more (show {sbdf}): ", rest.len());
            shown.push(first_line(&start, &rest.join(", ")));
            break;
        }
        shown.extend_from_slice(lines);
    }
    shown
}

fn block(hazard: &Hazard) -> Vec<String> {
    let word = match hazard.severity {
        Severity::Stop => style("stop").for_stderr().red().bold(),
        Severity::Warn => style("warn").for_stderr().yellow().bold(),
        Severity::Note => style("note").for_stderr().cyan(),
    };
    let evidence = if hazard.evidence.is_empty() { String::new() } else { format!(" ({})", hazard.evidence) };
    let text = format!("{}: {}{evidence}", hazard.acceptance(), hazard.sentence);
    wrapped(&format!("  {word}  "), &text).lines().map(str::to_owned).collect()
}

/// The reboot: whether it returns the device, its command, and what to change first.
fn recommended(case: &Case) -> Vec<String> {
    let reboot = &case.reboot;
    let (verb, command) = if reboot.power_off {
        ("power off and start", "systemctl poweroff")
    } else {
        ("reboot", "systemctl reboot")
    };
    let mut lines = vec![String::new()];
    let title = style("Recommended:").for_stderr().green().bold();
    if reboot.obstacles.is_empty() {
        lines.push(format!("{title} {verb}; that returns it:  {command}"));
        return lines;
    }
    lines.push(format!("{title} {verb}; it comes back only after these commands:"));
    let commands = &reboot.commands;
    let all = format!("qubes-dom0-pci show {}", case.sbdf());
    let taken: usize = commands.iter().map(|command| rows_of(&format!("  {command}"))).sum();
    if commands.is_empty() || taken > COMMANDS {
        lines.push(first_line("  ", &reboot.obstacles.join("; ")));
        lines.push(format!("  {all}   (lists them)"));
    } else {
        lines.extend(commands.iter().map(|command| format!("  {command}")));
    }
    lines.push(format!("  {command}"));
    lines
}

/// Rows a line takes on the screen: a command is not broken, the terminal does it.
fn rows_of(line: &str) -> usize {
    console::measure_text_width(line).div_ceil(width()).max(1)
}

/// Text cut to one line of the page, marked where it was cut.
fn first_line(start: &str, text: &str) -> String {
    let whole = wrapped(start, text);
    let mut lines = whole.lines();
    let first = lines.next().unwrap_or_default();
    if lines.next().is_none() {
        return first.to_owned();
    }
    let kept: String = first.chars().take(width().saturating_sub(4)).collect();
    format!("{} ...", kept.trim_end())
}
