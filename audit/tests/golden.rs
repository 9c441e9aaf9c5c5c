//! Golden journals: what verifying says of them may not change, and the reference verifier, a shell script, has to come
//! to the same verdict on them and on tampered copies.
//!
//! `REGENERATE=1 cargo test -p audit --test golden` makes them anew (ids and times differ then): only for a new format.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr
)]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use audit::{
    prune, remember, repair, verify, Against, Checkpoint, Draft, Head, Journal, Report, Verdict, Wrong,
};
use common::Scratch;
use sha2::{Digest, Sha256};

const FIRST: &str = "000000000000.jsonl";

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn step(number: i64) -> Draft {
    Draft::new("step")
        .op("9616d76e")
        .text("step", "unbind")
        .text("phase", "done")
        .text("bdf", "0000:03:00.0")
        .number("number", number)
}

fn write(folder: &Path, appends: i64, segment_bytes: u64) -> Vec<Head> {
    let mut journal = Journal::open_with(folder, "1c0ffee0", Duration::from_secs(10), segment_bytes).unwrap();
    let mut heads = vec![journal.head()];
    for number in 0..appends {
        heads.push(journal.append(&[step(number), step(-number)]).unwrap());
    }
    journal.close().unwrap();
    heads
}

fn edit(folder: &Path, change: impl FnOnce(&mut Vec<Vec<u8>>)) {
    let path = folder.join(FIRST);
    let mut lines: Vec<Vec<u8>> =
        fs::read(&path).unwrap().split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
    change(&mut lines);
    fs::write(&path, lines.concat()).unwrap();
}

fn add(folder: &Path, bytes: &[u8]) {
    let path = folder.join(FIRST);
    let mut all = fs::read(&path).unwrap();
    all.extend_from_slice(bytes);
    fs::write(&path, all).unwrap();
}

type Make = fn(&Path) -> Vec<Head>;

/// How each golden journal is made; what is returned is given as checkpoints.
fn recipes() -> BTreeMap<&'static str, Make> {
    let mut all: BTreeMap<&'static str, Make> = BTreeMap::new();
    all.insert("good", |folder| vec![write(folder, 4, u64::MAX)[3]]);
    all.insert("good-many-segments", |folder| {
        let heads = write(folder, 12, 2_000);
        remember(folder, heads[6], "paper").unwrap();
        vec![heads[12]]
    });
    all.insert("torn", |folder| {
        write(folder, 3, u64::MAX);
        add(folder, b"{\"v\":1,\"prev\":\"00\0\0\0\0\xa5\xa5\n\xa5\n\n{\"v\":1");
        Vec::new()
    });
    all.insert("torn-batch", |folder| {
        // A crash lost the first record of an append, and HEAD: the second one is whole.
        write(folder, 3, u64::MAX);
        edit(folder, |lines| {
            let at = lines.len() - 2;
            let half = lines[at].len() / 2;
            lines[at][half..].fill(0);
        });
        fs::remove_file(folder.join("HEAD")).unwrap();
        Vec::new()
    });
    all.insert("healed", |folder| {
        write(folder, 3, u64::MAX);
        add(folder, b"{\"v\":1,\"prev\":\"00\0\0\n\xa5\n{\"v\":1");
        vec![write(folder, 2, u64::MAX)[2]]
    });
    all.insert("gap", |folder| {
        write(folder, 3, u64::MAX);
        edit(folder, |lines| lines.truncate(5));
        repair(folder, "1c0ffee0").unwrap().unwrap();
        write(folder, 2, u64::MAX);
        Vec::new()
    });
    all.insert("pruned", |folder| {
        write(folder, 12, 2_000);
        prune(folder, "1c0ffee0", 12, audit::Keep::default()).unwrap().unwrap();
        Vec::new()
    });
    all.insert("pruned-without-a-record", |folder| {
        write(folder, 12, 2_000);
        fs::remove_file(folder.join(FIRST)).unwrap();
        Vec::new()
    });
    all.insert("tampered", |folder| {
        let heads = write(folder, 4, u64::MAX);
        edit(folder, |lines| {
            let text = String::from_utf8(lines[3].clone()).unwrap();
            lines[3] = text.replace("0000:03:00.0", "0000:04:00.0").into_bytes();
        });
        vec![heads[4]]
    });
    all.insert("removed", |folder| {
        write(folder, 4, u64::MAX);
        edit(folder, |lines| drop(lines.remove(3)));
        Vec::new()
    });
    all.insert("repeated", |folder| {
        write(folder, 4, u64::MAX);
        edit(folder, |lines| lines.insert(4, lines[3].clone()));
        Vec::new()
    });
    all.insert("cut", |folder| {
        let heads = write(folder, 4, u64::MAX);
        edit(folder, |lines| lines.truncate(7));
        fs::remove_file(folder.join("HEAD")).unwrap();
        vec![heads[4]]
    });
    all.insert("cut-and-nobody-knows", |folder| {
        write(folder, 4, u64::MAX);
        edit(folder, |lines| lines.truncate(7));
        fs::remove_file(folder.join("HEAD")).unwrap();
        Vec::new()
    });
    all.insert("altered-before-later-appends", |folder| {
        write(folder, 4, u64::MAX);
        edit(folder, |lines| lines[4][100] ^= 1);
        fs::remove_file(folder.join("HEAD")).unwrap();
        Vec::new()
    });
    all.insert("another-segment-missing", |folder| {
        write(folder, 16, 2_000);
        let mut names: Vec<PathBuf> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some())
            .collect();
        names.sort();
        fs::remove_file(&names[1]).unwrap();
        Vec::new()
    });
    all
}

