//! The files of a journal: the only place that opens, writes or removes any. Each function says
//! what is on disk when it returns.
#![forbid(unsafe_code)]

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{
    fallocate, openat, posix_fadvise, FallocateFlags, Flock, FlockArg, OFlag, PosixFadviseAdvice,
};
use nix::sys::stat::Mode;
use nix::unistd::{unlinkat, UnlinkatFlags};

use crate::chain::Source;
use crate::error::{Error, Kind, Result};
use crate::head::{segment_name, segment_number, Mark};
use crate::place::reach;

/// How long a process waits for another one that has the journal.
pub(crate) const LOCK_WAIT: Duration = Duration::from_secs(10);
/// How often unlocking is tried.
const UNLOCKS: usize = 3;
/// The mark of the last commit.
pub(crate) const MARK_FILE: &str = "HEAD";
/// The checkpoints that were given out.
pub(crate) const CHECKPOINTS_FILE: &str = "checkpoints";
/// Of a longer file of checkpoints only the end is read, in bytes: tens of thousands of them, the newest.
const MAX_CHECKPOINTS: u64 = 4 * 1024 * 1024;

/// The folder of a journal, held open, so that a renamed path does not matter.
pub(crate) struct Folder {
    path: PathBuf,
    file: File,
}

/// What was read of the file `checkpoints`.
pub(crate) struct Kept {
    /// The lines, the oldest first.
    pub(crate) text: Vec<u8>,
    /// Whether there are more before them: they were not read.
    pub(crate) more: bool,
}

impl Kept {
    /// Whether the file holds nothing.
    pub(crate) fn is_empty(&self) -> bool {
        self.text.is_empty() && !self.more
    }
}

/// The lock on the folder; dropping it unlocks.
pub(crate) struct Lock {
    held: Option<Flock<File>>,
}

impl Drop for Lock {
    /// A [`Flock`] that cannot be unlocked panics when it is dropped, and an
    /// operation half done would die of it.
    fn drop(&mut self) {
        let mut held = self.held.take();
        for _ in 0..UNLOCKS {
            held = match held.map(Flock::unlock) {
                Some(Err((back, _))) => Some(back),
                Some(Ok(_)) | None => return,
            };
        }
        // The kernel takes it back at the end of the process.
        std::mem::forget(held);
    }
}

/// What a lock is taken for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum For {
    Reading,
    Writing,
}

