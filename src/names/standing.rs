//! What an operation changes of a function and has to put back.

use super::{escape, DriverName, Owner};
use std::fmt;

/// Driver, override, slot and owner: all an operation changes of a function.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Standing {
    /// The driver bound to it.
    pub driver: Option<DriverName>,
    /// The driver it is pinned to.
    pub driver_override: Option<String>,
    /// Whether pciback lists it in `slots`.
    pub slot: bool,
    /// Xen's owner.
    pub owner: Owner,
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let driver = self.driver.as_ref().map_or("none", DriverName::as_str);
        let pinned =
            self.driver_override.as_deref().map_or("none set".to_owned(), |it| escape(it.as_bytes()));
        let slot = if self.slot { "listed" } else { "not listed" };
        write!(f, "driver {driver}, driver_override {pinned}, slot {slot}, Xen's owner {}", self.owner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_override_that_a_terminal_would_act_on_is_shown_escaped() {
        let driver_override = Some("e1000e\x1b[31m\n".to_owned());
        let state = Standing { driver: None, driver_override, slot: false, owner: Owner::Dom0 };
        assert!(state.to_string().contains("driver_override e1000e\\x1b[31m\\x0a, slot"), "{state}");
    }
}
