//! The hashes of several records at once.
//!
//! One SHA-256 is a chain of dependent steps: the processor's hash unit spends most of its time waiting for
//! its own last result. Taking one block of each of a few independent records in turn lets it overlap them,
//! in safe code and on one core. The processor looks only about half a block ahead. So whatever else a record
//! needs is done between two blocks, where it costs next to nothing: taking the next line apart while the
//! other lane is in the middle of its own, looking at the bytes of a block when it is hashed.
#![forbid(unsafe_code)]

use sha2::compress256;
use sha2::digest::generic_array::GenericArray;

use crate::hash::{same, to_hex, HexHash};
use crate::record::Parts;

/// How many records go in step; measured: two gain a tenth, more nothing.
const LANES: usize = 2;

/// The state before the first block (FIPS 180-4, 5.3.3).
const START: [u32; 8] =
    [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];

/// Whether all bytes seen so far are in 0x20..=0x7e.
///
/// Asked once for many records: what it saw is no record's text, but whether to look again, slowly.
#[derive(Clone, Copy, Default)]
pub(crate) struct Printable {
    /// The greatest distances from 0x20, column by column: a byte before it wraps to a great one.
    greatest: [u8; 16],
}

impl Printable {
    /// Looks at a block. In columns of a fixed number, so that the compiler makes vectors of it.
    #[inline(always)]
    fn see(&mut self, block: &[u8; 64]) {
        let mut greatest = self.greatest;
        for row in block.chunks_exact(16) {
            for (greatest, byte) in greatest.iter_mut().zip(row) {
                *greatest = (*greatest).max(byte.wrapping_sub(0x20));
            }
        }
        self.greatest = greatest;
    }

    /// The answer.
    pub(crate) fn all(&self) -> bool {
        self.greatest.iter().all(|distance| *distance <= 0x7e - 0x20)
    }
}

/// How what is left of a text is made a block: which bytes are its own, and the closing brace and the first
/// bit of the padding behind it. From byte 64 - n it is so for n bytes.
struct Ends {
    own: [u8; 128],
    end: [u8; 128],
}

static ENDS: Ends = Ends::new();

impl Ends {
    #[allow(clippy::indexing_slicing)] // Done by the compiler, which refuses a place outside.
    const fn new() -> Self {
        let mut ends = Self { own: [0; 128], end: [0; 128] };
        let mut at = 0;
        while at < 64 {
            ends.own[at] = 0xff;
            at += 1;
        }
        ends.end[64] = b'}';
        ends.end[65] = 0x80;
        ends
    }

    /// For so many bytes of a block.
    #[inline(always)]
    fn of(count: usize) -> Option<(&'static [u8; 64], &'static [u8; 64])> {
        let from = 64usize.checked_sub(count)?;
        Some((ENDS.own.get(from..)?.first_chunk()?, ENDS.end.get(from..)?.first_chunk()?))
    }
}

/// One record on its way.
struct Lane<'a> {
    state: [u32; 8],
    /// The whole blocks that are left of its body.
    blocks: &'a [u8],
    /// The end of its body and the padding; the first of the two is not always needed.
    tail: [[u8; 64]; 2],
    /// Which of them is next.
    next: usize,
    /// The hash it claims.
    claims: Option<&'a HexHash>,
}

impl<'a> Lane<'a> {
    /// Without a record.
    const EMPTY: Self = Self { state: START, blocks: &[], tail: [[0; 64]; 2], next: 2, claims: None };

    /// Begins with a record.
    // Always whole blocks: to copy what is left of a body, be it of any length, takes a call and a guess.
    #[inline(always)]
    fn begin(&mut self, line: &'a [u8], parts: &Parts<'a>, seen: &mut Printable) -> Option<()> {
        let length = parts.body.len();
        let (blocks, rest) = line.split_at_checked(length / 64 * 64)?;
        // A whole block is left, because more than that follows a body.
        let rest = rest.first_chunk::<64>()?;
        let (own, end) = Ends::of(length % 64)?;
        seen.see(rest);
        let mut block = *end;
        for ((byte, text), own) in block.iter_mut().zip(rest).zip(own) {
            *byte |= text & own;
        }
        let [first, last] = &mut self.tail;
        *last = [0; 64];
        if length % 64 + 10 <= 64 {
            *last = block;
            self.next = 1;
        } else {
            *first = block;
            *last.first_mut()? = if length % 64 == 63 { 0x80 } else { 0 };
            self.next = 0;
        }
        *last.last_chunk_mut()? = ((length as u64 + 1) * 8).to_be_bytes();
        self.state = START;
        self.blocks = blocks;
        self.claims = Some(parts.hash);
        Some(())
    }

