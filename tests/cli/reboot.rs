//! What a reboot would do is part of every verdict.

use crate::model::{Dom0, Function, QubesdFault, QUBES_42, QUBES_43};

const NIC: &str = "0000:00:07.0";

fn held_with_cmdline(words: &str) -> Dom0 {
    let dom0 = Dom0::with(Function::usb(NIC).held());
    dom0.write("etc/qubes-release", "Qubes release 4.3.0 (R4.3)\n");
    dom0.write("var/lib/qubes/qubes.xml", "<qubes><domains/></qubes>");
    boots_with(&dom0, &format!("root=/dev/mapper/dom0-root {words} ro"));
    dom0
}

/// This boot and the next have these words.
fn boots_with(dom0: &Dom0, words: &str) {
    dom0.write("proc/cmdline", format!("{words}\n"));
    dom0.write("etc/default/grub", format!("GRUB_CMDLINE_LINUX='{words}'\n"));
}

#[track_caller]
fn returns(dom0: &Dom0) {
    dom0.run(&["show", NIC])
        .exits(0)
        .says("reboot a reboot returns it")
        .never_says("reboot-would-not-return");
    assert_eq!(dom0.json(&["plan", NIC])["plan"]["reboot"]["returns"], true);
}

#[track_caller]
fn does_not_return(dom0: &Dom0, why: &str) {
    dom0.run(&["show", NIC])
        .exits(0)
        .says("reboot a reboot does not return it, until this changes:")
        .says(&format!("note reboot-would-not-return: a reboot would not give it back to dom0 ({why}"));
    assert_eq!(dom0.json(&["plan", NIC])["plan"]["reboot"]["returns"], false);
}

#[test]
fn a_reboot_returns_what_nothing_hides() {
    let mut dom0 = held_with_cmdline("rd.qubes.hide_pci=00:09.0,00:08.0 xen-pciback.hide=(00:08.0)");
    dom0.add(Function::nic("0000:00:08.0").held());
    returns(&dom0);
    returns(&held_with_cmdline("rd.qubes.hide_pci="));
}

#[test]
fn a_function_the_initramfs_hides() {
    for list in ["00:07.0", "0000:00:07.0", "00:01.0,00:07.0"] {
        let dom0 = held_with_cmdline(&format!("rd.qubes.hide_pci={list}"));
        does_not_return(&dom0, "rd.qubes.hide_pci names it");
    }
}

#[test]
fn every_usb_controller_is_hidden() {
    let dom0 = held_with_cmdline("rd.qubes.hide_all_usb");
    does_not_return(&dom0, "rd.qubes.hide_all_usb hides every USB controller");
    let dom0 = Dom0::with(Function::new(NIC, 0x8086, 0x10d3, 0x01_0802).held());
    dom0.write("proc/cmdline", "rd.qubes.hide_all_usb\n");
    returns(&dom0);
}

#[test]
fn a_function_pciback_itself_hides() {
    for list in ["(00:07.0)", "(0000:00:07.0)", "(00:01.0)(0000:00:07.0)", "(00:07.*)"] {
        let dom0 = held_with_cmdline(&format!("xen-pciback.hide={list}"));
        does_not_return(&dom0, "xen-pciback.hide names it");
    }
    // The kernel takes both letters in a module's name.
    let dom0 = held_with_cmdline("xen_pciback.hide=(00:07.0)");
    does_not_return(&dom0, "xen-pciback.hide names it");
}

#[test]
fn qubes_hides_every_network_device_at_boot() {
    let dom0 = Dom0::with(Function::nic(NIC).held());
    returns(&dom0);
    dom0.write("etc/qubes-release", "Qubes release 4.3.0 (R4.3)\n");
    does_not_return(&dom0, "Qubes hides every network device from dom0 at boot");
}

#[test]
fn what_a_warm_reboot_does_not_clear_is_powered_off() {
    let functions = [Function::usb(NIC).held().without_reset(), Function::usb(NIC).held().resets_by("")];
    for function in functions {
        Dom0::with(function)
            .run(&["plan", NIC])
            .exits(4)
            .says("reboot; powering off and starting returns it");
    }
    let dom0 = held_with_cmdline("");
    dom0.write("sys/bus/pci/drivers/pciback/permissive", format!("{NIC}\n"));
    dom0.run(&["plan", NIC]).exits(4).says("powering off and starting returns it");
}

