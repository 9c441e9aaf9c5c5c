//! The commands to type next: what leads on from an answer or from a refusal.

use super::text::width;
use crate::assess::{Case, HazardId, Verdict};

/// What to type where a return is refused for this stop; `again` is the command that was refused.
#[must_use]
pub fn remedy(case: &Case, stop: HazardId, again: &str) -> Vec<String> {
    let again = format!("sudo qubes-dom0-pci {again}");
    match stop {
        HazardId::InUse => match case.shut_down() {
            Some(first) => vec![format!("{first} && {again}")],
            None => Vec::new(),
        },
        HazardId::Policy => vec!["sudo qubes-dom0-pci policy check".to_owned()],
        HazardId::NoDriver => vec![format!("sudo qubes-dom0-pci show {}", case.sbdf())],
        _ => Vec::new(),
    }
}

/// The command for the first device that something can be done about; empty where there is none.
#[must_use]
pub fn next_block(cases: &[Case]) -> String {
    let next = cases.iter().find_map(|case| match &case.verdict {
        Verdict::Ask(_) => Some(format!("sudo qubes-dom0-pci plan {}", case.sbdf())),
        Verdict::Refused(ids) => {
            let again = format!("plan {}", case.sbdf());
            ids.first().and_then(|id| remedy(case, *id, &again).into_iter().next())
        }
        _ => None,
    });
    next.map(|command| commands("Next:", &[command])).unwrap_or_default()
}

/// Commands behind what introduces them. They are for copying: none is ever broken.
#[must_use]
pub fn commands(first: &str, commands: &[String]) -> String {
    match commands {
        [] => String::new(),
        [one] if first.len() + 2 + one.len() <= width() => format!("{first}  {one}\n"),
        all => {
            let lines: String = all.iter().map(|one| format!("  {one}\n")).collect();
            format!("{first}\n{lines}")
        }
    }
}