impl Folder {
    /// Opens an existing folder. Nothing is written.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        match nix::fcntl::open(path, flags, Mode::empty()) {
            Ok(fd) => Ok(Self { path: path.to_path_buf(), file: File::from(fd) }),
            Err(Errno::ENOENT) => {
                Err(Error::os("there is no journal", path, Errno::ENOENT).of_kind(Kind::Absent))
            }
            Err(errno) => Err(Error::os("cannot open the journal's folder", path, errno)),
        }
    }

    /// Opens the folder without following links, creating it (0700) and the folders above it where they are
    /// missing. What was created is on disk: each parent is synced.
    pub(crate) fn create(path: &Path) -> Result<Self> {
        Self::reached(path, true)
    }

    /// Opens an existing folder that is this user's alone, without following links. Nothing is written.
    pub(crate) fn open_private(path: &Path) -> Result<Self> {
        Self::reached(path, false)
    }

    /// Opens an existing folder without following links, whoever owns it.
    pub(crate) fn open_as_it_is(path: &Path) -> Result<Self> {
        Ok(Self { path: path.to_path_buf(), file: reach(path, false)? })
    }

    /// Whether it is this user's alone.
    pub(crate) fn check(&self) -> Result<()> {
        private(&self.file, &self.path, false)
    }

    /// Opens one of its files for reading, and says why others could have written it.
    pub(crate) fn read_file(&self, name: &str) -> Result<Option<(File, Option<Error>)>> {
        let path = self.at(name);
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
        let fd = match openat(&self.file, name, flags, Mode::empty()) {
            Ok(fd) => fd,
            Err(Errno::ENOENT) => return Ok(None),
            // A link, a socket.
            Err(Errno::ELOOP | Errno::ENXIO) => return Err(irregular(&path)),
            Err(errno) => return Err(Error::os("cannot open a file of the journal", &path, errno)),
        };
        let file = File::from(fd);
        let about = file.metadata().map_err(|error| Error::io("cannot look at", &path, &error))?;
        if !about.is_file() {
            return Err(irregular(&path));
        }
        let doubt = private(&file, &path, true).err();
        Ok(Some((file, doubt)))
    }

    /// Takes the right to write from it and from those of its files that are this user's
    /// alone. What cannot be changed stays.
    pub(crate) fn close_for_writing(&self, names: &[String]) {
        for name in names {
            if let Ok(Some((file, None))) = self.read_file(name) {
                let _ = nix::sys::stat::fchmod(&file, Mode::S_IRUSR);
            }
        }
        let _ = nix::sys::stat::fchmod(&self.file, Mode::S_IRUSR | Mode::S_IXUSR);
    }

    fn reached(path: &Path, make: bool) -> Result<Self> {
        let file = reach(path, make)?;
        private(&file, path, false)?;
        Ok(Self { path: path.to_path_buf(), file })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The path of a file in it, for messages.
    fn at(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Takes the lock, waiting up to `wait` for another process. On a file description of its own, so that
    /// two threads exclude each other too.
    pub(crate) fn lock(&self, purpose: For, wait: Duration) -> Result<Lock> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let fd = openat(&self.file, ".", flags, Mode::empty())
            .map_err(|errno| Error::os("cannot open the journal's folder", &self.path, errno))?;
        let mut file = File::from(fd);
        let until = Instant::now() + wait;
        let how = match purpose {
            For::Reading => FlockArg::LockSharedNonblock,
            For::Writing => FlockArg::LockExclusiveNonblock,
        };
        let mut pause = Duration::from_micros(50);
        loop {
            match Flock::lock(file, how) {
                Ok(held) => return Ok(Lock { held: Some(held) }),
                Err((back, Errno::EAGAIN | Errno::EINTR)) if Instant::now() < until => {
                    file = back;
                    std::thread::sleep(pause);
                    pause = (pause * 2).min(Duration::from_millis(20));
                }
                Err((_, Errno::EAGAIN)) => {
                    let holder = self.lock_holder().map_or(String::new(), |pid| format!(" (pid {pid})"));
                    return Err(Error::new(
                        Kind::Busy,
                        format!("the journal is busy{holder}"),
                        Some(&self.path),
                    ));
                }
                Err((_, errno)) => {
                    return Err(Error::os("cannot lock the journal's folder", &self.path, errno))
                }
            }
        }
    }

    /// The process that has the lock, as far as the kernel's table tells.
    fn lock_holder(&self) -> Option<u32> {
        let inode = self.file.metadata().ok()?.ino().to_string();
        let table = std::fs::read_to_string("/proc/locks").ok()?;
        table.lines().find_map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let place = words.iter().find(|word| word.matches(':').count() == 2)?;
            let ours = words.contains(&"FLOCK")
                && !words.contains(&"->")
                && place.rsplit(':').next() == Some(&inode);
            if ours {
                words.get(4)?.parse().ok()
            } else {
                None
            }
        })
    }

    /// The first numbers of the segments, rising.
    pub(crate) fn segments(&self) -> Result<Vec<u64>> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let fail = |errno| Error::os("cannot list the journal's folder", &self.path, errno);
        let mut folder = nix::dir::Dir::openat(&self.file, ".", flags, Mode::empty()).map_err(fail)?;
        let mut found = Vec::new();
        for entry in folder.iter() {
            let entry = entry.map_err(fail)?;
            found.extend(entry.file_name().to_str().ok().and_then(segment_number));
        }
        found.sort_unstable();
        Ok(found)
    }

    /// Opens a segment for reading only, whoever owns it.
    pub(crate) fn read_segment(&self, first: u64) -> Result<Segment> {
        let path = self.at(&segment_name(first));
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
        let fd = openat(&self.file, segment_name(first).as_str(), flags, Mode::empty())
            .map_err(|errno| Error::os("cannot open a segment", &path, errno))?;
        let file = File::from(fd);
        let regular =
            file.metadata().map_err(|error| Error::io("cannot look at a segment", &path, &error))?.is_file();
        if !regular {
            return Err(Error::new(Kind::Io, "a segment is no regular file", Some(&path)));
        }
        Ok(Segment { first, path, file })
    }

    /// Opens a segment for appending; `None` where there is no such file.
    pub(crate) fn write_segment(&self, first: u64) -> Result<Option<Segment>> {
        let path = self.at(&segment_name(first));
        let flags =
            OFlag::O_RDWR | OFlag::O_APPEND | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
        match openat(&self.file, segment_name(first).as_str(), flags, Mode::empty()) {
            Ok(fd) => {
                let segment = Segment { first, path, file: File::from(fd) };
                private(&segment.file, &segment.path, true)?;
                Ok(Some(segment))
            }
            Err(Errno::ENOENT) => Ok(None),
            Err(errno) => Err(Error::os("cannot open a segment for appending", &path, errno)),
        }
    }

    /// Whether a segment of that name is there.
    pub(crate) fn has_segment(&self, first: u64) -> Result<bool> {
        let name = segment_name(first);
        match nix::sys::stat::fstatat(&self.file, name.as_str(), nix::fcntl::AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(_) => Ok(true),
            Err(Errno::ENOENT) => Ok(false),
            Err(errno) => Err(Error::os("cannot look for a segment", &self.at(&name), errno)),
        }
    }

    /// Creates an empty segment. Neither it nor its name is on disk before
    /// [`Segment::sync`] and [`Folder::sync`].
    pub(crate) fn create_segment(&self, first: u64) -> Result<Segment> {
        let path = self.at(&segment_name(first));
        let flags = OFlag::O_RDWR
            | OFlag::O_APPEND
            | OFlag::O_NOFOLLOW
            | OFlag::O_CLOEXEC
            | OFlag::O_CREAT
            | OFlag::O_EXCL;
        let fd = openat(&self.file, segment_name(first).as_str(), flags, Mode::from_bits_truncate(0o600))
            .map_err(|errno| Error::os("cannot create a segment", &path, errno))?;
        Ok(Segment { first, path, file: File::from(fd) })
    }

    /// Refuses where [`Folder::remove_segment`] would: an append-only file opens for
    /// appending alone. Nothing is written.
    pub(crate) fn check_removable(&self, first: u64) -> Result<()> {
        let name = segment_name(first);
        let flags = OFlag::O_WRONLY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
        match openat(&self.file, name.as_str(), flags, Mode::empty()) {
            Ok(_) => Ok(()),
            Err(errno) => {
                let path = self.at(&name);
                let hint = format!(
                    "where it is append-only, lift that first: chattr -a {}",
                    crate::record::escape(path.as_os_str().as_encoded_bytes())
                );
                Err(Error::os("a segment cannot be removed", &path, errno).with_hint(hint))
            }
        }
    }

    /// Removes a segment. The name is gone for good only after [`Folder::sync`].
    pub(crate) fn remove_segment(&self, first: u64) -> Result<()> {
        let name = segment_name(first);
        unlinkat(&self.file, name.as_str(), UnlinkatFlags::NoRemoveDir)
            .map_err(|errno| Error::os("cannot remove a segment", &self.at(&name), errno))
    }

    /// Makes the names in the folder durable.
    pub(crate) fn sync(&self) -> Result<()> {
        self.file
            .sync_all()
            .map_err(|error| Error::io("cannot sync the journal's folder", &self.path, &error))
    }

    /// Reads `HEAD`; `None` where it is missing or no mark.
    pub(crate) fn read_mark(&self) -> Result<Option<Mark>> {
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
        let path = self.at(MARK_FILE);
        let file = match openat(&self.file, MARK_FILE, flags, Mode::empty()) {
            Ok(fd) => File::from(fd),
            Err(Errno::ENOENT) => return Ok(None),
            Err(errno) => return Err(Error::os("cannot open HEAD", &path, errno)),
        };
        let mut bytes = [0; 128];
        let count =
            file.read_at(&mut bytes, 0).map_err(|error| Error::io("cannot read HEAD", &path, &error))?;
        Ok(bytes.get(..count).and_then(Mark::parse))
    }

    /// Overwrites `HEAD` in place. Not on disk before [`MarkFile::sync`], and not needed there.
    pub(crate) fn open_mark(&self) -> Result<MarkFile> {
        let path = self.at(MARK_FILE);
        let flags =
            OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
        let fd = openat(&self.file, MARK_FILE, flags, Mode::from_bits_truncate(0o600))
            .map_err(|errno| Error::os("cannot open HEAD", &path, errno))?;
        let file = File::from(fd);
        private(&file, &path, true)?;
        Ok(MarkFile { path, file })
    }

    /// The lines of `checkpoints`; none where there is no such file. In a copy from
    /// elsewhere it may have any size.
    pub(crate) fn read_checkpoints(&self) -> Result<Kept> {
        let path = self.at(CHECKPOINTS_FILE);
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
        let mut file = match openat(&self.file, CHECKPOINTS_FILE, flags, Mode::empty()) {
            Ok(fd) => File::from(fd),
            Err(Errno::ENOENT) => return Ok(Kept { text: Vec::new(), more: false }),
            Err(errno) => return Err(Error::os("cannot open the checkpoints", &path, errno)),
        };
        let fail = |error: io::Error| Error::io("cannot read the checkpoints", &path, &error);
        let size = file.metadata().map_err(fail)?.len();
        let more = size > MAX_CHECKPOINTS;
        if more {
            file.seek(SeekFrom::Start(size - MAX_CHECKPOINTS)).map_err(fail)?;
        }
        let mut text = Vec::new();
        file.take(MAX_CHECKPOINTS).read_to_end(&mut text).map_err(fail)?;
        if more {
            // The first line may lack its beginning.
            let whole = text.iter().position(|byte| *byte == b'\n').map_or(text.len(), |feed| feed + 1);
            text.drain(..whole);
        }
        Ok(Kept { text, more })
    }

    /// Adds a line to `checkpoints`; on disk, and so is the file's name, when it returns.
    pub(crate) fn append_checkpoint(&self, line: &str) -> Result<()> {
        let path = self.at(CHECKPOINTS_FILE);
        let flags = OFlag::O_RDWR
            | OFlag::O_APPEND
            | OFlag::O_CREAT
            | OFlag::O_NOFOLLOW
            | OFlag::O_CLOEXEC
            | OFlag::O_NONBLOCK;
        let fd = openat(&self.file, CHECKPOINTS_FILE, flags, Mode::from_bits_truncate(0o600))
            .map_err(|errno| Error::os("cannot open the checkpoints", &path, errno))?;
        let file = File::from(fd);
        private(&file, &path, true)?;
        let fail = |error: &io::Error| Error::io("cannot record the checkpoint", &path, error);
        let size = file.metadata().map_err(|error| fail(&error))?.len();
        let mut last = [b'\n'];
        if size > 0 {
            file.read_exact_at(&mut last, size - 1).map_err(|error| fail(&error))?;
        }
        // A crash may have cut the line before: begin a new one.
        let text = if last == [b'\n'] { line.to_owned() } else { format!("\n{line}") };
        (&file).write_all(text.as_bytes()).and_then(|()| file.sync_data()).map_err(|error| fail(&error))?;
        self.sync()
    }

    /// Whether anything says that there was a journal here before.
    pub(crate) fn has_traces(&self) -> Result<bool> {
        Ok(self.read_mark()?.is_some() || !self.read_checkpoints()?.is_empty())
    }
}

