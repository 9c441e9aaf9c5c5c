//! `audit import`: what older logs tell is journaled, once.

use super::{boot, failure, Context};
use crate::cli::audit::ImportArgs;
use crate::error::{Code, Exit, Failure};
use crate::journal::{Entry, Log, Source};
use crate::names::{escape, Sbdf};
use crate::observe::import::backups::{self, Backup};
use crate::observe::import::{each_line, Console, Found, Journald, Libvirt, Reader, Tally, MOST};
use crate::observe::qubes::{qubes_of_file, Assignment};
use crate::report::text::wrapped;
use crate::report::{emit, json, sentence, warn};
use crate::system::logs::{self, Journalctl};
use crate::system::root::{absent, read_bytes};
use crate::system::sysfs::PciSysfs;
use audit::{Draft, Journal, Kind, Query, Record};
use serde_json::json;
use std::collections::HashSet;
use std::io::Read;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

/// Where the logs lie.
const LIBVIRT: &str = "/var/log/libvirt/libxl";
const BACKUPS: &str = "/var/lib/qubes/backup";
const CONSOLE: &str = "/var/log/xen/console/hypervisor.log";
/// So many records are put on disk at once.
const BATCH: usize = 200;

/// A log, and what came of it.
struct Imported {
    log: Log,
    /// Where it was read from, escaped.
    place: String,
    /// `None` where it is not there.
    tally: Option<Tally>,
    fresh: usize,
}

/// Writes what the given files tell of devices to the journal.
///
/// # Errors
/// A log that was named, or the journal, cannot be read or written; not root.
pub fn run(context: &Context, args: &ImportArgs) -> Result<Exit, Failure> {
    if !args.dry_run {
        context.must_be_root()?;
        context.journal_is_safe()?;
    }
    let mut sources = read(context, args)?;
    let mut known = known(context)?;
    let mut fresh: Vec<Found> = Vec::new();
    for source in &mut sources {
        for found in source.tally.iter().flat_map(|tally| &tally.found) {
            if known.insert(found.key.clone()) {
                source.fresh += 1;
                fresh.push(found.clone());
            }
        }
    }
    // In the order in which it happened; what has no time comes last.
    fresh.sort_by_key(|found| (found.entry.at().is_none(), found.entry.at()));
    let head = if args.dry_run || fresh.is_empty() { None } else { append(context, &fresh)? };
    if context.json {
        emit(&document(args, &sources, &fresh, head.as_deref()))?;
    } else {
        emit(&text(args, &sources, &fresh, head.as_deref()))?;
    }
    for source in sources.iter().filter(|it| it.tally.as_ref().is_some_and(|tally| tally.found.len() >= MOST))
    {
        if !context.json {
            warn(&format!("{}: only the first {MOST} were taken", source.place));
        }
    }
    Ok(Exit::Done)
}

/// The sources that were named, or all where none was.
fn read(context: &Context, args: &ImportArgs) -> Result<Vec<Imported>, Failure> {
    let all = args.libvirt.is_none()
        && args.backups.is_none()
        && args.journald.is_none()
        && args.xen_console.is_empty();
    let place = |given: &Option<PathBuf>, default: &str| match given {
        Some(path) => Some((path.clone(), false)),
        None => all.then(|| (context.root.path(default), true)),
    };
    let mut sources = Vec::new();
    if let Some((folder, optional)) = place(&args.libvirt, LIBVIRT) {
        sources.push(source(Log::Libvirt, &folder, optional, libvirt)?);
    }
    if let Some((folder, optional)) = place(&args.backups, BACKUPS) {
        sources.push(source(Log::QubesXml, &folder, optional, |folder| backed_up(context, folder))?);
    }
    match &args.journald {
        Some(path) => sources
            .push(source(Log::Journald, path, false, |path| lines(logs::open(path)?, Journald::default()))?),
        None if all => sources.push(journald(context)?),
        None => {}
    }
    let consoles = args.xen_console.iter().map(|path| (path.clone(), false));
    for (path, optional) in consoles.chain(all.then(|| (context.root.path(CONSOLE), true))) {
        sources.push(source(Log::XenConsole, &path, optional, |path| {
            lines(logs::open(path)?, Console::default())
        })?);
    }
    Ok(sources)
}

