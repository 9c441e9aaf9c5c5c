//! A function led through observe and assess.

use super::history::{past_of, unseen};
use super::Context;
use crate::assess::{
    advice, of_return, seen, siblings, state_of, Hazard, HazardId, Kind, Past, Reboot, Severity, State,
    Verdict,
};
use crate::error::{Code, Exit, Failure};
use crate::names::{DriverName, Sbdf};
use crate::observe::qubes::QubesSource;
use crate::observe::{Claims, Dom0, Function, Qubes, Sources};
use crate::report::text::wrapped;
use crate::report::{not_root, unsettled_block, Described};
use crate::run::Unsettled;
use crate::system::pci_ids::PciIds;
use crate::system::sysfs::PciSysfs;
use std::collections::BTreeSet;
use std::rc::Rc;

/// The facts and what follows from them for one function.
pub struct Assessed {
    /// All facts.
    pub dom0: Rc<Dom0>,
    /// The function.
    pub function: Function,
    /// What claims it.
    pub claims: Claims,
    /// Its state.
    pub state: State,
    /// What the journal tells of it.
    pub past: Rc<Past>,
    /// Hazards of its return.
    pub hazards: Vec<Hazard>,
    /// What a reboot would do.
    pub reboot: Reboot,
    /// The verdict.
    pub verdict: Verdict,
}

impl Assessed {
    /// Observes and assesses one function.
    ///
    /// # Errors
    /// It is not there, or something cannot be read.
    pub fn of(
        context: &Context,
        sources: &mut Sources,
        sbdf: Sbdf,
        driver: Option<&DriverName>,
    ) -> Result<Self, Failure> {
        let dom0 = Rc::new(sources.observe()?);
        let past = Rc::new(past_of(context, sources, &dom0, &[sbdf]));
        let one = Self::from(sources, dom0, past, sbdf, driver)?;
        match &one.claims.unreadable {
            Some(failure) => Err(failure.clone()),
            None => Ok(one),
        }
    }

    /// The same from facts that were just observed.
    ///
    /// # Errors
    /// It is not there, or something cannot be read.
    pub fn from(
        sources: &mut Sources,
        dom0: Rc<Dom0>,
        past: Rc<Past>,
        sbdf: Sbdf,
        driver: Option<&DriverName>,
    ) -> Result<Self, Failure> {
        let mut function = dom0.functions.get(&sbdf).cloned().ok_or_else(|| gone(sbdf))?;
        function.serial = sources.serial(sbdf);
        let state = state_of(&dom0, &function);
        let claims = if state.is_fine() {
            Claims::default()
        } else {
            // What cannot be asked refuses the return; the rest can still be shown.
            let unreadable = |failure: Failure| Claims { unreadable: Some(failure), ..Claims::default() };
            sources.claims(&dom0, &function).unwrap_or_else(unreadable)
        };
        let mut hazards = of_return(&dom0, &function, &state, &claims, &past, driver);
        let reboot = advice(&dom0, &function, &claims, &hazards);
        if !state.is_fine() {
            hazards.extend(reboot.note());
        }
        let verdict = Verdict::from(&state, &hazards, dom0.by_root);
        if !dom0.by_root {
            hazards = seen(hazards);
            hazards.retain(|hazard| verdict != Verdict::Unknown || hazard.severity != Severity::Stop);
        }
        Ok(Self { dom0, function, claims, state, past, hazards, reboot, verdict })
    }

    /// Puts an operation on it that is not settled before everything else.
    #[must_use]
    pub fn beside(mut self, unsettled: &Unsettled) -> Self {
        if unsettled.is_of(self.function.sbdf) {
            self.verdict = match unsettled {
                Unsettled::Running { .. } => Verdict::Running,
                _ => Verdict::Pending,
            };
        }
        self
    }

    /// What stands above the answer to `command`.
    #[must_use]
    pub fn heading(dom0: &Dom0, unseen: &[String], unsettled: &Unsettled, command: &str) -> String {
        let hidden = !dom0.by_root && !unseen.is_empty();
        let first = if hidden { not_root(command) } else { String::new() };
        let own = matches!(unsettled, Unsettled::Unknown(_)) && hidden;
        first + &if own { String::new() } else { unsettled_block(unsettled) }
    }

    /// The hash of its ROM that was recorded last.
    #[must_use]
    pub fn known_rom(&self) -> Option<&str> {
        self.past.of.get(&self.function.sbdf)?.rom_sha256.as_deref()
    }

