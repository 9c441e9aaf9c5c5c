//! The child that carries out changes, one at a time, so that a kernel write that
//! never returns takes the child and not the operation.
//!
//! It is this program again, executed anew and not forked, with an empty
//! environment and no descriptor but two pipes and the operation's lock. One
//! request is one line of words in hex; one answer is one line.

#![forbid(unsafe_code)]

use super::root::Sysroot;
use super::xen::Xen;
use crate::error::{Code, Exit, Failure};
use crate::names::{escape, hex, unhex, ModuleName, Sbdf};
use nix::poll::{poll, PollFd, PollFlags, PollTimeout};
use std::fs::OpenOptions;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

/// Where the command register is in config space.
const COMMAND: u64 = 4;

/// One change. Every one is a single system call, hypercall or program.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Act {
    /// Write a text to an existing file of sysfs, in one write.
    Write(PathBuf, String),
    /// Write the command register (PCI Local Bus 3.0, 6.2.2) through a function's `config`.
    Command(PathBuf, u16),
    /// Create a file with a text, whole or not at all.
    Create(PathBuf, String),
    /// Remove a file.
    Remove(PathBuf),
    /// Give a function to DomIO.
    Quarantine(Sbdf),
    /// Take a function from DomIO.
    Dequarantine(Sbdf),
    /// `modprobe`, which knows dependencies, options and install commands.
    Load {
        /// The module.
        module: ModuleName,
        /// Load it although it is blacklisted.
        blacklisted_too: bool,
    },
    /// Have udev read its rules again.
    ReloadUdev,
}

/// How a change went, as far as the kernel said. It proves nothing: read back.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answer {
    /// The kernel took it.
    Accepted,
    /// The kernel refused it.
    Refused {
        /// The errno; 0 where a program failed.
        errno: i32,
        /// In words, with the path.
        message: String,
    },
    /// No answer within the time; the write may still happen.
    Hung,
    /// The child is gone without an answer; the change may have been made.
    Lost(String),
}

/// The running child.
pub struct Worker {
    child: Child,
    requests: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    timeout: Duration,
    hung: bool,
}

impl Worker {
    /// Starts the child.
    ///
    /// # Errors
    /// The program cannot be executed again.
    pub fn start(root: &Sysroot, timeout: Duration) -> Result<Self, Failure> {
        let failed = |error: io::Error| {
            Failure::new(
                Exit::Undone,
                Code::Worker,
                format!("the child for kernel writes does not start: {error}"),
                "check free memory and process limits",
            )
        };
        let mut command = Command::new("/proc/self/exe");
        command.env_clear().process_group(0);
        if root.is_model() {
            command.arg("--sysroot").arg(root.path("/"));
        }
        command.arg("worker").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().map_err(failed)?;
        let requests = child.stdin.take();
        let answers = child.stdout.take().ok_or_else(|| failed(io::ErrorKind::BrokenPipe.into()))?;
        Ok(Self { child, requests, answers: BufReader::new(answers), timeout, hung: false })
    }