#[test]
fn what_dom0_drives_needs_no_reboot() {
    let dom0 = Dom0::with(Function::usb(NIC).driven("xhci_hcd"));
    dom0.write("proc/cmdline", "rd.qubes.hide_all_usb\n");
    dom0.run(&["show", NIC]).exits(0).never_says("reboot-would-not-return");
}

/// Qubes 4.2 as it installs itself with a USB qube (the installer's kernel version is on the line too), without the
/// last word.
const CMDLINE_42: &str = "placeholder root=/dev/mapper/qubes_dom0-root ro \
    rd.luks.uuid=luks-aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee rd.lvm.lv=qubes_dom0/root rd.lvm.lv=qubes_dom0/swap \
    plymouth.ignore-serial-consoles 6.1.62-1.qubes.fc37.x86_64 x86_64 rhgb quiet";

/// A graphics card that is hidden on purpose, as users of Qubes have it.
const CMDLINE_GPU: &str = "placeholder root=/dev/mapper/qubes_dom0-root ro \
    rd.luks.uuid=luks-aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee rd.lvm.lv=qubes_dom0/root rd.lvm.lv=qubes_dom0/swap \
    rd.qubes.hide_pci=01:00.0,01:00.1 xen-pciback.passthrough=1 i915.alpha_support=1 rhgb quiet \
    plymouth.ignore-serial-consoles";

/// Qubes 4.3 with a USB keyboard.
const CMDLINE_43: &str = "placeholder root=/dev/mapper/qubes_dom0-root ro \
    rd.luks.uuid=luks-aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee rd.lvm.lv=qubes_dom0/root rd.lvm.lv=qubes_dom0/swap \
    plymouth.ignore-serial-consoles rhgb quiet usbcore.authorized_default=0";

const USB: &str = "0000:00:14.0";
const CARD: &str = "0000:01:00.0";
const MKCONFIG: &str = "grub2-mkconfig -o /boot/grub2/grub.cfg";

/// A Qubes dom0 with a USB controller, a network card and a card behind a bridge, which nobody is assigned but as a
/// test says.
fn qubes(transcript: &str, cmdline: &str) -> (Dom0, crate::model::Qubesd) {
    let mut dom0 = Dom0::with(Function::usb(USB).held());
    dom0.add(Function::nic(NIC).held());
    dom0.add(Function::root_port("0000:00:1c.0").attribute("secondary_bus_number", "1"));
    dom0.add(Function::usb(CARD).held().behind(&["0000:00:1c.0"]));
    boots_with(&dom0, cmdline);
    let release = if transcript == QUBES_42 { "4.2.4 (R4.2)" } else { "4.3.0 (R4.3)" };
    dom0.write("etc/qubes-release", format!("Qubes release {release}\n"));
    let qubesd = dom0.qubes(transcript);
    qubesd.lists("");
    (dom0, qubesd)
}

/// Why a reboot does not return a function, and what to run.
#[track_caller]
fn obstacles(dom0: &Dom0, bdf: &str) -> Vec<(String, String)> {
    let shown = dom0.json(&["show", bdf])["reboot"].clone();
    let planned = dom0.json(&["plan", bdf])["plan"]["reboot"].clone();
    assert_eq!(shown, planned);
    let obstacles = shown["obstacles"].as_array().unwrap();
    assert_eq!(shown["returns"], obstacles.is_empty());
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    obstacles.iter().map(|obstacle| (text(&obstacle["what"]), text(&obstacle["command"]))).collect()
}

fn told(what: &str, commands: &[&str]) -> Vec<(String, String)> {
    vec![(what.to_owned(), commands.join(" && "))]
}

/// What is told where the words of the kernel's command line have to change.
fn edit(what: &str, bdf: &str) -> Vec<(String, String)> {
    told(what, &[&patch(bdf), MKCONFIG])
}

fn patch(bdf: &str) -> String {
    format!("qubes-dom0-pci next-boot --return {bdf} --diff | patch -p1 -d /")
}

/// The lines that the proposed edit puts into the files.
fn new_lines(dom0: &Dom0, bdf: &str) -> Vec<String> {
    let output = dom0.command(&["next-boot", "--return", bdf, "--diff"]).output().unwrap();
    let diff = String::from_utf8(output.stdout).unwrap();
    let new = diff.lines().filter(|line| !line.starts_with("+++")).filter_map(|line| line.strip_prefix('+'));
    new.map(str::to_owned).collect()
}

