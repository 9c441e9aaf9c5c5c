//! The manual page's part that the program decides: the heading of each command, its usage and its options,
//! and the hazards and errors stand in `man/qubes-dom0-pci.1` between two marks, and are compared with the
//! definition here. What is told besides of a command follows behind the marks and is written by hand.
//!
//! After a change of the definition: `QUBES_DOM0_PCI_WRITE_MANUAL=1 cargo test manual` writes the page anew.

#![forbid(unsafe_code)]

use crate::assess::{HazardId, Severity};
use crate::cli::Cli;
use clap::{Arg, ArgAction, Command, CommandFactory};
use std::collections::BTreeSet;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/man/qubes-dom0-pci.1");
const BEGIN: &str = ".\\\" from the command line's definition: ";
const HAZARDS: &str = ".\\\" from the program's hazards\n";
const ERRORS: &str = ".\\\" from the program's errors\n";
const END: &str = ".\\\" end\n";
/// `mandoc -Tlint` asks for lines of at most so many letters.
const WIDTH: usize = 78;

/// The commands by their words, hidden ones left out; the first has none and is the program.
fn commands() -> Vec<(String, Command)> {
    fn gather(words: &str, command: &Command, all: &mut Vec<(String, Command)>) {
        all.push((words.to_owned(), command.clone()));
        for below in command.get_subcommands().filter(|below| !below.is_hide_set()) {
            gather(format!("{words} {}", below.get_name()).trim_start(), below, all);
        }
    }
    let mut all = Vec::new();
    gather("", &Cli::command(), &mut all);
    all
}

/// Text as roff takes it; what stands in backquotes is bold.
fn roff(text: &str) -> String {
    let mut bold = false;
    let mut out = String::new();
    for letter in text.chars() {
        match letter {
            '`' => {
                bold = !bold;
                out.push_str(if bold { "\\fB" } else { "\\fR" });
            }
            '-' => out.push_str("\\-"),
            '\\' => out.push_str("\\e"),
            letter => out.push(letter),
        }
    }
    out
}

/// Lines that are not too long, and none that roff would take for a request.
fn filled(text: &str) -> String {
    let mut lines = String::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        if !line.is_empty() && line.len() + 1 + word.len() > WIDTH {
            lines.push_str(&(std::mem::take(&mut line) + "\n"));
        }
        if !line.is_empty() {
            line.push(' ');
        } else if word.starts_with(['.', '\'']) {
            line.push_str("\\&");
        }
        line.push_str(word);
    }
    lines + &line + "\n"
}

/// How an argument is written: its option in bold, what is put for it in italics. No space may break it.
fn written(arg: &Arg) -> String {
    let names = arg.get_value_names().unwrap_or_default().iter();
    let takes = matches!(arg.get_action(), ArgAction::Set | ArgAction::Append);
    let mut values: Vec<_> = names.filter(|_| takes).map(|name| format!("\\fI{}\\fR", roff(name))).collect();
    if arg.get_num_args().is_some_and(|count| count.max_values() > 1) {
        values.push("...".to_owned());
    }
    let mut words: Vec<String> =
        arg.get_long().map(|long| format!("\\fB{}\\fR", roff(&format!("--{long}")))).into_iter().collect();
    if words.is_empty() {
        words.extend(arg.get_short().map(|short| format!("\\fB{}\\fR", roff(&format!("-{short}")))));
    }
    words.extend(values);
    words.join("\\~")
}

/// A help text with the full stop that clap takes off.
fn sentence(help: Option<&clap::builder::StyledStr>) -> String {
    let text = help.map(ToString::to_string).unwrap_or_default();
    if text.is_empty() || text.ends_with(['.', ']']) {
        text
    } else {
        text + "."
    }
}

fn usage(words: &str, command: &Command) -> String {
    let mut usage = format!("\\fBqubes\\-dom0\\-pci {}\\fR", roff(words));
    let own = |arg: &&Arg| !arg.is_global_set() && arg.get_id() != "help";
    for arg in command.get_arguments().filter(own) {
        let text = written(arg);
        usage.push_str(&if arg.is_required_set() { format!(" {text}") } else { format!(" [{text}]") });
    }
    filled(&usage)
}

