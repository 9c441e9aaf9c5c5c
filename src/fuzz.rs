//! Fuzzing with the stable compiler: every parser of foreign bytes is fed what comes of mutating real input.
//!
//! An input whose result was not seen before joins the corpus, so that the mutations go deeper; there is no
//! other guidance. `cargo test` gives each target a second; more is asked for with
//! `QUBES_DOM0_PCI_FUZZ_SECONDS=600 cargo test
//! --release fuzz`. An input that panics, hangs or breaks the target's own rule is printed, escaped;
//! it belongs into the corpus of that target (`tests/data/fuzz/TARGET/`) with the mend.

#![forbid(unsafe_code)]

use crate::names::escape;
use nix::time::{clock_gettime, ClockId};
use std::collections::hash_map::DefaultHasher;
use std::collections::HashSet;
use std::fmt::Debug;
use std::hash::{Hash, Hasher};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::path::Path;
use std::time::{Duration, Instant};

#[path = "../tests/model/missing.rs"]
mod skipped;
pub use skipped::missing;

/// Inputs kept; the oldest found ones give way.
const CORPUS_MAX: usize = 2000;
/// Inputs are not longer than this, in bytes.
const LENGTH_MAX: usize = 64 << 10;
/// A parser that takes this much of the processor over one input hangs.
const HANGS: Duration = Duration::from_secs(10);
/// Text that means something to one of the parsers.
const TOKENS: [&[u8]; 26] = [
    b"\0",
    b"\n",
    b"'",
    b"\"",
    b"\\",
    b"\\'",
    b"=",
    b":",
    b"*",
    b"+",
    b"<",
    b">",
    b"&",
    b"&#x41;",
    b"<!--",
    b"]]>",
    b"{",
    b"}",
    b"0x",
    b"ffff",
    b"0000:00:1f.6",
    b"00_1c.0-00_00.0",
    b"1\0",
    b"2\0",
    b"99999999999999999999",
    b"\xff\xfe\x80",
];

/// A small generator (xorshift64*): the same seed gives the same run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }
}

/// What this thread has had of the processor: a machine that is busy otherwise makes no parser slow.
fn processor_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).unwrap().into()
}

fn mutate(random: &mut Random, corpus: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = corpus[random.below(corpus.len())].clone();
    for _ in 0..=random.below(6) {
        let at = random.below(bytes.len() + 1);
        let end = at + random.below((bytes.len() - at).min(64) + 1);
        match random.below(8) {
            0 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
            1 if at < bytes.len() => bytes[at] = random.next() as u8,
            2 => drop(bytes.splice(at..at, TOKENS[random.below(TOKENS.len())].iter().copied())),
            3 => drop(bytes.drain(at..end)),
            4 => {
                let copy = bytes[at..end].to_vec();
                drop(bytes.splice(at..at, copy));
            }
            5 => bytes.truncate(at),
            6 => {
                let other = &corpus[random.below(corpus.len())];
                bytes.truncate(at);
                bytes.extend_from_slice(&other[random.below(other.len() + 1)..]);
            }
            _ => drop(bytes.splice(at..end, TOKENS[random.below(TOKENS.len())].iter().copied())),
        }
    }
    bytes.truncate(LENGTH_MAX);
    bytes
}

/// Feeds `target` for the time that was asked for. Its result is only looked at for being new.
pub fn run<T: Debug>(name: &str, seeds: &[&[u8]], target: impl Fn(&[u8]) -> T) {
    let seconds =
        std::env::var("QUBES_DOM0_PCI_FUZZ_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    let mut corpus: Vec<Vec<u8>> = seeds.iter().map(|seed| seed.to_vec()).collect();
    let found = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/fuzz").join(name);
    for entry in std::fs::read_dir(found).into_iter().flatten().flatten() {
        corpus.push(std::fs::read(entry.path()).unwrap());
    }
    let (known, mut seen) = (corpus.len(), HashSet::new());
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let until = Instant::now() + Duration::from_secs(seconds);
    let mut runs = 0u64;
    for round in 0.. {
        let input = corpus.get(round).cloned().unwrap_or_else(|| mutate(&mut random, &corpus));
        let begin = processor_time();
        let result = catch_unwind(AssertUnwindSafe(|| {
            let mut hasher = DefaultHasher::new();
            format!("{:?}", target(&input)).hash(&mut hasher);
            hasher.finish()
        }));
        let shown = || escape(&input);
        let feature = result.unwrap_or_else(|_| panic!("{name} does not bear {}", shown()));
        assert!(processor_time() - begin < HANGS, "{name} takes long over {}", shown());
        if seen.len() < 1 << 20 && seen.insert(feature) && round >= known {
            if corpus.len() >= CORPUS_MAX {
                corpus.remove(known);
            }
            corpus.push(input);
        }
        runs += 1;
        if Instant::now() >= until {
            break;
        }
    }
    println!("{name}: {runs} inputs, {} results", seen.len());
}