#[track_caller]
fn writes(dom0: &Dom0, bdf: &str, words: &str) {
    let new = new_lines(dom0, bdf);
    assert!(new.iter().any(|line| line.contains(words)), "{words}: {new:?}");
}

const HIDES_USB: &str = "rd.qubes.hide_all_usb hides every USB controller (/etc/default/grub, line 1)";
const NAMES_IT: &str = "rd.qubes.hide_pci names it (/etc/default/grub, line 1)";
const HIDES_NETWORK: &str = "Qubes hides every network device from dom0 at boot";

#[test]
fn the_usb_controllers_of_a_qubes_4_2_stay_hidden() {
    let (dom0, _) = qubes(QUBES_42, &format!("{CMDLINE_42} rd.qubes.hide_all_usb"));
    assert_eq!(obstacles(&dom0, USB), edit(HIDES_USB, USB));
    writes(&dom0, USB, "rd.qubes.dom0_usb=00:14.0 usbcore.authorized_default=0");
    dom0.run(&["show", USB]).says("So that a reboot returns it, as root:").says(&patch(USB)).says(MKCONFIG);
    dom0.run(&["plan", USB]).exits(4).says(&patch(USB));
    let (dom0, _) = qubes(QUBES_42, CMDLINE_42);
    assert_eq!(obstacles(&dom0, USB), []);
    dom0.run(&["show", USB]).never_says("So that a reboot");
}

#[test]
fn the_switch_is_taken_as_dracut_takes_it() {
    for (word, hidden) in [
        ("rd.qubes.hide_all_usb=1", true),
        ("rd.qubes.hide_all_usb=yes", true),
        ("rd.qubes.hide_all_usb=0", false),
        ("rd.qubes.hide_all_usb=no", false),
        ("rd.qubes.hide_all_usb rd.qubes.hide_all_usb=off", false),
        ("rd.qubes.hide_all_usb=false rd.qubes.hide_all_usb", true),
        ("rd.qubes.hide_all_usbx", false),
        ("rd.qubes.hide-all-usb", false),
    ] {
        let (dom0, _) = qubes(QUBES_43, &format!("{CMDLINE_43} {word}"));
        assert_eq!(!obstacles(&dom0, USB).is_empty(), hidden, "{word}");
    }
}

#[test]
fn a_usb4_host_interface_is_hidden_with_them() {
    let (mut dom0, _) = qubes(QUBES_43, &format!("{CMDLINE_43} rd.qubes.hide_all_usb"));
    dom0.add(Function::new("0000:00:0d.2", 0x8086, 0x9a1b, 0x0c_0340).held());
    assert_eq!(obstacles(&dom0, "0000:00:0d.2")[0].0, HIDES_USB);
}

#[test]
fn a_controller_that_is_left_to_dom0_comes_back() {
    let (dom0, _) =
        qubes(QUBES_42, &format!("{CMDLINE_42} rd.qubes.hide_all_usb rd.qubes.dom0_usb=00:1a.0,00:14.0"));
    assert_eq!(obstacles(&dom0, USB), []);
    // 4.2 compares texts, and drops a list that has what it does not know.
    for list in ["0000:00:14.0", "00_14.0", "00:14.0,00_1a.0", "00:14.0,X"] {
        let (dom0, _) =
            qubes(QUBES_42, &format!("{CMDLINE_42} rd.qubes.hide_all_usb rd.qubes.dom0_usb={list}"));
        assert_eq!(obstacles(&dom0, USB)[0].0, HIDES_USB, "{list}");
    }
    // 4.3 compares what they lead to.
    for list in ["0000:00:14.0", "00_14.0", "00:14.0,00_1a.0"] {
        let (dom0, _) =
            qubes(QUBES_43, &format!("{CMDLINE_43} rd.qubes.hide_all_usb rd.qubes.dom0_usb={list}"));
        assert_eq!(obstacles(&dom0, USB), [], "{list}");
        // The last one counts alone: what is added names them all.
        assert_eq!(obstacles(&dom0, CARD), edit(HIDES_USB, CARD));
        writes(&dom0, CARD, &format!("rd.qubes.dom0_usb={list},00_1c.0-00_00.0"));
    }
    let (dom0, _) =
        qubes(QUBES_43, &format!("{CMDLINE_43} rd.qubes.hide_all_usb rd.qubes.dom0_usb=00_1c.0-00_00.0"));
    assert_eq!(obstacles(&dom0, CARD), []);
}

