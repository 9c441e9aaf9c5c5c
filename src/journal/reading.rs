//! Reads the journal for those who look back, each in one pass. Nothing is kept here.

use super::identity::UNREAD;
use super::{journal_boot, PastRecord};
use crate::error::{Code, Exit, Failure};
use crate::names::Sbdf;
use crate::system::root::Sysroot;
use audit::{Kind, Query, Record};
use std::ops::ControlFlow;
use std::path::Path;

/// A function whose past is asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct IdentifiedFunction {
    /// Where it stands.
    pub sbdf: Sbdf,
    /// What makes it the same wherever it stands ([`Identity::id`](super::Identity::id)).
    pub id: String,
}

/// How far the journal could be read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum JournalReading {
    /// To its end; so many lines looked like records and were none.
    Read {
        /// Altered or torn lines among those that were asked for.
        odd: u64,
    },
    /// There is none.
    Absent,
    /// A committed record is gone or altered.
    Broken(Failure),
    /// It cannot be read: no right, a disk error.
    Unreadable(Failure),
}

/// Whether the journal is where only root could have written it.
///
/// # Errors
/// Exit 11: somebody else could have moved it away, or put another in its place.
pub fn is_safe(root: &Sysroot, folder: &Path) -> Result<(), Failure> {
    let doubt = root.doubt(folder).map_err(|error| Failure::of_journal(&error))?;
    let Some(doubt) = doubt else { return Ok(()) };
    let message = format!("the journal {} is not safe where it is: {doubt}", folder.display());
    let hint = format!("look who changed it; then {}", doubt.remedy());
    Err(Failure::new(Exit::Io, Code::NotTrusted, message, hint))
}

/// Reads what the journal tells of these functions (all functions, where none is given), of recorders in this
/// boot, and of gaps. Each comes in the journal's order.
pub fn records_of_functions(
    folder: &Path,
    functions: &[IdentifiedFunction],
    boot: &str,
    each: &mut dyn FnMut(&PastRecord),
) -> JournalReading {
    // The end is looked at as a writer would: what was committed must still be there.
    if let Err(error) = audit::head(folder) {
        return match error.kind() {
            Kind::Absent => JournalReading::Absent,
            Kind::Broken => JournalReading::Broken(Failure::of_journal(&error)),
            _ => JournalReading::Unreadable(Failure::of_journal(&error)),
        };
    }
    select(folder, alternatives(functions, boot), each)
}

/// Reads what the journal tells of what stood at these addresses, in its order.
pub fn records_at(folder: &Path, addresses: &[Sbdf], each: &mut dyn FnMut(&PastRecord)) -> JournalReading {
    let is = |key: &str, value: String| (Some(key.to_owned()), value);
    let at = |sbdf: &Sbdf| vec![is("kind", "device".to_owned()), is("bdf", sbdf.to_string())];
    select(folder, addresses.iter().map(at).collect(), each)
}

/// Reads what the journal tells of a boot, in its order.
///
/// # Errors
/// The journal cannot be read.
pub fn records_of_boot(
    folder: &Path,
    boot_id: &str,
    each: &mut dyn FnMut(&PastRecord),
) -> Result<(), Failure> {
    let boot = (Some("boot".to_owned()), journal_boot(boot_id));
    let query = Query { values: vec![boot], ..Query::default() };
    pass(folder, &query, each).map(drop).map_err(|error| Failure::of_journal(&error))
}

fn select(folder: &Path, any: Vec<Vec<Condition>>, each: &mut dyn FnMut(&PastRecord)) -> JournalReading {
    match pass(folder, &Query { any, ..Query::default() }, each) {
        Ok(skipped) => JournalReading::Read { odd: skipped.lines },
        Err(error) if error.kind() == Kind::Absent => JournalReading::Absent,
        Err(error) => JournalReading::Unreadable(Failure::of_journal(&error)),
    }
}

fn pass(
    folder: &Path,
    query: &Query,
    each: &mut dyn FnMut(&PastRecord),
) -> Result<audit::Skipped, audit::Error> {
    audit::select(folder, query, &mut |line| {
        if let Some(record) = Record::parse(line).as_ref().and_then(PastRecord::read) {
            each(&record);
        }
        ControlFlow::Continue(())
    })
}

type Condition = (Option<String>, String);

fn alternatives(functions: &[IdentifiedFunction], boot: &str) -> Vec<Vec<Condition>> {
    let is = |key: &str, value: &str| (Some(key.to_owned()), value.to_owned());
    let kind = |kind: &str| is("kind", kind);
    let mut any = vec![
        vec![kind("recorder"), is("boot", boot)],
        vec![kind("lost"), is("boot", boot)],
        vec![kind("gap")],
        vec![kind("pruned")],
        vec![kind("moved")],
        vec![kind("qube"), is("event", "label")],
    ];
    for kind in ["stay", "had", "device", "known", "op"].map(kind) {
        // A serial number that cannot be read may be any: then the fold has to tell.
        if functions.is_empty() || functions.iter().any(|one| one.id.ends_with(UNREAD)) {
            any.push(vec![kind]);
            continue;
        }
        for one in functions {
            any.push(vec![kind.clone(), is("bdf", &one.sbdf.to_string())]);
            if kind.1 != "op" {
                any.push(vec![kind.clone(), is("id", &one.id)]);
                any.push(vec![kind.clone(), is("id", &unread(&one.id))]);
            }
        }
    }
    any
}

/// The id of the same function to one who may not see its serial number.
fn unread(id: &str) -> String {
    let base: Vec<&str> = id.split(' ').take(3).chain([UNREAD]).collect();
    base.join(" ")
}
