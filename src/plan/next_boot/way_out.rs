//! What to do at the boot menu where the machine does not come up after an edit.

use super::draft::{Draft, Drafts};
use crate::observe::next_boot::{CommandLine, Word};

/// One sentence.
#[must_use]
pub fn words(line: &CommandLine, drafts: &Drafts) -> String {
    let old = |number: usize| line.words.get(number).map(Word::shown).unwrap_or_default();
    let mut fresh = Vec::new();
    let mut acts = Vec::new();
    for draft in &drafts.0 {
        match draft.was {
            None => fresh.push(shown(draft)),
            Some(number) if line.words.get(number).is_some_and(|word| word.value != draft.value) => {
                acts.push(format!("change {} back to {}", shown(draft), old(number)));
            }
            Some(_) => {}
        }
    }
    if !fresh.is_empty() {
        acts.insert(0, format!("delete {}", fresh.join(" and ")));
    }
    let kept = |number: &usize| drafts.0.iter().any(|draft| draft.was == Some(*number));
    let gone: Vec<String> = (0..line.words.len()).filter(|number| !kept(number)).map(old).collect();
    if !gone.is_empty() {
        acts.push(format!("add {} to the line of Linux (module2)", gone.join(" and ")));
    }
    if acts.is_empty() {
        acts.push("add qubes.skip_autostart to the line of Linux (module2)".to_owned());
    }
    format!("If the machine does not come up: press e at the boot menu, {}, press F10.", acts.join(", "))
}

fn shown(draft: &Draft) -> String {
    let text = match &draft.value {
        Some(value) => format!("{}={value}", draft.name),
        None => draft.name.clone(),
    };
    crate::names::escape(text.as_bytes())
}