#[test]
fn network_is_hidden_whatever_the_command_line_says() {
    for (transcript, cmdline) in [(QUBES_42, CMDLINE_42), (QUBES_43, CMDLINE_43)] {
        let (dom0, _) = qubes(transcript, cmdline);
        assert_eq!(obstacles(&dom0, NIC), edit(HIDES_NETWORK, NIC));
        writes(&dom0, NIC, " rd.qubes.dom0_usb=00:07.0'");
        // But for what it says of USB: the script asks no class there.
        let (dom0, _) = qubes(transcript, &format!("{cmdline} rd.qubes.dom0_usb=00:07.0"));
        assert_eq!(obstacles(&dom0, NIC), []);
    }
}

#[test]
fn a_hidden_card_is_taken_off_the_list() {
    let (mut dom0, _) = qubes(QUBES_42, CMDLINE_GPU);
    // No 01:00.1 is there: the boot would stop for it, and does so now.
    assert!(obstacles(&dom0, CARD)[0].0.starts_with("the boot would stop"));
    dom0.add(Function::usb("0000:01:00.1").held().behind(&["0000:00:1c.0"]));
    assert_eq!(obstacles(&dom0, CARD), edit(NAMES_IT, CARD));
    writes(&dom0, CARD, " rd.qubes.hide_pci=01:00.1 ");
    assert_eq!(obstacles(&dom0, USB), []);
    // 4.3 has paths.
    let (dom0, _) = qubes(QUBES_43, &format!("{CMDLINE_43} rd.qubes.hide_pci=00_1c.0-00_00.0"));
    assert_eq!(obstacles(&dom0, CARD), edit(NAMES_IT, CARD));
    assert!(!new_lines(&dom0, CARD)[0].contains("rd.qubes.hide_pci"));
    for other in ["00_1c.0", "00_1c.0-00_00.1,00:14.0", "05:00.0,00:14.0"] {
        let (dom0, _) = qubes(QUBES_43, &format!("{CMDLINE_43} rd.qubes.hide_pci={other}"));
        assert_eq!(obstacles(&dom0, CARD), [], "{other}");
    }
    // What is not there as the last of all, or a path that leads nowhere, stops the boot.
    for other in ["00_1c.0-00_00.1", "00_1d.0-00_00.0,00:14.0", "01:00.1"] {
        let (dom0, _) = qubes(QUBES_43, &format!("{CMDLINE_43} rd.qubes.hide_pci={other}"));
        assert!(!obstacles(&dom0, CARD).is_empty(), "{other}");
    }
    // The last list counts alone.
    let (dom0, _) = qubes(QUBES_43, &format!("{CMDLINE_GPU} rd.qubes.hide_pci=00:14.0"));
    assert_eq!(obstacles(&dom0, CARD), []);
    assert_eq!(obstacles(&dom0, USB)[0].0, NAMES_IT);
}

#[test]
fn what_no_list_may_hold_is_shown_escaped_and_goes_with_the_edit() {
    let (dom0, _) = qubes(QUBES_43, CMDLINE_43);
    let words = format!("{CMDLINE_43} rd.qubes.hide_pci=00:14.0,(x)\x1b");
    dom0.write("etc/default/grub", format!("GRUB_CMDLINE_LINUX='{words}'\n"));
    assert!(obstacles(&dom0, USB)[0].0.starts_with("the boot would stop"));
    dom0.run(&["next-boot"]).exits(0).says("it would STOP");
    assert!(!new_lines(&dom0, USB)[0].contains("rd.qubes.hide_pci"));
}

#[test]
fn pcibacks_own_list_has_wildcards() {
    for (list, hidden) in [
        ("(00:14.*)", true),
        ("(0000:00:14.*)", true),
        ("(00:*.*)", true),
        ("(00:1.*)", false),
        ("(01:*.*)", false),
        ("(0000:00:07.0)(00:06.*)", false),
        // xen-pciback does not load with it.
        ("(nonsense)", false),
    ] {
        let (dom0, _) = qubes(QUBES_43, &format!("{CMDLINE_43} xen-pciback.hide={list}"));
        assert_eq!(!obstacles(&dom0, USB).is_empty(), hidden, "{list}");
    }
    let (dom0, _) = qubes(QUBES_43, &format!("{CMDLINE_43} xen-pciback.hide=(00:14.0)(00:1a.*)"));
    assert_eq!(obstacles(&dom0, USB), edit("xen-pciback.hide names it (/etc/default/grub, line 1)", USB));
    writes(&dom0, USB, " xen-pciback.hide=(00:1a.*)'");
}

