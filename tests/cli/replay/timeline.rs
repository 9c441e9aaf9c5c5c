//! A timeline, read (`tests/data/replay/README.md`).

use crate::model::bytes_of;
use std::time::Duration;

/// One thing that happened.
#[derive(Clone, Debug)]
pub struct Line {
    pub at: Duration,
    pub what: What,
}

/// What.
#[derive(Clone, Debug)]
pub enum What {
    Qubesd(Vec<u8>),
    Node(String, Option<String>),
    Announced(String),
    Uevent { action: String, path: String, driver: String },
    Sysfs { bdf: String, driver: String, pinned: String, listed: bool },
    Owner(String, String),
    Script(String),
}

/// Reads one.
pub fn read(text: &str) -> Vec<Line> {
    text.lines().filter_map(line).collect()
}

fn line(text: &str) -> Option<Line> {
    let (seconds, rest) = text.trim_start().split_once(' ')?;
    let at = Duration::try_from_secs_f64(seconds.parse().ok()?).ok()?;
    let (source, rest) = rest.split_once(' ')?;
    let rest = rest.trim_start();
    let what = match source {
        "qubesd" => What::Qubesd(bytes_of(rest)),
        "xenstore" if rest.starts_with('@') => What::Announced(rest.trim().to_owned()),
        "xenstore" => {
            let (path, value) = rest.split_once(" =")?;
            let value = value.strip_prefix(' ').unwrap_or(value);
            What::Node(path.to_owned(), (value != "(gone)").then(|| value.to_owned()))
        }
        "uevent" => {
            let (path, driver) = rest.split_once(" DRIVER=").unwrap_or((rest.trim(), ""));
            let (action, path) = path.split_once('@')?;
            What::Uevent {
                action: action.to_owned(),
                path: path.to_owned(),
                driver: driver.trim().to_owned(),
            }
        }
        "sysfs" => {
            let mut words = rest.split_whitespace();
            let bdf = words.next()?.to_owned();
            let words: Vec<&str> = words.collect();
            let value = |key: &str| words.iter().find_map(|word| word.strip_prefix(key)).unwrap_or("none");
            let (driver, pinned) = (value("driver=").to_owned(), value("override=").to_owned());
            What::Sysfs { bdf, driver, pinned, listed: value("slot=") == "listed" }
        }
        "owner" => {
            let (bdf, owner) = rest.split_once(' ')?;
            What::Owner(bdf.to_owned(), owner.trim().to_owned())
        }
        "script" => What::Script(rest.to_owned()),
        _ => return None,
    };
    Some(Line { at, what })
}

/// Whom a message of qubesd is about, what it says, and its keys with their values.
pub type Event = (String, String, Vec<(String, String)>);

impl Line {
    /// The function that a uevent is of, where it is one of PCI.
    pub fn function(&self) -> Option<&str> {
        let What::Uevent { path, .. } = &self.what else { return None };
        let name = path.rsplit('/').next()?;
        (name.len() == 12 && name.split([':', '.']).count() == 4).then_some(name)
    }

    /// A message of qubesd.
    pub fn event(&self) -> Option<Event> {
        let What::Qubesd(bytes) = &self.what else { return None };
        let text = String::from_utf8_lossy(bytes);
        let mut words = text.split('\0').skip(1).map(str::to_owned);
        let (qube, name) = (words.next()?, words.next()?);
        let words: Vec<String> = words.collect();
        let pairs = words.chunks(2).filter_map(|pair| Some((pair.first()?.clone(), pair.get(1)?.clone())));
        Some((qube, name, pairs.filter(|(key, _)| !key.is_empty()).collect()))
    }
}
