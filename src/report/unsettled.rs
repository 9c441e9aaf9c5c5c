//! What stands above an answer: an operation that is not settled, and a view that is not whole.

use super::json::with;
use super::text::{width, wrapped};
use crate::run::{Interrupted, Unsettled};
use console::style;
use serde_json::{json, Value};

/// What is to be typed where an operation was interrupted.
const RECOVER: &str = "sudo qubes-dom0-pci recover";

/// The first lines of an answer that somebody gets who is not root; `command` is what to run instead.
#[must_use]
fn not_root(command: &str) -> String {
    let line = format!("Not root: what follows is incomplete. Run: sudo qubes-dom0-pci {command}");
    if line.len() <= width() {
        return format!("{line}\n");
    }
    format!("Not root: what follows is incomplete. Run:\n  sudo qubes-dom0-pci {command}\n")
}

/// What stands above the answer to `command`: whether it is whole, and the operation that is not settled.
#[must_use]
pub fn heading(by_root: bool, unseen: &[String], unsettled: &Unsettled, command: &str) -> String {
    let hidden = !by_root && !unseen.is_empty();
    let first = if hidden { not_root(command) } else { String::new() };
    // That the journal is among what is not seen is said already.
    let said = hidden && matches!(unsettled, Unsettled::Unknown(_));
    first + &if said { String::new() } else { unsettled_block(unsettled) }
}

/// The operation that is not settled, and the command that settles it; empty where there is none.
#[must_use]
fn unsettled_block(unsettled: &Unsettled) -> String {
    let Some(words) = unsettled.words() else { return String::new() };
    let mark = style("!").red().bold();
    if !matches!(unsettled, Unsettled::Pending { .. }) {
        return wrapped(&format!("{mark} "), &words);
    }
    // The command is for copying: it is never broken.
    if "! : run  ".len() + words.len() + RECOVER.len() <= width() {
        return format!("{mark} {words}: run  {RECOVER}\n");
    }
    format!("{}  {RECOVER}\n", wrapped(&format!("{mark} "), &format!("{words}: run")))
}

/// What is not settled, for scripts: the members `pending` and `running`.
#[must_use]
pub fn unsettled(unsettled: &Unsettled) -> (Value, Value) {
    let operation = |one: &Interrupted| {
        json!({
            "operation": one.id,
            "command": one.command,
            "bdf": one.sbdf.map(|sbdf| sbdf.to_string()),
            "step": one.step,
        })
    };
    match unsettled {
        Unsettled::Nothing => (Value::Null, Value::Null),
        Unsettled::Unknown(_) => (json!("unknown"), json!("unknown")),
        Unsettled::Pending { operation: one, rebooted } => {
            (with(operation(one), json!({ "rebooted": rebooted })), Value::Null)
        }
        Unsettled::Running { holder, operation: found } => {
            let running = found.as_deref().map_or_else(
                || json!({ "operation": null, "command": null, "bdf": null, "step": null }),
                operation,
            );
            let seconds = found.as_ref().and_then(|one| one.seconds());
            let holds = json!({ "command": holder.command, "process": holder.process, "seconds": seconds });
            (Value::Null, with(running, holds))
        }
    }
}
