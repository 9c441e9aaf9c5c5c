//! The page for a browser: one static file. It holds no script, and its Content-Security-Policy rules out
//! scripts and every request; text from the journal stands only where it has been escaped.

use super::markup::{base64, plain};
use super::picture::{drawn, mark};
use super::{accepted, comparisons, guests, length, longest, second, verdict, Told, MOST_LISTED};
use crate::journal::account::{person, Ran};
use crate::journal::Moment;
use audit::Verdict;
use sha2::{Digest, Sha256};

/// As many qubes before one return are listed.
const MOST_QUBES: usize = 20;

const STYLE: &str = "
:root { color-scheme: light; }
body { font: 16px/1.5 sans-serif; color: #111; background: #fff; }
body { max-width: 70rem; margin: 0 auto; padding: 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.25rem; margin-top: 2rem; }
table { border-collapse: collapse; width: 100%; }
caption { text-align: left; padding: .3rem 0; }
th, td { text-align: left; vertical-align: top; padding: .25rem .6rem; border-bottom: 1px solid #767676; }
td { overflow-wrap: anywhere; }
th.number, td.number { text-align: right; }
tr:target { outline: 3px solid #1a5fb4; }
svg[role=img] { width: 100%; height: auto; }
ul[aria-label] { list-style: none; padding: 0; columns: 2; }
li svg { vertical-align: middle; }
a { color: #1a5fb4; }
.bad { color: #a40000; font-weight: bold; }
.scroll { overflow-x: auto; }
@media print {
  body { max-width: none; font-size: 11px; }
  h2 { break-after: avoid; }
  tr { break-inside: avoid; }
}
";

/// The page.
#[must_use]
pub fn html(told: &Told) -> String {
    let mut page = String::with_capacity(64 * 1024);
    page.push_str(&format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'sha256-{}'; \
         base-uri 'none'; form-action 'none'\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"referrer\" content=\"no-referrer\">\n",
        base64(&Sha256::digest(STYLE)),
    ));
    page.push_str(&format!("<title>Report on the journal {}</title>\n", plain(&told.journal)));
    page.push_str(&format!("<style>{STYLE}</style>\n</head>\n<body>\n<main>\n"));
    head(told, &mut page);
    page.push_str("<h2>Timeline</h2>\n");
    page.push_str(&drawn(told));
    returned(told, &mut page);
    counts(told, &mut page);
    operations(told, &mut page);
    gaps(told, &mut page);
    page.push_str("</main>\n</body>\n</html>\n");
    page
}

/// A moment that a browser understands too.
fn time(moment: Option<Moment>) -> String {
    match moment {
        None => "unknown".to_owned(),
        Some(moment) => format!("<time datetime=\"{moment}\">{}</time>", second(moment)),
    }
}

fn head(told: &Told, page: &mut String) {
    page.push_str("<h1>Report on the journal</h1>\n<table>\n<caption>What was read</caption>\n<tbody>\n");
    let mut row = |name: &str, value: &str| {
        page.push_str(&format!("<tr><th scope=\"row\">{name}</th><td>{value}</td></tr>\n"));
    };
    row("Journal", &plain(&told.journal));
    row("Written", &format!("{} UTC", time(Some(told.now))));
    let period = match told.period {
        None => "nothing is recorded yet".to_owned(),
        Some((from, to)) => format!("{} to {} UTC", time(Some(from)), time(Some(to))),
    };
    row("Period", &period);
    let head = told.verified.head.map_or_else(String::new, |head| format!(", head {}", plain(&head.short())));
    row("Records", &format!("{}{head}; boots: {}", told.verified.records, told.drawn.boots.len()));
    let class = if told.verified.verdict() == Verdict::Altered { "bad" } else { "good" };
    let mut says = format!("<span class=\"{class}\">{}</span>", plain(verdict(&told.verified)));
    for line in comparisons(told) {
        says.push_str(&format!("<br>{}", plain(&line)));
    }
    for finding in told.verified.findings.iter().take(MOST_LISTED) {
        says.push_str(&format!("<br>{}", plain(&finding.what)));
    }
    row("Verified", &says);
    for it in told.breaks.iter().take(MOST_LISTED) {
        row(&format!("Record {}", it.seq), &format!("{}: {}", time(it.time), plain(&it.says)));
    }
    page.push_str("</tbody>\n</table>\n");
}

fn table(page: &mut String, caption: &str, columns: &[&str]) {
    page.push_str(&format!("<div class=\"scroll\"><table>\n<caption>{caption}</caption>\n<thead><tr>"));
    for column in columns {
        page.push_str(&format!("<th scope=\"col\">{column}</th>"));
    }
    page.push_str("</tr></thead>\n<tbody>\n");
}

fn table_ends(page: &mut String) {
    page.push_str("</tbody>\n</table></div>\n");
}

fn device(ran: &Ran) -> String {
    let bdf = ran.bdf.map_or_else(|| "not known".to_owned(), |bdf| bdf.to_string());
    if ran.ids.is_empty() {
        bdf
    } else {
        format!("{bdf} ({})", plain(&ran.ids))
    }
}

fn returned(told: &Told, page: &mut String) {
    page.push_str("<h2>With a qube, then returned to dom0</h2>\n");
    let all = told.returned();
    if all.is_empty() {
        page.push_str("<p>No device came back after a qube had it.</p>\n");
        return;
    }
    let shown = all.len().min(MOST_LISTED);
    let caption = format!("The latest {shown} of {}", all.len());
    table(page, &caption, &["Returned", "Device", "By", "After", "Accepted", "Operation"]);
    for it in all.iter().skip(all.len() - shown) {
        let guests = guests(&it.after);
        let skipped = guests.len().saturating_sub(MOST_QUBES);
        let mut after: Vec<String> = guests.iter().skip(skipped).map(|guest| plain(&guest.words())).collect();
        after.extend((skipped > 0).then(|| format!("{skipped} other qubes before")));
        page.push_str(&format!(
            "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td>\
             <td><a href=\"#{}\">{}</a></td></tr>\n",
            time(it.ran.began),
            device(&it.ran),
            plain(&person(&it.ran.who)),
            after.join("<br>"),
            plain(&accepted(&it.ran)),
            mark(&it.ran),
            plain(&it.ran.id),
        ));
    }
    table_ends(page);
}

fn counts(told: &Told, page: &mut String) {
    page.push_str("<h2>Operations counted</h2>\n");
    table(page, "By command and outcome", &["Command", "Outcome", "Count"]);
    for ((command, outcome), count) in &told.account.outcomes {
        page.push_str(&format!(
            "<tr><td>{}</td><td>{}</td><td class=\"number\">{count}</td></tr>\n",
            plain(command),
            plain(outcome)
        ));
    }
    table_ends(page);
    table(page, "By person", &["Person", "Operations", "Done"]);
    for (person, share) in &told.account.people {
        page.push_str(&format!(
            "<tr><td>{}</td><td class=\"number\">{}</td><td class=\"number\">{}</td></tr>\n",
            plain(person),
            share.all,
            share.done
        ));
    }
    table_ends(page);
}

fn operations(told: &Told, page: &mut String) {
    page.push_str("<h2>Operations</h2>\n");
    if told.account.earlier > 0 {
        page.push_str(&format!(
            "<p>The latest {} are listed; {} older ones are only counted above. \
             <code>audit log</code> lists them, <code>audit report --csv</code> writes all.</p>\n",
            told.account.latest.len(),
            told.account.earlier
        ));
    }
    let columns =
        ["Operation", "Record", "Began", "Device", "Command", "By", "Accepted", "Outcome", "State then"];
    table(
        page,
        "Each with the number of its first record; <code>audit show</code> lists its steps",
        &columns,
    );
    for ran in &told.account.latest {
        let class = if ran.is_done() { "good" } else { "bad" };
        page.push_str(&format!(
            "<tr id=\"{}\"><th scope=\"row\">{}</th><td class=\"number\">{}</td><td>{}</td>\
             <td>{}</td><td>{}</td><td>{}</td><td>{}</td><td class=\"{class}\">{}</td><td>{}</td></tr>\n",
            mark(ran),
            plain(&ran.id),
            ran.seq,
            time(ran.began),
            device(ran),
            plain(&ran.command),
            plain(&person(&ran.who)),
            plain(&accepted(ran)),
            plain(ran.ending()),
            plain(&ran.state),
        ));
    }
    table_ends(page);
}

fn gaps(told: &Told, page: &mut String) {
    page.push_str("<h2>Not recorded</h2>\n");
    let (gaps, seconds) = told.gaps();
    if gaps.is_empty() {
        page.push_str("<p>Nothing is missing in this period.</p>\n");
        return;
    }
    let longest = longest(&gaps);
    let caption = format!(
        "Nobody knows who had a device then: {} in all. The longest {} of {} gaps",
        length(seconds),
        longest.len(),
        gaps.len()
    );
    table(page, &caption, &["From", "To", "Length"]);
    for (from, to) in longest {
        let seconds = to.micros().saturating_sub(from.micros()) / 1_000_000;
        page.push_str(&format!(
            "<tr><td>{}</td><td>{}</td><td>{}</td></tr>\n",
            time(Some(from)),
            time(Some(to)),
            length(seconds)
        ));
    }
    table_ends(page);
}
