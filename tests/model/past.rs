//! A journal with a past: records with the times and boots a test gives them, in the format of
//! `qubes-dom0-pci-journal(5)`.

use super::Dom0;
use sha2::{Digest, Sha256};

impl Dom0 {
    /// Each record is its time of day on 2026-11-22, its boot, and its members from `kind` (or `op`) on, as JSON. What a
    /// recorder wrote tells also how long after its boot's first record that was, as by a clock that never steps.
    pub fn remembers(&self, records: &[(&str, &str, &str)]) {
        let mut prev = "0".repeat(64);
        let mut journal = String::new();
        for (seq, (clock, boot, members)) in records.iter().enumerate() {
            let begun =
                records.iter().find(|(_, other, _)| other == boot).map_or(*clock, |(begun, ..)| *begun);
            let up = up(begun, clock, members);
            let object = format!(
                "{{\"v\":1,\"prev\":\"{prev}\",\"seq\":{seq},\"time\":\"2026-11-22T{clock}.000000Z\",\"boot\":\"{boot}\",{members}{up}"
            );
            let hash = Sha256::digest(format!("{object}}}"));
            prev = hash.iter().map(|byte| format!("{byte:02x}")).collect();
            journal.push_str(&format!("{object},\"hash\":\"{prev}\"}}\n"));
        }
        self.write("var/lib/qubes-dom0-pci/journal/000000000000.jsonl", journal);
    }
}

/// The member `up` of what a recorder wrote, where the test gives none itself.
fn up(begun: &str, clock: &str, members: &str) -> String {
    let kinds = ["recorder", "device", "stay", "qube", "lost"];
    let by_recorder = kinds.iter().any(|kind| members.contains(&format!("\"kind\":\"{kind}\"")));
    if !by_recorder || members.contains("\"source\":\"import:") || members.contains("\"up\":") {
        return String::new();
    }
    let second = |clock: &str| clock.split(':').fold(0, |all, part| all * 60 + part.parse::<u64>().unwrap());
    format!(",\"up\":{}", second(clock) - second(begun))
}
