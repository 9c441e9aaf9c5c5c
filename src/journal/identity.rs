//! What a function is, as its records have it.

use super::shown::{known, list, text};
use audit::{Draft, Record};

/// What makes a function the same as before, wherever it stands. Unknown parts are empty.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Identity {
    /// `8086:10d3 8086:a01f 020000`, and the serial number where it tells one: what does not change with the address.
    pub id: String,
    /// Revision, two hexadecimal digits.
    pub revision: String,
    /// Header type, two hexadecimal digits, without the multi-function bit.
    pub header: String,
    /// Base addresses in use: `0 mem32 20000`, `2 io 20`, `4 mem64p 4000` (index, kind, size in hexadecimal bytes).
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
