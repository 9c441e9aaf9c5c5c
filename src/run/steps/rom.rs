//! The hash of the expansion ROM. Reading it writes to the device (the kernel switches its ROM
//! decoder on for each read), so it is done only here: no driver has the function, it was reset, and
//! Xen still holds it in quarantine.

use crate::assess::HazardId;
use crate::names::escape;
use crate::run::operation::Operation;
use crate::run::outcome::Trouble;
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::io::Read;

/// No ROM is larger: the size of its base address is 16 MiB at most (PCI Local Bus 3.0, 6.2.5.2).
const MOST: u64 = 16 << 20;

impl Operation<'_> {
    /// Takes the hash and holds it against the one that was recorded last. Says what came of it;
    /// `None` where there is no ROM. One that cannot be read is no failure: many are not (no valid
    /// header), and nothing is recorded then.
    pub(super) fn read_rom(&mut self, decodes_memory: bool) -> Result<Option<String>, Trouble> {
        if !self.function.has_rom {
            return Ok(None);
        }
        // A read that nobody answers can be a fatal error of the bus.
        if !decodes_memory {
            return Ok(Some("its ROM was not read: its memory is off".to_owned()));
        }
        self.still_driverless()?;
        let opened = self.write("rom", "1");
        if let Err(hung @ Trouble::Hung(_)) = opened {
            return Err(hung);
        }
        let path = self.sources.sysfs.attribute_path(self.plan.sbdf, "rom");
        let read = opened.as_ref().map(|()| std::fs::File::open(path).and_then(hash));
        // Off is `0` with a line end and nothing else (Linux `pci_write_rom`). Where this fails, root can go
        // on reading that file; the device decodes its ROM only while it is read.
        let closed = self.write("rom", "0\n");
        let read = match (read, &closed) {
            (_, Err(Trouble::Hung(_) | Trouble::Lost(_))) => return closed.map(|()| None),
            (Ok(Ok(sha256)), _) => sha256,
            (Ok(Err(error)), _) => return Ok(Some(unread(&error.to_string()))),
            (Err(Trouble::Failed { message, .. }), _) => return Ok(Some(unread(message))),
            (Err(trouble), _) => return Err(trouble.clone()),
        };
        let said = self.compared(&read)?;
        self.rom_sha256 = read;
        Ok(Some(match closed {
            Ok(()) => said,
            Err(trouble) => format!("{said}; its file `rom` stays open to root: {}", trouble.message()),
        }))
    }

    fn compared(&self, is: &str) -> Result<String, Trouble> {
        match self.known_rom {
            Some(was) if was == is => Ok("ROM unchanged".to_owned()),
            Some(was) if self.accepted.has(HazardId::IdentityChanged) => {
                Ok(format!("ROM changed, as accepted: SHA-256 {was} -> {is}"))
            }
            Some(was) => Err(Trouble::failed(
                format!("its ROM changed: SHA-256 {was} -> {is}"),
                "do not use it; power off and look at it; or accept identity-changed",
            )),
            None => Ok(format!("ROM recorded for the first time: SHA-256 {is}")),
        }
    }
}

fn unread(why: &str) -> String {
    format!("its ROM cannot be read: {}", escape(why.as_bytes()))
}

/// SHA-256 in hexadecimal.
fn hash(rom: impl Read) -> std::io::Result<String> {
    let mut rom = rom.take(MOST + 1);
    let (mut hasher, mut read, mut piece) = (Sha256::new(), 0, vec![0; 4096]);
    loop {
        let count = rom.read(&mut piece)?;
        read += count;
        match piece.get(..count) {
            Some(bytes) if count > 0 => hasher.update(bytes),
            _ => break,
        }
    }
    if read == 0 || u64::try_from(read).is_ok_and(|read| read > MOST) {
        return Err(std::io::Error::other(format!("{read} bytes are no ROM")));
    }
    let mut text = String::new();
    for byte in hasher.finalize() {
        let _ = write!(text, "{byte:02x}");
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_is_read_is_hashed_whole_and_neither_nothing_nor_too_much_is_a_rom() {
        let hash_of_zeroes = |size: u64| hash(std::io::repeat(0).take(size));
        let page = "ad7facb2586fc6e966c004d7d1d16b024f5805ff7cb47c7a85dabd8b48892ca7";
        assert_eq!(hash_of_zeroes(4096).unwrap(), page);
        assert!(hash_of_zeroes(MOST).is_ok());
        for size in [0, MOST + 1, u64::MAX] {
            assert!(hash_of_zeroes(size).is_err(), "{size}");
        }
    }
}
