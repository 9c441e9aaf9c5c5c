//! What an answer rests on, and what it does not: who was asked, and what could not be seen.

use super::text::wrapped;
use crate::observe::qubes::QubesSource;
use crate::observe::{Dom0, Qubes};

/// A line for each thing that could not be seen.
#[must_use]
pub fn unseen_block(unseen: &[String]) -> String {
    unseen.iter().map(|what| wrapped("not seen: ", what)).collect()
}

/// One line where there is no Qubes: fewer are asked there.
#[must_use]
pub fn no_qubes(dom0: &Dom0) -> String {
    match dom0.qubes_known {
        Ok(None) => wrapped("no Qubes: ", "Xen, xenstore and the journal alone tell who has or had a device"),
        Ok(Some(_)) | Err(_) => String::new(),
    }
}

/// Who was asked what Qubes knows, for a script; `None` where there is no Qubes.
#[must_use]
pub fn qubes_asked(dom0: &Dom0) -> Option<&'static str> {
    match &dom0.qubes_known {
        Ok(None) => None,
        Ok(Some(Qubes { source: QubesSource::Xml { .. }, .. })) => Some("qubes.xml"),
        Ok(Some(_)) => Some("qubesd"),
        Err(_) => Some("unknown"),
    }
}
