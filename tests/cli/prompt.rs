//! The question at a terminal: every way out of it but one leaves everything as it is.

use crate::model::terminal::{stream, Answer, Session, GO_ON};
use crate::model::{Dom0, Function};
use nix::sys::signal::Signal;
use std::io::Write;
use std::process::Stdio;

const NIC: &str = "0000:00:07.0";

fn exposed() -> Dom0 {
    let dom0 = Dom0::with(Function::nic(NIC).held().quarantined());
    dom0.node("/local/domain/0/backend/pci/7/0/dev-0", NIC);
    dom0.node("/local/domain/0/backend/pci/7/0/domain", "sys-net");
    dom0
}

/// What was on the screen, without colours.
fn plain(shown: &str) -> String {
    console::strip_ansi_codes(shown).replace("\r\n", "\n")
}

/// The answer leaves the machine as it is and ends in 4; the journal holds no operation.
#[track_caller]
fn changes_nothing(dom0: &Dom0, answer: Answer<'_>) -> String {
    let before = dom0.contents();
    let (shown, status) = dom0.ask(&["reattach", NIC], answer);
    assert_eq!(status.code(), Some(4), "{status:?}: {shown}");
    assert_eq!(before, dom0.contents(), "something changed: {shown}");
    let log = dom0.run(&["audit", "log"]).out;
    assert!(!log.contains("reattach"), "{log}");
    plain(&shown)
}

#[test]
fn enter_leaves_everything_as_it_is() {
    let shown = changes_nothing(&exposed(), Answer::Keys("\r"));
    assert!(shown.contains("Recommended: reboot; that returns it:  systemctl reboot"), "{shown}");
    assert!(shown.ends_with("Nothing was changed.\n") && !shown.contains("error:"), "{shown}");
}

#[test]
fn the_reboot_says_what_to_do_and_is_no_error() {
    let shown = changes_nothing(&exposed(), Answer::Keys("\x1b[B\r"));
    let said = "Nothing was changed.\nTo get it back, reboot:\n  systemctl reboot\n";
    assert!(shown.ends_with(said) && !shown.contains("error:"), "{shown}");
    let dom0 = exposed();
    dom0.write("etc/qubes-release", "Qubes release 4.3.0 (R4.3)\n");
    dom0.write("etc/default/grub", "GRUB_CMDLINE_LINUX=\"rhgb quiet\"\n");
    let shown = changes_nothing(&dom0, Answer::Keys("j\r"));
    let (_, said) = shown.rsplit_once("Nothing was changed.\n").unwrap_or_else(|| panic!("{shown}"));
    assert!(said.starts_with("To get it back, run this as root; the last command is to reboot:\n"), "{said}");
    assert!(said.contains("  qubes-dom0-pci next-boot --return 0000:00:07.0 --diff | patch"), "{said}");
    assert!(said.ends_with("  systemctl reboot\n"), "{said}");
}

/// Keys at the choice that leave everything as it is, each in its own way.
const LEAVE: [&str; 14] = [
    "\x1b",
    "q",
    "\x03",
    "\r",
    "\n",
    " ",
    "y\r",
    "sys-net\r",
    "0000:00:07.0\r",
    "\x04\r",
    "\x1a\r",
    "\x1c\r",
    "\x1b[B\x1b[A\r",
    "\x1b[5~\x1b[6~\x7f\t\t\t\r",
];

#[test]
fn no_key_at_the_choice_goes_on_by_itself() {
    for keys in LEAVE {
        let shown = changes_nothing(&exposed(), Answer::Keys(keys));
        assert!(shown.ends_with("Nothing was changed.\n"), "{keys:?}: {shown}");
    }
}

#[test]
fn ctrl_d_ctrl_z_and_ctrl_backslash_leave_the_choice_standing() {
    let dom0 = exposed();
    for keys in ["\x04", "\x1a", "\x1c"] {
        let mut session = Session::begin(&dom0.command(&["reattach", NIC]), (24, 80), "");
        assert!(session.until_question());
        session.press(keys);
        // The choice is drawn once more, with the same item marked.
        assert!(session.until(|shown| {
            let shown = plain(shown);
            shown.contains("return it now") && shown.contains("> leave")
        }));
        session.press("\x1b");
        let (shown, status) = session.end();
        assert_eq!(status.code(), Some(4), "{shown}");
    }
}