fn report(folder: &Path, checkpoints: &[Checkpoint]) -> Report {
    verify(folder, &Against { checkpoints: checkpoints.to_vec(), ..Against::default() }, &|_, _| {}).unwrap()
}

fn exit_of(report: &Report) -> i32 {
    match report.verdict() {
        Verdict::Sound => 0,
        Verdict::Altered => 7,
        Verdict::TornTail => 9,
    }
}

/// What the reference verifier says; `None` where its tools are missing.
fn by_script(folder: &Path, checkpoints: &[Checkpoint]) -> Option<(i32, String)> {
    by_script_in(Path::new("/"), folder, &checkpoints.iter().map(ToString::to_string).collect::<Vec<_>>())
}

/// As [`by_script`], started in `place`; `given` are its further arguments.
fn by_script_in(place: &Path, folder: &Path, given: &[String]) -> Option<(i32, String)> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("verify.sh");
    let tools = ["sha256sum", "awk"].iter().all(|tool| {
        Command::new("sh")
            .args(["-c", &format!("command -v {tool}")])
            .stdout(Stdio::null())
            .status()
            .unwrap()
            .success()
    });
    if !tools {
        eprintln!("skipped: needs sha256sum and awk");
        return None;
    }
    let output = Command::new("sh").arg(script).arg(folder).args(given).current_dir(place).output().unwrap();
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    Some((output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap()))
}

#[test]
fn golden_journals_read_as_they_always_did_and_the_reference_verifier_agrees() {
    if std::env::var_os("REGENERATE").is_some() {
        let _ = fs::remove_dir_all(golden());
        for (name, make) in recipes() {
            let folder = golden().join(name);
            fs::create_dir_all(golden()).unwrap();
            let checkpoints: Vec<Checkpoint> = make(&folder).into_iter().map(Checkpoint::from).collect();
            let lines: String = checkpoints.iter().map(|kept| format!("{kept}\n")).collect();
            fs::write(folder.join("given"), lines).unwrap();
            fs::write(folder.join("report"), report(&folder, &checkpoints).to_string()).unwrap();
        }
    }
    let mut seen = 0;
    for name in recipes().keys() {
        let folder = golden().join(name);
        let given = fs::read_to_string(folder.join("given")).unwrap();
        let checkpoints: Vec<Checkpoint> =
            given.lines().map(|line| Checkpoint::parse(line).unwrap()).collect();
        let report = report(&folder, &checkpoints);
        assert_eq!(report.to_string(), fs::read_to_string(folder.join("report")).unwrap(), "{name}");
        if let Some((exit, text)) = by_script(&folder, &checkpoints) {
            assert_eq!(exit, exit_of(&report), "{name}: the script says {text}\nthe program {report}");
        }
        seen += 1;
    }
    println!("{seen} golden journals");
}

