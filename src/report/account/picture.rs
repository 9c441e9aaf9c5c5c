//! The timeline as a drawing (SVG): a lane for each device, a bar for each stay in the colour of the qube's
//! label, hatched where nobody recorded, a mark for each operation.

use super::markup::plain;
use super::{length, qube, second, until, Told};
use crate::journal::account::Ran;
use crate::journal::timeline::{DeviceLane, StaySpan};
use crate::journal::Moment;
use crate::names::Sbdf;
use std::collections::BTreeMap;

/// Sizes, in the drawing's own units.
const WIDTH: u32 = 1000;
const MARGIN: u32 = 120;
const LANE: u32 = 34;
const BAR: u32 = 18;
const TOP: u32 = 30;
/// As many lanes are drawn.
const MOST_LANES: usize = 40;
/// As many bars are drawn: the page stays small.
const MOST_BARS: usize = 4000;
/// Room that a letter takes in a bar.
const LETTER: u32 = 7;

/// The colours of Qubes' labels, and that of the text upon each: at least 4.5 to 1.
const COLOURS: [(&str, &str, &str); 8] = [
    ("red", "#cc0000", "#ffffff"),
    ("orange", "#f57900", "#000000"),
    ("yellow", "#edd400", "#000000"),
    ("green", "#73d216", "#000000"),
    ("gray", "#999999", "#000000"),
    ("blue", "#3465a4", "#ffffff"),
    ("purple", "#75507b", "#ffffff"),
    ("black", "#000000", "#ffffff"),
];

/// The name by which the page refers to an operation.
pub(super) fn mark(ran: &Ran) -> String {
    let id: String = ran.id.chars().filter(char::is_ascii_alphanumeric).take(32).collect();
    format!("op-{id}-{}", ran.seq)
}

/// The scale: from moments to columns.
struct Scale {
    from: u64,
    span: u64,
    /// As many columns are told apart.
    grain: u32,
}

impl Scale {
    fn column(&self, moment: Moment) -> u32 {
        let offset = moment.micros().saturating_sub(self.from).min(self.span);
        let columns = u128::from(offset) * u128::from(WIDTH - MARGIN) / u128::from(self.span);
        let column = u32::try_from(columns).unwrap_or(0);
        MARGIN + column - column % self.grain.max(1)
    }
}

/// A bar; stays that fall on the same columns are one.
struct PictureBar {
    from: u32,
    to: u32,
    stays: usize,
    first: StaySpan,
    mixed: bool,
}

