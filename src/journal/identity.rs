//! What a function is, as its records have it; and is it still the same device?

use super::members::{known, list, text};
use audit::{Draft, Record};
use std::borrow::Cow;

/// What stands for a serial number that this user may not see: it is not an absent one.
pub const UNREAD: &str = "?";
/// The vendor and device of a virtual function where its own registers were recorded: they may be any.
const VIRTUAL: &str = "ffff:ffff ";

/// What makes a function the same as before, wherever it stands. Unknown parts are empty.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Identity {
    /// `8086:10d3 8086:a01f 020000`, and the serial number where it tells one: what
    /// does not change with the address.
    pub id: String,
    /// Revision, two hexadecimal digits.
    pub revision: String,
    /// Header type, two hexadecimal digits, without the multi-function bit.
    pub header: String,
    /// Base addresses in use: `0 mem32 20000`, `2 io 20`, `4 mem64p 4000` (index,
    /// kind, size in hexadecimal bytes).
    pub bars: Vec<String>,
    /// Capabilities in order: `01 05 10 11`, extended ones with four digits.
    pub capabilities: Vec<String>,
    /// Size of the expansion ROM in hexadecimal bytes.
    pub rom: String,
    /// SHA-256 of the expansion ROM; taken only at settle, because reading it writes to the device.
    pub rom_sha256: String,
}

impl Identity {
    /// Adds its members.
    #[must_use]
    pub fn onto(&self, draft: Draft) -> Draft {
        let draft = known(
            draft,
            &[
                ("id", &self.id),
                ("revision", &self.revision),
                ("header", &self.header),
                ("rom", &self.rom),
                ("rom_sha256", &self.rom_sha256),
            ],
        );
        let with = |draft: Draft, key: &str, items: &[String]| {
            if items.is_empty() {
                draft
            } else {
                draft.list(key, items)
            }
        };
        with(with(draft, "bars", &self.bars), "capabilities", &self.capabilities)
    }

    /// The members of a record.
    #[must_use]
    pub fn read(record: &Record) -> Self {
        Self {
            id: text(record, "id"),
            revision: text(record, "revision"),
            header: text(record, "header"),
            bars: list(record, "bars"),
            capabilities: list(record, "capabilities"),
            rom: text(record, "rom"),
            rom_sha256: text(record, "rom_sha256"),
        }
    }
}

/// Whether two ids ([`Identity::id`]) can be of one device. A serial number that could not be read may
/// be any.
#[must_use]
pub fn same(one: &str, other: &str) -> bool {
    agree(&completed(one, other), &completed(other, one))
}

/// An id of a virtual function with the vendor and device of another id.
fn completed<'a>(id: &'a str, by: &str) -> Cow<'a, str> {
    match (id.strip_prefix(VIRTUAL), by.split_once(' ')) {
        (Some(rest), Some((ids, _))) => Cow::Owned(format!("{ids} {rest}")),
        _ => Cow::Borrowed(id),
    }
}

/// Whether two ids can be of one device, where only the serial number may be unread: what proves something.
pub fn agree(one: &str, other: &str) -> bool {
    let parts = |id: &str| {
        let mut words = id.split(' ').map(str::to_owned);
        let base: Vec<String> = words.by_ref().take(3).collect();
        (base, words.next().unwrap_or_default())
    };
    let ((base, serial), (other_base, other_serial)) = (parts(one), parts(other));
    base == other_base && (serial == other_serial || serial == UNREAD || other_serial == UNREAD)
}

