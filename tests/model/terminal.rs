//! A terminal for the program: colours, the screen and the question are only for these.

use nix::fcntl::OFlag;
use nix::pty::{grantpt, posix_openpt, ptsname_r, unlockpt};
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::process::{Child, Command, ExitStatus, Stdio};

/// What a person does when the question is on the screen.
pub enum Answer<'a> {
    /// Presses these keys.
    Keys(&'a str),
    /// Presses these keys before the question is there, and Ctrl-D when it is.
    TooEarly(&'a str),
    /// Closes the terminal.
    Closes,
    /// Sends the program this signal from elsewhere.
    Signals(nix::sys::signal::Signal),
    /// Presses these keys at the first question, these at the next.
    Each(&'a [&'a str]),
    /// Does this, then presses these keys.
    Meanwhile(&'a dyn Fn(), &'a str),
}

/// Runs a command on a terminal of its own, 80 by 24, that controls it; answers its question; returns what it showed
/// and how it ended.
pub fn asked(command: &Command, answer: Answer<'_>) -> (String, ExitStatus) {
    let (mut master, slave, name) = pair();
    assert!(Command::new("stty").args(["-F", &name, "rows", "24", "cols", "80"]).status().unwrap().success());
    if let Answer::TooEarly(keys) = answer {
        master.write_all(keys.as_bytes()).unwrap();
    }
    let mut child = controlled(command, slave);
    let mut text = until_question(&mut master);
    match answer {
        Answer::Keys(keys) => master.write_all(keys.as_bytes()).unwrap(),
        Answer::TooEarly(_) => master.write_all(b"\x04").unwrap(),
        Answer::Each(answers) => {
            for (at, keys) in answers.iter().enumerate() {
                if at > 0 {
                    text.extend(until_question(&mut master));
                }
                master.write_all(keys.as_bytes()).unwrap();
            }
        }
        Answer::Signals(signal) => {
            let id = nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap());
            nix::sys::signal::kill(id, signal).unwrap();
        }
        Answer::Meanwhile(act, keys) => {
            act();
            master.write_all(keys.as_bytes()).unwrap();
        }
        Answer::Closes => {
            drop(master);
            return (String::from_utf8_lossy(&text).into_owned(), child.wait().unwrap());
        }
    }
    let _ = master.read_to_end(&mut text);
    (String::from_utf8_lossy(&text).into_owned(), child.wait().unwrap())
}

/// The terminal is the command's own, so that its keys make signals; `setsid` then runs it in its place.
fn controlled(command: &Command, slave: File) -> Child {
    let mut own = Command::new("setsid");
    own.arg("--ctty").arg(command.get_program()).args(command.get_args()).env_clear();
    own.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let copy = || Stdio::from(slave.try_clone().unwrap());
    own.stdin(copy()).stdout(copy()).stderr(copy()).spawn().unwrap()
}

fn until_question(master: &mut File) -> Vec<u8> {
    let (mut text, mut some) = (Vec::new(), [0; 512]);
    while let Ok(count @ 1..) = master.read(&mut some) {
        text.extend_from_slice(&some[..count]);
        let shown = String::from_utf8_lossy(&text);
        if shown.contains("or type `") && shown.ends_with(": ") {
            break;
        }
    }
    text
}

/// Runs a command with a terminal as stdout and returns what it printed there.
pub fn printed(command: &mut Command) -> String {
    printed_at(command, 80)
}

/// Runs a command with a terminal of so many columns as stdout and returns what it printed there.
pub fn printed_at(command: &mut Command, columns: usize) -> String {
    let (mut master, slave, name) = pair();
    let columns = columns.to_string();
    assert!(Command::new("stty")
        .args(["-F", &name, "rows", "24", "cols", &columns])
        .status()
        .unwrap()
        .success());
    let mut child = command.stdout(Stdio::from(slave)).stderr(Stdio::null()).spawn().unwrap();
    // The command keeps a copy of the terminal's other side: without this the
    // end of its output is never seen.
    command.stdout(Stdio::null());
    let mut text = Vec::new();
    // The end of a terminal reads as EIO.
    let _ = master.read_to_end(&mut text);
    child.wait().unwrap();
    String::from_utf8(text).unwrap()
}

/// Runs an interactive shell on a terminal that controls it, types these keys when its prompt is there, then `exit`, and
/// returns what the terminal showed.
pub fn typed(command: &Command, prompt: &str, keys: &str) -> String {
    let (mut master, slave, name) = pair();
    assert!(Command::new("stty")
        .args(["-F", &name, "rows", "50", "cols", "400"])
        .status()
        .unwrap()
        .success());
    let mut child = controlled(command, slave);
    let (mut text, mut some) = (Vec::new(), [0; 512]);
    let mut typed = false;
    while let Ok(count @ 1..) = master.read(&mut some) {
        text.extend_from_slice(&some[..count]);
        if !typed && String::from_utf8_lossy(&text).contains(prompt) {
            master.write_all(keys.as_bytes()).unwrap();
            master.write_all(b"\nexit\n").unwrap();
            typed = true;
        }
    }
    child.wait().unwrap();
    String::from_utf8_lossy(&text).into_owned()
}

/// A terminal's other side, for one stream of a program.
pub fn stream() -> (File, Stdio) {
    let (master, slave, _) = pair();
    (master, Stdio::from(slave))
}

/// Both sides of a terminal, and its name.
fn pair() -> (File, File, String) {
    let master = posix_openpt(OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let name = ptsname_r(&master).unwrap();
    let slave =
        OpenOptions::new().read(true).write(true).custom_flags(OFlag::O_NOCTTY.bits()).open(&name).unwrap();
    (File::from(OwnedFd::from(master)), slave, name)
}
