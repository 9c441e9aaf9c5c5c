//! What the source keeps to: unsafe code in one module, no table of drivers, the order of the folders, no cycles between
//! modules, sizes that a reader can take in, comments that stand on their own.

use crate::code::{bare, sources, Source};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// A folder uses only what stands before it.
const ORDER: &[&str] = &[
    "names", "error", "history", "system", "journal", "observe", "assess", "plan", "consent", "run",
    "recorder", "report", "commands",
];

/// Lines of a file in `src/`.
const FILE: usize = 500;
/// Columns of a line.
const COLUMNS: usize = 110;
/// Lines of a function.
const FUNCTION: usize = 60;
/// Arguments of a function, `self` among them.
const ARGUMENTS: usize = 5;

/// libxenctrl calls these two with as many arguments.
const CALLBACKS: &[&str] = &["drop_message", "drop_progress"];

/// Types of the next boot's configuration that share a name with another. Only ever take away from this list.
const DOUBLES: &[&str] =
    &["Answer", "Entry", "Kind", "Outcome", "Place", "Proposal", "Rule", "Source", "Token"];
/// Types of the journal's crate that do.
const JOURNAL_DOUBLES: &[&str] = &["Ends", "Place", "Start"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn program() -> Vec<Source> {
    let found = sources(root(), "src");
    assert!(found.len() > 40);
    found
}

fn both() -> Vec<Source> {
    program().into_iter().chain(sources(root(), "audit/src")).collect()
}

#[test]
fn only_one_module_has_unsafe_code() {
    for source in program() {
        if source.path.ends_with("system/libxenctrl.rs") {
            continue;
        }
        let is_unsafe = |line: &str| {
            // `unsafe-inline` is a word of web pages.
            line.split(|letter: char| !letter.is_alphanumeric() && !"_-".contains(letter))
                .any(|word| word == "unsafe")
        };
        let found = source.code.iter().find(|(_, line)| is_unsafe(&bare(line)));
        assert_eq!(found, None, "{}", source.path.display());
    }
}

#[test]
fn every_module_but_that_one_forbids_it() {
    for Source { path, text, .. } in program() {
        let place = path.strip_prefix("src").unwrap();
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
    for source in program() {
        for (_, line) in &source.code {
            let named = drivers.iter().find(|driver| line.contains(**driver));
            assert_eq!(named, None, "{}: {line}", source.path.display());
        }
    }
}

#[test]
fn a_folder_uses_only_what_stands_before_it() {
    let place =
        |module: &[String]| ORDER.iter().position(|name| module.first().is_some_and(|first| first == name));
    let mut wrong = Vec::new();
    for source in program() {
        let Some(own) = place(&source.module()) else { continue };
        for path in source.uses() {
            if place(&path).is_some_and(|other| other > own) {
                wrong.push(format!("{} uses {}", source.path.display(), path.join("::")));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_folder_has_its_place_in_that_order() {
    for source in program() {
        let module = source.module();
        // `cli` is arguments alone.
        let known = module.len() < 2 || module[0] == "cli" || ORDER.contains(&module[0].as_str());
        assert!(known, "{}", source.path.display());
    }
}

/// What a module passes on of its children, by name.
fn passed_on(source: &Source) -> BTreeMap<String, String> {
    let text: String = source.code.iter().map(|(_, line)| line.clone() + "\n").collect();
    let mut names = BTreeMap::new();
    for (place, _) in text.match_indices("pub use ").chain(text.match_indices("pub(super) use ")) {
        let rest = text[place..].split_once("use ").unwrap().1;
        let rest = rest.split(';').next().unwrap();
        let Some((child, below)) = rest.split_once("::") else { continue };
        for name in below.split(|letter: char| !letter.is_alphanumeric() && letter != '_') {
            names.insert(name.to_owned(), child.to_owned());
        }
    }
    names
}

#[test]
fn no_module_uses_a_sibling_that_uses_it() {
    for files in [program(), sources(root(), "audit/src")] {
        let modules: BTreeSet<Vec<String>> = files.iter().map(Source::module).collect();
        let passed: BTreeMap<Vec<String>, BTreeMap<String, String>> =
            files.iter().map(|source| (source.module(), passed_on(source))).collect();
        // A parent, one child, another child that it uses.
        let mut edges: BTreeMap<Vec<String>, BTreeSet<Vec<String>>> = BTreeMap::new();
        for source in &files {
            let from = source.module();
            for mut to in source.uses() {
                let shared = from.iter().zip(&to).take_while(|(one, other)| one == other).count();
                // A name of the parent may be another child's.
                if let (false, Some(name)) =
                    (modules.contains(&to[..(shared + 1).min(to.len())]), to.get(shared))
                {
                    let parent = passed.get(&from[..shared]);
                    let Some(child) = parent.and_then(|names| names.get(name)).cloned() else { continue };
                    to.insert(shared, child);
                }
                let (Some(_), Some(_)) = (from.get(shared), to.get(shared)) else { continue };
                if from[shared] != to[shared] {
                    edges.entry(from[..=shared].to_vec()).or_default().insert(to[..=shared].to_vec());
                }
            }
        }
        let reaches = |from: &Vec<String>, wanted: &Vec<String>| {
            let (mut seen, mut next) = (BTreeSet::new(), vec![from]);
            while let Some(at) = next.pop() {
                for to in edges.get(at).into_iter().flatten() {
                    if to == wanted {
                        return true;
                    }
                    if seen.insert(to) {
                        next.push(to);
                    }
                }
            }
            false
        };
        let cycles: Vec<_> = edges
            .iter()
            .flat_map(|(from, all)| all.iter().map(move |to| (from, to)))
            .filter(|(from, to)| from < to && reaches(to, from))
            .map(|(from, to)| format!("{} and {}", from.join("::"), to.join("::")))
            .collect();
        assert!(cycles.is_empty(), "{cycles:#?}");
    }
}

#[test]
fn a_file_a_function_and_a_line_can_be_taken_in_at_a_glance() {
    let mut wrong = Vec::new();
    for source in both() {
        let path = source.path.display().to_string();
        let is_large = path.starts_with("src/") && source.text.lines().count() > FILE;
        if is_large {
            wrong.push(format!("{path}: {} lines", source.text.lines().count()));
        }
        for (number, line) in &source.lines {
            let columns = line.chars().count();
            if columns > COLUMNS {
                wrong.push(format!("{path}:{number}: {columns} columns"));
            }
        }
        for function in source.functions() {
            let callback = CALLBACKS.contains(&function.name.as_str());
            if function.lines > FUNCTION || function.arguments > ARGUMENTS && !callback {
                let (lines, arguments) = (function.lines, function.arguments);
                wrong.push(format!("{path}: {}: {lines} lines, {arguments} arguments", function.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_comment_makes_sense_on_its_own() {
    let mut wrong = Vec::new();
    for source in both() {
        let path = source.path.display().to_string();
        let lines: Vec<&str> = source.text.lines().map(str::trim_start).collect();
        for (place, line) in lines.iter().enumerate() {
            let before = place.checked_sub(1).map(|before| lines[before]).unwrap_or_default();
            let Some(text) = line.strip_prefix("/// ").or_else(|| line.strip_prefix("//! ")) else {
                continue;
            };
            let begins = !before.starts_with("///") && !before.starts_with("//!");
            let leans = ["The same", "Its ", "Those", "That of", "Runs it."]
                .iter()
                .find(|word| text.starts_with(**word));
            if begins && leans.is_some() {
                wrong.push(format!("{path}:{}: {text}", place + 1));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The name of a type that a line declares outside of `impl` blocks and functions.
fn declared(line: &str) -> Option<&str> {
    let line = ["pub ", "pub(crate) ", "pub(super) "]
        .iter()
        .find_map(|seen| line.strip_prefix(seen))
        .unwrap_or(line);
    let kinds = ["struct ", "enum ", "trait ", "union ", "type "];
    let name = kinds.iter().find_map(|kind| line.strip_prefix(kind))?;
    name.split(|letter: char| !letter.is_alphanumeric() && letter != '_').next()
}

#[test]
fn no_two_types_share_a_name() {
    for (files, known) in [(program(), DOUBLES), (sources(root(), "audit/src"), JOURNAL_DOUBLES)] {
        let mut places: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for source in &files {
            for name in source.code.iter().filter_map(|(_, line)| declared(line)) {
                places.entry(name).or_default().push(source.path.display().to_string());
            }
        }
        assert!(places.len() > 30);
        let double: Vec<_> = places.iter().filter(|(_, places)| places.len() > 1).collect();
        let wrong: Vec<_> = double.iter().filter(|(name, _)| !known.contains(name)).collect();
        assert!(wrong.is_empty(), "{wrong:#?}");
        let stale: Vec<_> = known.iter().filter(|name| !double.iter().any(|(one, _)| one == name)).collect();
        assert!(stale.is_empty(), "no longer double: {stale:?}");
    }
}

/// Words of hazards that are words of something else too, by the file that spells them.
const OTHER_MEANINGS: &[(&str, &str)] = &[
    // Errors of the journal and of Xen.
    ("src/error/codes.rs", "journal-broken"),
    ("src/error/codes.rs", "owner-unknown"),
    // An option of Qubes, and a file of pciback.
    ("src/observe/qubes/assignment.rs", "permissive"),
    ("src/observe/qubes/assignment.rs", "no-strict-reset"),
    ("src/observe/import/libvirt.rs", "permissive"),
    ("src/assess/hazards/assigned.rs", "permissive"),
    ("src/assess/hazards/assigned.rs", "no-strict-reset"),
    ("src/system/sysfs.rs", "permissive"),
    // Where a boot leaves a function.
    ("src/assess/next_boot/predict.rs", "no-driver"),
    // The policy file.
    ("src/commands/status.rs", "policy"),
    ("src/report/status.rs", "policy"),
    // What state a device is in.
    ("src/assess/state.rs", "in-use"),
    ("src/assess/state.rs", "no-driver"),
    // A file of the model.
    ("src/system/xen.rs", "no-iommu"),
];

#[test]
fn no_file_but_the_table_spells_a_hazard() {
    let table =
        program().into_iter().find(|source| source.path.ends_with("assess/hazards/table.rs")).unwrap();
    let row = |line: &str| {
        let (_, behind) = line.split_once(" \"")?;
        let (word, severity) = behind.split_once("\" ")?;
        ["Stop", "Warn", "Note"].contains(&severity).then(|| word.to_owned())
    };
    let words: Vec<String> = table.code.iter().filter_map(|(_, line)| row(line)).collect();
    assert!(words.len() > 30);
    let mut wrong = Vec::new();
    for source in program() {
        let path = source.path.display().to_string();
        for (number, line) in &source.code {
            for word in words.iter().filter(|word| line.contains(&format!("\"{word}\""))) {
                // A member of a JSON document or of a record.
                let of_json = *word == "network" && (path.contains("/journal/") || path.contains("/report/"));
                if !of_json && table.path != source.path && !OTHER_MEANINGS.contains(&(path.as_str(), word)) {
                    wrong.push(format!("{path}:{number}: {word}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
