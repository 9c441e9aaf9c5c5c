//! Lines of the journal, which a forger may have written.

use super::Entry;
use crate::fuzz::run;
use audit::Record;

#[test]
fn fuzz_lines_of_the_journal() {
    let seed = br#"{"v":1,"prev":"00","seq":7,"time":"2026-11-22T13:47:51.123456Z","boot":"1c0ffee0","kind":"stay","event":"begin","bdf":"0000:03:00.0","qube":"sys-net","network":true,"domain":7,"hash":"00"}"#;
    run("journal-lines", &[seed], |bytes| {
        let record = Record::parse(bytes)?;
        let entry = Entry::read(&record);
        entry.iter().for_each(|entry| drop(entry.draft()));
        Some((record.kind().to_owned(), entry))
    });
}
