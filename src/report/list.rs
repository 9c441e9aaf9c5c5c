//! One line per device, what can be acted on first, and no line wider than the terminal.

use super::text::{cut, width};
use crate::assess::{Case, HazardId, Kind, StateWord, Verdict};
use crate::journal::Moment;
use crate::names::{to_the_minute, QubeName, Sbdf};
use crate::observe::exposure::StayEnd;
use console::{style, Style};
use serde_json::{json, Value};
use std::cmp::Reverse;

/// The order of a list.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ListOrder {
    /// What can be acted on first.
    Action,
    /// By address.
    Address,
    /// By state.
    State,
    /// By the qube that had it last.
    Qube,
    /// The device that a qube had last comes first.
    Time,
}

impl ListOrder {
    /// Sorts devices that are in the order of their addresses.
    pub fn sort(self, cases: &mut [Case]) {
        match self {
            Self::Action => cases.sort_by_key(urgency),
            Self::Address => {}
            Self::State => cases.sort_by_key(|case| case.state.word()),
            Self::Qube => cases.sort_by_cached_key(|case| {
                let qube = last_with(case).qube;
                (qube.is_empty(), qube)
            }),
            Self::Time => cases.sort_by_cached_key(|case| Reverse(last_with(case).time)),
        }
    }
}

/// How near it is to an act: an operation that is not settled, what can be
/// returned, what a qube has, the rest.
fn urgency(case: &Case) -> u8 {
    match &case.verdict {
        Verdict::Pending | Verdict::Running => 0,
        Verdict::Ask(_) => 1,
        Verdict::Refused(_) if matches!(case.state.kind, Kind::InUse(_)) => 2,
        Verdict::Unknown => 3,
        Verdict::Refused(ids) if ids.contains(&HazardId::NoDriver) => 5,
        Verdict::Refused(_) => 4,
        Verdict::Nothing => 6,
    }
}

/// The qube that had it last.
#[derive(Default)]
struct Last {
    qube: String,
    /// The labels and the time, for who has room for them.
    more: String,
    time: Option<Moment>,
}

fn last_with(case: &Case) -> Last {
    let had = case.had();
    if let Some(one) = had.first() {
        let (from, to) = one.stays.last().copied().unwrap_or((None, StayEnd::Open));
        let open = to == StayEnd::Open;
        let time = match to {
            StayEnd::At(end) | StayEnd::By(end) => end.or(from),
            StayEnd::Open => from,
        };
        let labels =
            if one.labels.is_empty() { String::new() } else { format!(" ({})", one.labels.join(", ")) };
        let since = if open && time.is_some() { " since" } else { "" };
        let more = time.map(|time| format!("{since} {}", to_the_minute(&time.to_string())));
        return Last { qube: one.who.clone(), more: labels + &more.unwrap_or_default(), time };
    }
    let Some(before) = case.exposure().and_then(|exposure| exposure.before.first()) else {
        return Last::default();
    };
    let labels: Vec<&str> = before.had.labels.iter().map(String::as_str).collect();
    let labels = if labels.is_empty() { String::new() } else { format!(" ({})", labels.join(", ")) };
    let more = before.had.last.map(|time| format!(" {}", to_the_minute(&time.to_string())));
    Last { qube: before.had.qube.clone(), more: labels + &more.unwrap_or_default(), time: before.had.last }
}

/// What can be done about it, in few words.
fn action(case: &Case) -> String {
    match &case.verdict {
        Verdict::Nothing => String::new(),
        Verdict::Unknown => "run it with sudo".to_owned(),
        Verdict::Pending => "recover first".to_owned(),
        Verdict::Running => "wait: it is running".to_owned(),
        Verdict::Ask(accept) if accept.is_empty() => "reattach".to_owned(),
        Verdict::Ask(_) => {
            let reboot = match &case.reboot {
                reboot if reboot.obstacles.is_empty() && reboot.power_off => "power off",
                reboot if reboot.obstacles.is_empty() => "reboot",
                _ => "next-boot",
            };
            format!("{reboot}, or reattach")
        }
        Verdict::Refused(ids) => match (&case.state.kind, ids.first()) {
            (Kind::InUse(who), Some(HazardId::InUse)) => match QubeName::parse(who) {
                Some(name) => format!("shut down {name}"),
                None => "shut the qube down".to_owned(),
            },
            (_, Some(HazardId::NoDriver)) => "none: no driver".to_owned(),
            (_, Some(id)) => format!("refused: {id}"),
            (_, None) => "refused".to_owned(),
        },
    }
}

/// An address as a table has it: a segment 0000 is left out.
fn short(sbdf: Sbdf) -> String {
    let full = sbdf.to_string();
    full.strip_prefix("0000:").map_or(full.clone(), str::to_owned)
}

/// A description without the words that every other one has too.
fn brief(description: &str) -> String {
    let idle = ["Corporation", "Corp.", "Inc.", "Inc", "Co.,", "Co.", "Ltd.", "Ltd", "Technology"];
    let (class, name) = description.split_once(": ").unwrap_or(("", description));
    let class = class.strip_suffix(" controller").unwrap_or(class);
    let words: Vec<&str> = name.split(' ').filter(|word| !idle.contains(word)).collect();
    let name = words.join(" ");
    if class.is_empty() {
        name
    } else {
        format!("{class}: {name}")
    }
}

