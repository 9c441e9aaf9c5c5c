//! What is read of a function only where it is asked for.

use super::{Claims, Dom0, Function, Sources};
use crate::error::{Code, Exit, Failure};
use crate::names::Sbdf;
use crate::system::pci_ids::PciIds;
use std::collections::BTreeSet;

/// A function that is asked for.
#[derive(Clone, Debug)]
pub struct Subject {
    /// The function, with its serial number.
    pub function: Function,
    /// Class, vendor and name, from pci.ids.
    pub description: String,
    /// What claims it.
    pub claims: Claims,
}

impl Subject {
    /// Whether it is known what claims it.
    ///
    /// # Errors
    /// The kernel's modules could not be asked.
    pub fn is_known(&self) -> Result<(), Failure> {
        self.claims.unreadable.clone().map_or(Ok(()), Err)
    }
}

impl Sources {
    /// Reads what is asked of these functions, in their order.
    ///
    /// # Errors
    /// One is not there.
    pub fn subjects(&mut self, dom0: &Dom0, wanted: &[Sbdf]) -> Result<Vec<Subject>, Failure> {
        let found: Result<Vec<&Function>, Failure> =
            wanted.iter().map(|sbdf| dom0.functions.get(sbdf).ok_or_else(|| gone(*sbdf))).collect();
        let found = found?;
        let ids: BTreeSet<(u16, u16)> = found.iter().map(|one| (one.vendor, one.device)).collect();
        let names = PciIds::read(&self.root, &ids);
        let subject = |one: &Function| {
            // What cannot be asked refuses the return; the rest can still be shown.
            let unreadable = |failure| Claims { unreadable: Some(failure), ..Claims::default() };
            let claims = self.claims(dom0, one).unwrap_or_else(unreadable);
            let function = Function { serial: self.serial(one.sbdf), ..one.clone() };
            let description = names.describe(one.class, one.vendor, one.device);
            Subject { function, description, claims }
        };
        Ok(found.into_iter().map(subject).collect())
    }
}

/// A function that is not there any more, or that Xen does not list.
#[must_use]
pub fn gone(sbdf: Sbdf) -> Failure {
    Failure::new(Exit::Usage, Code::NoSuchDevice, format!("{sbdf} is gone"), "run `list --all`")
}
