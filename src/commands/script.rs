//! The command that does what `plan` showed, to be pasted: it leads to that very plan, and to the same consent.

use super::Context;
use crate::assess::Hazard;
use crate::cli::{PlanArgs, JOURNAL};
use crate::consent::Accepted;
use crate::names::{escape, Sbdf};

/// What has to be accepted in all: what was given, and what is missing.
pub fn to_accept(accepted: &Accepted, missing: &[&Hazard]) -> String {
    quoted(&accepted.with(missing).words().join(","))
}

/// Options that the plan depends on. Not `--sysroot`: a model is no dom0 to be changed.
pub fn options(context: &Context, args: &PlanArgs) -> Vec<String> {
    let driver = args.driver.as_ref().map(|driver| format!("--driver {}", quoted(driver)));
    let elsewhere = context.journal != context.root.path(JOURNAL);
    let journal = elsewhere.then(|| format!("--journal {}", quoted(&context.journal.to_string_lossy())));
    driver.into_iter().chain(journal).collect()
}

/// The command, each further option on a line of its own.
pub fn command(context: &Context, sbdf: Sbdf, args: &PlanArgs, plan_id: &str, accept: &str) -> String {
    let mut lines = vec![format!("  qubes-dom0-pci reattach {sbdf} --plan {plan_id}")];
    lines.extend(options(context, args));
    if !accept.is_empty() {
        lines.push(format!("--accept {accept}"));
    }
    lines.join(" \\\n    ") + "\n"
}

/// A word as a shell takes it for one.
fn quoted(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.,:/+@%".contains(&byte);
    if text.bytes().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", escape(text.as_bytes()).replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_that_a_shell_would_act_on_is_quoted() {
        assert_eq!(quoted("exposed:sys-net,network"), "exposed:sys-net,network");
        assert_eq!(quoted("it's $(x)"), "'it'\\''s $(x)'");
        assert_eq!(quoted("\x1b[2J"), "'\\x1b[2J'");
    }
}