/// `HEAD`, open for overwriting.
pub(crate) struct MarkFile {
    path: PathBuf,
    file: File,
}

impl MarkFile {
    /// Overwrites it with one write. Not on disk before [`MarkFile::sync`].
    pub(crate) fn write(&self, mark: &Mark) -> Result<()> {
        let line = mark.line();
        match self.file.write_at(line.as_bytes(), 0) {
            Ok(count) if count == line.len() => Ok(()),
            Ok(_) => Err(Error::new(Kind::Io, "HEAD was written in part only", Some(&self.path))),
            Err(error) => Err(Error::io("cannot write HEAD", &self.path, &error)),
        }
    }

    /// Puts it on disk.
    pub(crate) fn sync(&self) -> Result<()> {
        self.file.sync_data().map_err(|error| Error::io("cannot sync HEAD", &self.path, &error))
    }

    /// Whether somebody has removed it since it was opened.
    pub(crate) fn is_gone(&self) -> bool {
        self.file.metadata().map_or(true, |about| about.nlink() == 0)
    }
}

/// One file of records.
pub(crate) struct Segment {
    /// The number of its first record.
    pub(crate) first: u64,
    path: PathBuf,
    file: File,
}

impl Source for Segment {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        loop {
            match self.file.read_at(buffer, offset) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                done => return done,
            }
        }
    }
}

