//! Addresses and names from a command line or a file.

use super::{escape, unescape, DeviceArgument, DriverName, QubeName, Untrusted};
use crate::fuzz::run;

#[test]
fn fuzz_addresses_and_names() {
    run(
        "names",
        &[b"0000:00:1f.6", b"dom0:00_1f.6", b"00_1c.0-00_00.0", b"sys-net", b"\\x1b\\\\"],
        |bytes| {
            assert_eq!(unescape(&escape(bytes)), bytes);
            let text = String::from_utf8_lossy(bytes);
            let name = Untrusted::new(bytes).to_string();
            assert!(name.bytes().all(|byte| (0x20..0x7f).contains(&byte)));
            (DeviceArgument::parse(&text), DriverName::parse(&text), QubeName::parse(&text))
        },
    );
}
