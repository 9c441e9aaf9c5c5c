//! Whether a keyboard works at the passphrase prompt after the next boot.

use super::predict::{Next, Prediction};
use super::script::AUTHORIZED;
use crate::observe::next_boot::{CommandLine, Facts, Keyboard};

/// Why no keyboard that dom0 has now might work then; `None` where one does, or none is known.
#[must_use]
pub fn locked(facts: &Facts, line: &CommandLine, after: &Prediction) -> Option<String> {
    let keyboards = match &facts.keyboards {
        Ok(keyboards) if keyboards.is_empty() => return None,
        Ok(keyboards) => keyboards,
        Err(why) => return Some(format!("which keyboards dom0 has is not known: {why}")),
    };
    let mut dead = Vec::new();
    for keyboard in keyboards {
        dead.push(format!("{}: {}", keyboard.name, fails(facts, line, after, keyboard)?));
    }
    Some(dead.join("; "))
}

/// Why a keyboard does not work then; `None` where it does.
fn fails(facts: &Facts, line: &CommandLine, after: &Prediction, keyboard: &Keyboard) -> Option<String> {
    let on = keyboard.on?;
    let fate = after.functions.get(&on)?;
    if !matches!(fate.next, Next::Driver(_)) {
        return Some(format!("its controller {on} is not dom0's then"));
    }
    let interfaces = keyboard.interfaces.as_ref();
    if interfaces.is_ok_and(Vec::is_empty) || line.parameters(AUTHORIZED).next_back()?.value() != "0" {
        return None;
    }
    if !after.usbguard_starts {
        return Some("usbcore.authorized_default=0 keeps it out, and usbguard does not let it in".to_owned());
    }
    match (&facts.usb_rules, interfaces) {
        (Err(why), _) => Some(format!("what usbguard allows is not known: {why}")),
        (_, Err(why)) => Some(format!("its interfaces are not known: {why}")),
        (Ok(rules), Ok(all)) if rules.iter().any(|rule| allows(rule, all)) => None,
        (Ok(_), Ok(all)) => Some(format!("no rule of usbguard allows its interfaces {}", all.join(" "))),
    }
}

/// Whether a rule surely lets in a device with these interfaces. Only rules by interfaces are understood.
fn allows(rule: &str, interfaces: &[String]) -> bool {
    let Some(rest) = rule.strip_prefix("allow") else { return false };
    let rest = rest.trim();
    if rest.is_empty() {
        return true;
    }
    let Some(rest) = rest.strip_prefix("with-interface") else { return false };
    let rest = rest.trim();
    let (how, set) = match rest.split_once('{') {
        Some((how, set)) => match set.split_once('}') {
            Some((set, end)) if end.trim().is_empty() => (how.trim(), set),
            _ => return false,
        },
        None => ("equals", rest),
    };
    let set: Vec<&str> = set.split_whitespace().collect();
    let meets = |pattern: &str, one: &str| {
        pattern
            .split(':')
            .zip(one.split(':'))
            .all(|(want, has)| want == "*" || want.eq_ignore_ascii_case(has))
    };
    let named = |one: &String| set.iter().any(|pattern| meets(pattern, one));
    let there = |pattern: &&str| interfaces.iter().any(|one| meets(pattern, one));
    match how {
        "match-all" => interfaces.iter().all(named),
        "one-of" => interfaces.iter().any(named),
        "all-of" => set.iter().all(there),
        "none-of" => !interfaces.iter().any(named),
        "equals" | "" => interfaces.iter().all(named) && set.iter().all(there),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUBES: &str = "allow with-interface match-all { 03:00:00 03:00:01 03:00:02 03:01:01 03:01:02 }";

    #[test]
    fn a_keyboard_with_an_interface_more_stays_out() {
        let of = |all: &[&str]| all.iter().map(|one| (*one).to_owned()).collect::<Vec<_>>();
        assert!(allows(QUBES, &of(&["03:01:01"])));
        assert!(allows(QUBES, &of(&["03:00:00", "03:01:01"])));
        assert!(!allows(QUBES, &of(&["03:01:01", "08:06:50"])));
        assert!(allows("allow with-interface one-of { 03:*:* }", &of(&["03:01:01", "08:06:50"])));
        assert!(!allows("allow id 1234:5678", &of(&["03:01:01"])));
        assert!(!allows("block", &of(&["03:01:01"])));
    }
}
