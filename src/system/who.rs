//! Who runs the program, for the journal.

#![forbid(unsafe_code)]

use super::root::{read_text, Sysroot};
use crate::names::escape;

/// The kernel's number for "nobody logged in" (`AUDIT_UID_UNSET`).
const NOBODY: &str = "4294967295";

/// The person behind an operation, as far as the kernel and sudo tell.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Who {
    /// The user id of the login, which sudo and su do not change; empty where there was no login.
    pub loginuid: String,
    /// The user sudo was called by, as sudo says it; a root shell can say anything.
    pub sudo_user: String,
    /// The terminal; empty where stdin is none.
    pub tty: String,
}

impl Who {
    /// Of this process.
    #[must_use]
    pub fn runs(root: &Sysroot) -> Self {
        let loginuid = read_text(&root.path("/proc/self/loginuid")).unwrap_or_default();
        let loginuid = if loginuid == NOBODY { String::new() } else { escape(loginuid.as_bytes()) };
        let sudo_user = std::env::var_os("SUDO_USER").unwrap_or_default();
        let tty = nix::unistd::ttyname(std::io::stdin()).unwrap_or_default();
        let shown = |text: &std::ffi::OsStr| escape(text.as_encoded_bytes()).chars().take(64).collect();
        Self { loginuid, sudo_user: shown(&sudo_user), tty: shown(tty.as_os_str()) }
    }
}
