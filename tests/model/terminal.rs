//! A terminal for the program: colours, the screen and the question are only for these.

use nix::fcntl::OFlag;
use nix::poll::{poll, PollFd, PollFlags};
use nix::pty::{grantpt, posix_openpt, ptsname_r, unlockpt};
use nix::sys::signal::Signal;
use nix::sys::termios::{tcgetattr, Termios};
use nix::unistd::Pid;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::process::{Child, Command, ExitStatus, Stdio};

/// Chooses the last item, which goes on: two down, Enter.
pub const GO_ON: &str = "\x1b[B\x1b[B\r";

/// What a person does when the question is on the screen: first the choice, then the line to be typed.
pub enum Answer<'a> {
    /// Presses these keys at the choice.
    Keys(&'a str),
    /// Chooses to go on, and presses these keys at the line.
    Types(&'a str),
    /// Presses these keys before the question is there, and Esc when it is.
    TooEarly(&'a str),
    /// Closes the terminal at the choice.
    Closes,
    /// Sends the program this signal from elsewhere, at the choice.
    Signals(Signal),
    /// Presses these keys at the first question, these at the next.
    Each(&'a [&'a str]),
    /// Does this at the choice, then chooses to go on, and presses these keys at the line.
    Meanwhile(&'a dyn Fn(), &'a str),
}

/// Runs a command on a terminal of its own, 80 by 24, that controls it; answers its question; returns what it showed
/// and how it ended. The terminal has to be as it was.
#[track_caller]
pub fn asked(command: &Command, answer: Answer<'_>) -> (String, ExitStatus) {
    let early = if let Answer::TooEarly(keys) = answer { keys } else { "" };
    let mut session = Session::begin(command, (24, 80), early);
    session.until_question();
    match answer {
        Answer::Keys(keys) => session.press(keys),
        Answer::Types(keys) => session.each(&[GO_ON, keys]),
        Answer::TooEarly(_) => session.press("\x1b"),
        Answer::Each(answers) => session.each(answers),
        Answer::Signals(signal) => session.signal(signal),
        Answer::Meanwhile(act, keys) => {
            act();
            session.each(&[GO_ON, keys]);
        }
        Answer::Closes => return session.close(),
    }
    session.end()
}

/// A program on a terminal of its own.
pub struct Session {
    master: File,
    child: Child,
    before: Termios,
    text: Vec<u8>,
    /// Where what was not looked at yet begins.
    looked: usize,
}

impl Session {
    /// Starts it on a terminal of so many rows and columns, at which these keys were pressed before.
    pub fn begin(command: &Command, (rows, columns): (u16, u16), early: &str) -> Self {
        let (mut master, slave, name) = pair();
        let size = [rows.to_string(), columns.to_string()];
        let stty = ["-F", &name, "rows", &size[0], "cols", &size[1]];
        assert!(Command::new("stty").args(stty).status().unwrap().success());
        let before = tcgetattr(&master).unwrap();
        master.write_all(early.as_bytes()).unwrap();
        let child = controlled(command, slave);
        Self { master, child, before, text: Vec::new(), looked: 0 }
    }

    /// What it has shown so far.
    pub fn shown(&self) -> String {
        String::from_utf8_lossy(&self.text).into_owned()
    }

    /// What it has shown since the last wait.
    fn unseen(&self) -> String {
        String::from_utf8_lossy(&self.text[self.looked..]).into_owned()
    }

    /// Reads until this holds of what is new; `false` where it ends before.
    #[track_caller]
    pub fn until(&mut self, holds: impl Fn(&str) -> bool) -> bool {
        let mut some = [0; 512];
        loop {
            if holds(&self.unseen()) {
                self.looked = self.text.len();
                return true;
            }
            let mut watched = [PollFd::new(self.master.as_fd(), PollFlags::POLLIN)];
            if poll(&mut watched, 60_000u16).unwrap() == 0 {
                let _ = self.child.kill();
                panic!("it waits: {}", self.shown());
            }
            match self.master.read(&mut some) {
                Ok(count @ 1..) => self.text.extend_from_slice(&some[..count]),
                _ => return false,
            }
        }
    }

    /// Reads until a question is on the screen: the choice with its last item, or the line.
    #[track_caller]
    pub fn until_question(&mut self) -> bool {
        self.until(|shown| {
            let shown = console::strip_ansi_codes(shown);
            let last = shown.strip_suffix("\r\n").and_then(|shown| shown.lines().last()).unwrap_or("");
            let item = last.trim_start_matches(['>', ' ']);
            let goes_on = ["return it now", "return them now", "take back the assignment"];
            shown.ends_with("leaves everything as it is: ")
                || shown.contains("arrow keys") && goes_on.iter().any(|words| item.starts_with(words))
        })
    }

    /// Answers one question after the other; the first is there.
    #[track_caller]
    pub fn each(&mut self, answers: &[&str]) {
        for (at, keys) in answers.iter().enumerate() {
            if at > 0 {
                self.until_question();
            }
            self.press(keys);
        }
    }

    /// Presses keys.
    pub fn press(&mut self, keys: &str) {
        // Who has ended takes no keys any more.
        let _ = self.master.write_all(keys.as_bytes());
    }

    /// The program's process; `setsid` has become it.
    pub fn id(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).unwrap())
    }

    /// Sends the program a signal.
    pub fn signal(&self, signal: Signal) {
        nix::sys::signal::kill(self.id(), signal).unwrap();
    }

    /// Closes the terminal.
    pub fn close(self) -> (String, ExitStatus) {
        let shown = self.shown();
        let Self { master, mut child, .. } = self;
        drop(master);
        (shown, child.wait().unwrap())
    }

    /// Waits for the end. The terminal has to be as it was, and its cursor to be seen.
    #[track_caller]
    pub fn end(mut self) -> (String, ExitStatus) {
        while self.until(|_| false) {}
        let status = self.child.wait().unwrap();
        let (before, after) = (&self.before, tcgetattr(&self.master).unwrap());
        let shown = self.shown();
        assert_eq!(
            (before.local_flags, before.input_flags, before.output_flags),
            (after.local_flags, after.input_flags, after.output_flags),
            "the terminal is not as it was: {shown}"
        );
        assert!(shown.rfind("\x1b[?25l") <= shown.rfind("\x1b[?25h"), "the cursor is hidden: {shown}");
        (shown, status)
    }
}

/// The terminal is the command's own, so that its keys make signals; `setsid` then runs it in its place.
fn controlled(command: &Command, slave: File) -> Child {
    let mut own = Command::new("setsid");
    own.arg("--ctty").arg(command.get_program()).args(command.get_args()).env_clear();
    own.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let copy = || Stdio::from(slave.try_clone().unwrap());
    own.stdin(copy()).stdout(copy()).stderr(copy()).spawn().unwrap()
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
