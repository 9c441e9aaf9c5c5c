//! Verifies a journal: `verify FOLDER [THREADS [SEQ:HEX…]]`. For benchmarks, and for a look without the main program.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

use audit::{verify, Against, Checkpoint, Verdict};

fn main() -> std::process::ExitCode {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().expect("verify FOLDER [THREADS [SEQ:HEX…]]");
    let threads = arguments.next().and_then(|count| count.parse().ok());
    let checkpoints = arguments.map(|text| Checkpoint::parse(&text).unwrap()).collect();
    let against = Against { threads, checkpoints, from: None };
    let report = verify(folder.as_ref(), &against, &|_, _| {}).unwrap();
    print!("{report}");
    std::process::ExitCode::from(match report.verdict() {
        Verdict::Sound => 0,
        Verdict::Altered => 7,
        Verdict::TornTail => 9,
    })
}
