//! What the documents point at is there: files, folders, and tests by their names.

use std::fs;
use std::path::Path;

/// Every `path` and `path::test` in backquotes that begins with a folder of this tree.
fn pointers(text: &str) -> Vec<(&str, Option<&str>)> {
    let quoted = text.split('`').skip(1).step_by(2);
    let folders = ["audit/", "man/", "packaging/", "src/", "tests/"];
    let named = quoted.filter(|word| folders.iter().any(|folder| word.starts_with(folder)));
    let plain = named.filter(|word| !word.contains([' ', '*', '<']) && !word.contains("TARGET"));
    plain.map(|word| word.split_once("::").map_or((word, None), |(file, test)| (file, Some(test)))).collect()
}

#[test]
fn every_file_and_every_test_that_a_document_names_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = "packaging/doc";
    let documents =
        ["architecture.md", "contributing.md", "security.md"].map(|name| format!("{folder}/{name}"));
    for document in documents.iter().map(String::as_str).chain(["README.md"]) {
        let text = fs::read_to_string(root.join(document)).unwrap();
        for (file, test) in pointers(&text) {
            assert!(root.join(file).exists(), "{document}: no {file}");
            if let Some(test) = test {
                let code = fs::read_to_string(root.join(file)).unwrap();
                assert!(code.contains(&format!("fn {test}(")), "{document}: no test {test} in {file}");
            }
        }
    }
}

#[test]
fn every_threat_is_answered_and_shown_by_a_test() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(root.join("packaging/doc/architecture.md")).unwrap();
    let rows: Vec<_> = text.lines().filter(|line| line.starts_with("| ")).skip(1).collect();
    assert!(rows.len() > 10);
    for row in rows {
        let cells: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
        assert_eq!(cells.len(), 3, "{row}");
        assert!(!cells[1].is_empty() && !pointers(cells[2]).is_empty(), "{row}");
    }
}
