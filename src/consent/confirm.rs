//! A question with nothing to accept: whether what is shown is what is meant.

use super::Asked;
use crate::error::{Exit, Failure};
use dialoguer::Input;
use std::io::IsTerminal;

/// Asks for `word`, to do `what`; anything else leaves everything as it is.
///
/// # Errors
/// The terminal cannot be read.
pub fn confirm(what: &str, word: &str, json: bool) -> Result<Asked, Failure> {
    if json || !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        return Ok(Asked::NoTerminal);
    }
    let answer: String = Input::new()
        .with_prompt(format!("Press Enter to leave it, or type `{word}` to {what}"))
        .allow_empty(true)
        .interact_text()
        .map_err(|error| {
            let message = format!("the terminal cannot be read: {error}");
            Failure::new(Exit::Consent, "no-terminal", message, "name the plan with --plan")
        })?;
    Ok(if answer.trim() == word { Asked::GoOn } else { Asked::Reboot })
}
