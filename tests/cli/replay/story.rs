//! The story that a timeline tells, and the one that the journal tells.

use super::timeline::{Line, What};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// When, in seconds since 1970.
pub type Time = f64;

/// A stay with a qube.
#[derive(Clone, PartialEq, Debug)]
pub struct Stay {
    pub bdf: String,
    pub domain: String,
    pub qube: String,
    pub options: String,
    pub from: Time,
    pub to: Option<Time>,
}

/// The stays of a timeline, whose lines happened at these times: a function is with a domain from the first node that says so,
/// until none does and Xen does not own it to it, or the domain is gone.
pub fn stays(lines: &[(Time, Line)]) -> Vec<Stay> {
    let (mut nodes, mut owners) = (BTreeMap::new(), BTreeMap::new());
    let (mut live, mut leaving) = (BTreeSet::new(), BTreeSet::new());
    let mut stays: Vec<Stay> = Vec::new();
    for (time, line) in lines {
        match &line.what {
            What::Node(path, value) => {
                let domain = path.strip_prefix("/local/domain/").filter(|rest| !rest.contains('/'));
                match (domain, value) {
                    (Some(domain), Some(_)) => drop(live.insert(domain.to_owned())),
                    (Some(domain), None) => drop(leaving.insert(domain.to_owned())),
                    _ => {}
                }
                let below = format!("{path}/");
                match value {
                    Some(value) => drop(nodes.insert(path.clone(), value.clone())),
                    None => nodes.retain(|node: &String, _| node != path && !node.starts_with(&below)),
                }
            }
            What::Announced(what) if what == "@releaseDomain" => {
                live.retain(|id| !leaving.contains(id));
                leaving.clear();
            }
            What::Owner(bdf, owner) => drop(owners.insert(bdf.clone(), owner.clone())),
            _ => continue,
        }
        let with = with(&nodes);
        for stay in stays.iter_mut().filter(|stay| stay.to.is_none()) {
            let place = (stay.bdf.clone(), stay.domain.clone());
            let owned = owners.get(&stay.bdf) == Some(&format!("d{}", stay.domain));
            if !live.contains(&stay.domain) || !with.contains_key(&place) && !owned {
                stay.to = Some(*time);
            }
            if stay.options.is_empty() {
                stay.options = with.get(&place).cloned().unwrap_or_default();
            }
        }
        for ((bdf, domain), options) in with.into_iter().filter(|((_, domain), _)| live.contains(domain)) {
            let open = |stay: &Stay| stay.to.is_none() && stay.bdf == bdf && stay.domain == domain;
            if !stays.iter().any(open) {
                let qube = nodes.get(&format!("/local/domain/{domain}/name")).cloned().unwrap_or_default();
                stays.push(Stay { bdf, domain, qube, options, from: *time, to: None });
            }
        }
    }
    stays
}

/// Which function is with which domain, and by which options.
fn with(nodes: &BTreeMap<String, String>) -> BTreeMap<(String, String), String> {
    let mut with = BTreeMap::new();
    for (path, value) in nodes {
        let parts: Vec<&str> = path.split('/').collect();
        match parts.as_slice() {
            ["", "libxl", "pci", key, "domid"] => {
                let (front, function) = key.rsplit_once('-').unwrap();
                let bdf = format!("{}.{function}", front.replace('-', ":"));
                with.entry((bdf, value.clone())).or_insert(String::new());
            }
            ["", "local", "domain", "0", "backend", "pci", id, number, dev] if dev.starts_with("dev-") => {
                let opts = format!("/local/domain/0/backend/pci/{id}/{number}/opts-{}", &dev[4..]);
                let options = nodes.get(&opts).cloned().unwrap_or_default();
                // Where a function is named twice, libxl moves it: the later number has what it had.
                with.insert((value.clone(), (*id).to_owned()), options);
            }
            _ => {}
        }
    }
    with
}