impl Segment {
    /// The size in bytes.
    pub(crate) fn size(&self) -> Result<u64> {
        self.file
            .metadata()
            .map(|about| about.len())
            .map_err(|error| self.fail("cannot look at a segment", &error))
    }

    /// Whether it still is the owner's alone, and still there.
    pub(crate) fn check(&self) -> Result<()> {
        private(&self.file, &self.path, true)
    }

    /// Turns a failed read into an error with the path.
    pub(crate) fn fail(&self, what: &str, error: &io::Error) -> Error {
        Error::io(what, &self.path, error)
    }

    /// Appends with one write. What is on disk is unknown until [`Segment::sync`].
    pub(crate) fn append(&self, bytes: &[u8]) -> Result<()> {
        loop {
            match (&self.file).write(bytes) {
                Ok(count) if count == bytes.len() => return Ok(()),
                Ok(count) => {
                    let what = format!("{count} of {} bytes were written", bytes.len());
                    return Err(Error::new(Kind::Full, what, Some(&self.path)));
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.fail("cannot append to the journal", &error)),
            }
        }
    }

    /// Puts everything appended on disk. A failure is final: the kernel may already have dropped what it
    /// could not write, and a second sync would then report success.
    pub(crate) fn sync(&self) -> Result<()> {
        self.file.sync_data().map_err(|error| self.fail("cannot sync the journal", &error).of_kind(Kind::Io))
    }

