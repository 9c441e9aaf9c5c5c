//! What Qubes' script in the initramfs hides from dom0 (core-admin-linux, dracut module
//! `90qubes-pciback`), by its own rules.
//!
//! It hides every network device, every USB controller with `rd.qubes.hide_all_usb`, and what
//! `rd.qubes.hide_pci` names, but nothing that `rd.qubes.dom0_usb` names. The script of 4.2 compares
//! texts; that of 4.3 resolves addresses and paths.

use super::because::{Because, Rule};
use crate::names::Sbdf;
use crate::observe::next_boot::{CommandLine, Device, ScriptOf};
use std::collections::BTreeMap;

/// Takes every network device.
pub const HIDE_ALL_USB: &str = "rd.qubes.hide_all_usb";
/// Names what is hidden besides.
pub const HIDE_PCI: &str = "rd.qubes.hide_pci";
/// Names what is left to dom0.
pub const DOM0_USB: &str = "rd.qubes.dom0_usb";
/// Whether the kernel takes USB devices when they appear.
pub const AUTHORIZED: &str = "usbcore.authorized_default";

/// What the script does.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Outcome {
    /// What it gives to pciback, and why.
    pub hidden: BTreeMap<Sbdf, Vec<Because>>,
    /// What it would hide, were it not for `rd.qubes.dom0_usb`.
    pub exempted: BTreeMap<Sbdf, Because>,
    /// Why it gives up, if it does: then the machine does not come up.
    pub stops: Option<Stop>,
    /// Whether it enables usbguard.
    pub usbguard: bool,
}

/// Why the script gives up.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stop {
    /// In words.
    pub why: String,
    /// The word that is to blame.
    pub because: Because,
}

/// One entry of the script's list.
struct Entry<'a> {
    text: String,
    because: Because,
    of: Option<&'a Device>,
}

/// Runs the script's rules.
#[must_use]
pub fn run(script: ScriptOf, devices: &BTreeMap<Sbdf, Device>, line: &CommandLine) -> Outcome {
    let mut outcome = Outcome::default();
    let hide_usb = is_true(line, HIDE_ALL_USB, false);
    let mut usbguard = !hide_usb && !is_true(line, AUTHORIZED, true);
    let early = || devices.values().filter(|device| device.is_there_early());
    let mut entries: Vec<Entry<'_>> = Vec::new();
    for device in early() {
        let because = if device.is_network() {
            Because::rule(Rule::Network)
        } else if device.is_usb() && hide_usb {
            Because::word(Rule::Word(HIDE_ALL_USB), line.last(HIDE_ALL_USB))
        } else {
            continue;
        };
        entries.push(Entry { text: device.short(), because, of: Some(device) });
    }
    if let Some(word) = line.last(HIDE_PCI) {
        let because = Because::word(Rule::Word(HIDE_PCI), Some(word));
        if let Some(bad) = word.value().chars().find(|&letter| !may_be_hidden(script, letter)) {
            let why = format!("{HIDE_PCI} holds `{}`, which the script refuses", bad.escape_default());
            outcome.stops = Some(Stop { why, because });
            return outcome;
        }
        let parts = word.value().split([',', ' ', '\n']).filter(|part| !part.is_empty());
        entries.extend(parts.map(|text| Entry { text: text.to_owned(), because: because.clone(), of: None }));
    }
    let left = exemptions(script, devices, line);
    usbguard |= left.is_some();
    let named: BTreeMap<String, &Device> = early().map(|device| (device.sbdf.to_string(), device)).collect();
    hide(&mut outcome, script, &Lists { entries, left: left.unwrap_or_default(), named, devices });
    outcome.usbguard = usbguard && outcome.stops.is_none();
    if let Some(word) = line.last(DOM0_USB) {
        for because in outcome.exempted.values_mut() {
            *because = Because::word(Rule::Word(DOM0_USB), Some(word));
        }
    }
    outcome
}

struct Lists<'a> {
    entries: Vec<Entry<'a>>,
    left: Vec<String>,
    named: BTreeMap<String, &'a Device>,
    devices: &'a BTreeMap<Sbdf, Device>,
}

/// The script's loop. What it ends with is what its last entry ended with.
fn hide(outcome: &mut Outcome, script: ScriptOf, lists: &Lists<'_>) {
    let mut failed: Option<Stop> = None;
    for entry in &lists.entries {
        let because = entry.because.clone();
        let Some(name) = resolved(script, lists.devices, &entry.text) else {
            let why = format!("nothing is where {HIDE_PCI} says {}", entry.text);
            outcome.stops = Some(Stop { why, because });
            outcome.hidden.clear();
            outcome.exempted.clear();
            return;
        };
        let key = if script == ScriptOf::Qubes42 { entry.text.clone() } else { name.clone() };
        let device = lists.named.get(&name).copied();
        if lists.left.contains(&key) {
            if let Some(device) = device.or(entry.of) {
                outcome.exempted.insert(device.sbdf, because);
            }
            failed = None;
            continue;
        }
        match device {
            Some(device) => {
                outcome.hidden.entry(device.sbdf).or_default().push(because);
                failed = None;
            }
            None => {
                let why =
                    format!("the last of what is to be hidden, {}, cannot be: it is not there", entry.text);
                failed = Some(Stop { why, because });
            }
        }
    }
    if failed.is_some() {
        outcome.stops = failed;
        outcome.hidden.clear();
        outcome.exempted.clear();
    }
}