/// Each field that differs, as `revision 01 -> 02`. What is not known on either side is no difference.
#[must_use]
pub fn differences(was: &Identity, is: &Identity) -> Vec<String> {
    let mut found = Vec::new();
    let mut field = |name: &str, was: &str, is: &str| {
        if !was.is_empty() && !is.is_empty() && was != is {
            found.push(format!("{name} {was} -> {is}"));
        }
    };
    // One that answers so now, and did not before, was altered.
    let was_id = completed(&was.id, &is.id);
    if !agree(&was_id, &is.id) {
        let names = ["vendor and device", "subsystem", "class"];
        let (mut old, mut new) = (was_id.split(' '), is.id.split(' '));
        for name in names {
            field(name, old.next().unwrap_or_default(), new.next().unwrap_or_default());
        }
        let (old, new) = (old.next().unwrap_or("none"), new.next().unwrap_or("none"));
        if old != UNREAD && new != UNREAD {
            field("serial number", old, new);
        }
    }
    field("revision", &was.revision, &is.revision);
    field("header type", &was.header, &is.header);
    field("base addresses", &was.bars.join(", "), &is.bars.join(", "));
    field("capabilities", &was.capabilities.join(" "), &is.capabilities.join(" "));
    field("ROM size", &was.rom, &is.rom);
    field("ROM SHA-256", &was.rom_sha256, &is.rom_sha256);
    found
}

/// Fills in what was not known.
pub fn fill(known: &mut Identity, more: &Identity) {
    let text = |known: &mut String, more: &String| {
        if known.is_empty() {
            known.clone_from(more);
        }
    };
    text(&mut known.id, &more.id);
    text(&mut known.revision, &more.revision);
    text(&mut known.header, &more.header);
    text(&mut known.rom, &more.rom);
    text(&mut known.rom_sha256, &more.rom_sha256);
    if known.bars.is_empty() {
        known.bars.clone_from(&more.bars);
    }
    if known.capabilities.is_empty() {
        known.capabilities.clone_from(&more.capabilities);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(id: &str, revision: &str, bar: &str) -> Identity {
        Identity { id: id.into(), revision: revision.into(), bars: vec![bar.into()], ..Identity::default() }
    }

    #[test]
    fn every_field_that_differs_is_named() {
        let was = identity("8086:10d3 8086:a01f 020000 0000000000000001", "01", "0 mem32 20000");
        let is = identity("8086:10d4 8086:a01f 020000 0000000000000002", "02", "0 mem32 40000");
        assert_eq!(
            differences(&was, &is),
            [
                "vendor and device 8086:10d3 -> 8086:10d4",
                "serial number 0000000000000001 -> 0000000000000002",
                "revision 01 -> 02",
                "base addresses 0 mem32 20000 -> 0 mem32 40000",
            ]
        );
        assert_eq!(differences(&was, &was), Vec::<String>::new());
    }

    #[test]
    fn a_serial_number_has_three_states() {
        let base = "8086:10d3 8086:a01f 020000";
        let (absent, unread, one) =
            (base.to_owned(), format!("{base} ?"), format!("{base} 0000000000000001"));
        assert!(same(&unread, &one) && same(&unread, &absent) && same(&one, &one));
        assert!(!same(&absent, &one));
        let of = |id: &str| Identity { id: id.into(), ..Identity::default() };
        assert_eq!(differences(&of(&one), &of(&absent)), ["serial number 0000000000000001 -> none"]);
        assert_eq!(differences(&of(&one), &of(&unread)), Vec::<String>::new());
    }

    #[test]
    fn a_virtual_function_that_was_recorded_by_its_own_registers_is_the_same() {
        let of = |id: &str| Identity { id: id.into(), ..Identity::default() };
        let (registers, known) = ("ffff:ffff 8086:a01f 020000", "8086:10ed 8086:a01f 020000");
        assert!(same(registers, known) && same(known, registers));
        assert_eq!(differences(&of(registers), &of(known)), Vec::<String>::new());
        assert_eq!(differences(&of(known), &of(registers)), ["vendor and device 8086:10ed -> ffff:ffff"],);
        assert!(!same(registers, "8086:10ed 8086:a01f 028000"));
    }

    #[test]
    fn what_is_not_known_is_no_difference() {
        let known = identity("8086:10d3 8086:a01f 020000", "01", "0 mem32 20000");
        assert!(differences(&known, &Identity { id: known.id.clone(), ..Identity::default() }).is_empty());
    }
}