/// Every name of an option, its value, what it does and which values it takes.
fn option(arg: &Arg) -> String {
    let mut head = String::from(".TP\n");
    let short = arg.get_short().filter(|_| arg.get_long().is_some());
    head.push_str(&short.map(|short| format!("\\fB\\-{short}\\fR, ")).unwrap_or_default());
    head.push_str(&written(arg));
    for alias in arg.get_visible_aliases().unwrap_or_default() {
        head.push_str(&format!(", \\fB{}\\fR", roff(&format!("--{alias}"))));
    }
    let help = sentence(arg.get_help());
    let mut text = roff(&help);
    let values: Vec<_> = arg.get_possible_values().into_iter().filter(|value| !value.is_hide_set()).collect();
    if matches!(arg.get_action(), ArgAction::Set | ArgAction::Append) && !values.is_empty() {
        for value in values {
            let what = sentence(value.get_help());
            text.push_str(&format!("\n.br\n\\fB{}\\fR: {}", roff(value.get_name()), roff(&what)));
        }
    }
    for value in arg.get_default_values() {
        if matches!(arg.get_action(), ArgAction::Set | ArgAction::Append) {
            text.push_str(&format!(" [default: {}]", roff(&value.to_string_lossy())));
        }
    }
    let text: String = text.split("\n.br\n").map(filled).collect::<Vec<_>>().join(".br\n");
    format!("{head}\n{text}")
}

/// What stands between the marks of a command.
fn block(words: &str, command: &Command) -> String {
    let global = words.is_empty();
    let shown = |arg: &&Arg| !arg.is_hide_set() && arg.is_global_set() == global && arg.get_id() != "help";
    let options: String = command.get_arguments().filter(shown).map(option).collect();
    if global {
        return options;
    }
    let about = sentence(command.get_about());
    let heading = format!(".SS {words}\n");
    if command.has_subcommands() {
        return format!("{heading}{}", filled(&roff(&about)));
    }
    format!("{heading}{}.PP\n{}{options}", usage(words, command), filled(&roff(&about)))
}

/// The page with every block as the definition has it.
fn renewed(page: &str) -> String {
    let commands = commands();
    let mut out = String::new();
    let mut seen = Vec::new();
    let mut rest = page;
    while let Some((before, behind)) = rest.split_once(BEGIN) {
        let (words, behind) = behind.split_once('\n').unwrap();
        let (_, behind) = behind.split_once(END).unwrap_or_else(|| panic!("{words}: no end"));
        let words = if words == "options" { "" } else { words };
        let (_, command) =
            commands.iter().find(|(name, _)| name == words).unwrap_or_else(|| panic!("no command {words}"));
        let shown = if words.is_empty() { "options" } else { words };
        out.push_str(&format!("{before}{BEGIN}{shown}\n{}{END}", block(words, command)));
        seen.push(words.to_owned());
        rest = behind;
    }
    let all: Vec<String> = commands.into_iter().map(|(words, _)| words).collect();
    assert_eq!(seen, all, "the manual tells of other commands, or in another order");
    for (mark, list) in [(HAZARDS, hazards()), (ERRORS, errors())] {
        let (before, behind) = rest.split_once(mark).unwrap();
        let (_, behind) = behind.split_once(END).unwrap();
        out.push_str(&format!("{before}{mark}{list}{END}"));
        rest = behind;
    }
    out + rest
}

#[test]
fn the_manual_has_commands_options_hazards_and_errors_as_the_program_has_them() {
    let page = std::fs::read_to_string(PAGE).unwrap();
    let renewed = renewed(&page);
    if std::env::var_os("QUBES_DOM0_PCI_WRITE_MANUAL").is_some() {
        std::fs::write(PAGE, &renewed).unwrap();
    } else {
        let changed = page.lines().zip(renewed.lines()).find(|(is, should)| is != should);
        assert!(
            page == renewed,
            "man/qubes-dom0-pci.1 drifted (QUBES_DOM0_PCI_WRITE_MANUAL=1 cargo test manual): {changed:?}"
        );
    }
}

