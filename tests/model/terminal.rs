//! A terminal for the program's output: colours are only for these.

use nix::fcntl::OFlag;
use nix::pty::{grantpt, posix_openpt, ptsname_r, unlockpt};
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::process::{Command, Stdio};

/// Runs a command with a terminal as all three of its streams, types a line, and
/// returns what it showed and its exit status.
pub fn talked(command: &mut Command, line: &str) -> (String, Option<i32>) {
    let (mut master, slave) = pair();
    let copy = || Stdio::from(slave.try_clone().unwrap());
    let mut child = command.stdin(copy()).stdout(copy()).stderr(copy()).spawn().unwrap();
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    drop(slave);
    master.write_all(line.as_bytes()).unwrap();
    let mut text = Vec::new();
    let _ = master.read_to_end(&mut text);
    (String::from_utf8_lossy(&text).into_owned(), child.wait().unwrap().code())
}

/// Runs a command with a terminal as stdout and returns what it printed there.
pub fn printed(command: &mut Command) -> String {
    let (mut master, slave) = pair();
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

/// Both sides of a terminal.
fn pair() -> (File, File) {
    let master = posix_openpt(OFlag::O_RDWR | OFlag::O_NOCTTY).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let slave = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(OFlag::O_NOCTTY.bits())
        .open(ptsname_r(&master).unwrap())
        .unwrap();
    (File::from(OwnedFd::from(master)), slave)
}