    /// Puts a new child in the place of one that was lost; what took it, say a lack
    /// of memory, may take a few more.
    ///
    /// # Errors
    /// [`Code::Hung`]: the old one does not end (it sits in the kernel). Else no new one starts.
    pub fn replace(&mut self, root: &Sysroot) -> Result<(), Failure> {
        self.requests = None;
        let _ = self.child.kill();
        let deadline = Instant::now() + Duration::from_secs(5);
        while !matches!(self.child.try_wait(), Ok(Some(_))) {
            if Instant::now() > deadline {
                self.hung = true;
                return Err(Failure::new(Exit::Hung, Code::Hung, "the child does not end", "reboot"));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        loop {
            match Self::start(root, self.timeout) {
                Ok(started) => {
                    *self = started;
                    return Ok(());
                }
                Err(failure) if Instant::now() > deadline => return Err(failure),
                Err(_) => std::thread::sleep(Duration::from_millis(200)),
            }
        }
    }

    /// Where in the kernel the child sits, as far as it tells.
    #[must_use]
    pub fn stuck_in(&self) -> String {
        let read = |file: &str| std::fs::read_to_string(format!("/proc/{}/{file}", self.child.id()));
        let place =
            read("stack").ok().filter(|stack| !stack.trim().is_empty()).or_else(|| read("wchan").ok());
        // A line of the stack is "[<0>] name+0x112/0x210".
        let name = |line: &str| line.split_whitespace().last()?.split('+').next().map(str::to_owned);
        let names: Vec<String> =
            place.as_deref().unwrap_or_default().lines().filter_map(name).take(4).collect();
        let names = escape(names.join(", ").as_bytes());
        if names.is_empty() || names == "0" {
            return format!("process {}", self.child.id());
        }
        format!("process {} in {names}", self.child.id())
    }

    /// Carries out one change and says how it went.
    pub fn carry_out(&mut self, act: &Act) -> Answer {
        self.carry_out_watched(act, &mut |_, _| {})
    }

    /// Carries out one change and says how it went; some times a second it tells how long it has waited, and
    /// for how long at most.
    pub fn carry_out_watched(&mut self, act: &Act, waits: &mut dyn FnMut(Duration, Duration)) -> Answer {
        if self.hung {
            return Answer::Hung;
        }
        let mut line = encode(act);
        line.push('\n');
        let Some(requests) = &mut self.requests else { return lost("its pipe is closed") };
        if let Err(error) = requests.write_all(line.as_bytes()).and_then(|()| requests.flush()) {
            return lost(&error.to_string());
        }
        let deadline = Instant::now() + self.timeout;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let milliseconds = u16::try_from(left.as_millis().min(200)).unwrap_or(200);
            let ready = {
                let mut descriptors = [PollFd::new(self.answers.get_ref().as_fd(), PollFlags::POLLIN)];
                poll(&mut descriptors, PollTimeout::from(milliseconds))
            };
            match ready {
                Ok(0) if left.is_zero() => {
                    self.hung = true;
                    return Answer::Hung;
                }
                Ok(0) | Err(nix::errno::Errno::EINTR) => {
                    waits(self.timeout.saturating_sub(left), self.timeout)
                }
                Ok(_) => break,
                Err(error) => return lost(&error.to_string()),
            }
        }
        // An answer is far below PIPE_BUF and comes in one piece.
        let mut answer = String::new();
        match self.answers.read_line(&mut answer) {
            Ok(0) => lost("it died"),
            Ok(_) => decode_answer(answer.trim_end()),
            Err(error) => lost(&error.to_string()),
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.requests = None;
        if self.hung {
            // It cannot be killed while the kernel does not let it go; it keeps the
            // operation's lock until then.
            let _ = self.child.kill();
        } else {
            let _ = self.child.wait();
        }
    }
}

fn lost(why: &str) -> Answer {
    Answer::Lost(why.to_owned())
}

/// The child: reads requests until the pipe closes.
pub fn serve(root: &Sysroot) -> io::Result<()> {
    let _held = super::signals::HeldSignals::hold();
    let mut requests = io::stdin().lock();
    let mut answers = io::stdout().lock();
    let mut xen = None;
    let mut line = String::new();
    while requests.read_line(&mut line)? > 0 {
        let answer = match decode(line.trim_end()) {
            Some(act) => perform(root, &mut xen, &act),
            None => Err(io::Error::from(io::ErrorKind::InvalidInput)),
        };
        match answer {
            Ok(()) => writeln!(answers, "ok")?,
            Err(error) => {
                let errno = error.raw_os_error().unwrap_or(0);
                writeln!(answers, "no {errno} {}", escape(error.to_string().as_bytes()))?;
            }
        }
        answers.flush()?;
        line.clear();
    }
    Ok(())
}

fn perform(root: &Sysroot, xen: &mut Option<Xen>, act: &Act) -> io::Result<()> {
    let open_xen = |xen: &mut Option<Xen>| -> io::Result<()> {
        if xen.is_none() {
            *xen = Some(Xen::open(root).map_err(|failure| io::Error::other(failure.message))?);
        }
        Ok(())
    };
    match act {
        Act::Write(path, text) => {
            let mut file = OpenOptions::new().write(true).open(path)?;
            // One write: the kernel takes each as a value of its own.
            let written = file.write(text.as_bytes())?;
            if written == text.len() {
                Ok(())
            } else {
                Err(io::ErrorKind::WriteZero.into())
            }
        }
        Act::Command(path, value) => {
            let file = OpenOptions::new().write(true).open(path)?;
            file.write_all_at(&value.to_le_bytes(), COMMAND)
        }
        Act::Create(path, text) => create(path, text),
        Act::Remove(path) => std::fs::remove_file(path),
        Act::Quarantine(sbdf) => {
            open_xen(xen)?;
            xen.as_ref().map_or(Ok(()), |xen| xen.quarantine(*sbdf))
        }
        Act::Dequarantine(sbdf) => {
            open_xen(xen)?;
            xen.as_ref().map_or(Ok(()), |xen| xen.dequarantine(*sbdf))
        }
        Act::Load { module, blacklisted_too } => {
            let mut arguments = vec!["--", module.as_str()];
            if !blacklisted_too {
                arguments.insert(0, "-b");
            }
            run(root, &["/usr/sbin/modprobe", "/sbin/modprobe"], &arguments)
        }
        Act::ReloadUdev => run(root, &["/usr/bin/udevadm", "/bin/udevadm"], &["control", "--reload"]),
    }
}

fn create(path: &Path, text: &str) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let unfinished = path.with_extension("new");
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o644).open(&unfinished)?;
    file.write_all(text.as_bytes())?;
    std::fs::rename(&unfinished, path)
}