#[test]
fn no_name_of_a_folder_is_a_command_to_the_reference_verifier() {
    let scratch = Scratch::in_memory();
    let names = [
        "x$(touch ran)y",
        "x`touch ran`y",
        "x\"; touch ran; \"y",
        "'; touch ran; '",
        "two words",
        "two\nlines",
        "back\\nslash",
        "-",
        "--",
        "-n",
    ];
    // A torn region's hash takes a command of its own.
    let journal = golden().join("healed");
    let given: Vec<String> =
        fs::read_to_string(journal.join("given")).unwrap().lines().map(str::to_owned).collect();
    let Some(usual) = by_script_in(Path::new("/"), &journal, &given) else { return };
    let files = |folder: &Path| fs::read_dir(folder).unwrap().count();
    for (number, name) in names.iter().enumerate() {
        let folder = scratch.path().join(name);
        fs::create_dir(&folder).unwrap();
        for entry in fs::read_dir(&journal).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), folder.join(entry.file_name())).unwrap();
        }
        let path = if number == 0 { folder.as_path() } else { Path::new(name) };
        assert_eq!(by_script_in(scratch.path(), path, &given).unwrap(), usual, "{name:?}");
        assert_eq!((files(scratch.path()), files(&folder)), (1, files(&journal)), "something ran: {name:?}");
        fs::remove_dir_all(&folder).unwrap();
    }
    // Two lines in the name of a file are not two files.
    let folder = scratch.journal();
    write(&folder, 1, u64::MAX);
    fs::write(folder.join("x\n000000000900.jsonl"), "").unwrap();
    assert_eq!(by_script(&folder, &[]).unwrap().0, 0);
}

/// The hash of the last record of a segment.
fn last_hash(folder: &Path, name: &str) -> String {
    let text = fs::read_to_string(folder.join(name)).unwrap();
    text[text.len() - 67..text.len() - 3].to_owned()
}

fn segments(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| name.ends_with(".jsonl")).collect();
    names.sort();
    names
}