/// What `rd.qubes.dom0_usb` names, in the form that the script compares; `None` where the option is not
/// there, is empty or is dropped for a letter it may not hold.
fn exemptions(script: ScriptOf, devices: &BTreeMap<Sbdf, Device>, line: &CommandLine) -> Option<Vec<String>> {
    let value = line.last(DOM0_USB)?.value();
    if value.is_empty() || !value.chars().all(|letter| may_be_listed(script, letter)) {
        return None;
    }
    let parts = value.split(',').filter(|part| !part.is_empty());
    Some(match script {
        ScriptOf::Qubes42 => parts.map(str::to_owned).collect(),
        ScriptOf::Qubes43 => parts.filter_map(|part| resolved(script, devices, part)).collect(),
    })
}

/// Whether a letter may stand in a list.
#[must_use]
pub fn may_be_listed(script: ScriptOf, letter: char) -> bool {
    matches!(letter, '0'..='9' | 'a'..='f' | '.' | ':' | ',')
        || script == ScriptOf::Qubes43 && matches!(letter, '_' | '-')
}

/// Whether a letter of `rd.qubes.hide_pci` lets the script go on: a space parts entries as a comma does.
fn may_be_hidden(script: ScriptOf, letter: char) -> bool {
    may_be_listed(script, letter) || matches!(letter, ' ' | '\n')
}

/// The name in sysfs that the script makes of an entry, whether there is such a function or not; `None`
/// where it finds none to make.
#[must_use]
pub fn resolved(script: ScriptOf, devices: &BTreeMap<Sbdf, Device>, entry: &str) -> Option<String> {
    if script == ScriptOf::Qubes42 {
        return Some(format!("0000:{entry}"));
    }
    let (segment, path) = match entry.split_once('_') {
        // Shell patterns: `XXXX_*_*.*`, `*_*.*`, `*:*:*.*`, `*:*.*`.
        Some((segment, rest)) if is_segment(segment) && is_path(rest) => (segment, rest),
        Some(_) if is_path(entry) => ("0000", entry),
        _ => {
            let (before, _) = entry.rsplit_once('.').filter(|(before, _)| before.contains(':'))?;
            let whole = before.matches(':').count() > 1;
            return Some(if whole { entry.to_owned() } else { format!("0000:{entry}") });
        }
    };
    followed(segment, path, devices)
}

