//! The prompt. Its default is always the reboot.

use crate::assess::Hazard;
use crate::error::{Exit, Failure};
use dialoguer::Input;
use std::io::IsTerminal;

/// What came of asking.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Asked {
    /// The person typed the name.
    GoOn,
    /// Anything else: the reboot.
    Reboot,
    /// Nobody can be asked here.
    NoTerminal,
}

/// Asks for `word`, the name of the latest qube that had the device or its address.
///
/// # Errors
/// The terminal cannot be read.
pub fn ask(missing: &[&Hazard], word: &str, json: bool) -> Result<Asked, Failure> {
    if missing.is_empty() {
        return Ok(Asked::GoOn);
    }
    if json || !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        return Ok(Asked::NoTerminal);
    }
    let answer: String = Input::new()
        .with_prompt(format!("Press Enter to leave it and reboot, or type `{word}` to take the risk"))
        .allow_empty(true)
        .interact_text()
        .map_err(|error| {
            let message = format!("the terminal cannot be read: {error}");
            Failure::new(Exit::Consent, "no-terminal", message, "reboot, or accept the hazards with --accept")
        })?;
    Ok(if answer.trim() == word { Asked::GoOn } else { Asked::Reboot })
}
