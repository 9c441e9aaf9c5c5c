//! Bounded reads of configuration files, and where a link leads.

use crate::names::escape;
use crate::system::root::{absent, Sysroot};
use nix::fcntl::OFlag;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Component, Path, PathBuf};

/// No configuration is longer.
const LONGEST: u64 = 4 << 20;

/// A file's bytes; `None` where there is none.
///
/// # Errors
/// It cannot be read whole, in words.
pub fn bytes(root: &Sysroot, path: &str) -> Result<Option<Vec<u8>>, String> {
    let cannot = |why: &dyn std::fmt::Display| format!("cannot read {}: {why}", escape(path.as_bytes()));
    let real = real(root, path).ok_or_else(|| cannot(&"its links go round in a circle"))?;
    let place = root.path(&real);
    let opened = std::fs::OpenOptions::new()
        .read(true)
        // A pipe in its place must not hold the program up.
        .custom_flags((OFlag::O_NONBLOCK | OFlag::O_NOCTTY).bits())
        .open(&place);
    let file = match opened {
        Ok(file) => file,
        Err(error) if absent(&error) && real == path => return Ok(None),
        Err(error) => return Err(cannot(&error)),
    };
    let data = file.metadata().map_err(|error| cannot(&error))?;
    if !data.is_file() {
        return Err(cannot(&"it is not a regular file"));
    }
    let mut bytes = Vec::new();
    file.take(LONGEST + 1).read_to_end(&mut bytes).map_err(|error| cannot(&error))?;
    if bytes.len() as u64 > LONGEST {
        return Err(cannot(&"it is larger than 4 MiB"));
    }
    Ok(Some(bytes))
}

/// A file as text; what is no UTF-8 is replaced.
///
/// # Errors
/// It cannot be read whole, in words.
pub fn text(root: &Sysroot, path: &str) -> Result<Option<String>, String> {
    Ok(bytes(root, path)?.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
}

/// Where links lead, below the root; `None` where they go round in a circle.
#[must_use]
pub fn real(root: &Sysroot, path: &str) -> Option<String> {
    let mut here = path.to_owned();
    for _ in 0..16 {
        let Ok(target) = std::fs::read_link(root.path(&here)) else { return Some(here) };
        let target = if target.is_absolute() {
            target
        } else {
            Path::new(&here).parent().unwrap_or(Path::new("/")).join(target)
        };
        here = plain(&target)?;
    }
    None
}

/// A path without `.` and `..`.
fn plain(path: &Path) -> Option<String> {
    let mut plain = PathBuf::from("/");
    for component in path.components() {
        match component {
            Component::Normal(name) => plain.push(name),
            Component::ParentDir => {
                plain.pop();
            }
            _ => {}
        }
    }
    plain.to_str().map(str::to_owned)
}
