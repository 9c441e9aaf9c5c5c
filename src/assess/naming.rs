//! What a person calls a device, where it is not its address: `VENDOR:DEVICE`, the name of a qube, or words
//! of its description.

use super::Case;

/// Vendor and device, as `8086:10d3`; `None` where it is something else.
#[must_use]
pub fn kind(text: &str) -> Option<(u16, u16)> {
    let (vendor, device) = text.split_once(':')?;
    let number = |text: &str| {
        let is_id = text.len() == 4 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_id.then(|| u16::from_str_radix(text, 16).ok())?
    };
    Some((number(vendor)?, number(device)?))
}

/// The devices that a name fits: those of the qube of this name; where there is none, those whose description
/// has all the words, in any order and in upper or lower case.
#[must_use]
pub fn fitting<'a>(cases: &'a [Case], name: &str) -> Vec<&'a Case> {
    let of_qube: Vec<&Case> = cases.iter().filter(|case| case.is_of_qube(name)).collect();
    if !of_qube.is_empty() {
        return of_qube;
    }
    cases.iter().filter(|case| has_words(&case.subject.description, name)).collect()
}

fn has_words(description: &str, name: &str) -> bool {
    let description = description.to_lowercase();
    let mut words = name.split_whitespace().peekable();
    words.peek().is_some() && words.all(|word| description.contains(&word.to_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vendor_and_device_are_four_hexadecimal_digits_each() {
        assert_eq!(kind("8086:10d3"), Some((0x8086, 0x10d3)));
        for text in ["8086:10d", "8086:+0d3", "8086", "8086:10d3:1", "sys-net", ":", "0000:00:1f.6"] {
            assert_eq!(kind(text), None, "{text}");
        }
    }

    #[test]
    fn words_are_found_in_any_order_and_case() {
        let description = "Ethernet controller: Intel Corporation 82574L Gigabit Network Connection";
        for (name, fits) in [("82574l", true), ("network INTEL", true), ("intel wifi", false), (" ", false)] {
            assert_eq!(has_words(description, name), fits, "{name}");
        }
    }
}