fn is_segment(text: &str) -> bool {
    text.len() == 4 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// `*_*.*`
fn is_path(text: &str) -> bool {
    text.split_once('_').is_some_and(|(_, rest)| rest.contains('.'))
}

/// Follows a path: each bus is counted from the bus below the bridge before it.
fn followed(segment: &str, path: &str, devices: &BTreeMap<Sbdf, Device>) -> Option<String> {
    let mut rest = path.to_owned();
    while let Some((bridge, below)) = rest.split_once('-') {
        let bridge = Sbdf::from_sysfs(&format!("{segment}:{}", bridge.replace('_', ":")))?;
        let bridge = devices.get(&bridge).filter(|bridge| bridge.is_there_early())?;
        let (bus, function) = below.split_once('_').unwrap_or((below, below));
        let below = u64::from(bridge.secondary_bus?);
        let bus = shell_number(bus).map(|bus| format!("{:02x}", bus.wrapping_add(below)));
        let bus = bus.unwrap_or_default();
        rest = format!("{bus}_{function}");
    }
    Some(format!("{segment}:{}", rest.replace('_', ":")))
}

/// A number as the script's shell takes it behind `0x`: none is zero, and one that is too long wraps round;
/// `None` for what is not one, of which the script makes nothing.
fn shell_number(digits: &str) -> Option<u64> {
    digits.chars().try_fold(0_u64, |number, digit| {
        Some(number.wrapping_mul(16).wrapping_add(u64::from(digit.to_digit(16)?)))
    })
}

/// A switch as dracut takes it (`getargbool`): there, and not exactly `0`, `no` or `off`.
#[must_use]
pub fn is_true(line: &CommandLine, name: &str, otherwise: bool) -> bool {
    line.last(name).map_or(otherwise, |word| !matches!(word.value(), "0" | "no" | "off"))
}

/// Whether the conditions of usbguard's unit hold (Qubes' `usbguard.service`).
#[must_use]
pub fn usbguard_starts(line: &CommandLine) -> bool {
    let has = |name: &str, value: &str| line.all(name).any(|word| word.value.as_deref() == Some(value));
    let is_there = |name: &str| line.all(name).next().is_some();
    let left = !is_there(HIDE_ALL_USB)
        || ["0", "no", "off"].iter().any(|value| has(HIDE_ALL_USB, value))
        || is_there(DOM0_USB);
    left && has(AUTHORIZED, "0") && !is_there("usbcore.nousb")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]
    use super::*;
    use serde_json::Value;

    const RECORDED: &str = include_str!("../../../tests/data/next-boot/hidden-functions.json");

    fn machine(functions: &Value) -> BTreeMap<Sbdf, Device> {
        let device = |(name, facts): (&String, &Value)| {
            let sbdf = Sbdf::from_sysfs(name).unwrap();
            let class = u32::from_str_radix(facts["class"].as_str().unwrap(), 16).unwrap();
            let secondary_bus = facts["secondary_bus"].as_u64().map(|bus| u8::try_from(bus).unwrap());
            let behind = facts["behind_vmd"].as_bool().map(|_| Sbdf::from_sysfs("0000:00:0e.0").unwrap());
            let device = Device {
                sbdf,
                ids: (0, 0),
                subsystem: (0, 0),
                class,
                secondary_bus,
                parents: Vec::new(),
                driver: None,
                behind,
                physical: None,
                modules: Ok(Vec::new()),
            };
            (sbdf, device)
        };
        functions.as_object().unwrap().iter().map(device).collect()
    }

    #[test]
    fn every_recorded_case_is_predicted_exactly() {
        let recorded: Value = serde_json::from_str(RECORDED).unwrap();
        let cases = recorded["cases"].as_array().unwrap();
        assert_eq!(cases.len(), 218);
        for case in cases {
            let script = match case["release"].as_str().unwrap() {
                "4.2" => ScriptOf::Qubes42,
                "4.3" => ScriptOf::Qubes43,
                other => panic!("{other}"),
            };
            let devices = machine(&recorded["machines"][case["machine"].as_str().unwrap()]);
            let line = CommandLine::plain(case["cmdline"].as_str().unwrap(), "/proc/cmdline");
            let outcome = run(script, &devices, &line);
            assert_eq!(outcome.stops.is_some(), case["boot_stops"].as_bool().unwrap(), "{case}");
            if outcome.stops.is_some() {
                continue;
            }
            let hidden: Vec<String> = outcome.hidden.keys().map(ToString::to_string).collect();
            let expected: Vec<&str> =
                case["hidden"].as_array().unwrap().iter().map(|one| one.as_str().unwrap()).collect();
            assert_eq!(hidden, expected, "{case}");
            assert_eq!(outcome.usbguard, case["usbguard_enabled"].as_bool().unwrap(), "{case}");
        }
    }

    #[test]
    fn what_counts_is_how_the_last_entry_ends() {
        let recorded: Value = serde_json::from_str(RECORDED).unwrap();
        let devices = machine(&recorded["machines"]["gpu"]);
        let stops = |script, line: &str| {
            run(script, &devices, &CommandLine::plain(line, "/proc/cmdline")).stops.is_some()
        };
        for script in [ScriptOf::Qubes42, ScriptOf::Qubes43] {
            assert!(stops(script, "rd.qubes.hide_pci=01:00.0,05:00.0"));
            assert!(!stops(script, "rd.qubes.hide_pci=01:00.0,05:00.0 rd.qubes.dom0_usb=05:00.0"));
            assert!(!stops(script, "rd.qubes.hide_pci=05:00.0,01:00.0 rd.qubes.dom0_usb=01:00.0"));
            assert!(!stops(script, "rd.qubes.hide_pci=\"05:00.0 01:00.0\""));
            assert!(stops(script, "rd.qubes.hide_pci=\"01:00.0\t01:00.1\""));
        }
        // A path that leads nowhere stops 4.3 wherever it stands.
        assert!(stops(ScriptOf::Qubes43, "rd.qubes.hide_pci=00_1c.7-00_00.0,01:00.0"));
        assert!(stops(ScriptOf::Qubes43, "rd.qubes.hide_pci=0,01:00.0"));
        // One with a bus that is not a number makes an address, at which nothing is.
        assert!(!stops(ScriptOf::Qubes43, "rd.qubes.hide_pci=00_01.0-00:00.0_0.0,01:00.0"));
        assert!(!stops(ScriptOf::Qubes43, "rd.qubes.hide_pci=00_01.0-_00.0"));
        assert!(!stops(ScriptOf::Qubes42, "rd.qubes.hide_pci=0,01:00.0"));
    }

    #[test]
    fn usbguard_wants_exactly_0() {
        let starts = |line: &str| usbguard_starts(&CommandLine::plain(line, "/proc/cmdline"));
        assert!(starts("usbcore.authorized_default=0"));
        assert!(!starts("usbcore.authorized_default=no"));
        assert!(!starts("usbcore.authorized_default=0 usbcore.nousb"));
        assert!(!starts("usbcore.authorized_default=0 rd.qubes.hide_all_usb"));
        assert!(starts("usbcore.authorized_default=0 rd.qubes.hide_all_usb rd.qubes.dom0_usb=00:14.0"));
    }
}
