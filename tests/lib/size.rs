//! How large the program is: `size FOLDER...` counts what is compiled into it, tests/size runs this.

mod code;

use code::{sources, Source};
use std::path::Path;

fn main() {
    let root = std::env::args().nth(1).expect("the folder with src/ and audit/src/");
    let mut all = Vec::new();
    for folder in ["src", "audit/src"] {
        let found = sources(Path::new(&root), folder);
        println!("{:>7}  {folder}", lines(&found));
        all.extend(found);
    }
    println!("{:>7}  lines in {} files (no blank lines, comments or tests)", lines(&all), all.len());
    let line = all.iter().flat_map(|file| {
        file.lines.iter().map(move |(at, line)| (line.chars().count(), file, *at))
    });
    if let Some((columns, file, at)) = line.max_by_key(|(columns, ..)| *columns) {
        println!("{columns:>7}  columns in the longest line, {}:{at}", file.path.display());
    }
    let functions =
        all.iter().flat_map(|file| file.functions().into_iter().map(move |one| (one.lines, file, one.name)));
    if let Some((lines, file, name)) = functions.max_by_key(|(lines, ..)| *lines) {
        println!("{lines:>7}  lines in the longest function, {name} of {}", file.path.display());
    }
    if let Some(file) = all.iter().max_by_key(|file| file.text.lines().count()) {
        println!(
            "{:>7}  lines in the longest file with all that is in it, {}",
            file.text.lines().count(),
            file.path.display()
        );
    }
}

fn lines(files: &[Source]) -> usize {
    files.iter().map(|file| file.code.len()).sum()
}
