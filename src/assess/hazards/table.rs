//! Every hazard: its id, how bad it is, what it means and what to do. One table for the program and its
//! manual.

/// How bad a hazard is.
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
    pub const fn word(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Warn => "warn",
            Self::Note => "note",
        }
    }
}

/// What to do about a warning that the policy made a stop.
const POLICY: &str = "the policy file of this machine decides (/etc/qubes/dom0-pci.conf)";
/// What to do about a note.
const NOTHING: &str = "nothing";

macro_rules! hazards {
    ($($name:ident $word:literal $severity:ident $meaning:literal $way_out:expr;)*) => {
        /// Which hazard it is; scripts go by its word.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
        pub enum HazardId {
            $(#[doc = $meaning] $name,)*
        }

        impl HazardId {
            /// Every hazard, the worst first.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The word in `--accept`, in JSON and in the journal; the same in every version.
            #[must_use]
            pub const fn word(self) -> &'static str {
                match self { $(Self::$name => $word,)* }
            }

            /// How bad it is, unless the policy makes it a stop.
            #[must_use]
            pub const fn severity(self) -> Severity {
                match self { $(Self::$name => Severity::$severity,)* }
            }

            /// The manual's text.
            #[cfg(test)]
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$name => $meaning,)* }
            }

            /// What the admin can do where it stops a command.
            #[must_use]
            pub const fn way_out(self) -> &'static str {
                match self { $(Self::$name => $way_out,)* }
            }
        }
    };
}

