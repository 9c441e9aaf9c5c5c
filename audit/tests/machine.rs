//! What kills, full disks and failing disks do to a journal, on the real kernel.
//!
//! Some of these need root, a loop device or `strace`; where that is missing they say `skipped: why`.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr
)]

mod common;

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use audit::{verify, Against, Draft, Journal, Kind, Verdict};
use common::Scratch;

const ROLE: &str = "JOURNAL_TEST_ROLE";
const FOLDER: &str = "JOURNAL_TEST_FOLDER";

fn note(number: i64) -> Draft {
    Draft::new("step").op("9616d76e").text("phase", "intent").number("number", number)
}

/// This test binary again, as another process with a role.
fn child(role: &str, folder: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "the_other_process", "--nocapture", "--test-threads=1"])
        .env(ROLE, role)
        .env(FOLDER, folder);
    command
}

/// Not a test of its own: what the child processes of the other tests do.
#[test]
fn the_other_process() {
    let (Ok(role), Some(folder)) = (std::env::var(ROLE), std::env::var_os(FOLDER)) else { return };
    let folder = Path::new(&folder);
    let mut out = std::io::stdout().lock();
    match role.as_str() {
        "append-for-ever" => loop {
            // Opened anew every few records, as commands do; and short segments, so that many changes are hit.
            let mut journal =
                Journal::open_with(folder, "1c0ffee0", Duration::from_secs(60), 200_000).unwrap();
            for number in 0..8 {
                let drafts: Vec<Draft> = (0..=number % 3).map(note).collect();
                let head = journal.append(&drafts).unwrap();
                writeln!(out, "ack {} {}", head.seq, head.hex()).unwrap();
            }
            journal.close().unwrap();
        },
        "append-twice-after-opening" => {
            let mut journal = Journal::open(folder, "1c0ffee0").unwrap();
            for number in 0..2 {
                match journal.append(&[note(number)]) {
                    Ok(head) => writeln!(out, "appended {}", head.seq).unwrap(),
                    Err(error) => writeln!(out, "error {:?} {error}", error.kind()).unwrap(),
                }
            }
        }
        other => panic!("no such role: {other}"),
    }
}

/// Whether a test goes on; prints why not.
fn can(what: &str, able: bool) -> bool {
    if !able {
        eprintln!("skipped: {what}");
    }
    able
}