    /// Whether nothing is left.
    #[inline(always)]
    fn is_done(&self) -> bool {
        self.next == self.tail.len()
    }

    /// Goes on by one block.
    #[inline(always)]
    fn step(&mut self, seen: &mut Printable) {
        let block = match self.blocks.split_first_chunk() {
            Some((block, rest)) => {
                seen.see(block);
                self.blocks = rest;
                block
            }
            None => {
                let Some(block) = self.tail.get(self.next) else { return };
                self.next += 1;
                block
            }
        };
        compress256(&mut self.state, std::slice::from_ref(GenericArray::from_slice(block)));
    }

    /// Whether the hash that was claimed is the one that was found.
    #[inline(always)]
    fn holds(&self) -> bool {
        let mut value = [0u8; 32];
        for (bytes, word) in value.chunks_exact_mut(4).zip(self.state) {
            bytes.copy_from_slice(&word.to_be_bytes());
        }
        self.claims.is_none_or(|claimed| same(&to_hex(&value), claimed))
    }
}

/// Records whose hashes are looked at in step.
pub(crate) struct Lanes<'a> {
    // In place and never moved: a moved lane would be read again before its bytes have left the store buffer.
    lanes: [Lane<'a>; LANES],
    /// Which lane was the last to go on.
    last: usize,
    seen: Printable,
    hold: bool,
}

impl<'a> Lanes<'a> {
    /// None yet.
    pub(crate) fn new() -> Self {
        Self { lanes: [const { Lane::EMPTY }; LANES], last: 0, seen: Printable::default(), hold: true }
    }

    /// Goes on with the others until there is a lane for this record, and begins with it.
    #[inline(always)]
    pub(crate) fn take(&mut self, line: &'a [u8], parts: &Parts<'a>) {
        loop {
            self.last = (self.last + 1) % LANES;
            let Some(lane) = self.lanes.get_mut(self.last) else {
                self.hold = false;
                return;
            };
            if lane.is_done() {
                self.hold &= lane.holds() && lane.begin(line, parts, &mut self.seen).is_some();
                lane.step(&mut self.seen);
                return;
            }
            lane.step(&mut self.seen);
        }
    }

    /// Whether all records that were taken hash to what they claim, and no body
    /// has a byte that is not printable.
    pub(crate) fn hold(mut self) -> bool {
        while self.lanes.iter().any(|lane| !lane.is_done()) {
            for lane in &mut self.lanes {
                lane.step(&mut self.seen);
            }
        }
        self.hold && self.lanes.iter().all(Lane::holds) && self.seen.all()
    }
}

#[cfg(test)]
#[allow(clippy::indexing_slicing, clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::hash;
    use crate::record::shape;

    /// A line of this body.
    fn sealed(body: &[u8]) -> Vec<u8> {
        let hash = hash::of(&[body, b"}"].concat());
        [body, b",\"hash\":\"", &hash, b"\"}"].concat()
    }

    /// The shortest body there is, and so many bytes more.
    fn body(more: usize) -> Vec<u8> {
        let mut body = [b"{\"v\":1,\"prev\":\"", &[b'0'; 64][..], b"\",\"seq\":7,"].concat();
        body.extend((0..more).map(|at| (at * 7 % 95 + 32) as u8));
        body
    }

    fn hold(lines: &[Vec<u8>]) -> bool {
        let mut lanes = Lanes::new();
        for line in lines {
            lanes.take(line, &shape(line).unwrap());
        }
        lanes.hold()
    }

    #[test]
    fn records_of_every_length_hold_beside_each_other() {
        let lines: Vec<_> =
            (0..400).flat_map(|more| [more, 1000 - 2 * more]).map(|more| sealed(&body(more))).collect();
        assert!(hold(&lines));
        assert!(hold(&[]));
    }

    #[test]
    fn one_wrong_hash_is_seen_wherever_it_stands() {
        let lines: Vec<_> = (0..130).map(|more| sealed(&body(more))).collect();
        for wrong in 0..lines.len() {
            let mut lines = lines.clone();
            let at = lines[wrong].len() - 3;
            lines[wrong][at] ^= 1;
            assert!(!hold(&lines), "{wrong}");
        }
    }

    #[test]
    fn no_place_hides_a_byte_that_is_not_printable() {
        let fine = body(130);
        for at in 89..fine.len() {
            for byte in [0, 0x1f, 0x7f, 0xff] {
                let mut body = fine.clone();
                body[at] = byte;
                assert!(!hold(&[sealed(&fine), sealed(&body), sealed(&fine)]), "{byte} at {at}");
            }
        }
    }
}
