//! Who else has the device or is about to take it: what every change asks before it is made.

use super::operation::Operation;
use super::outcome::Trouble;
use crate::names::{escape, Owner};

impl Operation<'_> {
    /// Asks again whether a qube has the function, just before a change.
    pub(super) fn nobody_has_it(&mut self) -> Result<(), Trouble> {
        self.nobody_is_seen_with_it()?;
        let (root, sysfs) = (&self.sources.root, &self.sources.sysfs);
        match self.starting.taker(root, sysfs, self.function) {
            Ok(taker) => free_of(taker),
            Err(why) => Err(Trouble::failed(
                format!(
                    "it cannot be told whether a qube is about to take it: qubesd, which answered before, \
                     does not now ({why})"
                ),
                "see `systemctl status qubesd`; once it runs, run this again",
            )),
        }
    }

    /// What Xen and xenstore say of it.
    pub(super) fn nobody_is_seen_with_it(&mut self) -> Result<(), Trouble> {
        let sbdf = self.plan.sbdf; // mutant: in-use-not-re-read
        let owner = self.sources.owner(sbdf)?;
        if let Owner::Domain(id) = owner {
            return Err(Trouble::HandsOff(format!("Xen gave it to domain {id} meanwhile")));
        }
        let user = self.sources.uses_of(sbdf)?.into_iter().find(|use_| use_.alive);
        free_of(user.map(|user| (user.who(), user.node)))
    }

    /// Before a change on the way back: nobody may be taking it. qubesd is not asked again, for it may be
    /// what broke: what it announced and said last counts. What cannot be asked is no other actor: the
    /// rest of the way is still tried.
    pub(super) fn nobody_takes_it(&mut self) -> Result<(), Trouble> {
        let free = match self.nobody_is_seen_with_it() {
            Ok(()) => free_of(self.starting.taker_by_last_answer()),
            seen => seen,
        };
        free.map_err(|trouble| match trouble {
            Trouble::InUse { message, .. } => Trouble::HandsOff(message),
            other => other,
        })
    }

    /// Whether a qube is taking the function, whose driver is another than this run left:
    /// nothing is written beside that.
    pub(super) fn a_qube_takes_it(&mut self) -> bool {
        let Ok(driver) = self.sources.sysfs.driver(self.plan.sbdf) else { return false };
        let by_another = match &driver {
            // Whoever starts a qube takes dom0's driver off first.
            None => self.expected.is_driven(),
            Some(_) => !self.expected.drivers.contains(&driver),
        };
        by_another && matches!(self.nobody_takes_it(), Err(Trouble::HandsOff(_)))
    }

    /// Before dom0's driver is taken off: what cannot be read counts as used.
    pub(super) fn dom0_does_not_use_it(&self) -> Result<(), Trouble> {
        match self.sources.dom0_uses(self.function) {
            Ok(uses) if uses.is_empty() => Ok(()),
            Ok(uses) => Err(Trouble::Used(format!("dom0 uses it by now: {}", uses.join(", ")))),
            Err(failure) => {
                Err(Trouble::Used(format!("whether dom0 uses it cannot be told: {}", failure.message)))
            }
        }
    }

    /// No qube has a function whose DMA the IOMMU cannot tell from this one's.
    pub(super) fn no_qube_is_beside(&mut self) -> Result<(), Trouble> {
        for sbdf in self.beside.clone() {
            let owner = self.sources.owner(sbdf)?;
            let user = self.sources.uses_of(sbdf)?.into_iter().find(|use_| use_.alive);
            let who = match (user, owner) {
                (Some(user), _) => user.who(),
                (None, Owner::Dom0 | Owner::Quarantine) => continue,
                (None, owner) => owner.to_string(),
            };
            return Err(Trouble::InUse {
                message: format!("{who} has {sbdf}, and their DMA cannot be told apart"),
                hint: "shut that qube down, and run `list`".to_owned(),
            });
        }
        Ok(())
    }

    /// Dom0's driver is not bound any more: it gave up, unless a qube takes the
    /// function or somebody pinned it.
    pub(super) fn let_go(&mut self) -> Trouble {
        let asked = self.nobody_has_it();
        if let Err(Trouble::InUse { message, .. } | Trouble::HandsOff(message)) = asked {
            return Trouble::HandsOff(message);
        }
        // qubesd answers nobody while it starts a qube, but it announced that.
        if let Err(Trouble::HandsOff(message)) = self.nobody_takes_it() {
            return Trouble::HandsOff(message);
        }
        match self.sources.driver_override(self.plan.sbdf) {
            Ok(is) if !self.expected.overrides.contains(&is) => {
                Trouble::HandsOff(format!("another set driver_override to `{}`", shown(is.as_deref())))
            }
            Ok(_) => Trouble::failed("the driver let it go again", "see dmesg"),
            Err(failure) => failure.into(),
        }
    }

    /// The driver that was bound is there.
    pub(super) fn still_driven(&mut self) -> Result<(), Trouble> {
        match self.sources.sysfs.driver(self.plan.sbdf)? {
            None => Err(self.let_go()), // mutant: driver-not-looked-at
            Some(_) => self.still_ours(),
        }
    }

    /// Proves that nobody bound the function while it had to stay without driver.
    pub(super) fn still_driverless(&self) -> Result<(), Trouble> {
        match self.sources.sysfs.driver(self.plan.sbdf)? {
            None => self.still_there(),
            Some(driver) => Err(Trouble::HandsOff(format!("{driver} took it meanwhile"))),
        }
    }

    /// The device is there, and no driver is bound but one that this run found or
    /// left; none may be bound by now.
    pub(super) fn no_other_driver(&self) -> Result<(), Trouble> {
        self.still_there()?;
        match self.sources.sysfs.driver(self.plan.sbdf)? {
            Some(driver) if !self.expected.drivers.contains(&Some(driver.clone())) => {
                Err(Trouble::HandsOff(format!("{driver} took it meanwhile")))
            }
            _ => Ok(()),
        }
    }

    /// A device that was pulled has no driver either.
    pub(super) fn still_there(&self) -> Result<(), Trouble> {
        match self.sources.sysfs.is_there(self.plan.sbdf)? {
            true => Ok(()),
            false => Err(Trouble::failed("it is not there any more", "look at it")),
        }
    }

    /// Where a step does not need the function driverless: its driver is one that
    /// this run left there.
    pub(super) fn still_ours(&self) -> Result<(), Trouble> {
        let driver = self.sources.sysfs.driver(self.plan.sbdf)?;
        if self.expected.drivers.contains(&driver) {
            return self.still_there();
        }
        let who =
            driver.map_or_else(|| "its driver let it go".to_owned(), |driver| format!("{driver} took it"));
        Err(Trouble::HandsOff(format!("{who} meanwhile")))
    }

    /// Whether the device was pulled.
    pub(super) fn is_gone(&self) -> bool {
        self.sources.sysfs.is_there(self.plan.sbdf).is_ok_and(|there| !there)
    }
}

/// A qube that takes it, and how that is known.
fn free_of(taker: Option<(String, String)>) -> Result<(), Trouble> {
    match taker {
        Some((who, why)) => Err(Trouble::InUse {
            message: format!("{who} is about to take it ({why})"),
            hint: "shut that qube down, and run `list`".to_owned(),
        }),
        None => Ok(()),
    }
}

pub(super) fn shown(text: Option<&str>) -> String {
    escape(text.unwrap_or("(null)").as_bytes())
}
