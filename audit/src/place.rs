//! The way to a folder: opened step by step without following links, and whether others
//! could put another in its place.
#![forbid(unsafe_code)]

use std::fmt;
use std::fs::{File, Metadata};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{open, openat, AtFlags, OFlag};
use nix::sys::stat::{fstatat, mkdirat, Mode, SFlag};

use crate::error::{Error, Kind, Result};

/// Without the right to list it.
const PASSING: OFlag =
    OFlag::O_PATH.union(OFlag::O_DIRECTORY).union(OFlag::O_NOFOLLOW).union(OFlag::O_CLOEXEC);
const READING: OFlag =
    OFlag::O_RDONLY.union(OFlag::O_DIRECTORY).union(OFlag::O_NOFOLLOW).union(OFlag::O_CLOEXEC);
/// In a sticky folder only its owner and theirs rename or remove what others own.
const STICKY: u32 = 0o1000;

/// Why what stands in a folder may not be what its owner left there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doubt {
    /// The folder.
    pub folder: PathBuf,
    why: Why,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Why {
    Link,
    Owner(u32),
    Group(u32),
    World,
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let folder = crate::record::escape(self.folder.as_os_str().as_encoded_bytes());
        match self.why {
            Why::Link => write!(f, "{folder} is a link"),
            Why::Owner(user) => write!(f, "{folder} belongs to user {user}"),
            Why::Group(group) => write!(f, "{folder} can be written by group {group}"),
            Why::World => write!(f, "{folder} can be written by everybody"),
        }
    }
}

impl Doubt {
    /// What to type, after a look at who changed it.
    #[must_use]
    pub fn remedy(&self) -> String {
        let folder = crate::record::escape(self.folder.as_os_str().as_encoded_bytes());
        match self.why {
            Why::Link => format!("rm {folder}"),
            Why::Owner(_) => format!("chown root:root {folder}"),
            Why::Group(_) | Why::World => format!("chmod go-w {folder}"),
        }
    }

    fn of(about: &Metadata, last: bool) -> Option<Why> {
        let others_keep_off = !last && about.mode() & STICKY != 0;
        if ![0, nix::unistd::geteuid().as_raw()].contains(&about.uid()) {
            Some(Why::Owner(about.uid()))
        } else if about.mode() & 0o002 != 0 && !others_keep_off {
            Some(Why::World)
        } else if about.mode() & 0o020 != 0 && !others_keep_off {
            Some(Why::Group(about.gid()))
        } else {
            None
        }
    }
}

/// Whether others than root and this user could replace `folder`, or what stands in it: it and each folder
/// between `base` and it is looked at. `None` where none could. What is not there yet cannot be replaced.
///
/// # Errors
/// [`Kind::Io`], [`Kind::Permission`].
pub fn doubt(base: &Path, folder: &Path) -> Result<Option<Doubt>> {
    let (base, rest) = match folder.strip_prefix(base) {
        Ok(rest) => (base.to_path_buf(), rest.to_path_buf()),
        Err(_) => {
            let whole = std::path::absolute(folder)
                .map_err(|error| Error::io("cannot tell where this folder is", folder, &error))?;
            (PathBuf::from("/"), whole)
        }
    };
    let names = names(&rest);
    let mut at = match open(&base, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty()) {
        Ok(opened) => opened,
        Err(Errno::ENOENT) => return Ok(None),
        Err(errno) => return Err(Error::os("cannot open", &base, errno)),
    };
    let mut reached = base;
    for (number, name) in names.iter().enumerate() {
        reached.push(name);
        at = match openat(&at, name.as_path(), PASSING, Mode::empty()) {
            Ok(opened) => opened,
            Err(Errno::ENOENT) => return Ok(None),
            Err(_) if is_link(&at, name) => return Ok(Some(Doubt { folder: reached, why: Why::Link })),
            // What is no folder, or may not be passed, is said by whoever opens it.
            Err(Errno::ENOTDIR | Errno::EACCES) => return Ok(None),
            Err(errno) => return Err(Error::os("cannot open", &reached, errno)),
        };
        let opened = File::from(at);
        let about = opened.metadata().map_err(|error| Error::io("cannot look at", &reached, &error))?;
        if let Some(why) = Doubt::of(&about, number + 1 == names.len()) {
            return Ok(Some(Doubt { folder: reached, why }));
        }
        at = OwnedFd::from(opened);
    }
    Ok(None)
}

