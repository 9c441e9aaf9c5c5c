//! Would a reboot give the function back to dom0? And if not, what has to be changed first?

use super::boot_script;
use super::hazards::{Hazard, HazardId};
use super::taken;
use crate::observe::{Claims, Dom0, Function};

/// Why a reboot would not return a function.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Obstacle {
    /// What keeps it from dom0.
    pub what: String,
    /// What to run, line by line, so that the next boot does not.
    pub commands: Vec<String>,
}

impl Obstacle {
    pub(super) fn new(what: impl Into<String>, commands: &[&str]) -> Self {
        Self { what: what.into(), commands: commands.iter().map(|&command| command.to_owned()).collect() }
    }
}

/// What a reboot would do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reboot {
    /// Why it would not return the function; empty where it would.
    pub obstacles: Vec<Obstacle>,
    /// A warm reboot does not clear the device: power off and start.
    pub power_off: bool,
}

impl Reboot {
    /// One sentence.
    #[must_use]
    pub fn words(&self) -> String {
        let verb = if self.power_off { "powering off and starting" } else { "a reboot" };
        if self.obstacles.is_empty() {
            format!("{verb} returns it")
        } else {
            format!("{verb} does not return it, until this changes: {}", self.why())
        }
    }

    fn why(&self) -> String {
        let whats: Vec<&str> = self.obstacles.iter().map(|obstacle| obstacle.what.as_str()).collect();
        whats.join("; ")
    }

    /// What to run before the reboot, each command once.
    #[must_use]
    pub fn commands(&self) -> Vec<&str> {
        let mut commands: Vec<&str> = Vec::new();
        for command in self.obstacles.iter().flat_map(|obstacle| &obstacle.commands) {
            // The last of equal ones: a boot configuration is written when all is changed.
            commands.retain(|other| other != command);
            commands.push(command);
        }
        commands
    }

    /// The note that says so.
    #[must_use]
    pub fn note(&self) -> Option<Hazard> {
        let sentence = "a reboot would not give it back to dom0";
        (!self.obstacles.is_empty())
            .then(|| Hazard::new(HazardId::RebootWouldNotReturn, sentence, self.why()))
    }
}

/// Derives it from the command line, the boot scripts' rules, modprobe's and driverctl's files, the qubes that start by
/// themselves, and the hazards that outlast a warm reboot.
#[must_use]
pub fn advice(dom0: &Dom0, function: &Function, claims: &Claims, hazards: &[Hazard]) -> Reboot {
    let mut obstacles = boot_script::hides(dom0, function);
    obstacles.extend(taken::by_pciback(dom0, function));
    obstacles.extend(taken::by_driverctl(dom0, function));
    obstacles.extend(taken::by_nobody(claims));
    obstacles.extend(taken::by_qubes(dom0, function));
    for unread in &dom0.boot.unread {
        obstacles.push(Obstacle::new(format!("it cannot be told for sure: {unread}"), &[]));
    }
    use HazardId::{NoReset, NoStrictReset, Permissive, ResetDoubtful};
    let lasting = [Permissive, NoStrictReset, NoReset, ResetDoubtful];
    let power_off = hazards.iter().any(|hazard| lasting.contains(&hazard.id));
    Reboot { obstacles, power_off }
}
