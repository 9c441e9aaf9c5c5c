//! Where each device is after the next boot, and the edits that change it. The situations are those of public reports.

use crate::model::{Dom0, Function, QUBES_42};
use serde_json::Value;
use std::io::Write;
use std::process::Stdio;

const QUBES: &str =
    "rd.luks.uuid=luks-x rd.lvm.lv=qubes_dom0/root plymouth.ignore-serial-consoles rhgb quiet";

/// A dom0 of Qubes whose source has these lines behind its usual ones.
fn qubes(release: &str, more: &str) -> Dom0 {
    let dom0 = Dom0::new();
    dom0.write("etc/qubes-release", format!("Qubes release {release}.0 (R{release})\n"));
    dom0.write("var/lib/qubes/qubes.xml", "<qubes><labels/><pools/><properties/><domains/></qubes>");
    source(&dom0, &format!("GRUB_CMDLINE_LINUX=\"{QUBES}\"\nGRUB_DISABLE_RECOVERY=\"true\"\n{more}"));
    dom0
}

fn source(dom0: &Dom0, text: &str) {
    let start = "GRUB_TIMEOUT=5\nGRUB_DISTRIBUTOR=\"$(sed 's, release .*$,,g' /etc/system-release)\"\n";
    dom0.write("etc/default/grub", format!("{start}{text}"));
}

/// What a generator would have made: two entries, the first with Xen.
fn generated(dom0: &Dom0, path: &str, words: &str) {
    let text = format!(
        "set default=\"${{saved_entry}}\"\nmenuentry 'Qubes, with Xen hypervisor' --id xen {{\n\tmultiboot2 /xen.gz placeholder\n\
         \tmodule2 /vmlinuz placeholder root=/dev/x ro {words}\n\tmodule2 --nounzip /initramfs.img\n}}\n\
         menuentry 'Linux alone' --id linux {{\n\tlinux /vmlinuz root=/dev/x ro\n}}\n"
    );
    dom0.write(path, text);
}

fn usb(bdf: &str) -> Function {
    Function::new(bdf, 0x8086, 0xa36d, 0x0c_0330).held().quarantined()
}

fn gpu(bdf: &str, device: u16, class: u32) -> Function {
    Function::new(bdf, 0x1002, device, class).held().quarantined().behind(&["0000:00:01.0"])
}

fn with_card(mut dom0: Dom0) -> Dom0 {
    dom0.claim("amdgpu", "pci:v00001002d000067DFsv*sd*bc*sc*i*");
    dom0.claim("snd_hda_intel", "pci:v00001002d0000AAF0sv*sd*bc*sc*i*");
    dom0.add(Function::root_port("0000:00:01.0").attribute("secondary_bus_number", "1"));
    dom0.add(gpu("0000:01:00.0", 0x67df, 0x03_0000));
    dom0.add(gpu("0000:01:00.1", 0xaaf0, 0x04_0300));
    dom0
}

fn next(answer: &Value, bdf: &str) -> (String, String) {
    let all = answer["functions"].as_array().unwrap();
    let one = all.iter().find(|one| one["bdf"] == bdf).unwrap_or_else(|| panic!("{answer}"));
    (one["next"].as_str().unwrap().to_owned(), one["returns"].as_str().unwrap().to_owned())
}

fn is(answer: &Value, bdf: &str, where_: &str, returns: &str) {
    assert_eq!(next(answer, bdf), (where_.to_owned(), returns.to_owned()), "{bdf}: {answer}");
}

