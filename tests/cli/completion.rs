//! Tab, in real shells on a terminal: what stands on the command line when Enter follows is what the program is given.

use crate::model::{terminal, Dom0, Function};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

const PROMPT: &str = "ready>";
const CARD: &str = "0000:00:1f.6";
const BEGIN: &str = r#""kind":"stay","event":"begin","bdf":"0000:00:1f.6","qube":"sys-net","label":"red","source":"xenstore","domain":3"#;
/// A name that Qubes would not take: never offered.
const ODD: &str = r#""kind":"stay","event":"begin","bdf":"0000:00:1f.6","qube":"sys-$(touch${IFS}/tmp/odd)","label":"red","source":"xenstore","domain":4"#;

/// A held card and a keyboard's controller that dom0 drives.
fn dom0() -> Dom0 {
    let mut dom0 = Dom0::with(Function::nic(CARD).held().quarantined());
    dom0.add(Function::usb("0000:00:14.0").driven("xhci_hcd"));
    dom0.remembers(&[("08:02:00", "11111111", BEGIN), ("08:03:00", "11111111", ODD)]);
    dom0
}

/// What the program offers for the last word; the words about each are left out.
#[track_caller]
fn offered(dom0: &Dom0, line: &str) -> Vec<String> {
    let root = dom0.path("").display().to_string();
    let mut arguments = vec!["complete", "--", "--sysroot", &root];
    arguments.extend(line.split(' '));
    let mut command = Command::new(env!("CARGO_BIN_EXE_qubes-dom0-pci"));
    let output = command.args(arguments).env_clear().output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| line.split('\t').next().unwrap().to_owned()).collect()
}

#[test]
fn devices_are_offered_to_the_commands_that_can_do_something_with_them_in_the_form_that_was_begun() {
    let dom0 = dom0();
    assert_eq!(offered(&dom0, "reattach "), [CARD]);
    assert_eq!(offered(&dom0, "plan 00:"), ["00:1f.6"]);
    assert_eq!(offered(&dom0, "plan 00_"), ["00_1f.6"]);
    assert_eq!(offered(&dom0, "rollback dom0:"), ["dom0:00_1f.6"]);
    assert_eq!(offered(&dom0, "hold "), ["0000:00:14.0"]);
    assert_eq!(offered(&dom0, "show "), ["0000:00:14.0", CARD]);
    assert_eq!(offered(&dom0, "audit log --device=0000:00:1f"), [format!("--device={CARD}")]);
    assert_eq!(offered(&dom0, "reattach 00:2"), Vec::<String>::new());
    assert_eq!(offered(&dom0, "hold 00:14.0 -").iter().filter(|word| *word == "--help").count(), 1);
    // Several devices may follow each other.
    assert_eq!(offered(&dom0, "plan 00:14.0 00:1"), ["00:1f.6"]);
    assert!(!offered(&dom0, "rollback --last ").contains(&CARD.to_owned()));
    assert_eq!(offered(&dom0, "--quiet --j"), ["--journal"]);
}

#[test]
fn hazards_are_offered_with_the_qubes_that_had_the_device_and_no_odd_name_is() {
    let dom0 = dom0();
    let exposed = ["exposed", "exposed-before", "exposed:sys-net"];
    assert_eq!(offered(&dom0, "reattach 00:1f.6 --accept exp"), exposed);
    assert_eq!(offered(&dom0, "reattach 00:1f.6 --accept network,exposed:"), ["network,exposed:sys-net"]);
    assert_eq!(offered(&dom0, "plan 00:14.0 --accept exposed:"), Vec::<String>::new());
    assert_eq!(offered(&dom0, "reattach 00:1f.6 --accept in-"), Vec::<String>::new());
    let before = dom0.contents();
    offered(&dom0, "reattach 00:1f.6 --accept ");
    assert_eq!(before, dom0.contents());
    assert!(!dom0.path("run/qubes-dom0-pci.lock").exists());
}

#[test]
fn without_a_dom0_nothing_fails() {
    let dom0 = Dom0::without_xenstored();
    for folder in ["sys", "proc"] {
        dom0.remove(folder);
    }
    assert_eq!(offered(&dom0, "reattach "), Vec::<String>::new());
    assert!(offered(&dom0, "re").contains(&"reattach".to_owned()));
}