// The worst first: screens list hazards in this order.
hazards! {
    InUse "in-use" Stop
        "A qube has it, or that cannot be ruled out."
        "shut the qube down first";
    OwnerUnknown "owner-unknown" Stop
        "Xen's owner could not be established."
        "see whether Xen answers (`xl info`), and try again";
    SharedDma "shared-dma" Stop
        "Its DMA cannot be told from that of a function that is not dom0's: conventional PCI behind a \
         bridge, phantom functions, devices whose DMA is known to carry another's id; or it is a virtual \
         function whose physical function is not dom0's."
        "leave it: functions whose DMA cannot be told apart go together, by a reboot";
    Bridge "bridge" Stop
        "It is a bridge: other functions are behind it."
        "leave it: it is never moved by itself";
    SleepPort "sleep-port" Stop
        "The kernel holds it so that the machine can sleep."
        "leave it: it is never moved by itself";
    SriovPfWithVfs "sriov-pf-with-vfs" Stop
        "Its virtual functions are switched on and would go with it."
        "remove its virtual functions first (sriov_numvfs)";
    CompanionApart "companion-apart" Stop
        "It is a USB controller, and its companion of the same slot (EHCI beside UHCI or OHCI) is with \
         pciback: the kernel crashes when one of them gets its driver."
        "let them come back together by a reboot (`next-boot --return`)";
    Dead "dead" Stop
        "Its configuration space reads all ones, or other ids than the kernel found."
        "switch the machine off and on: this tool can neither wake a device that a suspend left dead, nor \
         remove it and scan for it again";
    NoDriver "no-driver" Stop
        "No module of this kernel drives it; or none that does can be loaded, by an `install` line of \
         `modprobe.d`(5) or the kernel's `module_blacklist=`; or what is loaded registers no PCI driver."
        "name a driver that takes it (`reattach --driver`)";
    LoadTakesOthers "load-takes-others" Stop
        "Loading its module, and what `modprobe`(8) loads with it, would bind other functions that have no \
         driver."
        "give the other one to pciback first (`hold`)";
    Dom0NeedsIt "dom0-needs-it" Stop
        "(`hold` and `rollback`) It carries a disk that is mounted, swap, held, given to a qube or \
         otherwise in use (the kernel refuses to open it for one alone), the boot display, the only \
         keyboard, or an interface that is up."
        "stop using it in dom0 (umount, swapoff, take the interface down), or leave it";
    Policy "policy" Stop
        "The policy file forbids it, or cannot be followed: see `qubes-dom0-pci-policy`(5)."
        POLICY;
    Exposed "exposed" Warn
        "A qube had it in this boot."
        POLICY;
    ExposedBefore "exposed-before" Warn
        "A qube had it in an earlier boot: neither a reboot nor a reset clears its firmware."
        POLICY;
    UnknownHistory "unknown-history" Warn
        "Which qubes had it is not known for sure."
        POLICY;
    JournalBroken "journal-broken" Warn
        "The journal has a gap that was accepted by `audit repair`."
        POLICY;
    IdentityChanged "identity-changed" Warn
        "It is not what it was when it was last recorded. An expansion ROM is read only by `settle`, \
         because reading it writes to the device: one that changed fails that step, unless \
         `identity-changed` is accepted, and the device goes back to where it was."
        POLICY;
    NoReset "no-reset" Warn
        "It cannot be reset."
        POLICY;
    BusResetOnly "bus-reset-only" Warn
        "It can be reset only together with its bus."
        POLICY;
    ResetDoubtful "reset-doubtful" Warn
        "Its reset may not clear it."
        POLICY;
    Permissive "permissive" Warn
        "A qube could write all of its configuration space."
        POLICY;
    NoStrictReset "no-strict-reset" Warn
        "A qube was given it without a reset."
        POLICY;
    SiblingsElsewhere "siblings-elsewhere" Warn
        "Other functions of its slot or bus, or that can reach it because a port above them does not keep \
         them apart (ACS), are with a qube; or others of its device (of its slot, of the same virtualised \
         device, below the same port), or that can reach it, were, and `exposed` does not name that qube \
         yet, or who had them is less known than who had this one."
        POLICY;
    NoIommu "no-iommu" Warn
        "Its DMA was never contained."
        POLICY;
    KeyboardLocked "keyboard-locked" Warn
        "(`next-boot`) After the next boot no keyboard might work at the passphrase prompt."
        POLICY;
    Usb "usb" Warn
        "What is plugged into it can act as a keyboard in dom0."
        POLICY;
    Network "network" Warn
        "It gives dom0 a network, which dom0 lacks on purpose."
        POLICY;
    Storage "storage" Warn
        "It may bring disks that were written by others: every disk, controller of disks and card reader, \
         Fibre Channel, FireWire, and what has a class that does not say what it is (base class 00 but for \
         0001, ff, or 0880; many card readers are among them)."
        POLICY;
    Display "display" Warn
        "It sees and draws what dom0 shows."
        POLICY;
    Firmware "firmware" Warn
        "It leads to firmware that runs before dom0 or outside it."
        POLICY;
    StillAssigned "still-assigned" Warn
        "A qube will take it again at its next start."
        POLICY;
    DriverAmbiguous "driver-ambiguous" Warn
        "Several modules claim it."
        POLICY;
    DriverDiffers "driver-differs" Warn
        "It had another driver before."
        POLICY;
    DriverBlacklisted "driver-blacklisted" Warn
        "Its module is blacklisted."
        POLICY;
    RebootWouldNotReturn "reboot-would-not-return" Note
        "A reboot alone does not return it, and why."
        NOTHING;
    NeverExposed "never-exposed" Note
        "The journal proves that no qube had it since it was taken from dom0."
        NOTHING;
}

impl HazardId {
    /// The hazard of this word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|id| id.word() == word)
    }

    /// Words with commas between, as screens have them.
    #[must_use]
    pub fn list(ids: &[Self]) -> String {
        ids.iter().map(|id| id.word()).collect::<Vec<_>>().join(", ")
    }
}

impl std::fmt::Display for HazardId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.word())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_word_is_its_own_and_the_worst_stand_first() {
        let words: std::collections::BTreeSet<_> = HazardId::ALL.iter().map(|id| id.word()).collect();
        assert_eq!(words.len(), HazardId::ALL.len());
        assert!(HazardId::ALL.windows(2).all(|pair| match pair {
            [one, other] => one.severity() <= other.severity(),
            _ => false,
        }));
        assert!(HazardId::ALL.iter().all(|id| HazardId::parse(id.word()) == Some(*id)));
    }

    #[test]
    fn each_says_what_it_means() {
        assert!(HazardId::ALL.iter().all(|id| id.meaning().ends_with('.') && !id.way_out().is_empty()));
    }
}
