//! Where the root of the file system is taken to be, and bounded reads below it.

#![forbid(unsafe_code)]

use crate::error::{Code, Exit, Failure};
use audit::Doubt;
use nix::fcntl::OFlag;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// No attribute or table this program reads whole is larger; pci.ids is 1.5 MB.
const LARGEST: u64 = 8 << 20;

/// No file an admin writes for this program is larger.
const LARGEST_GUARDED: u64 = 64 << 10;

/// The root every path is put below: `/`, or the model given with `--sysroot`.
#[derive(Clone, Debug)]
pub struct Sysroot {
    prefix: Option<PathBuf>,
}

impl Sysroot {
    /// A root; `None` is the real one. Links on the way to a model are followed here, and below it no more.
    #[must_use]
    pub fn new(prefix: Option<PathBuf>) -> Self {
        Self { prefix: prefix.map(|path| path.canonicalize().unwrap_or(path)) }
    }

    /// Why what stands in a folder may not be what root left there: somebody else can write a folder on the
    /// way to it, or a link is in the way. In a model root is whoever runs the program, and the way begins
    /// there.
    ///
    /// # Errors
    /// A folder on the way cannot be looked at.
    pub fn doubt(&self, folder: &Path) -> Result<Option<Doubt>, audit::Error> {
        audit::doubt(self.prefix.as_deref().unwrap_or(Path::new("/")), folder)
    }

    /// Whether this is a model, so that no call may reach the real Xen.
    #[must_use]
    pub fn is_model(&self) -> bool {
        self.prefix.is_some()
    }

    /// An absolute path, put below the root.
    #[must_use]
    pub fn path(&self, absolute: &str) -> PathBuf {
        match &self.prefix {
            Some(prefix) => prefix.join(absolute.trim_start_matches('/')),
            None => PathBuf::from(absolute),
        }
    }
}

/// Reads a whole file of at most 8 MiB.
pub fn read_bytes(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(LARGEST).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Reads a file that only root may decide on: a regular file that nobody else owns or writes. `None` where
/// there is none. In a model it is whoever runs the program who owns it.
///
/// # Errors
/// It cannot be read, or somebody else could have written it.
pub fn read_guarded(root: &Sysroot, absolute: &str) -> Result<Option<Vec<u8>>, Failure> {
    let path = root.path(absolute);
    let not_trusted = |words: String, hint: &str| Failure::new(Exit::Io, Code::NotTrusted, words, hint);
    // That there is no such file is believed of a folder that only root can write.
    let doubt = path.parent().map_or(Ok(None), |folder| root.doubt(folder));
    if let Some(doubt) = doubt.map_err(|error| Failure::of_journal(&error))? {
        let hint = format!("look who changed it; then {}", doubt.remedy());
        return Err(not_trusted(format!("{}: {doubt}", path.display()), &hint));
    }
    let opened = std::fs::OpenOptions::new()
        .read(true)
        // A pipe in its place must not hold the program up.
        .custom_flags((OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_NOFOLLOW).bits())
        .open(&path);
    let file = match opened {
        Ok(file) => file,
        Err(error) if absent(&error) => return Ok(None),
        Err(_) if path.is_symlink() => {
            return Err(not_trusted(format!("{} is a link", path.display()), "put the file itself there"));
        }
        Err(error) => return Err(Failure::unreadable(&path, &error)),
    };
    let data = file.metadata().map_err(|error| Failure::unreadable(&path, &error))?;
    let owner = if root.is_model() { nix::unistd::geteuid().as_raw() } else { 0 };
    let mode = "look who changed it; then chown root:root and chmod 644 it";
    let doubt = if !data.is_file() {
        Some(("is no regular file", "write it anew, or remove it"))
    } else if data.uid() != owner {
        Some(("is not root's", mode))
    } else if data.mode() & 0o022 != 0 {
        Some(("can be written by others than root", mode))
    } else if data.len() > LARGEST_GUARDED {
        Some(("is larger than 64 KiB", "make it shorter"))
    } else {
        None
    };
    if let Some((doubt, hint)) = doubt {
        return Err(not_trusted(format!("{} {doubt}", path.display()), hint));
    }
    let mut bytes = Vec::new();
    let read = file.take(LARGEST_GUARDED).read_to_end(&mut bytes);
    read.map(|_| Some(bytes)).map_err(|error| Failure::unreadable(&path, &error))
}

/// Reads an attribute as text without its line end; what is no UTF-8 is replaced.
pub fn read_text(path: &Path) -> io::Result<String> {
    let bytes = read_bytes(path)?;
    Ok(String::from_utf8_lossy(&bytes).trim_end_matches('\n').to_owned())
}

/// Reads an attribute that may be absent: `None` where there is no such file.
pub fn read_optional(path: &Path) -> Result<Option<String>, Failure> {
    match read_text(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if absent(&error) => Ok(None),
        Err(error) => Err(Failure::unreadable(path, &error)),
    }
}

/// Names in a folder, sorted; none where the folder is absent.
pub fn names_in(path: &Path) -> Result<Vec<String>, Failure> {
    let entries = match std::fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if absent(&error) => return Ok(Vec::new()),
        Err(error) => return Err(Failure::unreadable(path, &error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|error| Failure::unreadable(path, &error))?;
        names.extend(entry.file_name().into_string());
    }
    names.sort();
    Ok(names)
}

/// Whether an error says that the file, or the device behind it, is not there.
#[must_use]
pub fn absent(error: &io::Error) -> bool {
    const ENODEV: i32 = 19;
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(ENODEV)
}
