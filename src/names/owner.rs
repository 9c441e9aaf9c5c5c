//! Who owns a function in Xen.

use std::fmt;

/// Who owns a function in Xen's eyes: who its DMA and interrupts go to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Owner {
    /// dom0.
    Dom0,
    /// DomIO: quarantined, its DMA goes nowhere.
    Quarantine,
    /// Xen itself keeps it.
    Xen,
    /// Another domain.
    Domain(u16),
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dom0 => f.write_str("dom0"),
            Self::Quarantine => f.write_str("DomIO"),
            Self::Xen => f.write_str("Xen"),
            Self::Domain(id) => write!(f, "d{id}"),
        }
    }
}

impl Owner {
    /// Reads it as it is displayed.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "dom0" => Self::Dom0,
            "DomIO" => Self::Quarantine,
            "Xen" => Self::Xen,
            _ => Self::Domain(text.strip_prefix('d')?.parse().ok()?),
        })
    }

    /// Quarantine, where either is that; else the other.
    #[must_use]
    pub fn max_contained(self, other: Self) -> Self {
        if self == Self::Quarantine {
            self
        } else {
            other
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_is_read_as_it_is_shown() {
        for owner in [Owner::Dom0, Owner::Quarantine, Owner::Xen, Owner::Domain(7)] {
            assert_eq!(Owner::parse(&owner.to_string()), Some(owner));
        }
        for text in ["", "d", "d-1", "d65536", "DomIo"] {
            assert_eq!(Owner::parse(text), None, "{text}");
        }
    }
}
