//! Would a reboot give the function back to dom0? And if not, what has to be changed first?

use super::hazards::{Hazard, HazardId};
use super::next_boot::{fate_of, machine, setting, Because, Fate, Next, Rule};
use crate::names::{escape, Sbdf};
use crate::observe::next_boot::Facts;
use crate::observe::Function;

/// What a reboot would do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reboot {
    /// Why it would not return the function, or may not; empty where it would.
    pub obstacles: Vec<String>,
    /// Whether that is not known.
    pub unknown: bool,
    /// A warm reboot does not clear the device: power off and start.
    pub power_off: bool,
    /// What to run before the reboot, so that it returns the function and those beside it; filled in by
    /// the plan.
    pub commands: Vec<String>,
}

impl Reboot {
    /// One sentence.
    #[must_use]
    pub fn words(&self) -> String {
        let verb = if self.power_off { "powering off and starting" } else { "a reboot" };
        let why = self.obstacles.join("; ");
        if self.obstacles.is_empty() {
            format!("{verb} returns it")
        } else if self.unknown {
            format!("whether {verb} returns it cannot be told: {why}")
        } else {
            format!("{verb} does not return it, until this changes: {why}")
        }
    }

    /// The note that says so.
    #[must_use]
    pub fn note(&self) -> Option<Hazard> {
        (!self.obstacles.is_empty()).then(|| {
            Hazard::new(
                HazardId::RebootWouldNotReturn,
                "a reboot would not give it back to dom0",
                self.obstacles.join("; "),
            )
        })
    }
}

/// What the next boot does with a function, and whether a warm one clears it.
#[must_use]
pub fn advice(facts: &Facts, function: &Function, hazards: &[Hazard]) -> Reboot {
    let lasting = [HazardId::Permissive, HazardId::NoStrictReset, HazardId::NoReset, HazardId::ResetDoubtful];
    let power_off = hazards.iter().any(|hazard| lasting.contains(&hazard.id));
    let fate = fate_of(&machine(facts), &setting(facts), function.sbdf);
    let Some(fate) = fate else {
        let obstacles = vec!["it was not there when the boot was looked at".to_owned()];
        return Reboot { obstacles, unknown: true, power_off, commands: Vec::new() };
    };
    let unknown = fate.returns().is_none();
    Reboot { obstacles: obstacles(facts, function.sbdf, &fate), unknown, power_off, commands: Vec::new() }
}

fn obstacles(facts: &Facts, sbdf: Sbdf, fate: &Fate) -> Vec<String> {
    let mut obstacles = Vec::new();
    if !matches!(fate.next, Next::Driver(_)) {
        obstacles.extend(fate.because.iter().map(|because| sentence(facts, sbdf, because)));
    }
    match &fate.takers {
        Ok(takers) => {
            obstacles.extend(
                takers.iter().map(|taker| format!("{} is assigned it and {}", taker.qube, taker.why)),
            );
        }
        Err(_) => {
            obstacles.push("it cannot be told whether a qube that starts by itself takes it".to_owned())
        }
    }
    obstacles
}

fn sentence(facts: &Facts, sbdf: Sbdf, because: &Because) -> String {
    let what = match &because.rule {
        Rule::Network => "Qubes hides every network device from dom0 at boot".to_owned(),
        Rule::Word("rd.qubes.hide_all_usb") => "rd.qubes.hide_all_usb hides every USB controller".to_owned(),
        Rule::Word(name) => format!("{name} names it"),
        Rule::Options(name) => format!("`options {name}` names it"),
        Rule::Blacklist(module) => format!("the module {module} is blacklisted"),
        Rule::Install(module) => format!("the module {module} is not loaded"),
        Rule::Driverctl => {
            let driver = facts.overrides.get(&sbdf).map(|found| found.driver.as_str()).unwrap_or_default();
            format!("driverctl binds it to {}", escape(driver.as_bytes()))
        }
        Rule::VirtualFunction => {
            "it is a virtual function, and not there until somebody writes sriov_numvfs".to_owned()
        }
        Rule::BehindVmd => "it stands behind a VMD controller that dom0 does not get".to_owned(),
        Rule::NoModule => "no module of this kernel claims it".to_owned(),
        Rule::Stops(why) => format!("the boot would stop: {why}"),
        Rule::NotKnown(why) => why.clone(),
    };
    let place = because.place.as_ref().map(|place| format!(" ({place})")).unwrap_or_default();
    format!("{what}{place}")
}
