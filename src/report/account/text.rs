//! The page as text.

use super::{accepted, comparisons, guests, length, second, verdict, Told};
use crate::journal::account::{person, Ran};
use crate::report::text::wrapped;

/// As many of a kind are listed on a screen's page; the others are counted.
const FEW: usize = 10;

/// One page: what the journal covers, whether it holds, and what was done.
#[must_use]
pub fn text(told: &Told) -> String {
    let mut page = head(told);
    operations(told, &mut page);
    returned(told, &mut page);
    listed(told, &mut page, "Rolled back", |ran| ran.command == "rollback");
    listed(told, &mut page, "Not done", |ran| !ran.is_done());
    gaps(told, &mut page);
    page
}

fn head(told: &Told) -> String {
    let mut page = wrapped("Journal      ", &told.journal);
    let period = match told.period {
        None => "nothing is recorded yet".to_owned(),
        Some((from, to)) => format!("{} to {} UTC", second(from), second(to)),
    };
    page += &wrapped("Period       ", &period);
    let head = told.verified.head.map_or_else(String::new, |head| format!(", head {}", head.short()));
    let boots = match told.drawn.boots.len() {
        1 => "1 boot".to_owned(),
        count => format!("{count} boots"),
    };
    page += &wrapped("Records      ", &format!("{} in {boots}{head}", told.verified.records));
    page += &wrapped("Verified     ", verdict(&told.verified));
    for line in comparisons(told) {
        page += &wrapped("             ", &line);
    }
    for it in &told.breaks {
        let time = it.time.map_or_else(String::new, |time| format!(", {}", second(time)));
        page += &wrapped("             ", &format!("Record {}{time}: {}", it.seq, it.says));
    }
    page
}

fn operations(told: &Told, page: &mut String) {
    page.push_str("\nOperations\n");
    if told.account.outcomes.is_empty() {
        page.push_str("  none\n");
    }
    for ((command, outcome), count) in &told.account.outcomes {
        page.push_str(&wrapped(&format!("  {count:>6}  "), &format!("{command}: {outcome}")));
    }
    if told.account.people.is_empty() {
        return;
    }
    page.push_str("\nBy whom\n");
    for (person, share) in &told.account.people {
        let done =
            if share.all == share.done { "all done".to_owned() } else { format!("{} done", share.done) };
        page.push_str(&wrapped(&format!("  {:>6}  ", share.all), &format!("{person}: {done}")));
    }
}

fn returned(told: &Told, page: &mut String) {
    page.push_str("\nWith a qube, then returned to dom0\n");
    let all = told.returned();
    left_out(page, all.len(), told.account.earlier);
    if all.is_empty() {
        page.push_str("  none\n");
    }
    for it in all.iter().skip(all.len().saturating_sub(FEW)) {
        page.push_str(&wrapped("  ", &line(&it.ran)));
        for guest in guests(&it.after).iter().rev().take(FEW) {
            page.push_str(&wrapped("      after ", &guest.words()));
        }
        page.push_str(&wrapped("      ", &accepted(&it.ran)));
    }
}

fn listed(told: &Told, page: &mut String, title: &str, fits: impl Fn(&Ran) -> bool + Copy) {
    let all: Vec<&Ran> = told.operations(fits).collect();
    page.push_str(&format!("\n{title}\n"));
    if all.is_empty() {
        page.push_str("  none\n");
        return;
    }
    left_out(page, all.len(), told.account.earlier);
    for ran in all.iter().skip(all.len().saturating_sub(FEW)) {
        page.push_str(&wrapped("  ", &format!("{}: {}", line(ran), ran.ending())));
    }
}

fn left_out(page: &mut String, count: usize, earlier: u64) {
    if count > FEW || earlier > 0 {
        let of = if earlier > 0 { "; older operations are only counted above" } else { "" };
        page.push_str(&wrapped("  ", &format!("the latest {} of {count}{of}", count.min(FEW))));
    }
}

fn line(ran: &Ran) -> String {
    let time = ran.began.map_or_else(|| "at an unknown time".to_owned(), second);
    let device = ran.bdf.map_or_else(|| "a device that is not known".to_owned(), |bdf| bdf.to_string());
    let ids = if ran.ids.is_empty() { String::new() } else { format!(" ({})", ran.ids) };
    format!("{time}  {device}{ids}, {} {} by {}", ran.command, ran.id, person(&ran.who))
}

fn gaps(told: &Told, page: &mut String) {
    let (gaps, seconds) = told.gaps();
    page.push_str("\nNot recorded\n");
    if gaps.is_empty() {
        page.push_str("  nothing is missing in this period\n");
        return;
    }
    let times = if gaps.len() == 1 { "1 gap".to_owned() } else { format!("{} gaps", gaps.len()) };
    page.push_str(&wrapped(
        "  ",
        &format!("{} in {times}: nobody knows who had a device then", length(seconds)),
    ));
    let longest = super::longest(&gaps);
    for (from, to) in longest.iter().take(FEW) {
        page.push_str(&wrapped("  ", &format!("{} to {}", second(*from), second(*to))));
    }
    if gaps.len() > FEW {
        page.push_str(&wrapped("  ", "--json and --html list more"));
    }
}
