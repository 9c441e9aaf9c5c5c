//! What the source itself has to keep.

use std::fs;
use std::path::{Path, PathBuf};

fn sources() -> Vec<(PathBuf, String)> {
    fn gather(folder: &Path, found: &mut Vec<(PathBuf, String)>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                gather(&path, found);
            } else if path.extension().is_some_and(|end| end == "rs") && !only_tests(&path) {
                let text = fs::read_to_string(&path).unwrap();
                found.push((path, text));
            }
        }
    }
    let mut found = Vec::new();
    gather(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut found);
    assert!(found.len() > 40);
    found
}

/// Files that their folder's mod.rs takes in only for tests.
fn only_tests(path: &Path) -> bool {
    path.ends_with("tests.rs") || path.iter().any(|part| part == "tests")
}

/// The lines that are compiled into the program: no comments, no tests.
fn code(text: &str) -> impl Iterator<Item = &str> {
    let end = text.find("#[cfg(test)]").unwrap_or(text.len());
    text[..end].lines().map(|line| line.split("//").next().unwrap())
}

#[test]
fn only_one_module_has_unsafe_code() {
    for (path, text) in sources() {
        if path.ends_with("system/libxenctrl.rs") {
            continue;
        }
        let unsafe_line = code(&text).find(|line| {
            line.split(|letter: char| !letter.is_alphanumeric() && letter != '_').any(|word| word == "unsafe")
        });
        assert_eq!(unsafe_line, None, "{}", path.display());
    }
}

#[test]
fn every_module_but_that_one_forbids_it() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for (path, text) in sources() {
        let place = path.strip_prefix(&src).unwrap();
        let depth = place.components().count();
        // A folder's mod.rs speaks for what is below it; `system` cannot, for the
        // fenced module is there.
        let system =
            place.starts_with("system") && !place.ends_with("mod.rs") && !place.ends_with("libxenctrl.rs");
        let top = depth == 1 && !place.ends_with("main.rs")
            || depth == 2 && place.ends_with("mod.rs") && !place.starts_with("system")
            || system;
        if top {
            assert!(text.contains("#![forbid(unsafe_code)]"), "{}", path.display());
        }
    }
}

#[test]
fn there_is_no_table_of_drivers() {
    let drivers = [
        "xhci_hcd",
        "xhci-hcd",
        "ehci-pci",
        "ehci_pci",
        "virtio-pci",
        "i801_smbus",
        "e1000e",
        "snd_hda_intel",
    ];
    for (path, text) in sources() {
        for line in code(&text) {
            let named = drivers.iter().find(|driver| line.contains(**driver));
            assert_eq!(named, None, "{}: {line}", path.display());
        }
    }
}