/// What the program is given when this is typed in the shell: `~` stands for Tab. A program of the name asks the real one
/// what to offer, and writes down what it is given otherwise.
#[track_caller]
fn typed(dom0: &Dom0, shell: &str, line: &str) -> Vec<String> {
    let desk = dom0.path("desk");
    let here = concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/completions");
    let given = desk.join("given");
    let _ = fs::remove_file(&given);
    let real = env!("CARGO_BIN_EXE_qubes-dom0-pci");
    let script = format!(
        "#!/bin/sh\n[ \"$1\" != complete ] || exec {real} \"$@\"\nprintf '%s\\n' \"$@\" >{}\n",
        given.display()
    );
    dom0.write("desk/bin/qubes-dom0-pci", script);
    fs::set_permissions(desk.join("bin/qubes-dom0-pci"), fs::Permissions::from_mode(0o755)).unwrap();
    dom0.write("desk/bashrc", format!("PS1='{PROMPT}'; . {here}/qubes-dom0-pci.bash\n"));
    let zshrc = format!("PROMPT='{PROMPT}'; fpath=({here} $fpath); autoload -Uz compinit; compinit -u -D\n");
    dom0.write("desk/.zshrc", zshrc);
    let fish = format!("function fish_prompt; echo -n '{PROMPT}'; end; source {here}/qubes-dom0-pci.fish\n");
    dom0.write("desk/fish/config.fish", fish);
    let rc = desk.join("bashrc");
    let arguments = match shell {
        "bash" => vec!["--noprofile", "--rcfile", rc.to_str().unwrap(), "-i"],
        _ => vec!["-i"],
    };
    let mut command = Command::new("timeout");
    command.args(["--foreground", "60", shell]).args(arguments).env_clear();
    command
        .env("HOME", &desk)
        .env("ZDOTDIR", &desk)
        .env("XDG_CONFIG_HOME", &desk)
        .env("XDG_DATA_HOME", &desk);
    command.env("TERM", "xterm").env("LANG", "C.UTF-8");
    command.env("PATH", format!("{}/bin:/usr/sbin:/usr/bin:/sbin:/bin", desk.display()));
    let root = dom0.path("").display().to_string();
    let keys = format!("qubes-dom0-pci --sysroot {root} {}", line.replace('~', "\t"));
    let shown = terminal::typed(&command, PROMPT, &keys);
    let given = fs::read_to_string(&given).unwrap_or_else(|_| panic!("{shell} ran nothing:\n{shown}"));
    given.lines().skip(2).map(str::to_owned).collect()
}

/// In each shell, Tab completes a command, a device that is held, and a hazard; in short forms and in lists too.
#[track_caller]
fn completes(shell: &str) {
    let dom0 = dom0();
    for (line, expected) in [
        ("reat~", "reattach"),
        ("audit time~", "audit timeline"),
        ("list --a~", "list --all"),
        ("reattach ~", "reattach 0000:00:1f.6"),
        ("plan 0000:00:~", "plan 0000:00:1f.6"),
        ("plan 00:1~", "plan 00:1f.6"),
        ("hold 00_~", "hold 00_14.0"),
        ("reattach 00:1f.6 --accept net~", "reattach 00:1f.6 --accept network"),
        ("plan 00:1f.6 --accept usb,exposed:~", "plan 00:1f.6 --accept usb,exposed:sys-net"),
        ("plan 00:1f.6 --acc~no-io~", "plan 00:1f.6 --accept no-iommu"),
        // What is typed is not run.
        ("plan '$(touch${IFS}odd)' --acc~", "plan $(touch${IFS}odd) --accept"),
    ] {
        let typed = typed(&dom0, shell, line);
        assert_eq!(typed.join(" "), expected, "{shell}: {line}");
        assert!(!dom0.path("desk/odd").exists(), "{shell}: {line}");
    }
}

#[test]
fn tab_in_bash() {
    completes("bash");
}

#[test]
#[ignore = "zsh has to be installed: tests/all.d/55-completion"]
fn tab_in_zsh() {
    completes("zsh");
}

#[test]
#[ignore = "fish has to be installed: tests/all.d/55-completion"]
fn tab_in_fish() {
    completes("fish");
}
