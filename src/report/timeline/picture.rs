//! Lanes to lines.

use super::axis::Axis;
use super::TimelineView;
use crate::journal::timeline::{DeviceLane, PastOperation, Timeline};
use crate::journal::Moment;
use crate::names::{to_the_second, Sbdf};
use crate::report::text::wrapped;
use console::Style;
use std::collections::BTreeMap;
use std::rc::Rc;

/// Columns before the lanes: an address, or `recorder`, and air.
const MARGIN: usize = 14;
/// As many operations are listed below.
const OPERATIONS: usize = 12;
/// Letters of qubes; those of imported stays are the small ones.
const LETTERS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";

/// The signs beside the letters, and what each says.
const SIGNS: [(char, &str); 8] = [
    ('+', "more than one qube"),
    ('?', "one more qube: letters are used up"),
    ('=', "a driver of dom0"),
    ('.', "recorded, no qube"),
    ('-', "recorded"),
    ('/', "not recorded: nobody knows"),
    ('|', "a boot begins"),
    ('^', "an operation"),
];

/// One column of a row.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Cell {
    sign: char,
    /// The label whose colour it has.
    label: Rc<str>,
}

impl Cell {
    fn plain(sign: char) -> Self {
        Self { sign, label: "".into() }
    }
}

/// The picture: heading, times, the recorder, one lane a function, legend.
#[must_use]
pub fn picture(drawn: &Timeline, view: &TimelineView) -> Vec<String> {
    let axis = Axis::new(view, view.width.saturating_sub(MARGIN));
    let lanes: BTreeMap<Sbdf, &DeviceLane> = drawn
        .lanes
        .iter()
        .filter(|(bdf, _)| view.device.is_none_or(|wanted| wanted == **bdf))
        .map(|(bdf, lane)| (*bdf, lane))
        .collect();
    let letters = Letters::of(&lanes, &axis);
    let day = |moment: Moment| to_the_second(&moment.to_string());
    let mut lines = vec![
        format!("{} to {} UTC, {} a column", day(view.from), day(view.to), axis.step()),
        String::new(),
        format!("{:MARGIN$}{}", "", axis.times()).trim_end().to_owned(),
    ];
    let base = covered(drawn, view, &axis);
    let mut used: Vec<char> = Vec::new();
    let mut row = |name: &str, cells: &[Cell]| {
        used.extend(cells.iter().map(|cell| cell.sign));
        lines.push(format!("{name:MARGIN$}{}", painted(cells, view.colours)).trim_end().to_owned());
    };
    row("recorder", &base);
    for (bdf, lane) in &lanes {
        row(&bdf.to_string(), &cells_of(lane, &base, &letters, &axis));
        let marks = marks(drawn.operations.iter().filter(|it| it.bdf == Some(*bdf)), &axis);
        if let Some(marks) = marks {
            row("", &marks);
        }
    }
    lines.push(String::new());
    lines.extend(letters.legend(view));
    let signs = SIGNS.iter().filter(|(sign, _)| used.contains(sign));
    let signs: Vec<String> = signs.map(|(sign, says)| format!("{sign} {says}")).collect();
    lines.extend(packed(&signs, view.width));
    lines.extend(listed(drawn, view));
    lines
}

/// The recorder's row: what was recorded, where boots begin.
fn covered(drawn: &Timeline, view: &TimelineView, axis: &Axis) -> Vec<Cell> {
    let mut cells = vec![Cell::plain('-'); axis.columns];
    for (from, to) in drawn.shown.gaps(view.from, view.to) {
        fill(&mut cells, axis, from, to, |cell| cell.sign = '/');
    }
    for (moment, _) in &drawn.boots {
        if let Some(cell) = axis.column(*moment).and_then(|column| cells.get_mut(column)) {
            cell.sign = '|';
        }
    }
    cells
}

fn fill(cells: &mut [Cell], axis: &Axis, from: Moment, to: Moment, paint: impl Fn(&mut Cell)) {
    if let Some((first, last)) = axis.columns_of(from, to) {
        cells.get_mut(first..=last).unwrap_or_default().iter_mut().for_each(paint);
    }
}

fn cells_of(lane: &DeviceLane, base: &[Cell], letters: &Letters, axis: &Axis) -> Vec<Cell> {
    let mut cells = base.to_vec();
    cells.iter_mut().filter(|cell| cell.sign == '-').for_each(|cell| cell.sign = '.');
    for (from, to) in &lane.driven {
        fill(&mut cells, axis, *from, *to, |cell| {
            if cell.sign == '.' {
                cell.sign = '=';
            }
        });
    }
    // What was recorded is drawn over what was imported.
    for stay in lane.stays.iter().rev() {
        let letter = letters.letter(&stay.qube);
        let letter = if stay.imported { letter.to_ascii_lowercase() } else { letter };
        fill(&mut cells, axis, stay.from, stay.to, |cell| {
            let other = cell.sign.is_ascii_alphabetic() && !cell.sign.eq_ignore_ascii_case(&letter);
            *cell = if other || cell.sign == '+' {
                Cell::plain('+')
            } else {
                Cell { sign: letter, label: stay.label.clone() }
            };
        });
    }
    cells
}