/// What was done to a journal, how, and what verifying says then.
type Case = (&'static str, fn(&Path), i32);

/// Both verifiers have to say the exit of each case.
fn agree(cases: &[Case]) {
    for (what, make, exit) in cases {
        let scratch = Scratch::in_memory();
        make(&scratch.journal());
        let report = report(&scratch.journal(), &[]);
        assert_eq!(exit_of(&report), *exit, "{what}: {report}");
        let Some((said, text)) = by_script(&scratch.journal(), &[]) else { return };
        assert_eq!(said, *exit, "{what}: the script says {text}");
    }
}

/// Adds to the last segment what says that everything before the first one was pruned.
fn claim_pruned(folder: &Path, rest_of_line: &str) {
    let names = segments(folder);
    let hash = last_hash(folder, &names[0]);
    let last: u64 = names[1][..12].parse::<u64>().unwrap() - 1;
    fs::remove_file(folder.join(&names[0])).unwrap();
    let path = folder.join(names.last().unwrap());
    let claim =
        format!("\"kind\":\"pruned\",\"seq\":7,\"last\":{last},\"last_hash\":\"{hash}\"{rest_of_line}");
    fs::write(&path, fs::read_to_string(&path).unwrap() + "{" + &claim).unwrap();
}

/// The last record with more members, and a hash that fits.
fn say_more(folder: &Path, more: &str) {
    let path = folder.join(FIRST);
    let text = fs::read_to_string(&path).unwrap();
    let (before, last) = text.trim_end().rsplit_once('\n').unwrap();
    let body = format!("{}{more}", &last[..last.len() - 75]);
    let hash: String = Sha256::digest(format!("{body}}}")).iter().map(|byte| format!("{byte:02x}")).collect();
    fs::write(&path, format!("{before}\n{body},\"hash\":\"{hash}\"}}\n")).unwrap();
    fs::remove_file(folder.join("HEAD")).unwrap();
}

#[test]
fn what_is_no_json_of_the_journals_form_is_no_record_to_either_verifier() {
    agree(&[
        (
            "a member without a value",
            |folder| {
                write(folder, 3, u64::MAX);
                say_more(folder, ",oops");
            },
            9,
        ),
        (
            "a number that is none in JSON",
            |folder| {
                write(folder, 3, u64::MAX);
                say_more(folder, ",\"x\":01");
            },
            9,
        ),
        (
            "an object in it",
            |folder| {
                write(folder, 3, u64::MAX);
                say_more(folder, ",\"x\":{}");
            },
            9,
        ),
        (
            "half of a character",
            |folder| {
                write(folder, 3, u64::MAX);
                say_more(folder, ",\"x\":\"\\ud800\"");
            },
            9,
        ),
        (
            "a kind that comes twice",
            |folder| {
                write(folder, 3, u64::MAX);
                say_more(folder, ",\"kind\":\"torn\",\"len\":0");
            },
            0,
        ),
        (
            "any other members",
            |folder| {
                write(folder, 3, u64::MAX);
                say_more(folder, ",\"x\":[],\"y\":-7,\"z\":true");
            },
            0,
        ),
    ]);
}

#[test]
fn what_is_no_record_says_nothing_to_either_verifier() {
    agree(&[
        (
            "a line of junk says that the beginning was pruned",
            |folder| {
                write(folder, 12, 2_000);
                claim_pruned(folder, "}\n");
            },
            7,
        ),
        (
            "so does one of the shape of a record",
            |folder| {
                write(folder, 12, 2_000);
                let zeros = "0".repeat(64);
                claim_pruned(folder, &format!(",\"hash\":\"{zeros}\"}}\n"));
                let path = folder.join(segments(folder).pop().unwrap());
                let text = fs::read_to_string(&path).unwrap();
                let head = format!("{{\"v\":1,\"prev\":\"{zeros}\",\"seq\":7,\"time\":\"\",");
                fs::write(
                    &path,
                    text.replace("{\"kind\":\"pruned\",\"seq\":7,", &(head + "\"kind\":\"pruned\",")),
                )
                .unwrap();
            },
            7,
        ),
        (
            "lines of junk are called torn and segment",
            |folder| {
                write(folder, 3, u64::MAX);
                add(folder, b"{\"kind\":\"torn\",\"seq\":7,\"len\":1}\n{\"kind\":\"segment\",\"seq\":0,\"after\":\"x\"}\n");
            },
            9,
        ),
        (
            "an empty segment behind a torn tail",
            |folder| {
                write(folder, 3, u64::MAX);
                add(folder, b"{\"v\":1");
                fs::write(folder.join("000000000007.jsonl"), "").unwrap();
            },
            7,
        ),
        (
            "nothing but one empty segment, not the first",
            |folder| {
                fs::create_dir(folder).unwrap();
                fs::write(folder.join("000000000100.jsonl"), "").unwrap();
            },
            7,
        ),
        (
            "an empty segment in the middle",
            |folder| {
                write(folder, 12, 2_000);
                fs::write(folder.join("000000000003.jsonl"), "").unwrap();
            },
            7,
        ),
        (
            "a HEAD that is met no more, its line not ended",
            |folder| head(folder, |line| line.trim_end().to_owned()),
            0,
        ),
        ("a HEAD with an end of letters", |folder| head(folder, |line| swap(line, 2, "many")), 0),
        ("a HEAD with an end of two ways", |folder| head(folder, |line| swap(line, 2, "007")), 0),
        ("a HEAD with a short name", |folder| head(folder, |line| swap(line, 3, "0.jsonl\n")), 0),
        ("a HEAD that is met no more", |folder| head(folder, str::to_owned), 7),
    ]);
}

#[test]
fn a_head_file_that_names_another_place_than_its_record_has_was_altered() {
    agree(&[
        ("the place is right", |folder| mark(folder, str::to_owned), 0),
        ("another end", |folder| mark(folder, |line| swap(line, 2, "1")), 7),
        ("an end in the next line", |folder| mark(folder, |line| swap(line, 2, "9999")), 7),
        ("another segment", |folder| mark(folder, |line| swap(line, 3, "000000000000.jsonl\n")), 7),
        (
            "a segment that is not there",
            |folder| mark(folder, |line| swap(line, 3, "000000000001.jsonl\n")),
            7,
        ),
        (
            "the record has lost its line feed alone",
            |folder| {
                mark(folder, str::to_owned);
                let path = folder.join(segments(folder).pop().unwrap());
                let bytes = fs::read(&path).unwrap();
                fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
            },
            0,
        ),
        (
            "a crash left something behind the record",
            |folder| {
                mark(folder, str::to_owned);
                let path = folder.join(segments(folder).pop().unwrap());
                let bytes = fs::read(&path).unwrap();
                fs::write(&path, [&bytes[..], b"x"].concat()).unwrap();
            },
            9,
        ),
        (
            "and the end is that of what it left",
            |folder| {
                mark(folder, str::to_owned);
                let path = folder.join(segments(folder).pop().unwrap());
                let bytes = fs::read(&path).unwrap();
                fs::write(&path, [&bytes[..], b"x"].concat()).unwrap();
                let line = fs::read_to_string(folder.join("HEAD")).unwrap();
                fs::write(folder.join("HEAD"), swap(&line, 2, &(bytes.len() + 2).to_string())).unwrap();
            },
            7,
        ),
    ]);
    // A writer refuses it, and says the same.
    let scratch = Scratch::in_memory();
    mark(&scratch.journal(), |line| swap(line, 2, "1"));
    assert_eq!(Journal::open(&scratch.journal(), "b").err().unwrap().kind(), audit::Kind::Broken);
    let report = report(&scratch.journal(), &[]);
    assert!(
        report.to_string().contains("the file HEAD was altered: record 27 does not end where it says"),
        "{report}"
    );
    // A repair accepts it, and what was wrong stays in a record.
    repair(&scratch.journal(), "b").unwrap().unwrap();
    assert_eq!(self::report(&scratch.journal(), &[]).gaps.len(), 1);
}

#[test]
fn a_segment_that_is_no_file_of_the_folder_is_followed_by_neither() {
    type Make = fn(&Path);
    let kinds: [(&str, Make); 3] = [
        ("a link to a file", |path| {
            let real = path.with_extension("real");
            fs::rename(path, &real).unwrap();
            std::os::unix::fs::symlink(real, path).unwrap();
        }),
        ("a link to nowhere", |path| std::os::unix::fs::symlink("nowhere", path).unwrap()),
        ("a folder", |path| fs::create_dir(path).unwrap()),
    ];
    for (what, make) in kinds {
        let scratch = Scratch::in_memory();
        write(&scratch.journal(), 12, 2_000);
        let path = scratch.journal().join(segments(&scratch.journal()).pop().unwrap());
        if what != "a link to a file" {
            fs::remove_file(&path).unwrap();
        }
        make(&path);
        let error = verify(&scratch.journal(), &Against::default(), &|_, _| {}).unwrap_err();
        assert_eq!(error.kind(), audit::Kind::Io, "{what}: {error}");
        let Some((said, text)) = by_script(&scratch.journal(), &[]) else { return };
        assert_eq!(said, 11, "{what}: {text}");
    }
}

/// A sound journal of many segments whose `HEAD` is changed so.
fn mark(folder: &Path, change: fn(&str) -> String) {
    write(folder, 12, 2_000);
    let line = fs::read_to_string(folder.join("HEAD")).unwrap();
    fs::write(folder.join("HEAD"), change(&line)).unwrap();
}

/// Gives a segment of a journal of many the name that the number `by` higher makes.
fn rename(folder: &Path, which: usize, by: u64) {
    write(folder, 12, 2_000);
    let names = segments(folder);
    let which = if which == usize::MAX { &names[names.len() - 1] } else { &names[which] };
    let number: u64 = which[..12].parse().unwrap();
    fs::rename(folder.join(which), folder.join(format!("{:012}.jsonl", number + by))).unwrap();
}

#[test]
fn the_name_of_a_segment_is_the_number_of_its_first_record() {
    agree(&[
        ("all have their names", |folder| rename(folder, 1, 0), 0),
        ("the last is renamed", |folder| rename(folder, usize::MAX, 1), 7),
        (
            "the last is renamed, and torn",
            |folder| {
                rename(folder, usize::MAX, 40);
                let path = folder.join(segments(folder).pop().unwrap());
                let mut bytes = fs::read(&path).unwrap();
                bytes.extend_from_slice(b"{\"v\":1");
                fs::write(path, bytes).unwrap();
            },
            7,
        ),
        ("one in the middle is", |folder| rename(folder, 1, 1), 7),
        ("the first is", |folder| rename(folder, 0, 1), 7),
        ("an empty one has the name of the next record", |folder| empty_last(folder, 9), 0),
        ("an empty one has another name", |folder| empty_last(folder, 10), 7),
        (
            "after a crash in a new segment its second record alone is whole",
            |folder| {
                write(folder, 3, u64::MAX);
                let mut journal = Journal::open_with(folder, "1c0ffee0", Duration::from_secs(10), 1).unwrap();
                journal.append(&[step(7)]).unwrap();
                drop(journal);
                let path = folder.join(segments(folder).pop().unwrap());
                let mut bytes = fs::read(&path).unwrap();
                bytes[100..200].fill(0);
                fs::write(path, bytes).unwrap();
                fs::remove_file(folder.join("HEAD")).unwrap();
            },
            9,
        ),
    ]);
    let scratch = Scratch::in_memory();
    rename(&scratch.journal(), usize::MAX, 1);
    let report = report(&scratch.journal(), &[]);
    let found: Vec<Wrong> = report.findings.iter().map(|finding| finding.wrong).collect();
    assert_eq!(found, [Wrong::Segment], "{report}");
}

/// A journal of nine records and a segment without any.
fn empty_last(folder: &Path, name: u64) {
    write(folder, 4, u64::MAX);
    fs::write(folder.join(format!("{name:012}.jsonl")), "").unwrap();
}

/// A journal with a torn region that is accounted for; what it is changed to.
fn healed(folder: &Path, change: fn(&mut Vec<Vec<u8>>)) {
    write(folder, 3, u64::MAX);
    add(folder, b"{\"v\":1,\"prev\":\"00\0\0\n\xa5\n{\"v\":1");
    write(folder, 2, u64::MAX);
    edit(folder, change);
    fs::remove_file(folder.join("HEAD")).unwrap();
}

#[test]
fn a_record_that_accounts_for_bytes_that_are_not_there_shows_that_they_were_removed() {
    agree(&[
        ("the region is there", |folder| healed(folder, |_| {}), 0),
        ("the region is removed", |folder| healed(folder, |lines| drop(lines.drain(7..10))), 7),
        ("a line of the region is removed", |folder| healed(folder, |lines| drop(lines.remove(8))), 7),
        ("so is the end of the journal", |folder| healed(folder, |lines| drop(lines.drain(8..))), 9),
        (
            "the region stood at the beginning of a segment, and is removed",
            |folder| {
                write(folder, 3, u64::MAX);
                fs::write(folder.join("000000000007.jsonl"), b"{\"v\":1").unwrap();
                write(folder, 1, u64::MAX);
                let path = folder.join("000000000007.jsonl");
                let bytes = fs::read(&path).unwrap();
                fs::write(&path, &bytes[8..]).unwrap();
                fs::remove_file(folder.join("HEAD")).unwrap();
            },
            7,
        ),
    ]);
    let scratch = Scratch::in_memory();
    healed(&scratch.journal(), |lines| drop(lines.drain(7..10)));
    let report = report(&scratch.journal(), &[]);
    assert_eq!(report.findings.len(), 1, "{report}");
    let (finding, end) = (&report.findings[0], fs::read(scratch.journal().join(FIRST)).unwrap());
    assert_eq!((finding.wrong, finding.seq), (Wrong::Missing, 7));
    assert!(finding.what == "record 7 accounts for bytes before it that are not there", "{report}");
    let before: usize = end.split_inclusive(|byte| *byte == b'\n').take(7).map(<[u8]>::len).sum();
    assert_eq!(finding.place.unwrap().offset, before as u64);
}

/// A journal whose last records were cut off, so that only its `HEAD`, changed so, can tell.
fn head(folder: &Path, change: fn(&str) -> String) {
    write(folder, 4, u64::MAX);
    edit(folder, |lines| lines.truncate(7));
    let line = fs::read_to_string(folder.join("HEAD")).unwrap();
    fs::write(folder.join("HEAD"), change(&line)).unwrap();
}

fn swap(line: &str, at: usize, word: &str) -> String {
    let mut words: Vec<&str> = line.split(' ').collect();
    words[at] = word;
    words.join(" ")
}

#[test]
fn what_is_no_checkpoint_is_refused_by_both() {
    let journal = golden().join("good");
    let whole = fs::read_to_string(journal.join("given")).unwrap().trim_end().to_owned();
    let (seq, hash) = whole.split_once(':').unwrap();
    let given = |text: String, exit: i32| {
        let read = Checkpoint::parse(&text).ok();
        assert_eq!(read.map_or(2, |kept| exit_of(&report(&journal, &[kept]))), exit, "{text}");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("verify.sh");
        let said = Command::new("sh").arg(script).arg(&journal).arg(&text).output().unwrap();
        assert_eq!(said.status.code(), Some(exit), "{text}: {}", String::from_utf8_lossy(&said.stdout));
    };
    if by_script(&journal, &[]).is_none() {
        return;
    }
    for (digits, exit) in [(1, 2), (23, 2), (24, 0), (63, 0), (64, 0)] {
        given(format!("{seq}:{}", &hash[..digits]), exit);
    }
    given(format!(" {seq} {} {} ", &hash[..4].to_uppercase(), &hash[4..24]), 0);
    given(format!("{seq}:{}", "0".repeat(24)), 7);
    for text in ["", "6", ":", "x:y"] {
        given(text.to_owned(), 2);
    }
    for text in
        [format!("{whole}0"), format!("{whole}\n{whole}"), format!("-{whole}"), format!("{seq}::{hash}")]
    {
        given(text, 2);
    }
}

#[test]
fn both_verifiers_agree_on_tampered_copies() {
    let scratch = Scratch::in_memory();
    let folder = scratch.journal();
    let mut random = 0x9e37_79b9_7f4a_7c15u64;
    let mut next = |below: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        (random % below as u64) as usize
    };
    let mut verdicts: BTreeMap<i32, usize> = BTreeMap::new();
    // Each costs two starts of the script; `tests/all --full` tries more.
    let rounds =
        if std::env::var("QUBES_DOM0_PCI_FULL").is_ok_and(|full| !full.is_empty()) { 400 } else { 42 };
    for round in 0..rounds {
        let _ = fs::remove_dir_all(&folder);
        let heads = write(&folder, 6, if round % 3 == 0 { 2_000 } else { u64::MAX });
        let mut names: Vec<PathBuf> = fs::read_dir(&folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some())
            .collect();
        names.sort();
        let path = &names[next(names.len())];
        let mut bytes = fs::read(path).unwrap();
        let at = next(bytes.len());
        match round % 7 {
            0 => bytes[at] ^= 1 << next(8),
            1 => bytes.truncate(at),
            2 => drop(bytes.drain(at..(at + next(700)).min(bytes.len()))),
            3 => drop(bytes.splice(at..at, [0u8, b'\n', 0xa5])),
            4 => bytes.extend_from_slice(&bytes.clone()[at..]),
            5 => {
                let end = (at + next(600)).min(bytes.len());
                bytes[at..end].fill([0, 0xa5, b'\n'][next(3)]);
            }
            _ => {}
        }
        fs::write(path, &bytes).unwrap();
        if next(2) == 0 {
            fs::remove_file(folder.join("HEAD")).unwrap();
        }
        let checkpoints: Vec<Checkpoint> =
            if next(3) == 0 { vec![heads[next(heads.len())].into()] } else { Vec::new() };
        for healed in [false, true] {
            if healed
                && Journal::open(&folder, "1c0ffee0")
                    .and_then(|mut journal| journal.append(&[step(7)]))
                    .is_err()
            {
                break;
            }
            let report = report(&folder, &checkpoints);
            let Some((exit, text)) = by_script(&folder, &checkpoints) else { return };
            *verdicts.entry(exit).or_default() += 1;
            if exit != exit_of(&report) {
                let kept = std::env::temp_dir().join("verifiers-disagree");
                let _ = fs::remove_dir_all(&kept);
                fs::create_dir(&kept).unwrap();
                for entry in fs::read_dir(&folder).unwrap() {
                    let entry = entry.unwrap();
                    fs::copy(entry.path(), kept.join(entry.file_name())).unwrap();
                }
                panic!("round {round}, {checkpoints:?}, kept in {}: the script says {exit}, {text}\nthe program {report}", kept.display());
            }
        }
    }
    println!("both verifiers agree: {verdicts:?}");
    assert!(verdicts.len() == 3, "{verdicts:?}");
}
