//! The captures in the README are what the program prints.

use crate::model::terminal::{asked, Answer};
use crate::model::{Dom0, Function, QUBES_43};

const NIC: &str = "0000:00:1f.6";
const START: &str = r#""kind":"recorder","phase":"start","run":"r","sources":["uevents","xenstore","qubesd"],"missing":[],"first":true,"interval":600"#;
const SEIZED: &str = r#""kind":"device","event":"seized","bdf":"0000:00:1f.6","driver":"pciback","before":"e1000e","source":"uevent""#;
const BEGIN: &str = r#""kind":"stay","event":"begin","bdf":"0000:00:1f.6","qube":"sys-net","label":"red","class":"AppVM","network":true,"source":"xenstore","domain":3"#;
const END: &str = r#""kind":"stay","event":"end","bdf":"0000:00:1f.6","qube":"sys-net","label":"red","class":"AppVM","network":true,"source":"xenstore","domain":3"#;
const STOP: &str = r#""kind":"recorder","phase":"stop","run":"r","sources":["uevents","xenstore","qubesd"],"missing":[],"first":false,"interval":600"#;

/// sys-net had the network card in this boot and is shut down; sys-usb has the USB controller.
fn dom0() -> Dom0 {
    let mut dom0 = Dom0::with(Function::nic(NIC).held().quarantined());
    dom0.add(Function::usb("0000:00:14.0").held().owned_by("d5"));
    let qubesd = dom0.qubes(QUBES_43);
    qubesd.answers(
        "admin.vm.device.pci.Assigned+",
        "sys-net",
        "dom0+00_1f.6:0x8086:0x10d3::p020000 device_id='0x8086:0x10d3::p020000' port_id='00_1f.6' devclass='pci' \
         backend_domain='dom0' mode='required' frontend_domain='sys-net' _no-strict-reset='True'\\n",
    );
    dom0.write("etc/qubes-release", "Qubes release 4.3.0 (R4.3)\n");
    dom0.write("etc/default/grub", "GRUB_CMDLINE_LINUX=\"rhgb quiet\"\n");
    dom0.qube_has(5, "sys-usb", "0000:00:14.0");
    dom0.remembers(&[
        ("08:00:00", "11111111", START),
        ("08:01:58", "11111111", SEIZED),
        ("08:02:00", "11111111", BEGIN),
        ("08:09:00", "11111111", END),
        ("08:10:00", "11111111", STOP),
    ]);
    dom0
}

/// What the README shows below this command was printed; `[...]` stands for what it leaves out.
#[track_caller]
fn was_printed(command: &str, printed: &str) {
    let readme = include_str!("../../README.md");
    let (_, behind) = readme
        .split_once(&format!("    $ sudo qubes-dom0-pci {command}\n"))
        .unwrap_or_else(|| panic!("README.md does not show {command}"));
    let of_block = |line: &&str| line.is_empty() || line.starts_with("    ") && !line.starts_with("    $");
    let shown: Vec<&str> =
        behind.lines().take_while(of_block).map(|line| line.get(4..).unwrap_or("")).collect();
    let printed: Vec<&str> = printed.lines().map(str::trim_end).collect();
    let mut rest = printed.join("\n") + "\n";
    for part in (shown.join("\n").trim_end().to_owned() + "\n").split("[...]\n") {
        let Some((_, behind)) = rest.split_once(part) else {
            panic!("not printed:\n{part}\n--- but\n{rest}")
        };
        rest = behind.to_owned();
    }
}

#[test]
fn list_prints_what_the_readme_shows() {
    was_printed("list", &dom0().run(&["list"]).out);
}

#[test]
fn the_readme_can_be_read_in_a_few_minutes() {
    assert!(include_str!("../../README.md").lines().count() <= 150);
}

#[test]
fn the_prompt_is_the_one_the_readme_shows() {
    let dom0 = dom0();
    let mut command = dom0.command(&["reattach", "00:1f.6"]);
    command.env("NO_COLOR", "1");
    let (shown, status) = asked(&command, Answer::Keys("\r"));
    assert_eq!(status.code(), Some(4), "{shown}");
    let shown = console::strip_ansi_codes(&shown).replace('\r', "");
    was_printed("reattach 00:1f.6", &shown);
}
