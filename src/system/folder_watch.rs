//! Word that a file appeared in a folder: `inotify(7)`.

#![forbid(unsafe_code)]

use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

/// A file of one name that is waited for, in one folder or several.
pub struct FolderWatch {
    inotify: Inotify,
    file: &'static str,
}

impl FolderWatch {
    /// Watches the folders that are there.
    ///
    /// # Errors
    /// None of them can be watched.
    pub fn open<'a>(folders: impl Iterator<Item = &'a Path>, file: &'static str) -> io::Result<Self> {
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
        let appears = AddWatchFlags::IN_CREATE | AddWatchFlags::IN_MOVED_TO | AddWatchFlags::IN_ONLYDIR;
        let mut watched = Err(Errno::ENOENT);
        for folder in folders {
            watched = inotify.add_watch(folder, appears).or(watched);
        }
        watched?;
        Ok(Self { inotify, file })
    }

    /// Whether the file may have appeared since this was asked last. Where the kernel dropped events, it may
    /// have.
    ///
    /// # Errors
    /// The kernel tells nothing any more.
    pub fn appeared(&self) -> io::Result<bool> {
        let mut appeared = false;
        loop {
            match self.inotify.read_events() {
                Ok(events) => {
                    appeared |= events.iter().any(|event| {
                        event.mask.contains(AddWatchFlags::IN_Q_OVERFLOW)
                            || event.name.as_deref() == Some(OsStr::new(self.file))
                    });
                }
                Err(Errno::EAGAIN) => return Ok(appeared),
                Err(Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl AsFd for FolderWatch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn only_the_file_that_is_waited_for_counts() {
        let folder = std::env::temp_dir().join(format!("folder-watch-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let gone = folder.join("gone");
        let watch = FolderWatch::open([gone.as_path(), &folder].into_iter(), "socket").unwrap();
        std::fs::write(folder.join("other"), "").unwrap();
        assert!(!watch.appeared().unwrap());
        std::fs::write(folder.join("socket"), "").unwrap();
        assert!(watch.appeared().unwrap() && !watch.appeared().unwrap());
        std::fs::rename(folder.join("other"), folder.join("socket")).unwrap();
        assert!(watch.appeared().unwrap());
        std::fs::remove_dir_all(&folder).unwrap();
        assert!(FolderWatch::open(std::iter::once(gone.as_path()), "socket").is_err());
    }
}
