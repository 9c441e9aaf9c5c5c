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

/// Every page of Markdown at the top level and in docs/, by its path from the root.
fn documents(root: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for folder in ["", "docs/"] {
        for entry in fs::read_dir(root.join(folder)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            if name.ends_with(".md") {
                found.push(format!("{folder}{name}"));
            }
        }
    }
    found
}

/// Targets of Markdown links, without what leads elsewhere.
fn links(text: &str) -> Vec<&str> {
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target);
    targets.filter(|target| !target.contains("://") && !target.starts_with('#')).collect()
}

#[test]
fn every_link_of_a_document_leads_somewhere_and_the_readme_reaches_them_all() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut reached = vec!["README.md".to_owned()];
    let mut next = 0;
    while let Some(document) = reached.get(next).cloned() {
        next += 1;
        let folder = Path::new(&document).parent().unwrap().to_owned();
        for target in links(&fs::read_to_string(root.join(&document)).unwrap()) {
            let file = target.split('#').next().unwrap();
            let path = fs::canonicalize(root.join(&folder).join(file))
                .unwrap_or_else(|error| panic!("{document}: {target}: {error}"));
            let name =
                path.strip_prefix(fs::canonicalize(root).unwrap()).unwrap().to_str().unwrap().to_owned();
            if name.ends_with(".md") && !reached.contains(&name) {
                reached.push(name);
            }
        }
    }
    for document in documents(root) {
        assert!(reached.contains(&document), "no link leads to {document}");
    }
}

#[test]
fn every_file_and_every_test_that_a_document_names_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for document in documents(root) {
        let text = fs::read_to_string(root.join(&document)).unwrap();
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
    let text = fs::read_to_string(root.join("docs/architecture.md")).unwrap();
    let rows: Vec<_> = text.lines().filter(|line| line.starts_with("| ")).skip(1).collect();
    assert!(rows.len() > 10);
    for row in rows {
        let cells: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
        assert_eq!(cells.len(), 3, "{row}");
        assert!(!cells[1].is_empty() && !pointers(cells[2]).is_empty(), "{row}");
    }
}
