//! Giving up what this process does not need any more: capabilities, ever getting new ones, writing anywhere
//! but to what it names (Landlock, `Documentation/userspace-api/landlock.rst` of the kernel), starting
//! programs, TCP.
//!
//! For the recorder and `audit`, which read what qubes, devices and forgers may have written. It holds for
//! this thread and what it starts: it is called before there are others. It can be called again, and then
//! only takes more away.

#![forbid(unsafe_code)]

use landlock::{
    Access, AccessFs, AccessNet, BitFlags, PathBeneath, PathFd, RestrictionStatus, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetError, RulesetStatus, Scope, ABI,
};
pub use rustix::thread::CapabilitySet as Capabilities;
use rustix::thread::{
    capabilities, capability_is_in_bounding_set, clear_ambient_capability_set,
    remove_capability_from_bounding_set, set_capabilities, set_no_new_privs, CapabilitySets,
};
use std::io;
use std::path::{Path, PathBuf};

/// What of the kernel's fences is used where the kernel has it: file system rights up to device ioctls, TCP,
/// signals. Linux 6.1 has the second version, without truncation, TCP and signals; what it lacks is left out.
const NEWEST: ABI = ABI::V6;

/// What a process still needs.
#[derive(Clone, Debug)]
pub struct Needs {
    /// The capabilities; none is gained by naming it.
    pub keeps: Capabilities,
    /// Folders in which files are made, written and removed. Where one does not exist, it may be made.
    pub writes: Vec<PathBuf>,
    /// Folders of devices that are opened for writing and driven by ioctl.
    pub drives: Vec<PathBuf>,
    /// Whether it starts other programs. They are held as it is.
    pub starts_programs: bool,
    /// A folder in which empty folders may be removed.
    pub clears: Option<PathBuf>,
}

impl Needs {
    /// Reads whatever file it is told to, as root does, and nothing else.
    #[must_use]
    pub fn reading() -> Self {
        Self {
            keeps: Capabilities::DAC_READ_SEARCH,
            writes: Vec::new(),
            drives: Vec::new(),
            starts_programs: false,
            clears: None,
        }
    }

    /// As [`Self::reading`], and writes files in one folder.
    #[must_use]
    pub fn writing(folder: &Path) -> Self {
        Self { writes: vec![folder.to_path_buf()], ..Self::reading() }
    }
}

/// Gives up all else. What this kernel or this user cannot give up stays; it is told, in words for people.
#[must_use]
pub fn confine(needs: &Needs) -> Vec<String> {
    let mut left = Vec::new();
    let mut done = |what: &str, result: io::Result<()>| {
        if let Err(error) = result {
            left.push(format!("{what}: {error}"));
        }
    };
    done("new privileges are not ruled out", set_no_new_privs(true).map_err(io::Error::from));
    done("capabilities are kept", drop_capabilities(needs.keeps));
    match fence(needs) {
        Ok(status) if status.ruleset == RulesetStatus::NotEnforced => {
            left.push(
                "this kernel has no Landlock: nothing but permissions keeps it from writing elsewhere".into(),
            );
        }
        Ok(_) => {}
        Err(error) => left.push(format!("Landlock does not hold it: {error}")),
    }
    left
}

/// Keeps these of the capabilities there are, and lets no program get more.
fn drop_capabilities(keeps: Capabilities) -> io::Result<()> {
    let now = capabilities(None)?;
    // The kernel says which is the last one it knows.
    for capability in (0..64).map(|bit| Capabilities::from_bits_retain(1 << bit)) {
        if keeps.contains(capability) {
            continue;
        }
        match capability_is_in_bounding_set(capability) {
            // Without CAP_SETPCAP it stays; no_new_privs keeps programs from using it.
            Ok(true) => drop(remove_capability_from_bounding_set(capability)),
            Ok(false) => {}
            Err(_) => break,
        }
    }
    clear_ambient_capability_set()?;
    let kept = now.permitted & keeps;
    let none = Capabilities::empty();
    Ok(set_capabilities(None, CapabilitySets { effective: kept, permitted: kept, inheritable: none })?)
}

fn fence(needs: &Needs) -> Result<RestrictionStatus, RulesetError> {
    let in_folders: BitFlags<AccessFs> = AccessFs::WriteFile
        | AccessFs::MakeReg
        | AccessFs::MakeDir
        | AccessFs::RemoveFile
        | AccessFs::Truncate;
    let on_devices: BitFlags<AccessFs> = AccessFs::WriteFile | AccessFs::IoctlDev;
    let mut handled = AccessFs::from_write(NEWEST);
    if !needs.starts_programs {
        handled |= AccessFs::Execute;
    }
    let folders = needs.writes.iter().filter_map(|folder| beneath(existing(folder), in_folders));
    let devices = needs.drives.iter().filter_map(|folder| beneath(folder, on_devices));
    let cleared = needs.clears.iter().filter_map(|folder| beneath(folder, AccessFs::RemoveDir.into()));
    // Where a program's words are thrown away.
    let nothing = beneath(Path::new("/dev/null"), AccessFs::WriteFile.into());
    Ruleset::default()
        .handle_access(handled)?
        .handle_access(AccessNet::from_all(NEWEST))?
        .scope(Scope::Signal)?
        .create()?
        .add_rules(folders.chain(devices).chain(cleared).chain(nothing).map(Ok::<_, RulesetError>))?
        .restrict_self()
}

/// What is there of a folder that is going to be made.
fn existing(folder: &Path) -> &Path {
    let there = folder.ancestors().find(|path| path.exists());
    // A relative path's last ancestor is empty.
    there.unwrap_or(Path::new("."))
}