#[test]
fn modprobes_files_tell_pciback_to_hide_it() {
    let (dom0, _) = qubes(QUBES_43, CMDLINE_43);
    dom0.write("etc/modprobe.d/pciback.conf", "# mine\noptions xen-pciback hide=(0000:00:14.0)(00:1a.0)\n");
    dom0.write("etc/modprobe.d/pciback.conf.off", "options xen-pciback hide=(01:00.0)\n");
    let what = "`options xen-pciback hide` names it (/etc/modprobe.d/pciback.conf, line 2)";
    assert_eq!(obstacles(&dom0, USB), told(what, &[&patch(USB), "dracut --force"]));
    assert_eq!(new_lines(&dom0, USB), ["options xen-pciback hide=(00:1a.0)"]);
    assert_eq!(obstacles(&dom0, CARD), []);
}

#[test]
fn a_blacklisted_module_is_not_loaded_at_the_next_boot_either() {
    let (dom0, _) = qubes(QUBES_43, CMDLINE_43);
    dom0.write("etc/modprobe.d/usb.conf", "blacklist xhci-pci\n");
    // The initramfs may have the module loaded before.
    let what = "the module xhci_pci is blacklisted (/etc/modprobe.d/usb.conf, line 1)";
    let found = obstacles(&dom0, USB);
    assert_eq!(found[0].0, what);
    // The other controller has the same module.
    assert!(found[1].0.contains("the same edit would return 0000:01:00.0"), "{found:?}");
    let commands = dom0.json(&["next-boot", "--return", USB, CARD])["edit"]["commands"].clone();
    assert_eq!(commands[1], "dracut --force");
    let (mut dom0, _) = qubes(QUBES_43, &format!("{CMDLINE_43} modprobe.blacklist=xhci_pci"));
    assert_eq!(obstacles(&dom0, USB)[0].0, "modprobe.blacklist names it (/etc/default/grub, line 1)");
    // Another module drives it then.
    dom0.claim("xhci_pci_renesas", "pci:v*d*sv*sd*bc0Csc03i30*");
    assert_eq!(obstacles(&dom0, USB), []);
}

#[test]
fn driverctl_binds_it_to_what_only_holds_it() {
    for (driver, held) in
        [("vfio-pci", true), ("pciback", true), ("none", true), ("", true), ("xhci_hcd", false)]
    {
        let (dom0, _) = qubes(QUBES_43, CMDLINE_43);
        dom0.write(&format!("etc/driverctl.d/pci-{USB}"), format!("{driver}\n"));
        let what = format!("driverctl binds it to {driver} (/etc/driverctl.d/pci-{USB}, line 1)");
        let found = if held { told(&what, &["rm /etc/driverctl.d/pci-0000:00:14.0"]) } else { vec![] };
        assert_eq!(obstacles(&dom0, USB), found);
        assert_eq!(obstacles(&dom0, CARD), []);
    }
}

/// Answers for one halted qube that is assigned the card.
fn assigned(qubesd: &crate::model::Qubesd, assignment: &str, autostart: &str, network: &str) {
    let is_43 = assignment.contains("port_id");
    let uuid = if is_43 { " uuid=cb084001-53d5-4ae7-809b-ec7b16c397a8" } else { "" };
    qubesd.lists(&format!("sys-usb class=AppVM state=Halted{uuid}\\n"));
    let method = if is_43 { "admin.vm.device.pci.Assigned+" } else { "admin.vm.device.pci.List+" };
    qubesd.answers(method, "sys-usb", &format!("{assignment}\\n"));
    qubesd.answers(
        "admin.vm.property.Get+autostart",
        "sys-usb",
        &format!("default=False type=bool {autostart}"),
    );
    qubesd.answers(
        "admin.vm.property.Get+provides_network",
        "sys-usb",
        &format!("default=True type=bool {network}"),
    );
}