/// Every `--option` in a text.
fn options_in(text: &str) -> BTreeSet<String> {
    let plain = text.replace("\\-", "-").replace("\\fB", " ").replace("\\fI", " ").replace("\\fR", " ");
    let words = plain.split(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '-'));
    words.filter(|word| word.starts_with("--") && word.len() > 2).map(str::to_owned).collect()
}

#[test]
fn no_text_names_an_option_that_there_is_not() {
    let mut known: BTreeSet<String> = BTreeSet::new();
    for (_, mut command) in commands() {
        command.build();
        for arg in command.get_arguments() {
            let aliases = arg.get_visible_aliases().unwrap_or_default();
            known.extend(arg.get_long().into_iter().chain(aliases).map(|long| format!("--{long}")));
        }
    }
    // What other programs take.
    known.extend(["--pass-io", "--full"].map(str::to_owned));
    let policy = include_str!("../man/qubes-dom0-pci-policy.5");
    let journal = include_str!("../man/qubes-dom0-pci-journal.5");
    for page in [include_str!("../man/qubes-dom0-pci.1"), policy, journal] {
        let unknown: Vec<_> = options_in(page).difference(&known).cloned().collect();
        assert!(unknown.is_empty(), "{unknown:?}");
    }
}

#[test]
fn the_pages_are_of_this_version() {
    for page in [
        "qubes-dom0-pci.1",
        "qubes-dom0-pci-policy.5",
        "qubes-dom0-pci-journal.5",
        "qubes-dom0-pci-next-boot.7",
    ] {
        let text = std::fs::read_to_string(std::path::Path::new(PAGE).with_file_name(page)).unwrap();
        let heading = text.lines().next().unwrap_or_default();
        assert!(heading.contains(concat!("\"qubes-dom0-pci ", env!("CARGO_PKG_VERSION"), "\"")), "{heading}");
    }
}

#[test]
fn the_manual_explains_every_exit_status() {
    let page = include_str!("../man/qubes-dom0-pci.1");
    let section = |name: &str| {
        let (_, behind) = page.split_once(&format!("\n.SH {name}\n")).unwrap();
        behind.split("\n.SH ").next().unwrap().replace("\\-", "-")
    };
    let statuses: Vec<u8> = section("EXIT STATUS")
        .lines()
        .filter_map(|line| line.split_whitespace().next().and_then(|word| word.parse().ok()))
        .collect();
    assert_eq!(statuses, (0..=12).collect::<Vec<u8>>());
    assert_eq!(crate::error::Exit::Partly.status(), 12);
}

/// The manual's list of errors, as the program has them.
fn errors() -> String {
    let mut out = String::new();
    for code in crate::error::Code::ALL {
        let statuses: Vec<_> = code.exits().iter().map(|exit| exit.status().to_string()).collect();
        // What is no error.
        if code.exits() == [crate::error::Exit::Done] {
            continue;
        }
        out.push_str(&format!(".TP\n.B {} \\fR({})\n", roff(code.word()), statuses.join(", ")));
        out.push_str(&filled(&roff(&format!("{} {}", code.meaning(), code.remedy()))));
    }
    out
}

/// The manual's list of hazards, the worst first.
fn hazards() -> String {
    let mut out = String::new();
    let groups = [
        (Severity::Stop, ".B Nobody can accept:\n"),
        (Severity::Warn, ".PP\n.B Accepted by their id,\nunless the policy makes them stops:\n"),
        (Severity::Note, ".PP\n.B Worth knowing:\n"),
    ];
    for (severity, heading) in groups {
        out.push_str(heading);
        for id in HazardId::ALL.iter().filter(|id| id.severity() == severity) {
            let mut text = id.meaning().to_owned();
            if severity == Severity::Stop {
                let (first, rest) = id.way_out().split_at(1);
                text.push_str(&format!(" {}{rest}.", first.to_uppercase()));
            }
            out.push_str(&format!(".TP\n.B {}\n{}", roff(id.word()), filled(&roff(&text))));
        }
    }
    out
}
