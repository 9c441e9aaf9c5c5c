//! The journal as a source: what it tells of functions, in one pass. Nothing is kept here.

use super::identity::UNREAD;
use crate::error::Failure;
use crate::journal::Told;
use crate::names::Sbdf;
use audit::{Kind, Query, Record};
use std::ops::ControlFlow;
use std::path::Path;

/// A function whose past is asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Named {
    /// Its address.
    pub sbdf: Sbdf,
    /// What makes it the same wherever it stands (`history::Identity::id`).
    pub id: String,
}

/// How far the journal could be read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Journal {
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

/// Reads what the journal tells of these functions (all functions, where none is given), of recorders in this boot,
/// and of gaps. Each comes in the journal's order.
pub fn read(folder: &Path, functions: &[Named], boot: &str, each: &mut dyn FnMut(&Told)) -> Journal {
    // The end is looked at as a writer would: what was committed must still be there.
    if let Err(error) = audit::head(folder) {
        return match error.kind() {
            Kind::Absent => Journal::Absent,
            Kind::Broken => Journal::Broken(Failure::of_journal(&error)),
            _ => Journal::Unreadable(Failure::of_journal(&error)),
        };
    }
    select(folder, alternatives(functions, boot), each)
}

/// Reads what the journal tells of what stood at these addresses, in its order.
pub fn devices(folder: &Path, addresses: &[Sbdf], each: &mut dyn FnMut(&Told)) -> Journal {
    let is = |key: &str, value: String| (Some(key.to_owned()), value);
    let at = |sbdf: &Sbdf| vec![is("kind", "device".to_owned()), is("bdf", sbdf.to_string())];
    select(folder, addresses.iter().map(at).collect(), each)
}

fn select(folder: &Path, any: Vec<Vec<Condition>>, each: &mut dyn FnMut(&Told)) -> Journal {
    let query = Query { any, ..Query::default() };
    let read = audit::select(folder, &query, &mut |line| {
        if let Some(told) = Record::parse(line).as_ref().and_then(Told::read) {
            each(&told);
        }
        ControlFlow::Continue(())
    });
    match read {
        Ok(skipped) => Journal::Read { odd: skipped.lines },
        Err(error) if error.kind() == Kind::Absent => Journal::Absent,
        Err(error) => Journal::Unreadable(Failure::of_journal(&error)),
    }
}

type Condition = (Option<String>, String);

fn alternatives(functions: &[Named], boot: &str) -> Vec<Vec<Condition>> {
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
