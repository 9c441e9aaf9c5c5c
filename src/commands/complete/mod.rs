//! What Tab offers: the words that can stand at the cursor, a line each, with a tab and a few words about it.
//! It needs no right, asks neither Xen nor a qube, takes no lock and writes nothing: whoever presses Tab has
//! decided nothing yet. Only words of this program's own, addresses and names that Qubes would take are
//! printed, so that no shell finds anything in them.

#![forbid(unsafe_code)]

mod words;

use crate::cli::Cli;
use crate::error::{Exit, Failure};
use crate::journal::{records_of_boot, Entry, PastEvent};
use crate::names::{DeviceArgument, QubeName, Sbdf};
use crate::report::emit;
use crate::system::root::{read_text, Sysroot};
use crate::system::sysfs::PciSysfs;
use clap::CommandFactory;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use words::{begun, hazards, listed, wanted, Completion, CompletionDevices, Wanted};

/// Prints what the last of the words can become. What cannot be read is not offered.
///
/// # Errors
/// stdout is gone.
pub fn run(words: &[String]) -> Result<Exit, Failure> {
    let mut program = Cli::command();
    program.build();
    // The folders that the line names are those it is about.
    let root = Sysroot::new(value_of(words, "--sysroot").map(PathBuf::from));
    let (wanted, kept, beginning) = wanted(&program, words);
    let candidates = match wanted {
        Wanted::Words(all) => begun(beginning, all),
        Wanted::Device(which) => addresses(beginning, &functions(&root, which)),
        Wanted::Hazards(named) => {
            let journal = value_of(words, "--journal").map(PathBuf::from);
            let journal = journal.unwrap_or_else(|| root.path(crate::cli::JOURNAL));
            let devices = named.iter().filter_map(|word| address(word)).collect();
            listed(beginning, hazards(&qubes(&root, &journal, &devices)))
        }
        Wanted::Other => Vec::new(),
    };
    let lines: String = candidates.iter().map(|one| format!("{kept}{}\t{}\n", one.word, one.about)).collect();
    emit(&lines)?;
    Ok(Exit::Done)
}

/// What the line gives for an option of a path; the last word is still being typed.
fn value_of<'a>(words: &'a [String], option: &str) -> Option<&'a str> {
    let (_, typed) = words.split_last()?;
    let at = typed.iter().position(|word| word == option).and_then(|place| typed.get(place + 1));
    let with = typed.iter().find_map(|word| word.strip_prefix(option)?.strip_prefix('='));
    at.map(String::as_str).or(with)
}

fn address(word: &str) -> Option<Sbdf> {
    match DeviceArgument::parse(word)? {
        DeviceArgument::Address(sbdf) => Some(sbdf),
        DeviceArgument::Path(..) => None,
    }
}

/// The functions, and who has each.
fn functions(root: &Sysroot, which: CompletionDevices) -> Vec<(Sbdf, &'static str)> {
    let sysfs = PciSysfs::new(root);
    let functions = sysfs.functions().unwrap_or_default();
    let mut all = Vec::new();
    for sbdf in functions {
        let about = match sysfs.driver(sbdf) {
            Ok(Some(driver)) if driver.as_str() == "pciback" => "held by pciback",
            Ok(Some(_)) => "driven by dom0",
            Ok(None) => "no driver",
            Err(_) => continue,
        };
        let driven = about == "driven by dom0";
        let bridge = || {
            sysfs.attribute(sbdf, "class").is_ok_and(|class| class.is_some_and(|it| it.starts_with("0x0604")))
        };
        let fits = match which {
            CompletionDevices::All => true,
            CompletionDevices::Driven => driven && !bridge(),
            CompletionDevices::Held => !driven && (about == "held by pciback" || !bridge()),
        };
        if fits {
            all.push((sbdf, about));
        }
    }
    all
}

/// In the form that was begun: the full one, or one of the short ones people type.
fn addresses(beginning: &str, functions: &[(Sbdf, &'static str)]) -> Vec<Completion> {
    let forms = |sbdf: Sbdf| {
        let full = sbdf.to_string();
        let short = full.strip_prefix("0000:").map(str::to_owned);
        let qubes = short.as_ref().map(|short| short.replace(':', "_"));
        let dom0 = qubes.as_ref().map(|qubes| format!("dom0:{qubes}"));
        [Some(full), short, qubes, dom0]
    };
    let in_form = |number: usize| -> Vec<Completion> {
        let form = |sbdf| forms(sbdf).into_iter().nth(number).flatten();
        let all = functions.iter().filter_map(|(sbdf, about)| Some(Completion::new(form(*sbdf)?, *about)));
        begun(beginning, all.collect())
    };
    (0..4).map(in_form).find(|all| !all.is_empty()).unwrap_or_default()
}

/// The qubes that had one of these functions in this boot, as far as the journal can be read.
fn qubes(root: &Sysroot, journal: &Path, devices: &BTreeSet<Sbdf>) -> Vec<String> {
    let Ok(boot) = read_text(&root.path("/proc/sys/kernel/random/boot_id")) else { return Vec::new() };
    let mut names = BTreeSet::new();
    let _ = records_of_boot(journal, boot.trim(), &mut |record| {
        let PastEvent::Entry(Entry::Stay(stay)) = &record.what else { return };
        if devices.is_empty() || devices.contains(&stay.bdf) {
            names.extend(QubeName::parse(&stay.qube));
        }
    });
    names.iter().map(ToString::to_string).collect()
}