#[test]
fn any_other_word_is_pointed_out_and_asked_for_once_more() {
    for line in [
        "y",
        "yes",
        "work",
        "0000:00:07.0",
        "sys-net2",
        "sys net",
        "SYS-NET",
        " sys-net",
        "sys-net ",
        "\x1b[A",
    ] {
        let answers = [GO_ON, &format!("{line}\r"), &format!("{line}\r")];
        let shown = changes_nothing(&exposed(), Answer::Each(&answers));
        if !line.starts_with('\x1b') {
            assert!(shown.contains(&format!("\"{line}\" is not sys-net; once more.")), "{shown}");
            assert!(shown.contains(&format!("\"{line}\" is not sys-net.\n")), "{shown}");
        }
        assert!(shown.ends_with("Nothing was changed.\n"), "{shown}");
    }
}

#[test]
fn ctrl_c_ctrl_d_and_ctrl_backslash_at_the_line_change_nothing() {
    for key in ["\r", "\x03", "\x04", "\x1c", "sys-net\x03", "sys-net\x04\x04", "sys-net\x15\r"] {
        let shown = changes_nothing(&exposed(), Answer::Types(key));
        assert!(shown.ends_with("Nothing was changed.\n"), "{key:?}: {shown}");
    }
}

#[test]
fn a_terminal_that_is_closed_changes_nothing() {
    changes_nothing(&exposed(), Answer::Closes);
    let dom0 = exposed();
    let before = dom0.contents();
    let mut session = Session::begin(&dom0.command(&["reattach", NIC]), (24, 80), "");
    session.until_question();
    session.press(GO_ON);
    session.until_question();
    assert_eq!(session.close().1.code(), Some(4));
    assert_eq!(before, dom0.contents());
}

#[test]
fn a_signal_changes_nothing() {
    for signal in [Signal::SIGTERM, Signal::SIGHUP, Signal::SIGINT, Signal::SIGQUIT] {
        let shown = changes_nothing(&exposed(), Answer::Signals(signal));
        assert!(shown.ends_with("Nothing was changed.\n"), "{signal}: {shown}");
        let dom0 = exposed();
        let before = dom0.contents();
        let mut session = Session::begin(&dom0.command(&["reattach", NIC]), (24, 80), "");
        session.until_question();
        session.press(GO_ON);
        session.until_question();
        session.signal(signal);
        let (shown, status) = session.end();
        assert_eq!(status.code(), Some(4), "{signal}: {shown}");
        assert!(plain(&shown).ends_with("Nothing was changed.\n"), "{signal}: {shown}");
        assert_eq!(before, dom0.contents());
    }
}

