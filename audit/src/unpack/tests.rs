//! Given what a journal was made into, the journal comes out of it as it was.

use super::*;
use crate::{export, verify, Against, Draft, Journal};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

static NEXT: AtomicU32 = AtomicU32::new(0);

fn scratch() -> PathBuf {
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let path = std::env::temp_dir().join(format!("journal-unpack-{}-{number}", std::process::id()));
    std::fs::create_dir_all(&path).unwrap();
    path
}

/// A journal of several short segments, the second of which a crash tore.
fn journal(folder: &Path) {
    for part in 0..4 {
        let mut journal = Journal::open_with(folder, "1c0ffee0", Duration::from_secs(1), 2048).unwrap();
        for number in 0..12 {
            journal.append(&[Draft::new("qube").number("part", part).number("number", number)]).unwrap();
        }
        drop(journal);
        if part == 1 {
            let last = names(folder).into_iter().filter(|name| name.ends_with("jsonl")).max().unwrap();
            let mut file = OpenOptions::new().append(true).open(folder.join(last)).unwrap();
            file.write_all(b"{\"v\":1,\"prev\":\"torn").unwrap();
        }
    }
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn segments(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let names = names(folder).into_iter().filter(|name| name.ends_with(".jsonl"));
    names.map(|name| (name.clone(), std::fs::read(folder.join(name)).unwrap())).collect()
}

fn exported(folder: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    export(folder, &mut |more| {
        bytes.extend_from_slice(more);
        Ok(())
    })
    .unwrap();
    bytes
}

#[test]
fn what_export_wrote_is_divided_into_the_same_segments() {
    let (from, into) = (scratch(), scratch());
    journal(&from);
    assert!(segments(&from).len() > 4);
    let all = unpack(&mut exported(&from).as_slice(), Path::new("-"), &into).unwrap();
    assert_eq!(all, [Unpacked { name: String::new(), folder: into.join("000000") }]);
    assert!(segments(&all[0].folder) == segments(&from));
    let report = verify(&all[0].folder, &Against::default(), &|_, _| ()).unwrap();
    assert_eq!(report.verdict(), crate::Verdict::Sound, "{report}");
    for folder in [from, into] {
        std::fs::remove_dir_all(folder).unwrap();
    }
}

#[test]
fn a_tar_of_folders_and_exported_files_gives_each_journal_with_its_name() {
    let (from, into) = (scratch(), scratch());
    // Longer than the 100 bytes that a header has for a name.
    let long = ["a-folder-whose-name-does-not-fit-into-the-header-of-an-archive"; 2].join("/");
    for name in ["dom0-a", &long] {
        std::fs::create_dir_all(from.join(name)).unwrap();
        journal(&from.join(name).join("journal"));
    }
    std::fs::write(from.join("b.jsonl"), exported(&from.join("dom0-a/journal"))).unwrap();
    std::fs::write(from.join("notes.txt"), "not a journal").unwrap();
    for format in ["gnu", "pax", "ustar"] {
        let into = into.join(format);
        std::fs::create_dir(&into).unwrap();
        let tar =
            Command::new("tar").arg("-C").arg(&from).args(["-c", "--format", format, "."]).output().unwrap();
        assert!(tar.status.success(), "{tar:?}");
        let mut all = unpack(&mut tar.stdout.as_slice(), Path::new("-"), &into).unwrap();
        all.sort_by_key(|one| one.name.len());
        let names: Vec<&str> = all.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(names, ["b.jsonl", "dom0-a/journal", &format!("{long}/journal")], "{format}");
        for (one, source) in all.iter().zip(["dom0-a", "dom0-a", &long]) {
            let same = segments(&one.folder) == segments(&from.join(source).join("journal"));
            assert!(same, "{format}: {}", one.name);
        }
        assert!(all[1].folder.join(MARK_FILE).exists());
    }
    for folder in [from, into] {
        std::fs::remove_dir_all(folder).unwrap();
    }
}

#[test]
fn names_in_an_archive_choose_no_path() {
    let (from, into) = (scratch(), scratch());
    std::fs::write(from.join("000000000000.jsonl"), "{}\n").unwrap();
    let rename = ["--transform", "s,^,../../../tmp/outside/,", "-P"];
    let tar = Command::new("tar")
        .arg("-C")
        .arg(&from)
        .args(rename)
        .args(["-c", "000000000000.jsonl"])
        .output()
        .unwrap();
    let all = unpack(&mut tar.stdout.as_slice(), Path::new("-"), &into).unwrap();
    assert_eq!(all[0].name, "../../../tmp/outside");
    assert_eq!(all[0].folder, into.join("000000"));
    // A link is not a file of a journal.
    std::fs::remove_file(from.join("000000000000.jsonl")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", from.join("000000000000.jsonl")).unwrap();
    let tar = Command::new("tar").arg("-C").arg(&from).args(["-c", "."]).output().unwrap();
    std::fs::create_dir(into.join("again")).unwrap();
    let error = unpack(&mut tar.stdout.as_slice(), Path::new("-"), &into.join("again")).unwrap_err();
    assert_eq!(error.kind(), Kind::Usage, "{error}");
    for folder in [from, into] {
        std::fs::remove_dir_all(folder).unwrap();
    }
}

/// Whatever comes, it ends without a panic.
#[test]
fn any_stream_is_unpacked_or_refused() {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for round in 0..300 {
        let into = scratch();
        let length = usize::try_from(random() % 3000).unwrap();
        let mut bytes: Vec<u8> = (0..length).map(|_| random().to_le_bytes()[0]).collect();
        if round % 2 == 0 {
            bytes.resize(3 * tar::BLOCK, 0);
            bytes[124..136].copy_from_slice(format!("{:011o}\0", random() % 2000).as_bytes());
            bytes[156] = b"0Lx5g1"[usize::try_from(random() % 6).unwrap()];
            bytes[257..262].copy_from_slice(b"ustar");
            bytes[148..156].copy_from_slice(b"        ");
            let sum: u64 = bytes[..tar::BLOCK].iter().map(|byte| u64::from(*byte)).sum();
            bytes[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
            assert!(tar::is_header(&bytes[..tar::BLOCK]));
        }
        let _ = unpack(&mut bytes.as_slice(), Path::new("-"), &into);
        std::fs::remove_dir_all(into).unwrap();
    }
}