/// Opens a folder without following a link on any part of the way. With `make`, what is missing is created
/// (0700), and is on disk: each parent is synced.
pub(crate) fn reach(folder: &Path, make: bool) -> Result<File> {
    let start = if folder.is_absolute() { "/" } else { "." };
    let names = names(folder);
    if names.is_empty() {
        return open(folder, READING, Mode::empty()).map(File::from).map_err(|errno| closed(folder, errno));
    }
    let mut at = open(start, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())
        .map_err(|errno| closed(folder, errno))?;
    let mut reached = PathBuf::from(if folder.is_absolute() { "/" } else { "" });
    let mut made = false;
    for (number, name) in names.iter().enumerate() {
        let above = reached.clone();
        reached.push(name);
        let flags = if number + 1 == names.len() { READING } else { PASSING };
        let next = match openat(&at, name.as_path(), flags, Mode::empty()) {
            Err(Errno::ENOENT) if make => {
                create(&at, name, &above)?;
                made = true;
                openat(&at, name.as_path(), flags, Mode::empty())
            }
            other => other,
        };
        let next = match next {
            Ok(opened) => File::from(opened),
            Err(_) if is_link(&at, name) => {
                let doubt = Doubt { folder: reached.clone(), why: Why::Link };
                return Err(Error::new(
                    Kind::NotPrivate,
                    "the way to the journal leads over a link",
                    Some(folder),
                )
                .with_hint(format!(
                    "look who made it; name the folder that it leads to, or remove it: {}",
                    doubt.remedy()
                )));
            }
            Err(errno) => return Err(closed(folder, errno)),
        };
        if made {
            owned(&next, &reached)?;
        }
        at = OwnedFd::from(next);
    }
    Ok(File::from(at))
}

fn closed(folder: &Path, errno: Errno) -> Error {
    match errno {
        Errno::ENOENT => Error::os("there is no journal", folder, errno).of_kind(Kind::Absent),
        _ => Error::os("cannot open the journal's folder", folder, errno),
    }
}

/// Creates a folder; another process may just have done so.
fn create(above: &OwnedFd, name: &Path, path: &Path) -> Result<()> {
    match mkdirat(above, name, Mode::S_IRWXU) {
        Ok(()) | Err(Errno::EEXIST) => {}
        Err(errno) => return Err(Error::os("cannot create the journal's folder", &path.join(name), errno)),
    }
    let failed = "cannot sync the folder above the journal";
    let opened =
        openat(above, ".", READING, Mode::empty()).map_err(|errno| Error::os(failed, path, errno))?;
    File::from(opened).sync_all().map_err(|error| Error::io(failed, path, &error))
}

/// Below what was just missing nothing is another user's.
fn owned(folder: &File, path: &Path) -> Result<()> {
    let about = folder.metadata().map_err(|error| Error::io("cannot look at", path, &error))?;
    if about.uid() == nix::unistd::geteuid().as_raw() {
        return Ok(());
    }
    Err(Error::new(Kind::NotPrivate, "another user just made a folder above the journal", Some(path)))
}

fn is_link(at: &OwnedFd, name: &Path) -> bool {
    fstatat(at, name, AtFlags::AT_SYMLINK_NOFOLLOW)
        .is_ok_and(|about| SFlag::from_bits_truncate(about.st_mode) & SFlag::S_IFMT == SFlag::S_IFLNK)
}

/// The names on the way, `..` among them.
fn names(path: &Path) -> Vec<PathBuf> {
    let steps = path.components().filter(|one| matches!(one, Component::Normal(_) | Component::ParentDir));
    steps.map(|one| PathBuf::from(one.as_os_str())).collect()
}
