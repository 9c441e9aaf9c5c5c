//! A terminal for the program's output: colours are only for these.

use nix::fcntl::OFlag;
use nix::pty::{grantpt, posix_openpt, ptsname_r, unlockpt};
use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::process::{Command, Stdio};

/// Runs a command with a terminal as stdout and returns what it printed there.
pub fn printed(command: &mut Command) -> String {
    let master = posix_openpt(OFlag::O_RDWR | OFlag::O_NOCTTY).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let slave = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(OFlag::O_NOCTTY.bits())
        .open(ptsname_r(&master).unwrap())
        .unwrap();
    let mut child = command.stdout(Stdio::from(slave)).stderr(Stdio::null()).spawn().unwrap();
    // The command keeps a copy of the terminal's other side: without this the
    // end of its output is never seen.
    command.stdout(Stdio::null());
    let mut text = Vec::new();
    // The end of a terminal reads as EIO.
    let _ = File::from(OwnedFd::from(master)).read_to_end(&mut text);
    child.wait().unwrap();
    String::from_utf8(text).unwrap()
}
