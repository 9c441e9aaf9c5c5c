//! Lines of a file of any length, each of bounded length.

use std::io::{self, BufRead, BufReader, Read};

/// No line of these logs is longer; the longest are journald's, whose fields are cut at
/// 64 KiB by `journalctl -o json`.
pub const LONGEST: usize = 128 << 10;

/// Gives each line without its line feed, and `None` for one that is longer than [`LONGEST`].
///
/// # Errors
/// The file cannot be read on.
pub fn each_line(file: impl Read, each: &mut dyn FnMut(Option<&[u8]>)) -> io::Result<()> {
    let mut reader = BufReader::with_capacity(64 << 10, file);
    let mut line = Vec::new();
    let mut too_long = false;
    loop {
        let room = LONGEST + 1 - line.len();
        let read = (&mut reader).take(room as u64).read_until(b'\n', &mut line)?;
        let whole = line.last() == Some(&b'\n');
        if read == 0 || whole {
            if whole {
                line.pop();
            }
            if too_long {
                each(None);
            } else if whole || !line.is_empty() {
                each(Some(&line));
            }
            if read == 0 {
                return Ok(());
            }
            line.clear();
            too_long = false;
        } else if line.len() > LONGEST {
            too_long = true;
            line.clear();
        }
    }
}