fn diff(dom0: &Dom0, arguments: &[&str]) -> Vec<u8> {
    let mut all = vec!["next-boot"];
    all.extend(arguments);
    all.push("--diff");
    let output = dom0.command(&all).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// Runs `patch` with what `--diff` printed.
fn patched(dom0: &Dom0, diff: &[u8], reverse: bool) {
    let mut command = std::process::Command::new("patch");
    command
        .args(["-s", "-p1", "--no-backup-if-mismatch", "-d"])
        .arg(dom0.path(""))
        .args(reverse.then_some("-R"));
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(diff).unwrap();
    assert!(child.wait().unwrap().success(), "{}", String::from_utf8_lossy(diff));
}

/// Applies the edit, and holds what is then predicted against what was promised; then takes it back.
fn applied(dom0: &Dom0, arguments: &[&str]) -> String {
    let grub = || std::fs::read(dom0.path("etc/default/grub")).unwrap_or_default();
    let before = grub();
    let mut all = vec!["next-boot"];
    all.extend(arguments);
    let promised = dom0.json(&all);
    assert_eq!(promised["edit"]["needed"], true, "{promised}");
    let diff = diff(dom0, arguments);
    patched(dom0, &diff, false);
    let after = String::from_utf8_lossy(&grub()).into_owned();
    // Without a generated file the source is what counts.
    let then = dom0.json(&["next-boot"]);
    for one in promised["edit"]["after"]["functions"].as_array().unwrap() {
        assert_eq!(next(&then, one["bdf"].as_str().unwrap()).0, one["next"].as_str().unwrap(), "{then}");
    }
    dom0.run(&all).exits(0).says("No edit is needed");
    patched(dom0, &diff, true);
    assert_eq!(grub(), before);
    after
}

#[test]
fn a_word_that_was_deleted_at_the_boot_menu_comes_again() {
    let mut dom0 = qubes("4.2", "GRUB_CMDLINE_LINUX=\"$GRUB_CMDLINE_LINUX rd.qubes.hide_all_usb\"\n");
    dom0.add(usb("0000:00:14.0"));
    dom0.write("proc/cmdline", format!("placeholder {QUBES}\n"));
    dom0.write(
        "boot/grub2/grub.cfg",
        format!("\tmodule2 /vmlinuz-6.12 placeholder ro {QUBES} rd.qubes.hide_all_usb\n"),
    );
    let answer = dom0.json(&["next-boot"]);
    is(&answer, "0000:00:14.0", "hidden", "after-edits");
    assert_eq!(answer["functions"][0]["because"][0]["rule"], "rd.qubes.hide_all_usb");
    assert_eq!(answer["functions"][0]["because"][0]["file"], "/boot/grub2/grub.cfg");
    assert_eq!(answer["functions"][0]["because"][0]["line"], 1);
    assert_eq!(answer["boot"]["differs"][0]["what"], "this-boot");
    dom0.run(&["next-boot"]).exits(0).says("this boot lacks rd.qubes.hide_all_usb");
}

#[test]
fn two_usb_controllers_return_with_one_edit_and_dom0_stays_guarded() {
    let mut dom0 = qubes("4.2", "GRUB_CMDLINE_LINUX=\"$GRUB_CMDLINE_LINUX rd.qubes.hide_all_usb\"\n");
    dom0.add(usb("0000:00:14.0")).add(usb("0000:00:1a.0"));
    let after = applied(&dom0, &["--return", "00:14.0", "00:1a.0"]);
    assert!(
        after.contains(
            "rd.qubes.hide_all_usb rd.qubes.dom0_usb=00:14.0,00:1a.0 usbcore.authorized_default=0\"\n"
        ),
        "{after}"
    );
    let said = dom0.run(&["next-boot", "--return", "00:14.0", "00:1a.0"]).exits(0);
    said.says("grub2-mkconfig -o /boot/grub2/grub.cfg").says("usbguard guards dom0's USB").says(
        "If the machine does not come up: press e at the boot menu, delete rd.qubes.dom0_usb=00:14.0,00:1a.0 and \
         usbcore.authorized_default=0, press F10.",
    );
}

#[test]
fn a_card_and_its_audio_function_return_with_one_edit() {
    let dom0 = with_card(qubes(
        "4.2",
        "GRUB_CMDLINE_LINUX=\"$GRUB_CMDLINE_LINUX rd.qubes.hide_pci=01:00.0,01:00.1 a=b\"\n",
    ));
    is(&dom0.json(&["next-boot"]), "0000:01:00.1", "hidden", "after-edits");
    let after = applied(&dom0, &["--return", "01:00.0", "01:00.1"]);
    assert!(after.contains("LINUX=\"$GRUB_CMDLINE_LINUX a=b\"\n"), "{after}");
    let one = applied(&dom0, &["--return", "01:00.1"]);
    assert!(one.contains("rd.qubes.hide_pci=01:00.0 a=b"), "{one}");
    // usbcore's word is for USB controllers only.
    assert!(!after.contains("usbcore") && !one.contains("usbcore"));
}

#[test]
fn a_word_that_was_only_typed_holds_for_this_boot_only() {
    let dom0 = with_card(qubes("4.2", ""));
    dom0.write("proc/cmdline", "placeholder rd.qubes.hide_pci=01:00.0,01:00.1\n");
    is(&dom0.json(&["next-boot"]), "0000:01:00.0", "driver", "yes");
    dom0.run(&["next-boot", "--return", "01:00.0"]).exits(0).says("No edit is needed");
}

#[test]
fn what_the_generator_was_not_run_for_is_said_and_run() {
    let mut dom0 = qubes("4.3", "GRUB_CMDLINE_LINUX+=\" rd.qubes.dom0_usb=00:14.0 usbcore.authorized_default=0 rd.qubes.hide_all_usb\"\n");
    dom0.add(usb("0000:00:14.0"));
    generated(&dom0, "boot/grub2/grub.cfg", "rd.qubes.hide_all_usb");
    let answer = dom0.json(&["next-boot", "--return", "00:14.0"]);
    is(&answer, "0000:00:14.0", "hidden", "after-edits");
    assert_eq!(answer["edit"]["files"], serde_json::json!([]));
    assert_eq!(answer["edit"]["commands"], serde_json::json!(["grub2-mkconfig -o /boot/grub2/grub.cfg"]));
    dom0.run(&["next-boot"]).exits(0).says("/etc/default/grub has rd.qubes.dom0_usb=00:14.0");
    generated(
        &dom0,
        "boot/grub2/grub.cfg",
        "rd.qubes.dom0_usb=00:14.0 usbcore.authorized_default=0 rd.qubes.hide_all_usb",
    );
    is(&dom0.json(&["next-boot"]), "0000:00:14.0", "driver", "yes");
    dom0.run(&["next-boot", "--return", "00:14.0"]).exits(0).says("No edit is needed");
}

#[test]
fn debian_has_its_own_files_and_commands() {
    let mut dom0 = Dom0::new();
    dom0.claim("mptspi", "pci:v00001000d00000030sv*sd*bc*sc*i*");
    dom0.add(Function::new("0000:07:08.0", 0x1000, 0x0030, 0x01_0000).held().quarantined());
    dom0.write("etc/debian_version", "12.5\n");
    source(&dom0, "GRUB_CMDLINE_LINUX_DEFAULT=\"quiet\"\nGRUB_CMDLINE_LINUX=\"\"\n");
    let more = "GRUB_CMDLINE_LINUX_XEN_REPLACE_DEFAULT=\"quiet xen-pciback.hide=(07:08.0)\"\n";
    dom0.write("etc/default/grub.d/xen.cfg", more);
    dom0.write("boot/grub/grub.cfg", "module2 /boot/vmlinuz placeholder xen-pciback.hide=(07:08.0)\n");
    let answer = dom0.json(&["next-boot", "--return", "07:08.0"]);
    is(&answer, "0000:07:08.0", "hidden", "after-edits");
    assert_eq!(answer["edit"]["files"][0]["path"], "/etc/default/grub.d/xen.cfg");
    assert_eq!(answer["edit"]["commands"][1], "update-grub");
    patched(&dom0, &diff(&dom0, &["--return", "07:08.0"]), false);
    let after = std::fs::read_to_string(dom0.path("etc/default/grub.d/xen.cfg")).unwrap();
    assert_eq!(after, "GRUB_CMDLINE_LINUX_XEN_REPLACE_DEFAULT=\"quiet\"\n");
}

#[test]
fn xcp_ng_has_a_tool_of_its_own() {
    let mut dom0 = Dom0::new();
    dom0.add(Function::nic("0000:00:07.0").held().quarantined())
        .add(Function::nic("0000:00:08.0").driven("e1000e"));
    dom0.write("etc/os-release", "NAME=\"XCP-ng\"\nID=\"xenenterprise\"\nID_LIKE=\"centos rhel fedora\"\n");
    dom0.write(
        "boot/grub/grub.cfg",
        "menuentry 'XCP-ng' {\n\tmultiboot2 /boot/xen.gz\n\tmodule2 /boot/vmlinuz root=LABEL=x ro xen-pciback.hide=(00:07.0)\n}\n",
    );
    let tool = "/opt/xensource/libexec/xen-cmdline";
    let commands = |arguments: &[&str]| dom0.json(arguments)["edit"]["commands"].clone();
    assert_eq!(
        commands(&["next-boot", "--return", "00:07.0"]),
        serde_json::json!([format!("{tool} --delete-dom0 xen-pciback.hide")])
    );
    assert_eq!(
        commands(&["next-boot", "--keep-away", "00:08.0"]),
        serde_json::json!([format!("{tool} --set-dom0 \"xen-pciback.hide=(00:07.0)(0000:00:08.0)\"")])
    );
}

#[test]
fn a_list_that_xen_pciback_refuses_hides_nothing() {
    let mut dom0 = Dom0::new();
    dom0.add(Function::nic("0000:00:07.0").driven("e1000e"));
    for list in ["(0000:82.0.0)", "(00:07.0)(0b::00.1)"] {
        dom0.write("proc/cmdline", format!("ro xen-pciback.hide={list}\n"));
        is(&dom0.json(&["next-boot"]), "0000:00:07.0", "driver", "yes");
    }
    dom0.write("proc/cmdline", "ro xen-pciback.hide=(00:07.*)\n");
    is(&dom0.json(&["next-boot"]), "0000:00:07.0", "hidden", "no");
}

#[test]
fn stub_ids_and_blacklists_are_known_and_edited() {
    let dom0 = with_card(qubes("4.2", "GRUB_CMDLINE_LINUX+=' pci-stub.ids=1002:67df,1002:aaf0'\n"));
    is(&dom0.json(&["next-boot"]), "0000:01:00.0", "stub", "after-edits");
    let after = applied(&dom0, &["--return", "01:00.0"]);
    assert!(after.contains("' pci-stub.ids=1002:aaf0'"), "{after}");
    let dom0 = with_card(qubes(
        "4.2",
        "GRUB_CMDLINE_LINUX+=' modprobe.blacklist=radeon,amdgpu,snd_hda_intel rd.driver.blacklist=amdgpu'\n",
    ));
    is(&dom0.json(&["next-boot"]), "0000:01:00.0", "no-driver", "after-edits");
    let after = applied(&dom0, &["--return", "01:00.0"]);
    assert!(after.contains("' modprobe.blacklist=radeon,snd_hda_intel'"), "{after}");
    let after = applied(&dom0, &["--return", "01:00.0", "01:00.1"]);
    assert!(after.contains("' modprobe.blacklist=radeon'"), "{after}");
}

#[test]
fn driverctl_and_vfio_ids_are_known() {
    let mut dom0 = with_card(Dom0::new());
    dom0.write("etc/driverctl.d/0000:01:00.0", "vfio-pci\n");
    // No word has to change: the source is not asked for.
    let answer = dom0.json(&["next-boot", "--return", "01:00.0"]);
    assert_eq!(answer["edit"]["commands"], serde_json::json!(["rm /etc/driverctl.d/0000:01:00.0"]));
    dom0.run(&["next-boot", "--keep-away", "01:00.1"]).exits(3).says("there is no /etc/default/grub to edit");
    source(&dom0, "");
    let answer = dom0.json(&["next-boot", "--return", "01:00.0"]);
    is(&answer, "0000:01:00.0", "stub", "after-edits");
    assert_eq!(answer["edit"]["commands"][0], "rm /etc/driverctl.d/0000:01:00.0");
    // Which name counts is what its udev rule asks for.
    let rule = |name: &str| format!("ACTION==\"add\", TEST==\"/etc/driverctl.d/{name}\", TAG+=\"systemd\"\n");
    for (name, place) in [("$env{SUBSYSTEM}-$kernel", "driver"), ("$kernel", "stub")] {
        dom0.write("usr/lib/udev/rules.d/05-driverctl.rules", rule(name));
        assert_eq!(next(&dom0.json(&["next-boot"]), "0000:01:00.0").0, place);
    }
    dom0.remove("etc/driverctl.d");
    dom0.write("etc/modprobe.d/vfio.conf", "options vfio-pci ids=1002:67df\nsoftdep amdgpu pre: vfio-pci\n");
    // Whether the initramfs has it is not known.
    is(&dom0.json(&["next-boot"]), "0000:01:00.0", "unknown", "after-edits");
    dom0.write("usr/bin/lsinitrd", "");
    let answer = dom0.json(&["next-boot", "--return", "01:00.0"]);
    assert_eq!(answer["edit"]["files"][0]["path"], "/etc/modprobe.d/vfio.conf");
    assert!(answer["edit"]["commands"].as_array().unwrap().contains(&"dracut --force".into()), "{answer}");
    dom0.add(Function::nic("0000:00:07.0"));
}

#[test]
fn the_initramfs_is_asked_within_limits() {
    let dom0 = with_card(qubes("4.2", ""));
    dom0.write("etc/modprobe.d/a.conf", "blacklist amdgpu\n");
    generated(&dom0, "boot/grub2/grub.cfg", QUBES);
    dom0.write("boot/initramfs.img", "x");
    let program = |text: &str| {
        dom0.write("usr/bin/lsinitrd", format!("#!/bin/sh\n{text}\n"));
        let path = dom0.path("usr/bin/lsinitrd");
        std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    };
    program("[ \"$1\" = -f ] && echo 'blacklist amdgpu' || echo '-rw-r--r-- 1 root root 9 Jan 1 1970 etc/modprobe.d/a.conf'");
    is(&dom0.json(&["next-boot"]), "0000:01:00.0", "no-driver", "after-edits");
    program("echo");
    is(&dom0.json(&["next-boot"]), "0000:01:00.0", "unknown", "after-edits");
    program("exit 1");
    dom0.run(&["next-boot"]).exits(0).says("fails");
}

#[test]
fn a_virtual_function_is_not_there_after_a_boot() {
    let mut dom0 = qubes("4.3", "");
    dom0.add(Function::new("0000:00:02.0", 0x8086, 0x1234, 0x03_0000).driven("i915"));
    dom0.add(Function::new("0000:00:02.1", 0x8086, 0x1234, 0x03_0000).held().quarantined());
    let link = dom0.path("sys/bus/pci/devices/0000:00:02.1/physfn");
    std::os::unix::fs::symlink("../0000:00:02.0", link).unwrap();
    is(&dom0.json(&["next-boot", "00:02.1"]), "0000:00:02.1", "absent", "no");
    dom0.run(&["next-boot", "--return", "00:02.1"]).exits(3).says("sriov_numvfs");
}

#[test]
fn a_path_is_proposed_on_4_3() {
    let dom0 = with_card(qubes("4.3", ""));
    let after = applied(&dom0, &["--keep-away", "01:00.0", "01:00.1"]);
    assert!(after.contains(" rd.qubes.hide_pci=00_01.0-00_00.0,00_01.0-00_00.1\"\n"), "{after}");
}

#[test]
fn assignments_that_lead_nowhere_are_listed() {
    let mut dom0 = Dom0::new();
    dom0.add(usb("0000:00:14.0"));
    let qubesd = dom0.qubes(QUBES_42);
    source(&dom0, "");
    qubesd.lists("sys-usb class=AppVM state=Halted\\n");
    qubesd.answers(
        "admin.vm.device.pci.List+",
        "sys-usb",
        "dom0+00_14.0 persistent=yes\\ndom0+23_00.3 persistent=yes\\n",
    );
    qubesd.answers("admin.vm.property.Get+autostart", "sys-usb", "default=False type=bool True");
    let answer = dom0.json(&["next-boot", "--return", "00:14.0"]);
    assert_eq!(answer["dead_assignments"][0]["port"], "23_00.3", "{answer}");
    assert_eq!(answer["dead_assignments"][0]["command"], "qvm-pci detach sys-usb dom0:23_00.3");
    is(&answer, "0000:00:14.0", "driver", "after-edits");
    assert_eq!(answer["functions"][0]["taken_by"], serde_json::json!(["sys-usb"]));
    assert_eq!(answer["edit"]["commands"], serde_json::json!(["qvm-pci detach sys-usb dom0:00_14.0"]));
    assert_eq!(next(&answer["edit"]["after"], "0000:00:14.0").1, "yes");
}

#[test]
fn who_decides_elsewhere_makes_it_unknown_and_is_named() {
    for (path, text) in [
        ("boot/kexec_default.1.txt", "the firmware (Heads or PureBoot)"),
        ("boot/aem/x", "Anti Evil Maid"),
        ("boot/efi/EFI/Linux/qubes.efi", "is a unified image"),
    ] {
        let dom0 = with_card(qubes("4.3", ""));
        dom0.write(path, "x");
        let answer = dom0.json(&["next-boot"]);
        is(&answer, "0000:01:00.0", "unknown", "unknown");
        assert_eq!(answer["boot"]["stops"], Value::Null);
        assert!(answer["boot"]["why"].as_str().unwrap().contains(text), "{answer}");
        dom0.run(&["next-boot"]).exits(0).says("Next boot: unknown, because");
        dom0.run(&["--json", "next-boot", "--keep-away", "01:00.0"]).fails(3, "no-edit");
    }
    let dom0 = with_card(qubes("4.3", ""));
    generated(&dom0, "boot/grub2/grub.cfg", QUBES);
    dom0.write("boot/grub2/grubenv", "# GRUB Environment Block\nsaved_entry=linux\n");
    dom0.run(&["next-boot"]).exits(0).says("does not start Xen");
    dom0.run(&["--json", "next-boot", "--return", "01:00.0"]).fails(3, "no-edit");
}

#[test]
fn where_somebody_who_decides_would_stand_cannot_be_read_it_is_unknown() {
    let dom0 = with_card(qubes("4.3", ""));
    if dom0.path("boot").exists() {
        std::fs::remove_dir_all(dom0.path("boot")).unwrap();
    }
    dom0.write("boot", "no folder");
    let answer = dom0.json(&["next-boot"]);
    is(&answer, "0000:01:00.0", "unknown", "unknown");
    assert!(
        answer["boot"]["why"].as_str().unwrap().contains("who decides what is booted is not known"),
        "{answer}"
    );
    dom0.run(&["--json", "next-boot", "--keep-away", "01:00.0"]).fails(3, "no-edit");
}

#[test]
fn what_dom0_needs_is_not_kept_away() {
    let mut dom0 = qubes("4.3", "");
    dom0.add(
        Function::new("0000:00:02.0", 0x8086, 0x1234, 0x03_0000).driven("i915").attribute("boot_vga", "1"),
    );
    dom0.add(Function::new("0000:00:17.0", 0x8086, 0xa282, 0x01_0601).driven("ahci"));
    dom0.add(Function::usb("0000:00:14.0").driven("xhci_hcd"));
    dom0.write("proc/self/mountinfo", "30 1 8:1 / / rw - ext4 /dev/sda1 rw\n");
    dom0.write("proc/swaps", "Filename Type Size Used Priority\n");
    let disk = "sys/devices/pci0000:00/0000:00:17.0/ata1/block/sda";
    dom0.write(&format!("{disk}/dev"), "8:0\n");
    std::fs::create_dir_all(dom0.path(&format!("{disk}/holders"))).unwrap();
    dom0.write(&format!("{disk}/sda1/dev"), "8:1\n");
    std::fs::create_dir_all(dom0.path(&format!("{disk}/sda1/holders"))).unwrap();
    std::fs::create_dir_all(dom0.path("sys/class/block")).unwrap();
    for (name, place) in [("sda", "sda"), ("sda1", "sda/sda1")] {
        let target = format!("../../devices/pci0000:00/0000:00:17.0/ata1/block/{place}");
        std::os::unix::fs::symlink(target, dom0.path(&format!("sys/class/block/{name}"))).unwrap();
    }
    let keyboard = "I: Bus=0003\nN: Name=\"Keyboard\"\nS: Sysfs=/devices/pci0000:00/0000:00:14.0/usb1/1-1/input/input1\n\
                    B: EV=120013\nB: KEY=fffffffffffffffe\n";
    dom0.write("proc/bus/input/devices", keyboard);
    dom0.write("sys/devices/pci0000:00/0000:00:14.0/usb1/1-1/input/input1/x", "");
    for (bdf, text) in
        [("00:02.0", "the display"), ("00:17.0", "is mounted"), ("00:14.0", "the only keyboard")]
    {
        dom0.run(&["--json", "next-boot", "--keep-away", bdf]).fails(3, "dom0-needs-it");
        dom0.run(&["next-boot", "--keep-away", bdf]).exits(3).says(text);
    }
}

#[test]
fn a_stop_and_a_policy_refuse_the_return() {
    let mut dom0 = with_card(qubes("4.3", "GRUB_CMDLINE_LINUX+=' rd.qubes.hide_pci=01:00.0'\n"));
    dom0.add(Function::root_port("0000:00:1c.0").held());
    dom0.run(&["--json", "next-boot", "--return", "00:1c.0"]).fails(3, "bridge");
    dom0.write("etc/qubes/dom0-pci.conf", "never-return 01:00.0\n");
    dom0.run(&["--json", "next-boot", "--return", "01:00.0"]).fails(3, "policy");
}

#[test]
fn a_stop_that_a_boot_ends_does_not_refuse_the_return() {
    let mut dom0 = with_card(qubes("4.3", "GRUB_CMDLINE_LINUX+=' rd.qubes.hide_pci=01:00.0,00:1b.0'\n"));
    dom0.add(Function::new("0000:00:1b.0", 0x1002, 0x67df, 0x03_0000).held().dead());
    dom0.qube_has(5, "work", "0000:01:00.0");
    dom0.run(&["show", "01:00.0"]).exits(0).says("in-use");
    dom0.run(&["show", "00:1b.0"]).exits(0).says("dead");
    dom0.run(&["next-boot", "--return", "01:00.0", "00:1b.0"]).exits(0).says("patch -p1 -d /");
    // What nothing drives gets no driver by an edit.
    dom0.add(Function::new("0000:00:1c.0", 0x1234, 0x5678, 0x08_8000));
    dom0.run(&["--json", "next-boot", "--return", "00:1c.0"]).fails(3, "no-edit");
}

#[test]
fn a_keyboard_that_would_be_locked_out_is_warned_of() {
    let mut dom0 = qubes("4.3", "GRUB_CMDLINE_LINUX+=' rd.qubes.hide_all_usb'\n");
    dom0.add(Function::usb("0000:00:14.0").driven("xhci_hcd"));
    let device = "sys/devices/pci0000:00/0000:00:14.0/usb1/1-1";
    dom0.write(&format!("{device}/bDeviceClass"), "00\n");
    for (name, parts) in [("1-1:1.0", ["03", "01", "01"]), ("1-1:1.1", ["08", "06", "50"])] {
        for (file, part) in ["bInterfaceClass", "bInterfaceSubClass", "bInterfaceProtocol"].iter().zip(parts)
        {
            dom0.write(&format!("{device}/{name}/{file}"), format!("{part}\n"));
        }
    }
    let place = "/devices/pci0000:00/0000:00:14.0/usb1/1-1/1-1:1.0/input/input1";
    dom0.write(&format!("sys{place}/x"), "");
    let keyboard =
        format!("I: Bus=0003\nN: Name=\"Many\"\nS: Sysfs={place}\nB: EV=120013\nB: KEY=fffffffffffffffe\n");
    dom0.write("proc/bus/input/devices", &keyboard);
    let rule = "allow with-interface match-all { 03:00:00 03:00:01 03:00:02 03:01:01 03:01:02 }\n";
    dom0.write("etc/usbguard/rules.d/30-qubes.conf", rule);
    let said = dom0.run(&["next-boot", "--return", "00:14.0"]).exits(0);
    said.says("keyboard-locked: after the next boot no keyboard might work").says("03:01:01 08:06:50");
    // One at the PS/2 port works all the same.
    let other = "I: Bus=0011\nN: Name=\"AT\"\nS: Sysfs=/devices/platform/i8042/serio0/input/input2\nB: EV=120013\nB: KEY=fffffffffffffffe\n";
    dom0.write("proc/bus/input/devices", format!("{keyboard}\n{other}"));
    dom0.run(&["next-boot", "--return", "00:14.0"]).exits(0).never_says("keyboard-locked");
    // What cannot be read may be the only one.
    std::fs::remove_file(dom0.path("proc/bus/input/devices")).unwrap();
    dom0.write("proc/bus/input/devices/x", "");
    dom0.run(&["next-boot", "--return", "00:14.0"]).exits(0).says("which keyboards dom0 has is not known");
    std::fs::remove_dir_all(dom0.path("proc/bus/input/devices")).unwrap();
    dom0.write("proc/bus/input/devices", &keyboard);
    dom0.write("etc/usbguard/rules.d/40-all.conf", "allow\n");
    dom0.run(&["next-boot", "--return", "00:14.0"]).exits(0).never_says("keyboard-locked");
    std::fs::remove_file(dom0.path(&format!("{device}/1-1:1.1/bInterfaceClass"))).unwrap();
    dom0.run(&["next-boot", "--return", "00:14.0"]).exits(0).says("its interfaces are not known");
}

#[test]
fn a_boot_that_would_stop_is_said_and_mended_with_the_edit() {
    let dom0 = with_card(qubes("4.2", "GRUB_CMDLINE_LINUX+=' rd.qubes.hide_pci=01:00.0,05:00.0'\n"));
    let answer = dom0.json(&["next-boot"]);
    assert_eq!(answer["boot"]["stops"], true);
    dom0.run(&["next-boot"]).exits(0).says("it would STOP");
    let answer = dom0.json(&["next-boot", "--keep-away", "01:00.0"]);
    assert_eq!(answer["edit"]["after"]["boot"]["stops"], false, "{answer}");
    patched(&dom0, &diff(&dom0, &["--keep-away", "01:00.0"]), false);
    is(&dom0.json(&["next-boot"]), "0000:01:00.0", "hidden", "after-edits");
}

#[test]
fn odd_input_gives_a_clear_answer_and_never_a_wrong_one() {
    let hidden = "rd.qubes.hide_all_usb";
    for (text, why) in [
        (format!("GRUB_CMDLINE_LINUX=\"{}\"\n", "a".repeat(1_000_000)), "longer than the 1023 bytes"),
        (format!("#{}\nGRUB_CMDLINE_LINUX=$(x)\n", "a".repeat(1_000_000)), "/etc/default/grub, line 4"),
        ("if true; then GRUB_CMDLINE_LINUX=x; fi\n".to_owned(), "line 3"),
        ("GRUB_CMDLINE_LINUX=\"x\n".to_owned(), "line 3"),
        ("GRUB_CMDLINE_LINUX=x\0\n".to_owned(), "line 3"),
        ("\r\nGRUB_CMDLINE_LINUX=x\r\n".to_owned(), "line 3"),
    ] {
        let mut dom0 = qubes("4.3", "");
        dom0.add(usb("0000:00:14.0"));
        source(&dom0, &text);
        let answer = dom0.json(&["next-boot"]);
        is(&answer, "0000:00:14.0", "unknown", "unknown");
        let said = dom0.run(&["next-boot", "--return", "00:14.0"]).exits(3);
        said.says(why);
    }
    for text in
        [format!("GRUB_CMDLINE_LINUX=\"a {hidden}\"\r\nX=1\r\n"), format!("GRUB_CMDLINE_LINUX='{hidden}'")]
    {
        let mut dom0 = qubes("4.3", "");
        dom0.add(usb("0000:00:14.0"));
        source(&dom0, &text);
        let after = applied(&dom0, &["--return", "00:14.0"]);
        assert_eq!(after.matches('\r').count(), text.matches('\r').count());
        assert_eq!(after.ends_with('\n'), text.ends_with('\n'));
    }
}

#[test]
fn links_and_files_that_cannot_be_read_are_said() {
    let mut dom0 = qubes("4.3", "");
    dom0.add(usb("0000:00:14.0"));
    dom0.remove("etc/default/grub");
    dom0.write("etc/real", "GRUB_CMDLINE_LINUX=rd.qubes.hide_all_usb\n");
    std::os::unix::fs::symlink("/etc/real", dom0.path("etc/default/grub")).unwrap();
    let answer = dom0.json(&["next-boot", "--return", "00:14.0"]);
    assert_eq!(answer["edit"]["files"][0]["path"], "/etc/real", "{answer}");
    patched(&dom0, &diff(&dom0, &["--return", "00:14.0"]), false);
    is(&dom0.json(&["next-boot"]), "0000:00:14.0", "driver", "yes");
    // A folder, a circle, nothing behind a link.
    for target in ["/etc", "/etc/default/grub", "/nothing"] {
        std::fs::remove_file(dom0.path("etc/default/grub")).unwrap();
        std::os::unix::fs::symlink(target, dom0.path("etc/default/grub")).unwrap();
        is(&dom0.json(&["next-boot"]), "0000:00:14.0", "unknown", "unknown");
        dom0.run(&["next-boot", "--return", "00:14.0"]).exits(11).says("cannot read");
    }
}

#[test]
fn a_command_line_that_makes_no_sense_is_refused() {
    let mut dom0 = qubes("4.3", "");
    dom0.add(usb("0000:00:14.0"));
    dom0.run(&["--json", "next-boot", "--return", "00:14.0", "--keep-away", "0000:00:14.0"])
        .fails(2, "usage");
    dom0.run(&["--json", "next-boot", "00:15.0"]).fails(2, "no-such-device");
}

#[test]
fn it_needs_neither_xen_nor_xenstore_nor_root() {
    let mut dom0 = Dom0::without_xenstored();
    dom0.remove("sys/hypervisor");
    dom0.remove("proc/xen");
    dom0.add(Function::nic("0000:00:07.0").driven("e1000e"));
    source(&dom0, "GRUB_CMDLINE_LINUX=quiet\n");
    let answer = dom0.json(&["next-boot"]);
    assert_eq!(answer["functions"][0]["next"], "driver", "{answer}");
    dom0.run(&["next-boot", "--keep-away", "00:07.0"]).exits(0).says("xen-pciback.hide=(0000:00:07.0)");
}

/// Each example of the manual: lines of the source, a command, and what is among what it says.
#[test]
fn the_examples_of_the_manual_do_what_it_says() {
    let page =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/man/qubes-dom0-pci-next-boot.7"))
            .unwrap();
    let page = page.replace("\\-", "-");
    let examples: Vec<&str> =
        page.split(".EX\n").skip(1).map(|rest| rest.split(".EE").next().unwrap()).collect();
    assert!(examples.len() >= 5);
    for example in examples {
        let (grub, rest) = example.split_once("$ qubes-dom0-pci ").unwrap();
        let (command, said) = rest.split_once('\n').unwrap();
        let mut dom0 = qubes("4.3", "");
        dom0.add(usb("0000:00:14.0")).add(usb("0000:00:1a.0"));
        dom0.write("etc/default/grub", grub);
        let words: Vec<&str> = command.split(' ').collect();
        let mut answer = dom0.run(&words).exits(0);
        for line in said.lines() {
            answer = answer.says(line);
        }
    }
}

#[test]
fn xens_own_configuration_of_old_qubes_counts_by_its_default() {
    let dom0 = with_card(qubes("4.0", ""));
    dom0.write("sys/firmware/efi/fw_platform_size", "64\n");
    let cfg = |default: &str| {
        format!(
            "[global]\ndefault={default}\n\n[old]\nkernel=vmlinuz-4.14 root=/dev/x ro\nramdisk=initramfs-4.14.img\n\n\
             [new]\noptions=loglvl=all\nkernel=vmlinuz-4.19 root=/dev/x ro rd.qubes.hide_pci=01:00.0\nramdisk=initramfs-4.19.img\n"
        )
    };
    dom0.write("boot/efi/EFI/qubes/xen.cfg", cfg("new"));
    let answer = dom0.json(&["next-boot"]);
    is(&answer, "0000:01:00.0", "hidden", "after-edits");
    assert_eq!(answer["functions"][1]["because"][0]["file"], "/boot/efi/EFI/qubes/xen.cfg", "{answer}");
    assert_eq!(answer["functions"][1]["because"][0]["line"], 10);
    dom0.write("boot/efi/EFI/qubes/xen.cfg", cfg("old"));
    is(&dom0.json(&["next-boot"]), "0000:01:00.0", "driver", "yes");
    dom0.write("boot/efi/EFI/qubes/xen.cfg", cfg("none of them"));
    is(&dom0.json(&["next-boot"]), "0000:01:00.0", "unknown", "unknown");
    // Where GRUB has a configuration, this file is what an upgrade left.
    dom0.write("boot/efi/EFI/qubes/xen.cfg", cfg("new"));
    generated(&dom0, "boot/efi/EFI/qubes/grub.cfg", "quiet");
    is(&dom0.json(&["next-boot"]), "0000:01:00.0", "driver", "yes");
}

#[test]
fn entries_of_the_boot_loader_specification_start_linux_without_xen() {
    let dom0 = with_card(Dom0::new());
    dom0.write("etc/os-release", "ID=fedora\n");
    source(&dom0, "GRUB_CMDLINE_LINUX=\"xen-pciback.hide=(01:00.0)\"\n");
    dom0.write("boot/loader/entries/abc-6.12.conf", "title Fedora 6.12\nlinux /vmlinuz-6.12\noptions ro\n");
    dom0.write(
        "boot/grub2/grub.cfg",
        "insmod blscfg\nblscfg\nset default=\"${saved_entry}\"\nmenuentry 'Fedora, with Xen hypervisor' --id xen {\n\
         \tmultiboot2 /xen.gz placeholder\n\tmodule2 /vmlinuz placeholder ro xen-pciback.hide=(01:00.0)\n}\n",
    );
    let boots = |entry: &str| {
        dom0.write("boot/grub2/grubenv", format!("# GRUB Environment Block\nsaved_entry={entry}\n"));
        dom0.json(&["next-boot"])
    };
    is(&boots("xen"), "0000:01:00.0", "hidden", "after-edits");
    let answer = boots("abc-6.12");
    is(&answer, "0000:01:00.0", "unknown", "unknown");
    assert!(answer["boot"]["why"].as_str().unwrap().contains("does not start Xen"), "{answer}");
    dom0.run(&["--json", "next-boot", "--return", "01:00.0"]).fails(3, "no-edit");
    // What is in a folder that cannot be read is not known.
    dom0.remove("boot/loader/entries");
    dom0.write("boot/loader/entries", "no folder");
    is(&boots("xen"), "0000:01:00.0", "unknown", "unknown");
}

#[test]
fn words_that_dracut_builds_into_the_initramfs_make_it_unknown() {
    let dom0 = with_card(qubes("4.3", ""));
    generated(&dom0, "boot/grub2/grub.cfg", QUBES);
    for (text, known) in [
        ("hostonly=yes\n# kernel_cmdline=\"rd.qubes.hide_all_usb\"\n", true),
        ("kernel_cmdline+=\" rd.lvm.lv=qubes_dom0/root \"\n", true),
        ("x=y\nkernel_cmdline=\"rd.qubes.hide_pci=01:00.0\"\n", false),
        ("kernel_cmdline=\"quiet\n rd.qubes.hide_all_usb\"\n", false),
        ("kernel_cmdline+=\" $(cat /etc/words) \"\n", false),
    ] {
        dom0.write("etc/dracut.conf.d/mine.conf", text);
        let (place, returns) = if known { ("driver", "yes") } else { ("unknown", "unknown") };
        is(&dom0.json(&["next-boot"]), "0000:01:00.0", place, returns);
    }
    dom0.write("etc/dracut.conf.d/mine.conf", "x=y\nkernel_cmdline=\"rd.qubes.hide_pci=01:00.0\"\n");
    let said = dom0.run(&["next-boot", "--keep-away", "01:00.0"]).exits(3);
    said.says("/etc/dracut.conf.d/mine.conf, line 2").says("dracut --force");
}

#[test]
fn where_the_list_of_what_is_built_in_cannot_be_read_drivers_are_unknown() {
    let mut dom0 = with_card(qubes("4.3", ""));
    dom0.add(Function::usb("0000:00:14.0").driven("xhci_hcd"));
    is(&dom0.json(&["next-boot"]), "0000:01:00.0", "driver", "yes");
    let release = std::fs::read_to_string(dom0.path("proc/sys/kernel/osrelease")).unwrap();
    let list = format!("lib/modules/{}/modules.builtin", release.trim());
    if dom0.path(&list).exists() {
        dom0.remove(&list);
    }
    dom0.write(&format!("{list}/x"), "a folder in its place");
    let answer = dom0.json(&["next-boot"]);
    assert_eq!(next(&answer, "0000:01:00.0").0, "unknown", "{answer}");
    assert!(answer["unseen"].to_string().contains("modules.builtin"), "{answer}");
}

#[test]
fn show_has_one_edit_for_all_that_are_asked_for() {
    let mut dom0 = qubes("4.2", "GRUB_CMDLINE_LINUX=\"$GRUB_CMDLINE_LINUX rd.qubes.hide_all_usb\"\n");
    dom0.add(usb("0000:00:14.0")).add(usb("0000:00:1a.0"));
    dom0.add(Function::new("0000:00:02.0", 0x8086, 0x1234, 0x03_0000).driven("i915"));
    dom0.add(Function::new("0000:00:02.1", 0x8086, 0x1234, 0x03_0000).held().quarantined());
    std::os::unix::fs::symlink("../0000:00:02.0", dom0.path("sys/bus/pci/devices/0000:00:02.1/physfn"))
        .unwrap();
    let one = "qubes-dom0-pci next-boot --return 0000:00:14.0 0000:00:1a.0 --diff | patch -p1 -d /";
    for (command, status) in [("show", 0), ("plan", 4)] {
        let said = dom0.run(&[command, "00:14.0", "00:1a.0"]).exits(status).says(one);
        said.never_says("--return 0000:00:14.0 --diff").never_says("--return 0000:00:1a.0 --diff");
    }
    // One that no edit returns is left out of it.
    dom0.run(&["show", "00:14.0", "00:02.1", "00:1a.0"]).exits(0).says(one);
}