fn source(
    log: Log,
    path: &Path,
    optional: bool,
    read: impl FnOnce(&Path) -> std::io::Result<Tally>,
) -> Result<Imported, Failure> {
    let place = escape(path.as_os_str().as_encoded_bytes());
    let tally = match read(path) {
        Ok(tally) => Some(tally),
        Err(error) if optional && absent(&error) => None,
        Err(error) => {
            return Err(Failure::new(
                Exit::Io,
                Code::Unreadable,
                format!("cannot read {place}: {error}"),
                "name the logs that can be read, or run it as root",
            ))
        }
    };
    Ok(Imported { log, place, tally, fresh: 0 })
}

fn lines(file: impl Read, mut reader: impl Reader) -> std::io::Result<Tally> {
    each_line(file, &mut |line| reader.line(line))?;
    Ok(reader.finish())
}

fn libvirt(folder: &Path) -> std::io::Result<Tally> {
    let mut all = Tally::default();
    for (name, path) in logs::files(folder, ".log")? {
        let stem = name.as_encoded_bytes();
        let stem = stem.strip_suffix(b".log").unwrap_or(stem);
        let tally = lines(logs::open(&path)?, Libvirt::new(stem))?;
        all.found.extend(tally.found);
        all.unreadable += tally.unreadable;
    }
    Ok(all)
}

fn backed_up(context: &Context, folder: &Path) -> std::io::Result<Tally> {
    let mut unreadable = 0;
    let mut read = Vec::new();
    for (name, path) in logs::files(folder, ".xml")? {
        let name = name.to_string_lossy();
        if !name.starts_with("qubes-") {
            continue;
        }
        let bytes = read_bytes(&path)?;
        match std::str::from_utf8(&bytes).map_err(|error| error.to_string()).and_then(qubes_of_file) {
            Ok(qubes) => read.push(Backup { moment: backups::moment(&name), qubes }),
            Err(_) => unreadable += 1,
        }
    }
    let sysfs = PciSysfs::new(&context.root);
    let place = |one: &Assignment| -> Option<Sbdf> { one.port.function(&sysfs).ok().flatten() };
    let tally = backups::assignments(&read, &place);
    Ok(Tally { unreadable, ..tally })
}

fn journald(context: &Context) -> Result<Imported, Failure> {
    let failed = |error: std::io::Error| {
        Failure::new(
            Exit::Io,
            Code::Unreadable,
            format!("cannot read journald's files: {error}"),
            "run it as root, or give --journald what `journalctl -o json` wrote",
        )
    };
    let place = "journalctl".to_owned();
    let Some(mut journalctl) = Journalctl::start(&context.root).map_err(failed)? else {
        return Ok(Imported { log: Log::Journald, place, tally: None, fresh: 0 });
    };
    let tally = lines(&mut journalctl, Journald::default()).map_err(failed)?;
    if !journalctl.finish().map_err(failed)? {
        return Err(failed(std::io::Error::other("journalctl failed")));
    }
    Ok(Imported { log: Log::Journald, place, tally: Some(tally), fresh: 0 })
}

/// The keys of what was imported before.
fn known(context: &Context) -> Result<HashSet<String>, Failure> {
    let of_log = |log: Log| vec![(Some("source".to_owned()), Source::Import(log).to_string())];
    let any = Log::ALL.map(of_log).to_vec();
    let mut known = HashSet::new();
    let read = audit::select(&context.journal, &Query { any, ..Query::default() }, &mut |line| {
        known.extend(Record::parse(line).and_then(|record| record.text("key").map(str::to_owned)));
        ControlFlow::Continue(())
    });
    match read {
        Err(error) if error.kind() != Kind::Absent => Err(failure(&error)),
        _ => Ok(known),
    }
}

