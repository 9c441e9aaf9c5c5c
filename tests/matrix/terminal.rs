//! Whole operations as a person at a terminal meets them: what is shown while they go on, and how they end.

use super::possible;
use super::scenario::{Found, Kind, Scenario, BDF};
use crate::model::acting::{Fault, Machine, Owner};
use crate::model::terminal::{Session, GO_ON};

const HELD: Scenario = Scenario { command: "reattach", kind: Kind::Nic, found: Found::Held };

/// What was on the screen, without what moves and colours it.
fn plain(shown: &str) -> String {
    // What was drawn over is gone.
    let lines =
        shown.lines().map(|line| line.rsplit("\x1b[2K").next().unwrap_or_default().trim_end_matches('\r'));
    let left: Vec<String> = lines.map(|line| console::strip_ansi_codes(line).replace('\r', "")).collect();
    left.join("\n") + "\n"
}

/// No line of it is wider than the terminal; a command is for copying, and is never broken.
#[track_caller]
fn fits(shown: &str, columns: usize) {
    for line in plain(shown).lines().filter(|line| !line.contains("qubes-dom0-pci")) {
        assert!(line.chars().count() <= columns, "{columns}: {line:?}\n{shown}");
    }
}

/// The return begins at a terminal: the last choice is taken, and the name typed.
fn begun(machine: &Machine, columns: u16) -> Session {
    let mut session = Session::begin(&machine.dom0.command(&["reattach", BDF]), (24, columns), "");
    assert!(session.until_question(), "{}", session.shown());
    session.each(&[GO_ON, &format!("{BDF}\r")]);
    session
}

#[test]
fn a_return_names_its_steps_as_they_begin_and_ends_with_a_sentence() {
    if !possible() {
        return;
    }
    for columns in [60, 80, 120, 200] {
        let machine = HELD.machine();
        let (shown, status) = begun(&machine, columns).end();
        assert_eq!(status.code(), Some(0), "{shown}");
        fits(&shown, columns.into());
        for step in ["pin", "unbind", "settle", "dequarantine", "bind", "verify", "unpin"] {
            let begins = shown
                .find(&format!("\r\x1b[2K  {step:<13} ..."))
                .unwrap_or_else(|| panic!("{step}: {shown}"));
            let over = plain(&shown).find(&format!("\n  {step:<13} done"));
            assert!(over.is_some() && begins > 0, "{step}: {shown}");
        }
        let shown = crate::model::folded(&plain(&shown));
        assert!(shown.contains("is dom0's: driver e1000e, network interface eth0."), "{shown}");
        assert!(
            shown.contains(&format!("To take it from dom0 again: sudo qubes-dom0-pci hold {BDF}")),
            "{shown}"
        );
        let hash = |word: &str| word.len() == 64 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
        assert!(!shown.split_whitespace().any(hash), "{shown}");
    }
}

#[test]
fn off_a_terminal_a_step_is_named_when_it_is_over() {
    if !possible() {
        return;
    }
    let machine = HELD.machine();
    let arguments = HELD.arguments();
    let arguments: Vec<&str> = arguments.into_iter().filter(|word| *word != "--json").collect();
    let ran = machine.run(&arguments);
    assert_eq!(ran.status, Some(0), "{}", ran.text);
    assert!(!ran.text.contains('\x1b') && !ran.text.contains("  pin           ..."), "{}", ran.text);
    assert!(ran.text.contains("Done: "), "{}", ran.text);
}

#[test]
fn ctrl_c_ends_verify_at_once_and_what_was_done_is_undone() {
    if !possible() {
        return;
    }
    let machine = HELD.machine();
    // The driver binds, and nothing comes up.
    machine.state().world.drivers.get_mut("e1000e").unwrap().sign = &[];
    machine.state().changed();
    let mut session = begun(&machine, 80);
    assert!(
        session.until(|shown| shown.contains("  verify        1 s of at most 70 s")),
        "{}",
        session.shown()
    );
    let since = std::time::Instant::now();
    session.press("\x03");
    let (shown, status) = session.end();
    assert!(since.elapsed().as_secs() < 20, "{shown}");
    assert_eq!(status.code(), Some(1), "{shown}");
    assert!(plain(&shown).contains("\nInterrupted: what was done is undone.\n"), "{shown}");
    let state = machine.state();
    let device = &state.world.devices[BDF];
    assert_eq!((device.driver.as_deref(), device.owner), (Some("pciback"), Owner::Quarantine), "{shown}");
}

#[test]
fn ctrl_c_in_a_write_says_what_will_happen() {
    if !possible() {
        return;
    }
    let machine = HELD.machine();
    // Behind the write that pins it.
    machine.arm_write(1, Fault::Hangs(true));
    let mut session = begun(&machine, 80);
    assert!(
        session.until(|shown| shown.contains("  unbind        1 s of at most 150 s")),
        "{}",
        session.shown()
    );
    session.press("\x03");
    let says = "Interrupted: unbind ends first (at most 14";
    assert!(session.until(|shown| shown.contains(says)), "{}", session.shown());
    machine.let_go();
    let (shown, status) = session.end();
    assert_eq!(status.code(), Some(1), "{shown}");
    let state = machine.state();
    let device = &state.world.devices[BDF];
    assert_eq!((device.driver.as_deref(), device.owner), (Some("pciback"), Owner::Quarantine), "{shown}");
}
