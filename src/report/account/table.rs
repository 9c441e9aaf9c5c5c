//! The operations as a table of comma-separated values (RFC 4180, but lines end as they do on Unix), a line
//! each.

use super::printable;
use crate::journal::account::{person, Ran};
use crate::journal::Moment;

/// The columns' names.
const COLUMNS: [&str; 13] = [
    "began", "ended", "op", "seq", "command", "bdf", "device", "person", "tty", "consent", "accepted",
    "outcome", "state",
];

/// The first line.
#[must_use]
pub fn heading() -> String {
    COLUMNS.join(",") + "\n"
}

/// One operation.
#[must_use]
pub fn row(ran: &Ran) -> String {
    let time = |time: Option<Moment>| time.map_or_else(String::new, |time| time.to_string());
    let consent = match &ran.consent {
        None => "",
        Some(consent) if consent.asked => "prompt",
        Some(_) => "accept",
    };
    let accepted = ran.consent.as_ref().map(|consent| consent.accepted.join(" ")).unwrap_or_default();
    let cells = [
        time(ran.began),
        time(ran.ended),
        ran.id.clone(),
        ran.seq.to_string(),
        ran.command.clone(),
        ran.bdf.map_or_else(String::new, |bdf| bdf.to_string()),
        ran.ids.clone(),
        person(&ran.who),
        ran.who.tty.clone(),
        consent.to_owned(),
        accepted,
        ran.outcome.clone(),
        ran.state.clone(),
    ];
    cells.map(|text| cell(&text)).join(",") + "\n"
}

/// One cell. A spreadsheet takes what begins with one of these signs for a formula: an apostrophe makes it
/// text.
fn cell(text: &str) -> String {
    let text = printable(text);
    let formula = text.starts_with(['=', '+', '-', '@']);
    let text = if formula { format!("'{text}") } else { text };
    if text.contains([',', '"', '\'']) || text.contains(char::is_whitespace) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cell_is_a_formula_or_ends_early() {
        assert_eq!(cell("=HYPERLINK(\"x\",1)"), "\"'=HYPERLINK(\"\"x\"\",1)\"");
        assert_eq!(cell("a,b"), "\"a,b\"");
        assert_eq!(cell("a\nb"), "a\\x0ab");
        assert_eq!(cell("done"), "done");
    }
}