/// The drawing, with what it says in words.
pub(super) fn drawn(told: &Told) -> String {
    let Some((from, to)) = told.period else { return "<p>Nothing is recorded yet.</p>\n".to_owned() };
    let span = to.micros().saturating_sub(from.micros()).max(1);
    let mut scale = Scale { from: from.micros(), span, grain: 1 };
    let mut lanes: Vec<(Sbdf, &DeviceLane)> = told
        .drawn
        .lanes
        .iter()
        .filter(|(bdf, lane)| !lane.stays.is_empty() && told.device.is_none_or(|wanted| wanted == **bdf))
        .map(|(bdf, lane)| (*bdf, lane))
        .collect();
    if lanes.is_empty() {
        return "<p>No qube had a device in this period.</p>\n".to_owned();
    }
    let left_out = lanes.len().saturating_sub(MOST_LANES);
    lanes.truncate(MOST_LANES);
    let mut bars: Vec<Vec<PictureBar>> = Vec::new();
    while bars.is_empty() || bars.iter().map(Vec::len).sum::<usize>() > MOST_BARS && scale.grain < WIDTH {
        scale.grain *= if bars.is_empty() { 1 } else { 2 };
        bars = lanes.iter().map(|(_, lane)| of_lane(lane, &scale)).collect();
    }
    let count = u32::try_from(lanes.len()).unwrap_or(0);
    let height = TOP + count * LANE + 10;
    let (gaps, _) = told.gaps();
    let mut svg = frame(told, (from, to), lanes.len() + left_out, height);
    svg.push_str(&hatched(&gaps, &scale, height - 10));
    for (moment, anchor) in [(from, "start"), (to, "end")] {
        let x = scale.column(moment);
        svg.push_str(&format!(
            "<text x=\"{x}\" y=\"14\" text-anchor=\"{anchor}\">{}</text>\n",
            second(moment)
        ));
    }
    let mut top = TOP;
    for ((bdf, _), bars) in lanes.iter().zip(&bars) {
        svg.push_str(&format!("<text x=\"0\" y=\"{}\">{bdf}</text>\n", top + BAR));
        svg.push_str(&format!(
            "<line x1=\"{MARGIN}\" x2=\"{WIDTH}\" y1=\"{0}\" y2=\"{0}\" stroke=\"#767676\"/>\n",
            top + LANE - 4
        ));
        svg.extend(bars.iter().map(|bar| rect(bar, top + 4)));
        let ran = told.account.latest.iter().filter(|ran| ran.bdf == Some(*bdf));
        svg.push_str(&operations(ran, &scale, top + BAR + 8));
        top += LANE;
    }
    svg.push_str("</svg>\n");
    svg.push_str(&legend(left_out));
    let summed = bars.iter().flatten().filter(|bar| bar.stays > 1).count();
    if summed > 0 {
        let column = length(span / 1_000_000 * u64::from(scale.grain) / u64::from(WIDTH - MARGIN));
        svg.push_str(&format!(
            "<p>Stays within {column} of each other are drawn as one bar: so are {summed} of the bars above. \
             <code>--since</code> and <code>--until</code> draw less time in more detail.</p>\n"
        ));
    }
    svg
}

/// The beginning of the drawing: its size, and what it says in words.
fn frame(told: &Told, (from, to): (Moment, Moment), devices: usize, height: u32) -> String {
    format!(
        "<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-labelledby=\"drawn-title drawn-says\" \
         font-family=\"sans-serif\" font-size=\"12\">\n\
         <title id=\"drawn-title\">Which qube had which device, {} to {} UTC</title>\n\
         <desc id=\"drawn-says\">{devices} devices with stays, {} gaps without a recorder. \
         The tables below say the same in words.</desc>\n",
        second(from),
        second(to),
        told.gaps().0.len(),
    )
}

/// The time that nobody recorded.
fn hatched(gaps: &[(Moment, Moment)], scale: &Scale, bottom: u32) -> String {
    let mut svg = String::from(
        "<defs><pattern id=\"gap\" width=\"6\" height=\"6\" patternUnits=\"userSpaceOnUse\" \
         patternTransform=\"rotate(45)\"><rect width=\"6\" height=\"6\" fill=\"#ffffff\"/><rect width=\"2\" \
         height=\"6\" fill=\"#767676\"/></pattern></defs>\n",
    );
    for (from, to) in merged(gaps.iter().map(|(from, to)| (scale.column(*from), scale.column(*to)))) {
        let width = (to - from).max(1);
        svg.push_str(&format!(
            "<rect x=\"{from}\" y=\"{TOP}\" width=\"{width}\" height=\"{}\" fill=\"url(#gap)\"/>\n",
            bottom - TOP
        ));
    }
    svg
}

/// Spans of columns, in order, without overlaps.
fn merged(spans: impl Iterator<Item = (u32, u32)>) -> Vec<(u32, u32)> {
    let mut all: Vec<(u32, u32)> = Vec::new();
    for (from, to) in spans {
        match all.last_mut() {
            Some(last) if from <= last.1 => last.1 = last.1.max(to),
            _ => all.push((from, to)),
        }
    }
    all
}