    /// Keeps `length` bytes of space from `from` on for later appends, without changing the size.
    pub(crate) fn reserve(&self, from: u64, length: u64) -> Result<()> {
        let place = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        match fallocate(&self.file, FallocateFlags::FALLOC_FL_KEEP_SIZE, place(from), place(length)) {
            // A file system that cannot keep space: the write itself will say when there is none.
            Ok(()) | Err(Errno::EOPNOTSUPP) => Ok(()),
            Err(errno) => Err(Error::os("cannot reserve space for the journal", &self.path, errno)),
        }
    }

    /// Makes the kernel read from disk again what it has not written there: after a failed sync its pages
    /// say what was meant, not what is.
    pub(crate) fn forget_cached(&self) {
        // Advice only: where it is not followed, the pages are right or the next sync says so.
        let _ = posix_fadvise(&self.file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED);
    }
}

/// Refuses a file that others could write, or that has a second name.
fn private(file: &File, path: &Path, regular: bool) -> Result<()> {
    let about = file.metadata().map_err(|error| Error::io("cannot look at", path, &error))?;
    let complaint = if regular && !about.is_file() {
        "is no regular file"
    } else if about.uid() != nix::unistd::geteuid().as_raw() {
        "belongs to another user"
    } else if about.mode() & 0o022 != 0 {
        "can be written by group or world"
    } else if regular && about.nlink() != 1 {
        "was removed, or has a second name"
    } else {
        return Ok(());
    };
    let what = if regular { "a file of the journal" } else { "the journal's folder" };
    Err(Error::new(Kind::NotPrivate, format!("{what} {complaint}"), Some(path)))
}

fn irregular(path: &Path) -> Error {
    Error::new(Kind::NotPrivate, "a file of the journal is no regular file", Some(path))
}

/// 128 random bits as text.
pub(crate) fn random_id() -> Result<String> {
    let path = Path::new("/dev/urandom");
    let mut bits = [0u8; 16];
    File::open(path)
        .and_then(|mut file| file.read_exact(&mut bits))
        .map_err(|error| Error::io("cannot read", path, &error))?;
    Ok(bits.iter().map(|byte| format!("{byte:02x}")).collect())
}
