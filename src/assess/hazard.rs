//! What a hazard is, and the ids that can be named.

/// How bad it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Severity {
    /// Nobody can accept it.
    Stop,
    /// A person can accept it by its id.
    Warn,
    /// Worth knowing; asks nothing.
    Note,
}

impl Severity {
    /// The word used in output.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Warn => "warn",
            Self::Note => "note",
        }
    }
}

/// One hazard of one function.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hazard {
    /// A stable id.
    pub id: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// The qube it concerns, where it is accepted per qube.
    pub qube: Option<String>,
    /// Labels that qube has or had when it used the device; none where they are not known.
    pub labels: Vec<String>,
    /// One sentence for people.
    pub sentence: String,
    /// What it rests on.
    pub evidence: String,
    /// Whether it rests on nothing but what could not be read.
    pub unseen: bool,
}

impl Hazard {
    /// Marks it as one that rests on nothing but what could not be read.
    #[must_use]
    pub fn resting_on_the_unseen(mut self, unseen: bool) -> Self {
        self.unseen = unseen;
        self
    }

    /// Where it stands among others, the worst first.
    #[must_use]
    pub fn rank(&self) -> (Severity, usize) {
        let place = KNOWN_HAZARDS.iter().position(|(id, _)| *id == self.id);
        (self.severity, place.unwrap_or(KNOWN_HAZARDS.len()))
    }

    /// What `--accept` takes for it.
    #[must_use]
    pub fn acceptance(&self) -> String {
        match &self.qube {
            Some(qube) => format!("{}:{qube}", self.id),
            None => self.id.to_owned(),
        }
    }
}

/// What the admin can do where this hazard stops a command; the same for all commands.
#[must_use]
pub fn way_out(id: &str) -> &'static str {
    match id {
        "in-use" => "shut the qube down first",
        "owner-unknown" => "see whether Xen answers (`xl info`), and try again",
        "shared-dma" => "leave it: what is behind one bridge goes together, by a reboot",
        "bridge" | "sleep-port" => "leave it: it is never moved by itself",
        "sriov-pf-with-vfs" => "remove its virtual functions first (sriov_numvfs)",
        "dead" => "switch the machine off and on",
        "no-driver" => "name a driver that takes it (`reattach --driver`)",
        "load-takes-others" => "give the other one to pciback first (`hold`)",
        "dom0-needs-it" => "stop using it in dom0 (umount, swapoff, take the interface down), or leave it",
        // Also a warning that the policy made a stop.
        _ => "the policy file of this machine decides (/etc/qubes/dom0-pci.conf)",
    }
}

/// Every id, with its severity, the worst first: arguments are checked against it before anything is read.
pub const KNOWN_HAZARDS: &[(&str, Severity)] = &[
    ("in-use", Severity::Stop),
    ("owner-unknown", Severity::Stop),
    ("shared-dma", Severity::Stop),
    ("bridge", Severity::Stop),
    ("sleep-port", Severity::Stop),
    ("sriov-pf-with-vfs", Severity::Stop),
    ("dead", Severity::Stop),
    ("no-driver", Severity::Stop),
    ("load-takes-others", Severity::Stop),
    ("dom0-needs-it", Severity::Stop),
    ("policy", Severity::Stop),
    ("exposed", Severity::Warn),
    ("exposed-before", Severity::Warn),
    ("unknown-history", Severity::Warn),
    ("journal-broken", Severity::Warn),
    ("identity-changed", Severity::Warn),
    ("no-reset", Severity::Warn),
    ("bus-reset-only", Severity::Warn),
    ("reset-doubtful", Severity::Warn),
    ("permissive", Severity::Warn),
    ("no-strict-reset", Severity::Warn),
    ("siblings-elsewhere", Severity::Warn),
    ("no-iommu", Severity::Warn),
    ("usb", Severity::Warn),
    ("network", Severity::Warn),
    ("storage", Severity::Warn),
    ("display", Severity::Warn),
    ("firmware", Severity::Warn),
    ("still-assigned", Severity::Warn),
    ("driver-ambiguous", Severity::Warn),
    ("driver-differs", Severity::Warn),
    ("driver-blacklisted", Severity::Warn),
    ("reboot-would-not-return", Severity::Note),
    ("never-exposed", Severity::Note),
];