/// Puts it on disk; gives the new head in short form.
fn append(context: &Context, fresh: &[Found]) -> Result<Option<String>, Failure> {
    let mut journal = Journal::open(&context.journal, &boot(context)).map_err(|error| failure(&error))?;
    for batch in fresh.chunks(BATCH) {
        let drafts: Vec<Draft> = batch.iter().map(Found::draft).collect();
        journal.append(&drafts).map_err(|error| failure(&error))?;
    }
    Ok(Some(journal.head().short()))
}

impl Imported {
    fn found(&self) -> usize {
        self.tally.as_ref().map_or(0, |tally| tally.found.len())
    }

    fn without_time(&self) -> usize {
        self.tally.iter().flat_map(|tally| &tally.found).filter(|found| found.entry.at().is_none()).count()
    }

    fn unreadable(&self) -> u64 {
        self.tally.as_ref().map_or(0, |tally| tally.unreadable)
    }

    /// What there is to say of its times.
    fn times(&self) -> Option<String> {
        let found = self.found();
        let near = self.tally.iter().flat_map(|tally| &tally.found).filter(|found| found.approximate).count();
        match self.without_time() {
            _ if found == 0 => None,
            0 if near == 0 => None,
            0 => Some(format!(
                "{}: gives no time of its own; {near} of {found} are about that time",
                self.log.word()
            )),
            none => Some(format!("{}: gives no time for {none} of {found}", self.log.word())),
        }
    }
}

fn text(args: &ImportArgs, sources: &[Imported], fresh: &[Found], head: Option<&str>) -> String {
    let mut text =
        format!("{:<12} {:>7} {:>7} {:>7} {:>10}  place\n", "source", "found", "new", "known", "unreadable");
    for it in sources {
        let place = if it.tally.is_none() { format!("{}: not there", it.place) } else { it.place.clone() };
        let first = format!(
            "{:<12} {:>7} {:>7} {:>7} {:>10}  ",
            it.log.word(),
            it.found(),
            it.fresh,
            it.found() - it.fresh,
            it.unreadable()
        );
        text.push_str(&wrapped(&first, &place));
    }
    for line in sources.iter().filter_map(Imported::times) {
        text.push_str(&wrapped("", &line));
    }
    if args.dry_run {
        for found in fresh {
            let bdf = found.entry.bdf().map(|bdf| bdf.to_string()).unwrap_or_default();
            text.push_str(&wrapped(
                &format!("{bdf:<12}  "),
                &sentence::of_entry(&found.entry, found.approximate),
            ));
        }
    }
    text.push_str(&match (args.dry_run, fresh.len(), head) {
        (true, count, _) => format!("{count} records would be written; nothing was changed\n"),
        (false, 0, _) => "nothing is new; nothing was written\n".to_owned(),
        (false, count, head) => format!("{count} records were written\nhead {}\n", head.unwrap_or_default()),
    });
    text
}

fn document(args: &ImportArgs, sources: &[Imported], fresh: &[Found], head: Option<&str>) -> String {
    let source = |it: &Imported| {
        json!({
            "source": it.log.word(),
            "place": it.place,
            "there": it.tally.is_some(),
            "found": it.found(),
            "new": it.fresh,
            "known": it.found() - it.fresh,
            "unreadable": it.unreadable(),
            "without_time": it.without_time(),
            "cut": it.found() >= MOST,
        })
    };
    let members = json!({
        "dry_run": args.dry_run,
        "sources": sources.iter().map(source).collect::<Vec<_>>(),
        "new": fresh.len(),
        "entries": if args.dry_run {
            fresh.iter().map(|found| json!({
                "kind": match &found.entry {
                    Entry::Stay(_) => "stay",
                    Entry::Device(_) => "device",
                    _ => "qube",
                },
                "at": found.entry.at().map(|at| at.to_string()).unwrap_or_default(),
                "approximate": found.approximate,
                "says": sentence::of_entry(&found.entry, found.approximate),
                "key": found.key,
            })).collect::<Vec<_>>()
        } else {
            Vec::new()
        },
        "head": head,
    });
    json::document("audit-import", members)
}