/// The row below a lane that says where operations began; none where there are none.
fn marks<'a>(operations: impl Iterator<Item = &'a PastOperation>, axis: &Axis) -> Option<Vec<Cell>> {
    let mut cells = vec![Cell::plain(' '); axis.columns];
    let mut any = false;
    for column in operations.filter_map(|it| axis.column(it.time)) {
        if let Some(cell) = cells.get_mut(column) {
            cell.sign = '^';
            any = true;
        }
    }
    any.then_some(cells)
}

/// Which letter stands for which qube, in the order in which they first had a function.
struct Letters {
    qubes: Vec<(Rc<str>, Vec<Rc<str>>)>,
    imported: bool,
}

impl Letters {
    fn of(lanes: &BTreeMap<Sbdf, &DeviceLane>, axis: &Axis) -> Self {
        let stays = lanes.values().flat_map(|lane| lane.stays.iter());
        let mut stays: Vec<_> = stays.filter(|stay| axis.columns_of(stay.from, stay.to).is_some()).collect();
        stays.sort_by_key(|stay| stay.from);
        let mut letters = Self { qubes: Vec::new(), imported: stays.iter().any(|stay| stay.imported) };
        for stay in stays {
            let place = letters.qubes.iter().position(|(qube, _)| *qube == stay.qube);
            let place = place.unwrap_or_else(|| {
                letters.qubes.push((stay.qube.clone(), Vec::new()));
                letters.qubes.len() - 1
            });
            if let Some((_, labels)) = letters.qubes.get_mut(place) {
                if !stay.label.is_empty() && !labels.contains(&stay.label) {
                    labels.push(stay.label.clone());
                }
            }
        }
        letters
    }

    fn letter(&self, qube: &str) -> char {
        let place = self.qubes.iter().position(|(name, _)| **name == *qube);
        place.and_then(|place| LETTERS.chars().nth(place)).unwrap_or('?')
    }

    fn legend(&self, view: &TimelineView) -> Vec<String> {
        let mut lines = Vec::new();
        for (qube, labels) in self.qubes.iter().take(LETTERS.len()) {
            let label = labels.last().cloned().unwrap_or_default();
            let cell = Cell { sign: self.letter(qube), label };
            let said = match labels.as_slice() {
                [] => qube.to_string(),
                labels => format!("{qube} ({})", labels.join(", then ")),
            };
            let first = format!("{} ", painted(&[cell], view.colours));
            lines.extend(wrapped(&first, &said).lines().map(str::to_owned));
        }
        if self.imported {
            lines.push("a small letter: from an import; it proves nothing else".to_owned());
        }
        lines
    }
}

/// The operations in view, the newest last.
fn listed(drawn: &Timeline, view: &TimelineView) -> Vec<String> {
    let in_view = |it: &&PastOperation| {
        (view.from..=view.to).contains(&it.time) && (view.device.is_none() || it.bdf == view.device)
    };
    let operations: Vec<&PastOperation> = drawn.operations.iter().filter(in_view).collect();
    let left_out = operations.len().saturating_sub(OPERATIONS);
    let mut lines = Vec::new();
    if !operations.is_empty() {
        lines.push(String::new());
    }
    if left_out > 0 {
        lines.push(format!("{left_out} earlier operations: `audit log`"));
    }
    for it in operations.into_iter().skip(left_out) {
        let time = to_the_second(&it.time.to_string());
        let bdf = it.bdf.map(|bdf| bdf.to_string()).unwrap_or_default();
        let first = format!("^ {time}  {bdf:<12}  {:<8}  ", it.id);
        lines.extend(wrapped(&first, &format!("{}: {}", it.command, it.outcome)).lines().map(str::to_owned));
    }
    lines
}

/// As many items on a line as fit.
fn packed(items: &[String], width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for item in items {
        match lines.last_mut().filter(|line| line.len() + 3 + item.len() <= width) {
            Some(line) => {
                line.push_str("   ");
                line.push_str(item);
            }
            None => lines.push(item.clone()),
        }
    }
    lines
}

/// Cells as text; neighbours of one colour share their escape codes.
fn painted(cells: &[Cell], colours: bool) -> String {
    let mut text = String::new();
    let mut rest = cells;
    while let Some(first) = rest.first() {
        let same = rest.iter().take_while(|cell| cell.label == first.label).count();
        let (run, behind) = rest.split_at(same);
        let signs: String = run.iter().map(|cell| cell.sign).collect();
        match style_of(&first.label).filter(|_| colours) {
            Some(style) => text.push_str(&style.force_styling(true).apply_to(signs).to_string()),
            None => text.push_str(&signs),
        }
        rest = behind;
    }
    text
}

/// The colours of Qubes' labels (core-admin `qubes/config.py`, `max_default_label`:
/// eight of them); none for others.
fn style_of(label: &str) -> Option<Style> {
    let style = Style::new();
    Some(match label {
        "red" => style.on_red().white().bold(),
        "orange" => style.on_color256(208).black(),
        "yellow" => style.on_yellow().black(),
        "green" => style.on_green().black(),
        "gray" | "grey" => style.on_color256(8).white(),
        "blue" => style.on_blue().white().bold(),
        "purple" => style.on_magenta().white().bold(),
        "black" => style.on_black().white(),
        _ => return None,
    })
}
