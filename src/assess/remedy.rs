//! The command that frees a device which a qube has.

use super::{Case, Kind};
use crate::names::QubeName;
use crate::observe::qubes::Qube;

impl Case {
    /// The command that shuts down the qubes that have a device; `None` where no name of theirs is one that a
    /// shell may see.
    #[must_use]
    pub fn shut_down(&self) -> Option<String> {
        let Some(known) = self.dom0.qubes_said() else {
            let Kind::InUse(who) = &self.state.kind else { return None };
            return QubeName::parse(who).map(|name| format!("sudo xl shutdown -w {name}"));
        };
        let mut names: Vec<QubeName> = Vec::new();
        if let Kind::InUse(who) = &self.state.kind {
            let qube = known.qubes.iter().find(|qube| qube.name.to_string() == *who);
            names.extend(qube.and_then(Qube::known_name));
        }
        for (qube, _) in known.assigned(&self.subject.function) {
            if let Some(name) = qube.known_name().filter(|name| qube.state.is_live() && !names.contains(name))
            {
                names.push(name);
            }
        }
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        (!names.is_empty()).then(|| format!("qvm-shutdown --wait {}", names.join(" ")))
    }
}
