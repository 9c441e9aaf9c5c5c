//! The scale of a picture: which column a moment falls into, and the times written above.

use super::TimelineView;
use crate::journal::Moment;

/// Steps between written times, in seconds: what people count in.
const STEPS: [u64; 24] = [
    1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 10_800, 21_600, 43_200, 86_400,
    172_800, 604_800, 1_209_600, 2_592_000, 7_776_000, 31_536_000,
];

/// Time laid out over columns.
#[derive(Clone, Copy, Debug)]
pub(super) struct Axis {
    from: u64,
    span: u64,
    pub(super) columns: usize,
}

impl Axis {
    pub(super) fn new(view: &TimelineView, columns: usize) -> Self {
        let (from, to) = (view.from.micros(), view.to.micros());
        Self { from, span: to.saturating_sub(from).max(1), columns: columns.max(1) }
    }

    /// The column of a moment; `None` outside.
    pub(super) fn column(&self, moment: Moment) -> Option<usize> {
        let offset = moment.micros().checked_sub(self.from).filter(|offset| *offset <= self.span)?;
        let column = u128::from(offset) * self.columns as u128 / u128::from(self.span);
        Some(usize::try_from(column).unwrap_or(usize::MAX).min(self.columns - 1))
    }

    /// The columns that a span of time touches, both included; `None` where it lies outside.
    pub(super) fn columns_of(&self, from: Moment, to: Moment) -> Option<(usize, usize)> {
        let (first, last) = (self.from, self.from.saturating_add(self.span));
        if to.micros() < first || from.micros() > last {
            return None;
        }
        let clamp = |moment: Moment| Moment::from_micros(moment.micros().clamp(first, last));
        Some((self.column(clamp(from))?, self.column(clamp(to))?))
    }

    /// How long a column is, in words.
    pub(super) fn step(&self) -> String {
        let millis = self.span / 1_000 / self.columns as u64;
        match millis {
            0..=9_999 => format!("{}.{} s", millis / 1_000, millis % 1_000 / 100),
            10_000..=59_999 => format!("{} s", millis / 1_000),
            60_000..=599_999 => format!("{} min {:02} s", millis / 60_000, millis / 1_000 % 60),
            600_000..=35_999_999 => format!("{} h {:02} min", millis / 3_600_000, millis / 60_000 % 60),
            _ => format!("{} d {:02} h", millis / 86_400_000, millis / 3_600_000 % 24),
        }
    }

    /// The times, each beginning in its own column.
    pub(super) fn times(&self) -> String {
        let seconds = self.span / 1_000_000;
        // A written time and some air behind it.
        let most = (self.columns as u64 / 12).max(1);
        let step = STEPS.into_iter().find(|step| seconds / step <= most).unwrap_or(31_536_000);
        let mut line = String::new();
        let mut tick = (self.from / 1_000_000).div_ceil(step) * step;
        while tick.saturating_mul(1_000_000) <= self.from + self.span {
            let moment = Moment::from_micros(tick * 1_000_000);
            let text = written(moment, step);
            if let Some(column) = self.column(moment) {
                let free = line.is_empty() || line.len() < column;
                if free && column + text.len() <= self.columns {
                    line.push_str(&" ".repeat(column - line.len()));
                    line.push_str(&text);
                }
            }
            tick += step;
        }
        line
    }
}

/// As much of a time as the step needs; a day's first moment by its date.
fn written(moment: Moment, step: u64) -> String {
    let text = moment.to_string();
    let midnight = moment.micros() % 86_400_000_000 == 0;
    let part = match step {
        2_592_000.. => text.get(..10),
        86_400.. => text.get(5..10),
        _ if midnight => text.get(5..10),
        60.. => text.get(11..16),
        _ => text.get(11..19),
    };
    part.unwrap_or_default().to_owned()
}
