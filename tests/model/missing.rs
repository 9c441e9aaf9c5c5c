//! A test that cannot be made here.

use std::io::Write;

/// Says that this is missing, so that a test cannot be made. That is a failure, unless `QUBES_DOM0_PCI_MAY_SKIP` is set and
/// this is not `tests/all`, which installs what tests need. What is skipped is said past cargo, which keeps what tests print.
#[track_caller]
pub fn missing(what: &str) {
    let set = |name: &str| std::env::var_os(name).is_some();
    assert!(
        set("QUBES_DOM0_PCI_MAY_SKIP") && !set("QUBES_DOM0_PCI_FULL"),
        "skipped: {what} (QUBES_DOM0_PCI_MAY_SKIP=1 leaves out what this machine cannot do)"
    );
    let place = std::panic::Location::caller();
    let _ = writeln!(std::io::stderr(), "skipped: {}: {what}", place.file());
}