const ASSIGNED_42: &str = "dom0+01_00.0 persistent=yes";
const ASSIGNED_43: &str = "x device_id='*' port_id='00_1c.0-00_00.0' backend_domain='dom0' mode='required'";

#[test]
fn a_qube_that_starts_by_itself_takes_it() {
    let what = "sys-usb is assigned it and starts by itself";
    let (dom0, qubesd) = qubes(QUBES_42, CMDLINE_42);
    assigned(&qubesd, ASSIGNED_42, "True", "False");
    assert_eq!(obstacles(&dom0, CARD), told(what, &["qvm-pci detach sys-usb dom0:01_00.0"]));
    dom0.run(&["plan", CARD]).exits(4).says("  qvm-pci detach sys-usb dom0:01_00.0");

    let identified = ASSIGNED_43.replace("'*'", "'0x1b36:0x000d::p0c0330'");
    let anywhere = identified.replace("00_1c.0-00_00.0", "*");
    for (assignment, command) in [
        (ASSIGNED_43, "qvm-pci unassign --port sys-usb dom0:00_1c.0-00_00.0"),
        (&identified, "qvm-pci unassign sys-usb dom0:00_1c.0-00_00.0:0x1b36:0x000d::p0c0330"),
        (&anywhere, "qvm-pci unassign --device sys-usb dom0:00_1c.0-00_00.0"),
    ] {
        let (dom0, qubesd) = qubes(QUBES_43, CMDLINE_43);
        assigned(&qubesd, assignment, "True", "False");
        assert_eq!(obstacles(&dom0, CARD), told(what, &[command]));
    }
}

#[test]
fn a_qube_that_starts_only_when_asked_does_not() {
    let (dom0, qubesd) = qubes(QUBES_43, CMDLINE_43);
    assigned(&qubesd, ASSIGNED_43, "False", "False");
    assert_eq!(obstacles(&dom0, CARD), []);
    // One that gives others a network is started by them.
    assigned(&qubesd, ASSIGNED_43, "False", "True");
    assert_eq!(
        obstacles(&dom0, CARD)[0].0,
        "sys-usb is assigned it and starts with the first qube that uses its network"
    );
    // What is not told counts as yes.
    assigned(&qubesd, ASSIGNED_43, "?", "False");
    assert_eq!(obstacles(&dom0, CARD)[0].0, "sys-usb is assigned it and may start by itself");
}

#[test]
fn no_qube_starts_by_itself_where_the_command_line_always_says_so() {
    let (dom0, qubesd) = qubes(QUBES_43, CMDLINE_43);
    dom0.write("proc/cmdline", "quiet qubes.skip_autostart\n");
    assigned(&qubesd, ASSIGNED_43, "True", "False");
    assert_eq!(obstacles(&dom0, CARD)[0].0, "sys-usb is assigned it and starts by itself");
    dom0.write("etc/default/grub", "GRUB_CMDLINE_LINUX=\"$GRUB_CMDLINE_LINUX qubes.skip_autostart\"\n");
    assert_eq!(obstacles(&dom0, CARD), []);
}

#[test]
fn where_qubes_does_not_say_who_is_assigned_it_no_return_is_promised() {
    let (dom0, qubesd) = qubes(QUBES_43, CMDLINE_43);
    qubesd.fails(QubesdFault::Refuses);
    let what = "it cannot be told whether a qube that starts by itself takes it";
    assert_eq!(obstacles(&dom0, CARD), told(what, &["systemctl status qubesd"]));
    // The file of 4.2 says that sys-net is assigned it, and with which command that ends.
    dom0.write("var/lib/qubes/qubes.xml", std::fs::read("tests/data/qubesd/qubes-4.2.xml").unwrap());
    let found = obstacles(&dom0, CARD);
    assert_eq!(found[0].1, "systemctl start qubesd && qvm-pci detach sys-net dom0:01_00.0", "{found:?}");
}

#[test]
fn what_must_be_changed_at_one_place_is_written_once() {
    let (dom0, _) = qubes(QUBES_43, &format!("{CMDLINE_43} rd.qubes.hide_all_usb rd.qubes.hide_pci=00:14.0"));
    assert_eq!(obstacles(&dom0, USB).len(), 2);
    assert_eq!(dom0.run(&["show", USB]).out.matches(MKCONFIG).count(), 1);
    writes(&dom0, USB, " rd.qubes.hide_all_usb rd.qubes.dom0_usb=00:14.0'");
}