    /// What the admin can do where this hazard stops a return. Where it is only not known who has it, that comes first.
    #[must_use]
    pub fn way_out(&self, stop: HazardId) -> &'static str {
        let seen = self.dom0.uses.is_ok() && self.dom0.qubes_known.is_ok();
        if stop != HazardId::InUse || seen || matches!(self.state.kind, Kind::InUse(_)) {
            return stop.way_out();
        }
        if self.dom0.uses.is_err() {
            return "see whether xenstored answers (on Qubes: systemctl status xenstored)";
        }
        "see whether qubesd answers (systemctl status qubesd)"
    }

    /// Names of the functions of its slot and behind its bridge.
    #[must_use]
    pub fn siblings(&self) -> Vec<String> {
        siblings(&self.dom0, &self.function).iter().map(|other| other.sbdf.to_string()).collect()
    }

    /// Calls `show` with everything a report needs.
    pub fn described<T>(&self, description: &str, show: impl FnOnce(&Described<'_>) -> T) -> T {
        let siblings = self.siblings();
        show(&Described {
            dom0: &self.dom0,
            function: &self.function,
            description,
            state: &self.state,
            hazards: &self.hazards,
            verdict: &self.verdict,
            siblings: &siblings,
            past: &self.past,
        })
    }

    /// What could not be seen, in words.
    #[must_use]
    pub fn unseen(dom0: &Dom0, past: &Past) -> Vec<String> {
        let mut unseen = Vec::new();
        if let Err(why) = &dom0.owners {
            unseen.push(format!("Xen's owners: {why}"));
        }
        if let Err(why) = &dom0.uses {
            unseen.push(format!("which qubes have devices: {why}"));
        }
        match &dom0.qubes_known {
            Err(why) => unseen.push(format!("what Qubes assigned: {why}")),
            Ok(Some(Qubes { source: QubesSource::Xml { why, .. }, .. })) => {
                unseen.push(format!("which qubes run, by Qubes: {why}"));
            }
            Ok(_) => {}
        }
        unseen.extend(self::unseen(past));
        unseen
    }

    /// One line where there is no Qubes: fewer are asked there.
    #[must_use]
    pub fn of_no_qubes(dom0: &Dom0) -> String {
        match dom0.qubes_known {
            Ok(None) => {
                wrapped("no Qubes: ", "Xen, xenstore and the journal alone tell who has or had a device")
            }
            Ok(Some(_)) | Err(_) => String::new(),
        }
    }

    /// Who was asked what Qubes knows, for a script; null where there is no Qubes.
    #[must_use]
    pub fn qubes(dom0: &Dom0) -> Option<&'static str> {
        match &dom0.qubes_known {
            Ok(None) => None,
            Ok(Some(Qubes { source: QubesSource::Xml { .. }, .. })) => Some("qubes.xml"),
            Ok(Some(_)) => Some("qubesd"),
            Err(_) => Some("unknown"),
        }
    }

    /// The same for every function that `wanted` picks.
    ///
    /// # Errors
    /// Something cannot be read.
    pub fn all(
        context: &Context,
        sources: &mut Sources,
        wanted: impl Fn(&Dom0, Sbdf, &State) -> bool,
    ) -> Result<All, Failure> {
        let dom0 = Rc::new(sources.observe()?);
        let wanted = dom0.functions.values().filter(|one| wanted(&dom0, one.sbdf, &state_of(&dom0, one)));
        let wanted: Vec<Sbdf> = wanted.map(|function| function.sbdf).collect();
        let past = Rc::new(past_of(context, sources, &dom0, &wanted));
        let mut all = Vec::new();
        for sbdf in wanted {
            all.push(Self::from(sources, Rc::clone(&dom0), Rc::clone(&past), sbdf, None)?);
        }
        Ok(All { dom0, past, assessed: all })
    }
}

/// Several functions of one observation.
pub struct All {
    /// All facts.
    pub dom0: Rc<Dom0>,
    /// What the journal tells of them.
    pub past: Rc<Past>,
    /// Each function.
    pub assessed: Vec<Assessed>,
}

/// A function that is not there any more, or that Xen does not list.
pub fn gone(sbdf: Sbdf) -> Failure {
    Failure::new(Exit::Usage, Code::NoSuchDevice, format!("{sbdf} is gone"), "run `list --all`")
}

/// Names from pci.ids for these functions.
#[must_use]
pub fn names_of<'a>(context: &Context, functions: impl Iterator<Item = &'a Function>) -> PciIds {
    let wanted: BTreeSet<(u16, u16)> = functions.map(|function| (function.vendor, function.device)).collect();
    PciIds::read(&context.root, &wanted)
}

/// A driver the admin named.
///
/// # Errors
/// Exit 2: it is no name, or no such driver is registered, or it is one that only
/// holds devices.
pub fn named_driver(context: &Context, name: Option<&str>) -> Result<Option<DriverName>, Failure> {
    let Some(name) = name else { return Ok(None) };
    let shown = crate::names::escape(name.as_bytes());
    let driver = DriverName::parse(name)
        .ok_or_else(|| Failure::usage(format!("`{shown}` is no driver's name"), "ls /sys/bus/pci/drivers"))?;
    if driver.is_holder() {
        return Err(Failure::usage(format!("{driver} only holds devices for others"), "use `hold`"));
    }
    if !PciSysfs::new(&context.root).driver_folder(&driver).exists() {
        return Err(Failure::usage(
            format!("no PCI driver {driver} is registered"),
            "load its module first (modprobe), and see /sys/bus/pci/drivers",
        ));
    }
    Ok(Some(driver))
}