/// What qubesd tells of qubes, as the journal has it: `qube event reason`.
pub fn qubes<'a>(lines: impl Iterator<Item = &'a Line>) -> Vec<String> {
    let told = lines.filter_map(Line::event).filter_map(|(qube, event, pairs)| {
        let value = |wanted: &str| pairs.iter().find(|(key, _)| key == wanted).map_or("", |(_, value)| value);
        let (event, more) = match event.as_str() {
            "domain-pre-start" => ("starting", String::new()),
            "domain-start" => ("started", String::new()),
            "domain-start-failed" => ("start-failed", value("reason").to_owned()),
            "domain-shutdown" => ("stopped", String::new()),
            "device-assign:pci" | "device-unassign:pci" => {
                let port = value("device").split(':').nth(1).unwrap_or_default().to_owned();
                (if event == "device-assign:pci" { "assigned" } else { "unassigned" }, port)
            }
            "property-set:label" if value("newvalue") != value("oldvalue") => {
                ("label", value("newvalue").to_owned())
            }
            _ => return None,
        };
        Some(format!("{qube} {event} {more}").trim().to_owned())
    });
    told.collect()
}

/// The same of the journal.
pub fn qubes_recorded(records: &[Value]) -> Vec<String> {
    let text = |record: &Value, key: &str| record[key].as_str().unwrap_or_default().to_owned();
    let of_qubes = records.iter().filter(|record| record["kind"] == "qube");
    let told = of_qubes.map(|record| {
        let event = text(record, "event");
        let more = match event.as_str() {
            "start-failed" => text(record, "reason"),
            "assigned" | "unassigned" => text(record, "port"),
            "label" => text(record, "label"),
            _ => String::new(),
        };
        format!("{} {event} {more}", text(record, "qube")).trim().to_owned()
    });
    told.collect()
}

/// What the kernel tells of a function's drivers, as the journal has it: `event driver before way owner`. What dom0 drove was
/// dom0's.
pub fn drivers(lines: &[Line], bdf: &str) -> Vec<String> {
    let mut told = Vec::new();
    let (mut driver, mut before) = (String::new(), String::new());
    for (at, line) in lines.iter().enumerate() {
        let shown = |wanted: &str| {
            lines[at..].iter().find_map(|line| match &line.what {
                What::Sysfs { bdf: of, driver, pinned, .. } if of == bdf && driver == wanted => {
                    Some(pinned.clone())
                }
                _ => None,
            })
        };
        match &line.what {
            What::Sysfs { bdf: of, driver: now, .. } if of == bdf && told.is_empty() && driver.is_empty() => {
                driver = now.replace("none", "");
            }
            What::Uevent { action, driver: now, .. } if line.function() == Some(bdf) => match action.as_str()
            {
                "unbind" => {
                    told.push(format!("unbound was {driver}"));
                    before = std::mem::take(&mut driver);
                }
                "bind" if now == "pciback" => {
                    let way =
                        if shown("pciback").as_deref() == Some("pciback") { "override" } else { "slot" };
                    let owner = if before.is_empty() || before == "pciback" { "" } else { "dom0" };
                    told.push(format!("seized was {before} by {way} from {owner}"));
                    driver = "pciback".to_owned();
                }
                "bind" => {
                    told.push(format!("bound {now} was {before}"));
                    driver.clone_from(now);
                }
                other => told.push(other.to_owned()),
            },
            _ => {}
        }
    }
    told
}

/// The same of the journal.
pub fn drivers_recorded(records: &[Value], bdf: &str) -> Vec<String> {
    let text = |record: &Value, key: &str| record[key].as_str().unwrap_or_default().to_owned();
    let of_it = records.iter().filter(|one| one["kind"] == "device" && one["bdf"] == bdf);
    let told = of_it.filter(|one| one["source"] == "uevent").map(|one| {
        let before = text(one, "before");
        match text(one, "event").as_str() {
            "unbound" => format!("unbound was {before}"),
            "seized" => format!("seized was {before} by {} from {}", text(one, "way"), text(one, "owner")),
            "bound" => format!("bound {} was {before}", text(one, "driver")),
            other => other.to_owned(),
        }
    });
    told.collect()
}

/// The time of a record.
pub fn time(record: &Value) -> Time {
    let text = record["time"].as_str().unwrap();
    let number = |range: std::ops::Range<usize>| text[range].parse::<i64>().unwrap();
    let (year, month, day) = (number(0..4), number(5..7), number(8..10));
    // Days since 1970 of the proleptic Gregorian calendar.
    let (year, month) = if month <= 2 { (year - 1, month + 9) } else { (year, month - 3) };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1 - 719_468;
    let whole = days * 86_400 + number(11..13) * 3600 + number(14..16) * 60 + number(17..19);
    format!("{whole}.{}", &text[20..26]).parse().unwrap()
}