fn run(program: &str, arguments: &[&str]) -> bool {
    Command::new(program)
        .args(arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// A file system of its own, unmounted at the end.
struct Mounted(Scratch);

impl Mounted {
    fn ext4(image: &Path, size: &str) -> Option<Self> {
        let target = Scratch::new();
        let image = image.to_str().unwrap();
        let made = run("truncate", &["-s", size, image])
            && run("mkfs.ext4", &["-q", "-F", "-m", "0", "-E", "lazy_itable_init=1", image]);
        (made && run("mount", &["-o", "loop", image, target.path().to_str().unwrap()]))
            .then_some(Self(target))
    }

    fn tmpfs(size: &str) -> Option<Self> {
        let target = Scratch::new();
        run("mount", &["-t", "tmpfs", "-o", &format!("size={size}"), "none", target.path().to_str().unwrap()])
            .then_some(Self(target))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn fill(&self) {
        let mut file = File::create(self.path().join("filler")).unwrap();
        let mut size = 1 << 20;
        while size > 0 {
            match file.write_all(&vec![1; size]) {
                Ok(()) => {}
                Err(_) => size /= 2,
            }
        }
        let _ = file.sync_all();
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let path = self.0.path().to_str().unwrap();
        if !run("umount", &[path]) {
            run("umount", &["-l", path]);
        }
    }
}

#[test]
fn four_writers_killed_a_thousand_times_lose_no_acknowledged_record() {
    let scratch = Scratch::new();
    let folder = scratch.journal();
    let kills = if cfg!(debug_assertions) { 100 } else { 1000 };
    drop(Journal::open(&folder, "1c0ffee0").unwrap());
    let acks = scratch.path().join("acks");
    fs::create_dir(&acks).unwrap();
    let mut number = 0;
    let mut start = || -> Child {
        number += 1;
        // A file, not a pipe: what was acknowledged stays readable when the process is gone.
        let out = File::create(acks.join(number.to_string())).unwrap();
        child("append-for-ever", &folder).stdout(out).stderr(Stdio::null()).spawn().unwrap()
    };
    let mut writers: Vec<Child> = (0..4).map(|_| start()).collect();
    let mut random = 0x2545_f491_4f6c_dd1du64;
    for kill in 0..kills {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        std::thread::sleep(Duration::from_micros(random % 9000));
        let victim = kill % 4;
        assert!(writers[victim].try_wait().unwrap().is_none(), "a writer ended by itself");
        writers[victim].kill().unwrap();
        writers[victim].wait().unwrap();
        writers[victim] = start();
    }
    for mut writer in writers {
        writer.kill().unwrap();
        writer.wait().unwrap();
    }
    let report = verify(&folder, &Against::default(), &|_, _| {}).unwrap();
    assert_ne!(report.verdict(), Verdict::Altered, "{report}");
    let mut hashes = HashMap::new();
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "jsonl") {
            let mut bytes = Vec::new();
            File::open(&path).unwrap().read_to_end(&mut bytes).unwrap();
            for record in bytes.split(|byte| *byte == b'\n').filter_map(audit::Record::parse) {
                hashes.insert(record.seq(), record.text("hash").unwrap().to_owned());
            }
        }
    }
    let mut acknowledged = 0;
    for entry in fs::read_dir(&acks).unwrap() {
        let text = BufReader::new(File::open(entry.unwrap().path()).unwrap());
        for line in text.lines().map_while(Result::ok) {
            let words: Vec<&str> = line.split(' ').collect();
            // The last line of a killed process may be cut.
            if let ["ack", seq, hash] = words[..] {
                if hash.len() == 64 {
                    assert_eq!(
                        hashes.get(&seq.parse().unwrap()).map(String::as_str),
                        Some(hash),
                        "record {seq} was acknowledged"
                    );
                    acknowledged += 1;
                }
            }
        }
    }
    println!(
        "{kills} kills, {acknowledged} acknowledged appends, {} records in {} segments",
        report.records, report.segments
    );
    assert!(acknowledged > kills as u64);
}

#[test]
fn on_a_full_disk_a_started_operation_reaches_its_end_and_a_new_one_is_refused() {
    if !can("needs root to mount", is_root()) {
        return;
    }
    let scratch = Scratch::new();
    for kind in ["ext4", "tmpfs"] {
        let mounted = if kind == "ext4" {
            Mounted::ext4(&scratch.path().join("image"), "16M")
        } else {
            Mounted::tmpfs("4M")
        };
        let Some(mounted) = mounted else {
            can("no loop device, or no mkfs.ext4", false);
            continue;
        };
        let folder = mounted.path().join("journal");
        // Segments so short that the operation would begin new ones: for which there is no space.
        let mut journal = Journal::open_with(&folder, "1c0ffee0", Duration::ZERO, 8_000).unwrap();
        mounted.fill();
        for number in 0..100 {
            journal
                .append(&[note(number)])
                .unwrap_or_else(|error| panic!("{kind}: append {number}: {error}"));
        }
        let head = journal.close().unwrap();
        let refused = Journal::open(&folder, "1c0ffee0").err().unwrap();
        assert_eq!(refused.kind(), Kind::Full, "{kind}: {refused}");
        assert!(refused.hint().contains("free space"));
        let against = Against { checkpoints: vec![head.into()], ..Against::default() };
        let report = verify(&folder, &against, &|_, _| {}).unwrap();
        assert_eq!(report.verdict(), Verdict::Sound, "{kind}: {report}");
        fs::remove_file(mounted.path().join("filler")).unwrap();
        // ext4 gives the space back with its next commit.
        assert!(run("sync", &["-f", folder.to_str().unwrap()]));
        assert!(Journal::open(&folder, "1c0ffee0").unwrap().append(&[note(1)]).unwrap().seq > head.seq);
        println!("{kind}: 100 of 100 appends on a full disk, then a new one refused");
    }
}

#[test]
fn an_error_from_fdatasync_is_final_is_told_and_leaves_a_journal_that_verifies() {
    if !can("needs strace", run("strace", &["-V"])) {
        return;
    }
    let scratch = Scratch::new();
    let folder = scratch.journal();
    let mut journal = Journal::open(&folder, "1c0ffee0").unwrap();
    let kept = journal.append(&[note(0)]).unwrap();
    journal.close().unwrap();
    let log = scratch.path().join("calls");
    let inner = child("append-twice-after-opening", &folder);
    let output = Command::new("strace")
        .args([
            "-f",
            "-o",
            log.to_str().unwrap(),
            "-e",
            "trace=fdatasync,write",
            "-e",
            "inject=fdatasync:error=EIO:when=1",
        ])
        .arg(inner.get_program())
        .args(inner.get_args())
        .env(ROLE, "append-twice-after-opening")
        .env(FOLDER, &folder)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let calls = fs::read_to_string(&log).unwrap();
    if !can("strace may not trace here", calls.contains("fdatasync(")) {
        return;
    }
    let errors: Vec<&str> =
        text.lines().filter_map(|line| line.find("error Io").map(|at| &line[at..])).collect();
    assert_eq!(errors.len(), 2, "{text}");
    assert!(errors[0].contains("(EIO)") && errors[0].contains(".jsonl"), "{text}");
    assert_eq!(errors[0], errors[1]);
    assert_eq!(calls.matches("fdatasync(").count(), 1, "no second sync after a failed one: {calls}");
    let against = Against { checkpoints: vec![kept.into()], ..Against::default() };
    let report = verify(&folder, &against, &|_, _| {}).unwrap();
    assert_ne!(report.verdict(), Verdict::Altered, "{report}");
    let head = Journal::open(&folder, "1c0ffee0").unwrap().append(&[note(1)]).unwrap();
    let against = Against { checkpoints: vec![kept.into(), head.into()], ..Against::default() };
    assert_eq!(verify(&folder, &against, &|_, _| {}).unwrap().verdict(), Verdict::Sound);
}

/// A disk that fails for real: ext4 in a sparse file on a small tmpfs. When that is full, blocks the file system
/// believes to have cannot be written.
#[test]
fn when_the_disk_itself_fails_what_was_acknowledged_is_there_after_it_is_mended() {
    if !can("needs root to mount", is_root()) {
        return;
    }
    let Some(below) = Mounted::tmpfs("24M") else {
        can("no tmpfs", false);
        return;
    };
    let image = below.path().join("image");
    let Some(disk) = Mounted::ext4(&image, "64M") else {
        can("no loop device, or no mkfs.ext4", false);
        return;
    };
    let folder = disk.path().join("journal");
    let mut journal = Journal::open(&folder, "1c0ffee0").unwrap();
    let mut acknowledged = vec![journal.head(), journal.append(&[note(0)]).unwrap()];
    run("sync", &["-f", disk.path().to_str().unwrap()]);
    below.fill();
    let until = Instant::now() + Duration::from_secs(60);
    let error = loop {
        assert!(Instant::now() < until, "the disk never failed");
        match journal.append(&[note(1), note(2), note(3)]) {
            Ok(head) => acknowledged.push(head),
            Err(error) => break error,
        }
    };
    assert!(matches!(error.kind(), Kind::Io | Kind::Permission), "{error}");
    assert!(error.errno().is_some(), "{error}");
    let again = journal.append(&[note(4)]).unwrap_err();
    if error.kind() == Kind::Io {
        assert_eq!(again, error, "an error from a sync is final");
    }
    drop(journal);
    drop(disk);
    fs::remove_file(below.path().join("filler")).unwrap();
    // Mended: mounted again, which replays the file system's own journal.
    let target = Scratch::new();
    assert!(run("mount", &["-o", "loop", image.to_str().unwrap(), target.path().to_str().unwrap()]));
    let disk = Mounted(target);
    let folder = disk.path().join("journal");
    let checkpoints = acknowledged.iter().map(|head| (*head).into()).collect();
    let report = verify(&folder, &Against { checkpoints, ..Against::default() }, &|_, _| {}).unwrap();
    assert_ne!(report.verdict(), Verdict::Altered, "{report}");
    let head = Journal::open(&folder, "1c0ffee0").unwrap().append(&[note(5)]).unwrap();
    let checkpoints = acknowledged.iter().chain([&head]).map(|head| (*head).into()).collect();
    let report = verify(&folder, &Against { checkpoints, ..Against::default() }, &|_, _| {}).unwrap();
    assert_eq!(report.verdict(), Verdict::Sound, "{report}");
    println!("{error}; {} acknowledged appends, all there", acknowledged.len());
}

#[test]
fn with_append_only_segments_everything_works_and_pruning_asks_to_lift_that() {
    let scratch = Scratch::new();
    let folder = scratch.journal();
    let mut journal = Journal::open_with(&folder, "1c0ffee0", Duration::ZERO, 2_000).unwrap();
    for number in 0..20 {
        journal.append(&[note(number)]).unwrap();
    }
    let segments = || -> Vec<String> {
        let mut found: Vec<String> = fs::read_dir(&folder)
            .unwrap()
            .map(|entry| entry.unwrap().path().to_str().unwrap().to_owned())
            .filter(|path| path.ends_with(".jsonl"))
            .collect();
        found.sort();
        found
    };
    let all = |flag: &str| segments().iter().all(|path| run("chattr", &[flag, path]));
    if !can("chattr +a needs root and a file system that knows it", all("+a")) {
        return;
    }
    let last = segments().last().unwrap().clone();
    fs::OpenOptions::new().append(true).open(&last).unwrap().write_all(b"torn").unwrap();
    for number in 0..20 {
        Journal::open_with(&folder, "1c0ffee0", Duration::ZERO, 2_000)
            .unwrap()
            .append(&[note(number)])
            .unwrap();
        all("+a");
    }
    audit::remember(&folder, audit::head(&folder).unwrap().head, "paper").unwrap();
    let report = verify(&folder, &Against::default(), &|_, _| {}).unwrap();
    assert_eq!((report.verdict(), report.healed.len()), (Verdict::Sound, 1), "{report}");
    let before = report.head.unwrap();
    let refused = audit::prune(&folder, "1c0ffee0", 20, audit::Keep::default()).unwrap_err();
    assert_eq!(refused.kind(), Kind::Permission);
    assert!(refused.hint().contains("chattr -a /"), "{}", refused.hint());
    assert_eq!(audit::head(&folder).unwrap().head, before, "a refused prune has written nothing");
    assert!(all("-a"));
    let (pruned, _) = audit::prune(&folder, "1c0ffee0", 20, audit::Keep::default()).unwrap().unwrap();
    assert!(pruned.last < 20);
    let report = verify(&folder, &Against::default(), &|_, _| {}).unwrap();
    assert_eq!(report.verdict(), Verdict::Sound, "{report}");
    assert_eq!(report.pruned.unwrap().0, pruned.last + 1);
}
