//! The modprobe.d of an initramfs, through dracut's `lsinitrd`: a program that takes seconds, so it has
//! limits.

use crate::observe::next_boot::{File, ModuleFiles};
use crate::system::root::Sysroot;
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const DRACUTS: &str = "/usr/bin/lsinitrd";
const DEBIANS: &str = "/usr/bin/lsinitramfs";
/// All that is read of one.
const LONGEST: u64 = 8 << 20;
const LIMIT: Duration = Duration::from_secs(30);

/// What the initramfs has of modprobe's configuration.
///
/// # Errors
/// Why that is not known, in words.
pub fn modules(root: &Sysroot, image: &str) -> Result<ModuleFiles, String> {
    let names = [format!("/boot{image}"), image.to_owned()];
    let image = names.iter().map(|name| root.path(name)).find(|path| path.is_file());
    let image =
        image.ok_or_else(|| format!("{} is not there", crate::names::escape(names.concat().as_bytes())))?;
    std::fs::File::open(&image).map_err(|error| format!("cannot read {}: {error}", image.display()))?;
    let until = Instant::now() + LIMIT;
    let dracuts = root.path(DRACUTS);
    if dracuts.is_file() {
        return by_dracut(&dracuts, &image, until);
    }
    let debians = root.path(DEBIANS);
    if !debians.is_file() {
        return Err(format!("there is neither {DRACUTS} nor {DEBIANS}"));
    }
    // It lists names, no contents.
    if configured(&output(&debians, &[image.as_ref()], until)?).is_empty() {
        Ok(ModuleFiles::default())
    } else {
        Err(format!("{DEBIANS} tells names only"))
    }
}

fn by_dracut(program: &Path, image: &Path, until: Instant) -> Result<ModuleFiles, String> {
    let mut files = Vec::new();
    let mut names = configured(&output(program, &[image.as_ref()], until)?);
    // modprobe reads them in the order of their names.
    names.sort_by_key(|name| name.rsplit('/').next().unwrap_or_default().to_owned());
    for name in names {
        let bytes = output(program, &["-f".as_ref(), name.as_ref(), image.as_ref()], until)?;
        files.push(File::new(&format!("initramfs:/{name}"), bytes));
    }
    Ok(ModuleFiles::parse(files))
}

/// Names of modprobe's configuration in a list, with `ls`' columns before them or without.
fn configured(list: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(list);
    let name = |line: &str| {
        let name = line.split(" -> ").next()?.split_whitespace().next_back()?.trim_start_matches('/');
        let (folder, file) = name.rsplit_once('/')?;
        let good = folder.ends_with("etc/modprobe.d") || folder.ends_with("lib/modprobe.d");
        (good && file.ends_with(".conf")).then(|| name.to_owned())
    };
    text.lines().filter_map(name).collect()
}

/// What a program prints, with limits in time and length and an environment of its own.
fn output(program: &Path, arguments: &[&std::ffi::OsStr], until: Instant) -> Result<Vec<u8>, String> {
    let name = program.display();
    let mut child = Command::new(program)
        .args(arguments)
        .env_clear()
        .env("PATH", "/usr/bin:/usr/sbin:/bin:/sbin")
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .map_err(|error| format!("cannot run {name}: {error}"))?;
    let child_id = child.id();
    let (sender, receiver) = std::sync::mpsc::channel();
    if let Some(stdout) = child.stdout.take() {
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            let read = stdout.take(LONGEST + 1).read_to_end(&mut bytes);
            let _ = sender.send(read.map(|_| bytes));
        });
    }
    let late = || {
        // What it started goes with it.
        let group = i32::try_from(child_id).map(nix::unistd::Pid::from_raw);
        let _ = group.map(|group| nix::sys::signal::killpg(group, nix::sys::signal::Signal::SIGKILL));
        format!("{name} does not end in time")
    };
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if Instant::now() < until => std::thread::sleep(Duration::from_millis(20)),
            Ok(None) | Err(_) => {
                let why = late();
                let _ = child.wait();
                return Err(why);
            }
        }
    };
    if !status.success() {
        return Err(format!("{name} fails: {status}"));
    }
    // What was not read is not the same as nothing, and a child of its own may hold the pipe open.
    let left = until.saturating_duration_since(Instant::now());
    let bytes = receiver
        .recv_timeout(left)
        .map_err(|_| late())?
        .map_err(|error| format!("what {name} prints cannot be read: {error}"))?;
    if bytes.len() as u64 > LONGEST {
        return Err(format!("{name} prints too much"));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a shell script prints, within half a second.
    fn printed(script: &str) -> (Result<Vec<u8>, String>, Duration) {
        let begin = Instant::now();
        let until = begin + Duration::from_millis(500);
        let read = output(Path::new("/bin/sh"), &["-c".as_ref(), script.as_ref()], until);
        (read, begin.elapsed())
    }

    #[test]
    fn a_program_that_does_not_end_or_never_stops_printing_is_given_up() {
        for script in ["sleep 60", "echo x; sleep 60 & exit 0", "trap '' TERM; sleep 60; sleep 60"] {
            let (read, took) = printed(script);
            assert!(read.is_err_and(|why| why.ends_with("does not end in time")), "{script}");
            assert!(took < Duration::from_secs(10), "{script}: {took:?}");
        }
        assert_eq!(printed("echo x").0, Ok(b"x\n".to_vec()));
        assert!(printed("echo x; exit 3").0.is_err());
        let until = Instant::now() + LIMIT;
        let much =
            output(Path::new("/bin/sh"), &["-c".as_ref(), "head -c 9000000 /dev/zero".as_ref()], until);
        assert!(much.is_err());
    }

    #[test]
    fn names_are_taken_from_either_list() {
        let dracuts = b"Image: /boot/initramfs.img: 30M\n-rw-r--r--   1 root     root          166 Jan  1  1970 etc/modprobe.d/vfio.conf\n\
            lrwxrwxrwx 1 root root 7 Jan 1 1970 usr/lib/modprobe.d/a.conf -> b.conf\n";
        assert_eq!(configured(dracuts), ["etc/modprobe.d/vfio.conf", "usr/lib/modprobe.d/a.conf"]);
        assert_eq!(configured(b"etc/modprobe.d/x.conf\netc/other.conf\n"), ["etc/modprobe.d/x.conf"]);
    }
}
