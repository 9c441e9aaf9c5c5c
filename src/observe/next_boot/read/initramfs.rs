//! The modprobe.d of an initramfs, through dracut's `lsinitrd`: a program that takes seconds, so it has
//! limits.

use crate::observe::next_boot::{File, ModuleFiles};
use crate::system::root::Sysroot;
use std::io::Read;
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
        .spawn()
        .map_err(|error| format!("cannot run {name}: {error}"))?;
    let reader = child.stdout.take().map(|stdout| {
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            let read = stdout.take(LONGEST + 1).read_to_end(&mut bytes);
            read.map(|_| bytes)
        })
    });
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if Instant::now() < until => std::thread::sleep(Duration::from_millis(20)),
            Ok(None) | Err(_) => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(format!("{name} does not end in time"));
            }
        }
    };
    let read = reader.and_then(|reader| reader.join().ok());
    if !status.success() {
        return Err(format!("{name} fails: {status}"));
    }
    // What was not read is not the same as nothing.
    let bytes = read
        .ok_or_else(|| format!("what {name} prints cannot be read"))?
        .map_err(|error| format!("what {name} prints cannot be read: {error}"))?;
    if bytes.len() as u64 > LONGEST {
        return Err(format!("{name} prints too much"));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_from_either_list() {
        let dracuts = b"Image: /boot/initramfs.img: 30M\n-rw-r--r--   1 root     root          166 Jan  1  1970 etc/modprobe.d/vfio.conf\n\
            lrwxrwxrwx 1 root root 7 Jan 1 1970 usr/lib/modprobe.d/a.conf -> b.conf\n";
        assert_eq!(configured(dracuts), ["etc/modprobe.d/vfio.conf", "usr/lib/modprobe.d/a.conf"]);
        assert_eq!(configured(b"etc/modprobe.d/x.conf\netc/other.conf\n"), ["etc/modprobe.d/x.conf"]);
    }
}