fn of_lane(lane: &DeviceLane, scale: &Scale) -> Vec<PictureBar> {
    let mut stays: Vec<&StaySpan> = lane.stays.iter().collect();
    stays.sort_by_key(|stay| stay.from);
    let mut bars: Vec<PictureBar> = Vec::new();
    for stay in stays {
        let from = scale.column(stay.from);
        let to = scale.column(stay.to).max(from + scale.grain);
        match bars.last_mut() {
            Some(bar) if from < bar.to => {
                bar.to = bar.to.max(to);
                bar.stays += 1;
                bar.mixed |= bar.first.qube != stay.qube || bar.first.label != stay.label;
            }
            _ => bars.push(PictureBar { from, to, stays: 1, first: stay.clone(), mixed: false }),
        }
    }
    bars
}

fn rect(bar: &PictureBar, y: u32) -> String {
    let known = COLOURS.iter().find(|(label, _, _)| *label == &*bar.first.label && !bar.mixed);
    let (fill, ink) = known.map_or(("#ffffff", "#000000"), |(_, fill, ink)| (*fill, *ink));
    let (width, middle) = (bar.to - bar.from, BAR - 5);
    let says = match bar.stays {
        1 => format!("{}, since {}, {}", qube(&bar.first), second(bar.first.from), until(&bar.first)),
        stays if bar.mixed => format!("{stays} stays with several qubes, since {}", second(bar.first.from)),
        stays => format!("{stays} stays with {}, since {}", qube(&bar.first), second(bar.first.from)),
    };
    let dash = if bar.first.imported { " stroke-dasharray=\"4 2\"" } else { "" };
    let name = if bar.mixed { format!("{} stays", bar.stays) } else { bar.first.qube.to_string() };
    let letters = u32::try_from(name.len()).unwrap_or(u32::MAX);
    let text = if letters.saturating_mul(LETTER) + 6 <= width {
        format!("<text x=\"{}\" y=\"{}\" fill=\"{ink}\">{}</text>", bar.from + 3, y + middle, plain(&name))
    } else {
        String::new()
    };
    format!(
        "<g><title>{}</title><rect x=\"{}\" y=\"{y}\" width=\"{width}\" height=\"{BAR}\" fill=\"{fill}\" \
         stroke=\"#000000\"{dash}/>{text}</g>\n",
        plain(&says),
        bar.from
    )
}

/// A mark for each operation; of those on one column the last.
fn operations<'a>(all: impl Iterator<Item = &'a Ran>, scale: &Scale, y: u32) -> String {
    let mut marks: BTreeMap<u32, &Ran> = BTreeMap::new();
    for ran in all {
        if let Some(began) = ran.began {
            marks.insert(scale.column(began), ran);
        }
    }
    let draw = |(x, ran): (&u32, &&Ran)| {
        let fill = if ran.is_done() { "#000000" } else { "#a40000" };
        format!(
            "<a href=\"#{}\"><title>{}: {}</title><path d=\"M{x} {} l-4 7 h8 z\" fill=\"{fill}\"/></a>\n",
            mark(ran),
            plain(&ran.command),
            plain(ran.ending()),
            y - 2
        )
    };
    marks.iter().map(draw).collect()
}

fn legend(left_out: usize) -> String {
    let mut legend = String::from("<ul aria-label=\"Legend\">\n");
    for (label, fill, ink) in COLOURS {
        legend.push_str(&format!(
            "<li><svg viewBox=\"0 0 60 18\" width=\"60\" height=\"18\" role=\"presentation\">\
             <rect width=\"60\" height=\"18\" fill=\"{fill}\" stroke=\"#000000\"/>\
             <text x=\"5\" y=\"13\" font-size=\"11\" fill=\"{ink}\">{label}</text>\
             </svg> a qube labelled {label}</li>\n"
        ));
    }
    legend
        .push_str("<li>white: several qubes, or a label that is not known; a dashed frame: imported</li>\n");
    legend.push_str("<li>hatched: nobody recorded</li>\n<li>triangle: an operation; red: not done</li>\n");
    if left_out > 0 {
        legend.push_str(&format!(
            "<li>{left_out} more devices are not drawn: <code>--device</code> draws one</li>\n"
        ));
    }
    legend.push_str("</ul>\n");
    legend
}
