//! Where in the command line the cursor stands, and what can stand there. Nothing is read here.

use crate::assess::{HazardId, Severity};
use clap::{Arg, ArgAction, Command};

/// What the word at the cursor is, by the definition of the command line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Wanted {
    /// One of these words.
    Words(Vec<Completion>),
    /// A function, of those that the command is for.
    Device(CompletionDevices),
    /// Ids of hazards, separated by commas; the functions already named stand with them.
    Hazards(Vec<String>),
    /// Something else: a path, a number, a time.
    Other,
}

/// Which functions a command is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CompletionDevices {
    /// Held by pciback, or by nobody.
    Held,
    /// Driven by dom0.
    Driven,
    /// Every one.
    All,
}

/// A word, and what is said of it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Completion {
    /// What is put on the command line.
    pub word: String,
    /// A few words for shells that show them.
    pub about: String,
}

impl Completion {
    /// A candidate.
    pub fn new(word: impl Into<String>, about: impl Into<String>) -> Self {
        Self { word: word.into(), about: about.into() }
    }
}

/// What the last of these words is a beginning of. They are those behind the program's name, and came from a
/// shell that only split them: what is no option and no command of ours is somebody's text, and stays so.
///
/// Returns what is wanted, the part of the last word that stays as it is (`--accept=`), and the part to be
/// completed.
#[must_use]
pub fn wanted<'a>(program: &Command, words: &'a [String]) -> (Wanted, &'a str, &'a str) {
    let (last, before) = match words.split_last() {
        Some((last, before)) => (last.as_str(), before),
        None => ("", &[][..]),
    };
    let mut at = program;
    let mut named: Vec<String> = Vec::new();
    let mut open: Option<&Arg> = None;
    for word in before {
        if open.take().is_some() {
            continue;
        }
        if word.starts_with('-') && word.len() > 1 {
            open = option(program, at, word).filter(|arg| takes_value(arg));
        } else if let Some(below) = at.find_subcommand(word).filter(|below| !below.is_hide_set()) {
            at = below;
        } else {
            named.push(word.clone());
        }
    }
    if let Some(arg) = open {
        return (of_value(at, arg, named), "", last);
    }
    if last.starts_with("--") {
        if let Some((name, value)) = last.split_once('=') {
            let kept = last.strip_suffix(value).unwrap_or(last);
            return match option(program, at, name).filter(|arg| takes_value(arg)) {
                Some(arg) => (of_value(at, arg, named), kept, value),
                None => (Wanted::Other, kept, value),
            };
        }
    }
    let many = |arg: &&Arg| matches!(arg.get_action(), ArgAction::Append);
    let positional =
        at.get_positionals().nth(named.len()).or_else(|| at.get_positionals().last().filter(many));
    let wanted = match positional {
        _ if last.starts_with('-') => Wanted::Words(options(program, at, before)),
        _ if at.has_subcommands() => Wanted::Words(commands(at)),
        Some(arg) if fits(program, at, arg, before) => of_value(at, arg, named),
        _ => Wanted::Words(options(program, at, before)),
    };
    (wanted, "", last)
}

fn takes_value(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::Set | ArgAction::Append)
}

/// The option that a word is; not one that carries its value with it.
fn option<'a>(program: &'a Command, at: &'a Command, word: &str) -> Option<&'a Arg> {
    let is = |arg: &&Arg| {
        let short = arg.get_short().is_some_and(|short| word == format!("-{short}"));
        let aliases = arg.get_all_aliases().unwrap_or_default();
        short
            || word
                .strip_prefix("--")
                .is_some_and(|name| arg.get_long() == Some(name) || aliases.contains(&name))
    };
    at.get_arguments().find(is).or_else(|| program.get_arguments().find(is))
}

fn commands(at: &Command) -> Vec<Completion> {
    let shown = at.get_subcommands().filter(|below| !below.is_hide_set());
    shown.map(|below| Completion::new(below.get_name(), text(below.get_about()))).collect()
}

/// The options that were not given yet, or that can be given again.
fn options(program: &Command, at: &Command, before: &[String]) -> Vec<Completion> {
    let own = at.get_arguments();
    let global = program.get_arguments().filter(|arg| arg.is_global_set());
    let mut all: Vec<Completion> = Vec::new();
    for arg in own.chain(global).filter(|arg| !arg.is_hide_set()) {
        let Some(long) = arg.get_long() else { continue };
        let word = format!("--{long}");
        let again = matches!(arg.get_action(), ArgAction::Append);
        let new = all.iter().all(|one| one.word != word) && (again || !before.contains(&word));
        if new && fits(program, at, arg, before) {
            all.push(Completion::new(word, text(arg.get_help())));
        }
    }
    if !before.iter().chain(all.iter().map(|one| &one.word)).any(|word| word == "--help") {
        all.push(Completion::new("--help", "Print help"));
    }
    all
}

/// Whether an argument can stand beside the options that were given.
fn fits(program: &Command, at: &Command, arg: &Arg, before: &[String]) -> bool {
    let refuses = |one: &Arg, other: &Arg| {
        let of = if one.is_global_set() { program } else { at };
        of.get_arg_conflicts_with(one).iter().any(|it| it.get_id() == other.get_id())
    };
    let given = before.iter().filter_map(|word| option(program, at, word));
    given
        .filter(|given| given.get_id() != arg.get_id())
        .all(|given| !refuses(arg, given) && !refuses(given, arg))
}

fn text(help: Option<&clap::builder::StyledStr>) -> String {
    help.map(ToString::to_string).unwrap_or_default()
}