/// A rule; `None` where there is nothing to write to.
fn beneath(path: &Path, access: BitFlags<AccessFs>) -> Option<PathBeneath<PathFd>> {
    PathFd::new(path).ok().map(|opened| PathBeneath::new(opened, access))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::fuzz::missing;
    use landlock::LandlockStatus;
    use std::io::ErrorKind;
    use std::net::{TcpListener, TcpStream};
    use std::process::Command;

    /// Two folders that are removed with the value.
    struct Folders(PathBuf, PathBuf);

    impl Folders {
        fn new(name: &str) -> Self {
            let above = std::env::temp_dir().join(format!("dom0-pci-confine-{name}-{}", std::process::id()));
            let folders = Self(above.join("own"), above.join("other"));
            std::fs::create_dir_all(&folders.0).unwrap();
            std::fs::create_dir_all(&folders.1).unwrap();
            std::fs::write(folders.0.join("old"), "old").unwrap();
            std::fs::write(folders.1.join("old"), "old").unwrap();
            folders
        }
    }

    impl Drop for Folders {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(self.0.parent().unwrap());
        }
    }

    /// Landlock's version in this kernel; 0 where there is none. What it lacks is not tried: `tests/lab` has
    /// a kernel with the second one.
    fn version() -> i32 {
        let harmless = Needs { writes: vec!["/".into()], starts_programs: true, ..Needs::reading() };
        let thread = std::thread::spawn(move || fence(&harmless).map(|status| status.landlock));
        match thread.join().unwrap() {
            Ok(LandlockStatus::Available { effective_abi, .. }) => effective_abi as i32,
            _ => 0,
        }
    }

    /// In a thread of its own: it never gets back what it gave up.
    fn confined(needs: Needs, test: impl FnOnce() + Send + 'static) {
        let thread = std::thread::spawn(move || {
            let left = confine(&needs);
            assert!(left.is_empty() || version() == 0, "{left:?}");
            test();
        });
        thread.join().unwrap();
    }

    #[track_caller]
    fn refused<T: std::fmt::Debug>(result: io::Result<T>) {
        assert_eq!(result.unwrap_err().kind(), ErrorKind::PermissionDenied);
    }

    #[test]
    fn it_writes_in_its_folder_and_nowhere_else() {
        if version() < 1 {
            return missing("this kernel has no Landlock");
        }
        let folders = Folders::new("writes");
        let (own, other) = (folders.0.clone(), folders.1.clone());
        confined(Needs::writing(&own), move || {
            std::fs::write(own.join("new"), "new").unwrap();
            std::fs::write(own.join("old"), "new").unwrap();
            std::fs::remove_file(own.join("old")).unwrap();
            std::fs::create_dir(own.join("folder")).unwrap();
            assert_eq!(std::fs::read_to_string(other.join("old")).unwrap(), "old");
            refused(std::fs::write(other.join("new"), "new"));
            refused(std::fs::OpenOptions::new().append(true).open(other.join("old")));
            refused(std::fs::remove_file(other.join("old")));
            refused(std::fs::create_dir(other.join("folder")));
            refused(std::os::unix::fs::symlink(&other, other.join("link")));
            // Neither by a name that leads out of its own, nor by a way through it.
            std::os::unix::fs::symlink(&other, own.join("link")).unwrap_err();
            refused(std::fs::write(own.join("../other/new"), "new"));
            std::fs::rename(own.join("new"), other.join("new")).unwrap_err();
        });
    }

    #[test]
    fn one_who_reads_writes_nothing_starts_nothing_and_calls_nobody() {
        if version() < 1 {
            return missing("this kernel has no Landlock");
        }
        let folders = Folders::new("reads");
        let own = folders.0.clone();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        confined(Needs::reading(), move || {
            assert_eq!(std::fs::read_to_string(own.join("old")).unwrap(), "old");
            refused(std::fs::write(own.join("old"), "new"));
            refused(std::fs::write(own.join("new"), "new"));
            refused(Command::new("/bin/true").status());
            std::fs::write("/dev/null", "words").unwrap();
            if version() >= 4 {
                refused(TcpStream::connect(address));
                refused(TcpListener::bind("127.0.0.1:0"));
            }
        });
    }

    #[test]
    fn a_program_that_it_starts_is_held_as_it_is() {
        if version() < 1 {
            return missing("this kernel has no Landlock");
        }
        let folders = Folders::new("starts");
        let other = folders.1.clone();
        confined(Needs { starts_programs: true, ..Needs::reading() }, move || {
            let script = format!(
                "! (echo x >{0}/new) 2>/dev/null && grep -q 'NoNewPrivs:.1' /proc/self/status",
                other.display()
            );
            assert!(Command::new("/bin/sh").args(["-c", &script]).status().unwrap().success());
        });
    }

    #[test]
    fn capabilities_that_are_not_kept_are_gone_for_good() {
        confined(Needs::reading(), || {
            let now = capabilities(None).unwrap();
            let kept = Capabilities::DAC_READ_SEARCH;
            assert!(kept.contains(now.effective) && kept.contains(now.permitted), "{now:?}");
            assert!(now.inheritable.is_empty());
            let all =
                CapabilitySets { effective: Capabilities::all(), permitted: Capabilities::all(), ..now };
            set_capabilities(None, all).unwrap_err();
            assert!(rustix::thread::no_new_privs().unwrap());
            // A second time takes away what the first one left.
            assert!(confine(&Needs { keeps: Capabilities::empty(), ..Needs::reading() }).is_empty());
            assert!(capabilities(None).unwrap().permitted.is_empty());
        });
    }

    #[test]
    fn a_folder_that_is_not_there_yet_can_be_made() {
        let folders = Folders::new("makes");
        let folder = folders.0.join("var/journal");
        confined(Needs::writing(&folder), move || {
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(folder.join("new"), "new").unwrap();
        });
    }
}
