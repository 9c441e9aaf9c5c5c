//! How much space is left.

#![forbid(unsafe_code)]

use std::io;
use std::path::Path;

/// Bytes that are free where a folder is, or is going to be made.
///
/// # Errors
/// The file system does not say.
pub fn free(folder: &Path) -> io::Result<u64> {
    let there = folder.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/"));
    let about = nix::sys::statvfs::statvfs(there)?;
    Ok(about.blocks_available().saturating_mul(about.fragment_size()))
}
