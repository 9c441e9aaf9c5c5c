//! A unit of systemd: whether it runs, stopping it, starting it again. Where there is no systemd, none runs.

#![forbid(unsafe_code)]

use super::root::Sysroot;
use std::path::PathBuf;
use std::process::{Command, Stdio};

const SYSTEMCTL: &str = "/usr/bin/systemctl";
const RECORDER: &str = "qubes-dom0-pci-record.service";

/// A unit.
pub struct Unit {
    program: PathBuf,
    name: &'static str,
}

impl Unit {
    /// The recorder's.
    #[must_use]
    pub fn recorder(root: &Sysroot) -> Self {
        Self { program: root.path(SYSTEMCTL), name: RECORDER }
    }

    /// Stops it and waits for its end; whether it ran.
    #[must_use]
    pub fn stop(&self) -> bool {
        self.ask(&["is-active", "--quiet"]) && self.ask(&["stop"])
    }

    /// Starts it, and does not wait until it is ready.
    pub fn start(&self) {
        // Where that fails, systemd says so in its journal; the recorder's silence is a hazard by itself.
        let _ = self.ask(&["start", "--no-block"]);
    }

    fn ask(&self, words: &[&str]) -> bool {
        let asked = Command::new(&self.program)
            .args(words)
            .arg(self.name)
            .env_clear()
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        asked.is_ok_and(|status| status.success())
    }
}