/// A device in few members, for `status`.
#[must_use]
pub fn device_status(case: &Case) -> Value {
    let had: Vec<String> = case.had().into_iter().map(|one| one.name).collect();
    json!({
        "bdf": case.sbdf().to_string(),
        "description": case.subject.description,
        "state": case.state.words(),
        "state_word": case.state.word().word(),
        "qube": case.qube(),
        "had_by": had,
        "verdict": super::json::verdict(&case.verdict),
        "action": action(case),
    })
}

/// A line of the table; the first is its head.
struct Row {
    cells: [String; 5],
    colour: Style,
}

/// What each column is not made narrower than.
const LEAST: [usize; 5] = [7, 10, 12, 9, 12];
/// Between two columns.
const GAP: usize = 2;

/// The table; empty where there is no device.
#[must_use]
pub fn table(cases: &[Case]) -> String {
    if cases.is_empty() {
        return String::new();
    }
    for whole in [true, false] {
        let rows: Vec<Row> = cases.iter().map(|case| row(case, whole)).collect();
        let head = head(whole && cases.iter().any(|case| last_with(case).time.is_some()));
        let widths = widths(&head, &rows);
        let taken = taken(&widths);
        if taken <= width() {
            return drawn(&head, &rows, &widths);
        }
        if !whole {
            return drawn(&head, &rows, &fitted(widths, taken - width()));
        }
    }
    String::new()
}

fn head(times: bool) -> [String; 5] {
    let with = if times { "LAST WITH (UTC)" } else { "LAST WITH" };
    ["ADDRESS", "DEVICE", "STATE", with, "ACTION"].map(str::to_owned)
}

fn row(case: &Case, whole: bool) -> Row {
    let last = last_with(case);
    let with = if whole { format!("{}{}", last.qube, last.more) } else { last.qube };
    let cells =
        [short(case.sbdf()), brief(&case.subject.description), case.state.brief(), with, action(case)];
    let colour = match (case.state.word(), &case.verdict) {
        (_, Verdict::Pending | Verdict::Running) => Style::new().red().bold(),
        (StateWord::InUse | StateWord::Broken, _) => Style::new().red(),
        (StateWord::Quarantine | StateWord::Held, _) => Style::new().yellow(),
        (StateWord::Driven, _) => Style::new().green(),
        (StateWord::NoDriver, _) => Style::new().dim(),
    };
    Row { cells, colour }
}

/// The widest cell of each column; a column without any is left out.
fn widths(head: &[String; 5], rows: &[Row]) -> [usize; 5] {
    let mut widths = [0; 5];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(&row.cells) {
            *width = (*width).max(console::measure_text_width(cell));
        }
    }
    for (width, head) in widths.iter_mut().zip(head).filter(|(width, _)| **width > 0) {
        *width = (*width).max(head.len());
    }
    widths
}

fn taken(widths: &[usize; 5]) -> usize {
    let shown = widths.iter().filter(|width| **width > 0).count();
    widths.iter().sum::<usize>() + GAP * shown.saturating_sub(1)
}

/// Narrows the device first. Where that is not enough, who had it is left to `show`: the state and the action
/// stay whole as long as there is room.
fn fitted(mut widths: [usize; 5], mut over: usize) -> [usize; 5] {
    let narrow = |at: usize, widths: &mut [usize; 5], over: &mut usize| {
        let (Some(width), Some(least)) = (widths.get_mut(at), LEAST.get(at)) else { return };
        let less = (*over).min(width.saturating_sub(*least));
        *width -= less;
        *over -= less;
    };
    narrow(1, &mut widths, &mut over);
    if over > 0 {
        let room = widths.get_mut(3).map_or(0, |last| if *last > 0 { std::mem::take(last) + GAP } else { 0 });
        if let Some(device) = widths.get_mut(1) {
            *device += room.saturating_sub(over);
        }
        over = over.saturating_sub(room);
    }
    narrow(2, &mut widths, &mut over);
    narrow(4, &mut widths, &mut over);
    widths
}

fn drawn(head: &[String; 5], rows: &[Row], widths: &[usize; 5]) -> String {
    let mut text = format!("{}\n", style(line(head, widths, None)).bold());
    for row in rows {
        text.push_str(&line(&row.cells, widths, Some(&row.colour)));
        text.push('\n');
    }
    text
}

fn line(cells: &[String; 5], widths: &[usize; 5], colour: Option<&Style>) -> String {
    let mut line = String::new();
    for (at, (cell, width)) in cells.iter().zip(widths).enumerate().filter(|(_, (_, width))| **width > 0) {
        let cell = cut(cell, *width);
        let pad = " ".repeat(width + GAP - console::measure_text_width(&cell));
        let shown = match (at, colour) {
            (0, Some(_)) => style(cell).bold().to_string(),
            (2, Some(colour)) => colour.apply_to(cell).to_string(),
            _ => cell,
        };
        line.push_str(&shown);
        line.push_str(&pad);
    }
    line.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_description_loses_what_says_nothing() {
        assert_eq!(
            brief("Ethernet controller: Intel Corporation 82574L Gigabit Network Connection"),
            "Ethernet: Intel 82574L Gigabit Network Connection"
        );
        assert_eq!(brief("class 0200: 8086 device 10d3"), "class 0200: 8086 device 10d3");
    }

    #[test]
    fn a_table_is_narrowed_to_its_room() {
        let widths = [7, 60, 24, 20, 24];
        for room in 60..200 {
            let taken_now = taken(&widths);
            let now = if taken_now > room { fitted(widths, taken_now - room) } else { widths };
            assert!(taken(&now) <= room, "{room}: {now:?}");
        }
    }
}
