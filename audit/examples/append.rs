//! Times durable appends: `append FOLDER COUNT [JOURNAL]`. Prints the median in microseconds of one plain
//! write + fdatasync of a line of that length, of an append to a journal held open, and of one as a command does it:
//! open, append, close. In turns, so that a slow disk is slow for all. For benchmarks.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;
use std::time::Instant;

use audit::{Draft, Journal};

fn main() {
    let mut arguments = std::env::args().skip(1);
    let (folder, count) = arguments.next().zip(arguments.next()).expect("append FOLDER COUNT [JOURNAL]");
    let count: usize = count.parse().expect("COUNT is a number");
    let folder = Path::new(&folder);
    let journal = arguments.next().map_or_else(|| folder.join("append-journal"), Into::into);
    let mut plain = OpenOptions::new().append(true).create(true).open(folder.join("append-plain")).unwrap();
    let mut open = Journal::open(&journal, "1c0ffee0").unwrap();
    let line = [b'x'; 391];
    let mut times: [Vec<u128>; 3] = Default::default();
    for number in 0..count {
        let draft = || {
            let proof = "method flr; config space readable; bus mastering off; ids as before";
            Draft::new("step")
                .op("9616d76e")
                .text("step", "settle")
                .text("phase", "done")
                .text("bdf", "0000:03:00.0")
                .text("proof", proof)
                .number("n", number as i64)
        };
        let [first, second, third] = &mut times;
        let start = Instant::now();
        plain.write_all(&line).unwrap();
        plain.sync_data().unwrap();
        first.push(start.elapsed().as_nanos());
        let start = Instant::now();
        open.append(&[draft()]).unwrap();
        second.push(start.elapsed().as_nanos());
        let start = Instant::now();
        let mut command = Journal::open(&journal, "1c0ffee0").unwrap();
        command.append(&[draft()]).unwrap();
        drop(command);
        third.push(start.elapsed().as_nanos());
    }
    for (name, mut taken) in ["plain", "held-open", "open-append"].into_iter().zip(times) {
        taken.sort_unstable();
        println!("{name} {:.1}", *taken.get(count / 2).unwrap() as f64 / 1000.0);
    }
}
