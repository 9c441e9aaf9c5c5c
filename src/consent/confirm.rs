//! A question with nothing to accept: whether what is shown is what is meant.

use super::prompt::question_of;
use super::Asked;

/// Asks for `word`, to do `what`; anything else leaves everything as it is.
#[must_use]
pub fn confirm(what: &str, word: &str, script: bool) -> Asked {
    question_of(&format!("Press Enter to leave it, or type `{word}` to {what}: "), word, script)
}
