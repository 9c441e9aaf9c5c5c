//! What a device may be called: an address, `VENDOR:DEVICE`, a qube's name, words of its description.

use crate::model::terminal::{Answer, Session};
use crate::model::{Dom0, Function};

const NIC: &str = "0000:00:1f.6";
const USB: &str = "0000:00:14.0";

/// A card and a USB controller in quarantine; sys-net had the card.
fn dom0() -> Dom0 {
    let mut dom0 = Dom0::with(Function::nic(NIC).held().quarantined());
    dom0.add(Function::usb(USB).held().quarantined());
    dom0.remembers(&[
        ("08:00:00", "11111111", r#""kind":"recorder","phase":"start","run":"r","sources":["uevents","xenstore"],"missing":[],"first":true,"interval":600"#),
        ("08:02:00", "11111111", r#""kind":"stay","event":"begin","bdf":"0000:00:1f.6","qube":"sys-net","label":"red","source":"xenstore","domain":3"#),
        ("08:09:00", "11111111", r#""kind":"stay","event":"end","bdf":"0000:00:1f.6","qube":"sys-net","label":"red","source":"xenstore","domain":3"#),
    ]);
    dom0
}

#[test]
fn a_command_that_only_looks_takes_a_kind_a_qube_and_words_of_the_description() {
    let dom0 = dom0();
    for name in ["8086:10d3", "8086:10D3", "sys-net", "82574L", "gigabit INTEL"] {
        drop(dom0.run(&["show", name]).exits(0).says("0000:00:1f.6  Ethernet"));
        assert_eq!(dom0.json(&["show", name])["device"]["bdf"], NIC, "{name}");
    }
}

#[test]
fn a_name_that_fits_no_device_or_several_is_refused_with_those_it_fits() {
    let dom0 = dom0();
    drop(dom0.run(&["--json", "show", "8086:ffff"]).fails(2, "no-such-device"));
    drop(dom0.run(&["show", "nothing-of-this-name"]).exits(2));
    let said = dom0.run(&["show", "controller"]).exits(2);
    drop(
        said.says("controller fits 2 devices: 0000:00:14.0, 0000:00:1f.6")
            .says("name one of them by its address"),
    );
}

#[test]
fn a_script_that_changes_something_names_an_address_or_a_kind() {
    let dom0 = dom0();
    for name in ["sys-net", "82574L"] {
        for command in ["reattach", "hold", "rollback"] {
            dom0.run_changing_nothing(&["--json", command, name]).fails(2, "usage");
        }
    }
    dom0.run_changing_nothing(&["--json", "reattach", "8086:10d3"]).fails(4, "consent-missing");
}

#[test]
fn on_a_terminal_a_command_that_changes_something_says_first_which_device_a_name_is() {
    let dom0 = dom0();
    let (shown, status) = dom0.ask(&["reattach", "sys-net"], Answer::Keys("\r"));
    assert_eq!(status.code(), Some(4), "{shown}");
    assert!(shown.contains("sys-net is 0000:00:1f.6  Ethernet controller"), "{shown}");
}

#[test]
fn with_no_device_named_a_terminal_offers_those_there_are_and_a_script_is_refused() {
    let dom0 = dom0();
    for command in ["show", "plan", "reattach", "hold"] {
        let said = dom0.run_changing_nothing(&["--json", command]).fails(2, "usage");
        assert!(said.out.contains("no device is named"), "{}", said.out);
    }
    let offered = |keys: &str| {
        let mut session = Session::begin(&dom0.command(&["plan"]), (24, 80), "");
        session.until(|shown| shown.contains("0000:00:1f.6"));
        session.press(keys);
        session.end()
    };
    let (shown, status) = offered("\x1b[B\r");
    assert_eq!(status.code(), Some(4), "{shown}");
    assert!(shown.contains("Which device?") && shown.contains("Plan "), "{shown}");
    let (shown, status) = offered("\x1b");
    assert_eq!(status.code(), Some(4), "{shown}");
    assert!(shown.contains("no device was chosen; nothing was changed"), "{shown}");
}