/// Runs a program by its absolute path with a clean environment; its last words on
/// stderr become the error.
fn run(root: &Sysroot, programs: &[&str], arguments: &[&str]) -> io::Result<()> {
    let program =
        programs.iter().map(|program| root.path(program)).find(|program| program.exists()).ok_or_else(
            || io::Error::new(io::ErrorKind::NotFound, format!("{} is not installed", programs.join(" or "))),
        )?;
    let mut child = Command::new(&program)
        .args(arguments)
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    // Its words fit into the pipe, and a daemon it may have started keeps the pipe
    // open: so wait for the program first, then take what is there.
    let status = child.wait()?;
    if status.success() {
        return Ok(());
    }
    let mut words = vec![0; 4096];
    let read = child.stderr.take().and_then(|mut stderr| {
        let flags = nix::fcntl::OFlag::O_NONBLOCK;
        nix::fcntl::fcntl(&stderr, nix::fcntl::FcntlArg::F_SETFL(flags)).ok()?;
        stderr.read(&mut words).ok()
    });
    words.truncate(read.unwrap_or(0));
    let words = String::from_utf8_lossy(&words);
    let last = words.trim().lines().last().unwrap_or("it said nothing");
    Err(io::Error::other(format!("{} {}: {status}: {last}", program.display(), arguments.join(" "))))
}

fn encode(act: &Act) -> String {
    let words: Vec<&[u8]> = match act {
        Act::Write(path, text) => vec![b"write", path.as_os_str().as_bytes(), text.as_bytes()],
        Act::Command(path, value) => {
            let value = format!("{value:04x}");
            return words_in_hex(&[b"command", path.as_os_str().as_bytes(), value.as_bytes()]);
        }
        Act::Create(path, text) => vec![b"create", path.as_os_str().as_bytes(), text.as_bytes()],
        Act::Remove(path) => vec![b"remove", path.as_os_str().as_bytes()],
        Act::Quarantine(sbdf) => return words_in_hex(&[b"quarantine", sbdf.to_string().as_bytes()]),
        Act::Dequarantine(sbdf) => return words_in_hex(&[b"dequarantine", sbdf.to_string().as_bytes()]),
        Act::Load { module, blacklisted_too: false } => vec![b"load", module.as_str().as_bytes()],
        Act::Load { module, blacklisted_too: true } => vec![b"load-anyway", module.as_str().as_bytes()],
        Act::ReloadUdev => vec![b"reload-udev"],
    };
    words_in_hex(&words)
}

fn words_in_hex(words: &[&[u8]]) -> String {
    words.iter().map(|word| hex(word)).collect::<Vec<_>>().join(" ")
}

fn decode(line: &str) -> Option<Act> {
    let text = |word: &str| String::from_utf8(unhex(word)?).ok();
    let words: Vec<String> = line.split(' ').map(text).collect::<Option<_>>()?;
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    Some(match words.as_slice() {
        ["write", path, text] => Act::Write(PathBuf::from(path), (*text).to_owned()),
        ["command", path, value] => Act::Command(PathBuf::from(path), u16::from_str_radix(value, 16).ok()?),
        ["create", path, text] => Act::Create(PathBuf::from(path), (*text).to_owned()),
        ["remove", path] => Act::Remove(PathBuf::from(path)),
        ["quarantine", sbdf] => Act::Quarantine(Sbdf::from_sysfs(sbdf)?),
        ["dequarantine", sbdf] => Act::Dequarantine(Sbdf::from_sysfs(sbdf)?),
        ["load", module] => Act::Load { module: ModuleName::parse(module)?, blacklisted_too: false },
        ["load-anyway", module] => Act::Load { module: ModuleName::parse(module)?, blacklisted_too: true },
        ["reload-udev"] => Act::ReloadUdev,
        _ => return None,
    })
}

fn decode_answer(line: &str) -> Answer {
    if line == "ok" {
        return Answer::Accepted;
    }
    let mut words = line.splitn(3, ' ');
    let (first, errno, message) = (words.next(), words.next(), words.next());
    match (first, errno.and_then(|errno| errno.parse().ok()), message) {
        (Some("no"), Some(errno), Some(message)) => Answer::Refused { errno, message: message.to_owned() },
        _ => lost("it answered nonsense"),
    }
}

/// What either side takes a line for, for the fuzzer.
#[cfg(test)]
pub(super) fn understood(line: &str) -> (Option<Act>, Answer) {
    let act = decode(line);
    // What is carried out is what would be written.
    assert_eq!(act.as_ref().and_then(|act| decode(&encode(act))), act);
    (act, decode_answer(line))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_request_is_read_as_it_was_written() {
        let sbdf = Sbdf::from_sysfs("0000:00:13.0").unwrap();
        let module = ModuleName::parse("nvme").unwrap();
        for act in [
            Act::Write("/sys/x y".into(), "\n".into()),
            Act::Command("/sys/x/config".into(), 0x0103),
            Act::Create("/run/a".into(), "a \"b\"\n".into()),
            Act::Remove("/run/a".into()),
            Act::Quarantine(sbdf),
            Act::Dequarantine(sbdf),
            Act::Load { module: module.clone(), blacklisted_too: false },
            Act::Load { module, blacklisted_too: true },
            Act::ReloadUdev,
        ] {
            assert_eq!(decode(&encode(&act)), Some(act));
        }
    }
}