/// Waits until a process is stopped, or runs on.
fn until_state(session: &Session, stopped: bool) {
    let stat = format!("/proc/{}/stat", session.id());
    for _ in 0..2000 {
        let text = std::fs::read_to_string(&stat).unwrap();
        if (text.rsplit(") ").next().unwrap().starts_with('T')) == stopped {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    panic!("stopped: not {stopped}");
}

#[test]
fn after_a_stop_from_elsewhere_the_question_is_shown_again() {
    let dom0 = exposed();
    for signal in [Signal::SIGTSTP, Signal::SIGSTOP] {
        let mut session = Session::begin(&dom0.command(&["reattach", NIC]), (24, 80), "");
        session.until_question();
        session.signal(signal);
        until_state(&session, true);
        session.signal(Signal::SIGCONT);
        assert!(session.until_question(), "the choice");
        session.press(GO_ON);
        session.until_question();
        session.press("sys-n");
        // The terminal's own stop is a shell's affair, see below.
        session.signal(Signal::SIGSTOP);
        until_state(&session, true);
        session.signal(Signal::SIGCONT);
        assert!(session.until_question(), "the line");
        session.press("\x15\r");
        let (shown, status) = session.end();
        assert_eq!(status.code(), Some(4), "{shown}");
        let shown = plain(&shown);
        assert_eq!(shown.matches("arrow keys").count(), 2, "{shown}");
        assert_eq!(shown.matches("To go on, type sys-net").count(), 2, "{shown}");
    }
}

#[test]
fn after_ctrl_z_and_fg_the_question_is_shown_again() {
    let dom0 = exposed();
    let before = dom0.contents();
    let mut shell = std::process::Command::new("bash");
    shell.args(["--norc", "--noprofile", "-i"]).env("PS1", "ready> ").env("TERM", "xterm");
    let mut session = Session::begin(&shell, (24, 200), "");
    session.until(|shown| shown.ends_with("ready> "));
    let command = dom0.command(&["reattach", NIC]);
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let line: Vec<_> = words.map(|word| word.to_string_lossy().into_owned()).collect();
    session.press(&format!("{}\r", line.join(" ")));
    assert!(session.until_question());
    session.press(GO_ON);
    assert!(session.until_question());
    session.press("sys-\x1a");
    assert!(session.until(|shown| shown.contains("Stopped") && shown.ends_with("ready> ")));
    session.press("fg\r");
    assert!(session.until_question(), "the line");
    session.press("net\r");
    assert!(session.until_question(), "once more");
    session.press("\r");
    assert!(session.until(|shown| shown.contains("Nothing was changed.") && shown.ends_with("ready> ")));
    session.press("echo status $?\r");
    assert!(session.until(|shown| shown.contains("status 4\r\n") && shown.ends_with("ready> ")));
    session.press("exit\r");
    session.end();
    assert_eq!(before, dom0.contents());
}

#[test]
fn what_was_typed_before_the_question_is_no_answer() {
    for keys in ["sys-net\r", "jj\r", "\x1b[A\rsys-net\r", "jj\rsys-net\r"] {
        let shown = changes_nothing(&exposed(), Answer::TooEarly(keys));
        assert!(!shown.contains("To go on, type"), "{keys:?}: {shown}");
    }
}

#[test]
fn what_is_pasted_behind_the_choice_does_not_answer_the_line() {
    for paste in ["jj\rsys-net\r", "\x1b[A\rsys-net\rsys-net\r"] {
        let dom0 = exposed();
        let before = dom0.contents();
        let mut session = Session::begin(&dom0.command(&["reattach", NIC]), (24, 80), "");
        session.until_question();
        session.press(paste);
        assert!(session.until_question());
        session.press("\r");
        let (shown, status) = session.end();
        assert_eq!(status.code(), Some(4), "{paste:?}: {shown}");
        assert_eq!(before, dom0.contents());
    }
}

#[test]
fn a_terminal_that_cannot_show_the_choice_asks_nothing() {
    let dom0 = exposed();
    let before = dom0.contents();
    for (term, size) in [("dumb", (24, 80)), ("xterm", (2, 80)), ("xterm", (7, 80)), ("xterm", (24, 10))] {
        let mut command = dom0.command(&["reattach", NIC]);
        command.env("TERM", term);
        let (shown, status) = Session::begin(&command, size, "sys-net\r").end();
        assert_eq!(status.code(), Some(4), "{shown}");
        assert!(shown.contains("not accepted: exposed:sys-net") && !shown.contains("arrow keys"), "{shown}");
    }
    assert_eq!(before, dom0.contents());
}

#[test]
fn a_device_that_changes_while_the_question_is_open_is_left_alone() {
    let dom0 = exposed();
    let start = || dom0.write("sys/bus/pci/drivers/pciback/permissive", format!("{NIC}\n"));
    let (shown, status) = dom0.ask(&["reattach", NIC], Answer::Meanwhile(&start, "sys-net\r"));
    assert_eq!(status.code(), Some(4), "{shown}");
    assert!(plain(&shown).contains("the device changed while the question was open"), "{shown}");
    let start = || dom0.runs(7, "sys-net");
    let (shown, status) = dom0.ask(&["reattach", NIC], Answer::Meanwhile(&start, "sys-net\r"));
    assert_eq!(status.code(), Some(4), "{shown}");
    assert!(!dom0.run(&["audit", "log"]).out.contains("reattach"));
}

#[test]
fn other_operations_need_not_wait_for_the_answer() {
    let dom0 = exposed();
    let hold = || {
        dom0.run(&["hold", NIC]).exits(0).says("nothing to do");
    };
    let (shown, status) = dom0.ask(&["reattach", NIC], Answer::Meanwhile(&hold, "\r"));
    assert_eq!(status.code(), Some(4), "{shown}");
}

#[test]
fn the_name_of_the_qube_goes_on() {
    let dom0 = exposed();
    let (shown, status) = dom0.ask(&["reattach", NIC], Answer::Types("sys-net\r"));
    // The model's kernel does not act: the first step finds no proof and is undone.
    assert!(!matches!(status.code(), Some(2..=4) | None), "{status:?}: {shown}");
    assert!(shown.contains("pin"), "{shown}");
    let log = dom0.run(&["audit", "log"]).out;
    assert!(log.contains("reattach"), "{log}");
}

#[test]
fn where_no_qube_is_known_the_address_goes_on() {
    let dom0 = Dom0::with(Function::nic(NIC).held().quarantined());
    let (shown, _) = dom0.ask(&["reattach", NIC], Answer::Types("0000:00:07.0\r"));
    assert!(shown.contains("To go on, type 0000:00:07.0"), "{shown}");
    assert!(shown.contains("pin"), "{shown}");
}

#[test]
fn nobody_is_asked_through_a_pipe() {
    let dom0 = exposed();
    let before = dom0.contents();
    // Each of the two streams the question needs is no terminal once.
    for piped in ["stdin", "stderr"] {
        let (_stdin, of_stdin) = stream();
        let (_stderr, of_stderr) = stream();
        let mut command = dom0.command(&["reattach", NIC]);
        command.stdout(Stdio::null()).stdin(of_stdin).stderr(of_stderr);
        if piped == "stdin" {
            command.stdin(Stdio::piped());
        } else {
            command.stderr(Stdio::null());
        }
        let mut child = command.spawn().unwrap();
        if let Some(mut pipe) = child.stdin.take() {
            let _ = pipe.write_all(b"sys-net\n");
        }
        assert_eq!(child.wait().unwrap().code(), Some(4), "{piped}");
    }
    assert_eq!(before, dom0.contents());
}

#[test]
fn nobody_is_asked_by_a_script_on_a_terminal() {
    let dom0 = exposed();
    for script in [["--json", "reattach", NIC], ["--quiet", "reattach", NIC]] {
        let (shown, status) = dom0.ask(&script, Answer::Keys(""));
        assert_eq!(status.code(), Some(4), "{shown}");
        assert!(!shown.contains("arrow keys"), "{shown}");
    }
}

/// The screen with the question on it, line by line.
#[track_caller]
fn screen(dom0: &Dom0) -> Vec<String> {
    let (shown, _) = dom0.ask(&["reattach", NIC], Answer::Keys("\r"));
    let shown = plain(&shown);
    let end = shown.find("return it now, at these risks\n").unwrap_or_else(|| panic!("{shown}"));
    let lines: Vec<String> = shown[..end].lines().map(str::to_owned).collect();
    let rows: usize = lines.iter().map(|line| line.chars().count().div_ceil(80).max(1)).sum();
    // The cursor stands in one more.
    assert!(rows < 24, "{rows} rows:\n{shown}");
    for line in &lines {
        // A command is for copying: it is never broken.
        assert!(line.starts_with("  echo ") || line.chars().count() <= 80, "{line:?}");
    }
    lines
}

/// A dom0 where everything is wrong with the device that can be accepted.
fn dreadful() -> Dom0 {
    let mut function = Function::new(NIC, 0x8086, 0x10d3, 0x02_0000).held().quarantined().without_reset();
    function.config[0x30..0x34].copy_from_slice(&0xfeb0_0000u32.to_le_bytes());
    let mut dom0 = Dom0::with(function);
    dom0.add(Function::nic("0000:00:07.1").owned_by("d9"));
    for number in 10..30 {
        dom0.node(format!("/local/domain/0/backend/pci/{number}/0/dev-0"), NIC);
        dom0.node(format!("/local/domain/0/backend/pci/{number}/0/domain"), format!("qube-{number}"));
        dom0.node(
            format!("/local/domain/0/backend/pci/{number}/0/opts-0"),
            "permissive=1,rdm_policy=relaxed",
        );
    }
    dom0.write("proc/xen/model/no-iommu", "");
    dom0.write("etc/qubes-release", "Qubes release 4.3.0 (R4.3)\n");
    dom0.write("proc/cmdline", "rd.qubes.hide_pci=00:07.0 xen-pciback.hide=(00:07.0)\n");
    dom0.write("usr/share/hwdata/pci.ids", format!("8086  {}\n", "Very ".repeat(60)));
    dom0
}

#[test]
fn the_dossier_is_one_screen_with_the_worst_first() {
    let dom0 = exposed();
    let lines = screen(&dom0);
    assert!(
        lines[0].starts_with("0000:00:07.0  Ethernet controller: Intel Corporation 82574L"),
        "{lines:#?}"
    );
    assert!(lines[1].starts_with("now   Xen's owner DomIO; held by pciback, in quarantine"), "{lines:#?}");
    let place =
        |text: &str| lines.iter().position(|line| line.contains(text)).unwrap_or_else(|| panic!("{text}"));
    assert!(place("warn  exposed:sys-net") < place("warn  unknown-history"));
    assert!(place("warn  unknown-history") < place("warn  network"));
    assert!(place("warn  network") < place("Recommended: reboot"));
    assert!(place("Recommended: reboot") < place("> leave everything as it is"));
}

#[test]
fn hazards_that_have_no_room_are_counted_and_named() {
    let lines = screen(&dreadful());
    let rest = lines
        .iter()
        .find(|line| line.contains(" more (show 0000:00:07.0): "))
        .unwrap_or_else(|| panic!("{lines:#?}"));
    assert!(rest.starts_with("  and "), "{rest}");
    assert!(lines.iter().any(|line| line.contains("warn  exposed:qube-29")), "{lines:#?}");
    assert!(lines.iter().any(|line| line.contains("systemctl poweroff")), "{lines:#?}");
}

#[test]
fn the_dossier_needs_no_colour() {
    let dom0 = exposed();
    let (coloured, _) = dom0.ask(&["reattach", NIC], Answer::Keys("\r"));
    assert!(coloured.contains("\x1b[33m"), "{coloured}");
    dom0.write("unused", "");
    let mut command = dom0.command(&["reattach", NIC]);
    command.env("NO_COLOR", "1");
    let (bare, _) = crate::model::terminal::asked(&command, Answer::Keys("\r"));
    assert!(bare.contains("warn  exposed:sys-net") && !bare.contains("\x1b[33m"), "{bare}");
    assert!(!bare.contains("\x1b[1m"), "{bare}");
}

#[test]
fn hostile_names_do_not_act_on_the_prompt() {
    let dom0 = Dom0::with(Function::nic(NIC).held().quarantined().pinned(b"\x1b[2J"));
    dom0.node("/local/domain/0/backend/pci/7/0/dev-0", NIC);
    dom0.node("/local/domain/0/backend/pci/7/0/domain", b"sys\x1b[2J`net\r");
    let (shown, status) = dom0.ask(&["reattach", NIC], Answer::Keys("\r"));
    assert_eq!(status.code(), Some(4), "{shown}");
    assert!(!shown.contains("\x1b[2J"), "{shown}");
    let (shown, _) = dom0.ask(&["reattach", NIC], Answer::Types("\r"));
    assert!(shown.contains("To go on, type domain-7"), "{shown}");
}