/// What an argument takes.
fn of_value(at: &Command, arg: &Arg, named: Vec<String>) -> Wanted {
    let values = arg.get_possible_values();
    if !values.is_empty() {
        let of =
            |value: &clap::builder::PossibleValue| Completion::new(value.get_name(), text(value.get_help()));
        return Wanted::Words(values.iter().map(of).collect());
    }
    match (arg.get_id().as_str(), at.get_name()) {
        ("accept", _) => Wanted::Hazards(named),
        ("device", "plan" | "reattach" | "rollback") => Wanted::Device(CompletionDevices::Held),
        ("device", "hold") => Wanted::Device(CompletionDevices::Driven),
        ("device", _) | ("devices" | "give" | "keep_away", "next-boot") => {
            Wanted::Device(CompletionDevices::All)
        }
        _ => Wanted::Other,
    }
}

/// The ids that can be accepted, with the qubes of which `exposed` can be.
#[must_use]
pub fn hazards(qubes: &[String]) -> Vec<Completion> {
    let acceptable = HazardId::ALL.iter().filter(|id| id.severity() == Severity::Warn);
    let mut all: Vec<Completion> = acceptable.map(|id| Completion::new(id.word(), "hazard")).collect();
    all.extend(qubes.iter().map(|qube| Completion::new(format!("exposed:{qube}"), "had it in this boot")));
    all
}

/// Continues a list: what stands before its last comma stays, and is not offered again.
#[must_use]
pub fn listed(list: &str, candidates: Vec<Completion>) -> Vec<Completion> {
    let Some((before, last)) = list.rsplit_once(',') else { return begun(list, candidates) };
    let there: Vec<&str> = before.split(',').collect();
    let new = candidates.into_iter().filter(|one| !there.contains(&one.word.as_str())).collect();
    let with = |one: Completion| Completion::new(format!("{before},{}", one.word), one.about);
    begun(last, new).into_iter().map(with).collect()
}

/// All that begin so.
#[must_use]
pub fn begun(beginning: &str, candidates: Vec<Completion>) -> Vec<Completion> {
    candidates.into_iter().filter(|one| one.word.starts_with(beginning)).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::cli::Cli;
    use clap::CommandFactory;
    use proptest::prelude::*;

    fn at(line: &str) -> Wanted {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        let program = Cli::command();
        wanted(&program, &words).0
    }

    fn words(line: &str) -> Vec<String> {
        let Wanted::Words(all) = at(line) else { return Vec::new() };
        all.into_iter().map(|one| one.word).collect()
    }

    #[test]
    fn commands_are_where_a_command_can_stand_and_hidden_ones_nowhere() {
        assert!(words("").contains(&"reattach".to_owned()));
        assert!(!words("").iter().any(|word| word == "worker" || word == "complete"));
        assert!(words("--json --sysroot /x ").contains(&"list".to_owned()));
        assert!(words("audit ").contains(&"verify".to_owned()));
        assert_eq!(at("--sysroot "), Wanted::Other);
    }

    #[test]
    fn a_device_is_of_those_the_command_is_for() {
        assert_eq!(at("reattach "), Wanted::Device(CompletionDevices::Held));
        assert_eq!(at("reattach --timeout 80 "), Wanted::Device(CompletionDevices::Held));
        assert_eq!(at("reattach 00:1f.6 "), Wanted::Device(CompletionDevices::Held));
        assert_eq!(at("rollback 00:1f.6 "), at("rollback 00:1f.6 --"));
        assert_eq!(at("hold "), Wanted::Device(CompletionDevices::Driven));
        assert_eq!(at("show 00:"), Wanted::Device(CompletionDevices::All));
        assert_eq!(at("audit log --device "), Wanted::Device(CompletionDevices::All));
        assert_eq!(at("audit timeline --device="), Wanted::Device(CompletionDevices::All));
    }

    #[test]
    fn options_are_those_of_the_command_each_once() {
        assert!(words("reattach 00:02.0 --").contains(&"--accept".to_owned()));
        assert!(words("list --").contains(&"--json".to_owned()));
        assert!(!words("list --all --").contains(&"--all".to_owned()));
        assert!(words("audit verify --checkpoint x --").contains(&"--checkpoint".to_owned()));
        assert_eq!(words("audit log --output "), ["table", "records", "raw"]);
        assert_eq!(words("audit log -o "), ["table", "records", "raw"]);
    }

    #[test]
    fn hazards_that_nobody_can_accept_are_not_offered() {
        assert_eq!(at("plan 00:02.0 --accept "), Wanted::Hazards(vec!["00:02.0".to_owned()]));
        let all = hazards(&["sys-net".to_owned()]);
        for one in &all {
            crate::consent::Accepted::parse(std::slice::from_ref(&one.word)).unwrap();
        }
        let offered =
            |list: &str| listed(list, all.clone()).into_iter().map(|one| one.word).collect::<Vec<_>>();
        assert_eq!(offered("exposed:"), ["exposed:sys-net"]);
        assert_eq!(offered("network,exposed:sys-net,ne"), Vec::<String>::new());
        assert_eq!(offered("usb,ne"), ["usb,network"]);
    }

    proptest! {
        #[test]
        fn whatever_is_typed_the_last_word_is_kept_in_two_parts(
            line in proptest::collection::vec("(-{0,2}[a-z:,=]{0,8}|list|audit|log|reattach|--accept|--device=)", 0..6)
        ) {
            let program = Cli::command();
            let (_, kept, rest) = wanted(&program, &line);
            prop_assert_eq!(format!("{kept}{rest}"), line.last().cloned().unwrap_or_default());
        }
    }
}
