//! What a person has to accept, each by its id.

use crate::model::{Dom0, Function};
use serde_json::Value;

const NIC: &str = "0000:00:07.0";

#[track_caller]
fn warned(dom0: &Dom0, id: &str) {
    let plan = dom0.run_changing_nothing(&["--json", "plan", NIC]).exits(4).json();
    let hazards = plan["device"]["hazards"].as_array().unwrap();
    let hazard = hazards.iter().find(|hazard| hazard["id"] == id).unwrap_or_else(|| panic!("{plan}"));
    assert_eq!(hazard["severity"], "warn");
    assert_eq!(hazard["accept"], id);
    assert!(plan["accept"].as_array().unwrap().iter().any(|accept| accept == id));
}

#[track_caller]
fn not_warned(dom0: &Dom0, id: &str) {
    let hazards = dom0.hazards(NIC);
    assert!(!hazards.iter().any(|hazard| hazard == id), "{hazards:?}");
}

#[test]
fn a_function_that_cannot_be_reset() {
    warned(&Dom0::with(Function::nic(NIC).held().without_reset()), "no-reset");
    not_warned(&Dom0::with(Function::nic(NIC).held()), "no-reset");
}

#[test]
fn a_function_that_is_reset_only_with_its_bus() {
    warned(&Dom0::with(Function::nic(NIC).held().resets_by("bus")), "bus-reset-only");
    not_warned(&Dom0::with(Function::nic(NIC).held().resets_by("flr bus")), "bus-reset-only");
}

#[test]
fn a_function_of_which_the_kernel_does_not_say_how_it_is_reset() {
    warned(&Dom0::with(Function::nic(NIC).held().resets_by("")), "reset-doubtful");
}

#[test]
fn a_function_in_permissive_mode() {
    let dom0 = Dom0::with(Function::nic(NIC).held());
    dom0.write("sys/bus/pci/drivers/pciback/permissive", format!("{NIC}\n"));
    warned(&dom0, "permissive");
}

#[test]
fn a_function_a_qube_had_in_permissive_mode() {
    let dom0 = Dom0::with(Function::nic(NIC).held().quarantined());
    dom0.node("/local/domain/0/backend/pci/7/0/dev-0", NIC);
    dom0.node("/local/domain/0/backend/pci/7/0/opts-0", "msitranslate=0,power_mgmt=0,permissive=1");
    warned(&dom0, "permissive");
    dom0.node("/local/domain/0/backend/pci/7/0/opts-0", "msitranslate=0,power_mgmt=0,permissive=0");
    not_warned(&dom0, "permissive");
}

#[test]
fn a_machine_without_an_iommu() {
    let dom0 = Dom0::with(Function::nic(NIC).held());
    not_warned(&dom0, "no-iommu");
    dom0.write("proc/xen/model/no-iommu", "");
    warned(&dom0, "no-iommu");
}

#[test]
fn the_classes_that_can_hurt_dom0() {
    let classes = [
        (0x0c_0330, "usb"),
        (0x02_0000, "network"),
        (0x02_8000, "network"),
        (0x0d_8000, "network"),
        (0x01_0802, "storage"),
        (0x01_0601, "storage"),
        (0x08_0501, "storage"),
        (0x0c_0400, "storage"),
        (0x0c_0010, "storage"),
        (0xff_0000, "storage"),
        (0x00_ff00, "storage"),
        (0x03_0000, "display"),
    ];
    for (class, id) in classes {
        let mut dom0 = Dom0::with(Function::new(NIC, 0x1234, 0x5678, class).held());
        dom0.claim("driver", "pci:v00001234d00005678sv*sd*bc*sc*i*");
        warned(&dom0, id);
    }
    let mut dom0 = Dom0::with(Function::new(NIC, 0x1234, 0x5678, 0x04_0300).held());
    dom0.claim("driver", "pci:v00001234d00005678sv*sd*bc*sc*i*");
    for (_, id) in classes {
        not_warned(&dom0, id);
    }
}

#[test]
fn what_is_said_of_the_guard_of_a_usb_function_is_what_is_planned() {
    for (class, words, guarded) in [
        (0x0c_0330, "unauthorized until allowed", true),
        (0x0c_0380, "but not those of a bus that it makes later", true),
        (0x0c_03fe, "but not those of a bus that it makes later", true),
        (0x0c_0340, "through tunnels that are not guarded", false),
    ] {
        let mut dom0 = Dom0::with(Function::new(NIC, 0x1234, 0x5678, class).held());
        dom0.claim("driver", "pci:v00001234d00005678sv*sd*bc*sc*i*");
        let plan = dom0.json(&["plan", NIC]);
        let found = |all: &Value, name: &str, value: &str| {
            all.as_array().unwrap().iter().find(|one| one[name] == value).cloned().unwrap()
        };
        let sentence =
            found(&plan["device"]["hazards"], "id", "usb")["sentence"].as_str().unwrap().to_owned();
        assert!(sentence.ends_with(words), "{class:06x}: {sentence}");
        for step in ["guard", "unguard"] {
            assert_eq!(
                found(&plan["plan"]["steps"], "step", step)["skipped"].is_null(),
                guarded,
                "{class:06x}: {plan}"
            );
        }
    }
}

#[test]
fn a_qube_that_had_it_is_named_once() {
    let dom0 = Dom0::with(Function::nic(NIC).held().quarantined());
    dom0.node("/local/domain/0/backend/pci/7/0/dev-0", NIC);
    dom0.node("/local/domain/0/backend/pci/7/0/domain", "sys-net");
    dom0.node("/local/domain/0/backend/pci/8/0/dev-0", NIC);
    dom0.node("/local/domain/0/backend/pci/8/0/domain", "work");
    dom0.node("/local/domain/0/backend/pci/9/0/dev-0", NIC);
    dom0.node("/local/domain/0/backend/pci/9/0/domain", "sys-net");
    let accept = dom0.json(&["plan", NIC])["accept"].clone();
    assert_eq!(accept, serde_json::json!(["exposed:sys-net", "exposed:work", "unknown-history", "network"]));
}

#[test]
fn domains_without_a_name_are_told_apart_by_their_number() {
    let dom0 = Dom0::with(Function::nic(NIC).held().quarantined());
    dom0.node("/local/domain/0/backend/pci/7/0/dev-0", NIC);
    dom0.node("/libxl/pci/0000-00-07-0/domid", "7");
    dom0.node("/local/domain/0/backend/pci/8/0/dev-0", NIC);
    let accept = dom0.json(&["plan", NIC])["accept"].clone();
    let expected = ["exposed:domain-8", "exposed:domain-7", "unknown-history", "network"];
    assert_eq!(accept, serde_json::json!(expected));
}

#[test]
fn the_history_is_not_known_for_sure() {
    warned(&Dom0::with(Function::nic(NIC).held()), "unknown-history");
}

#[test]
fn what_dom0_itself_uses_is_not_held() {
    let folder = "sys/devices/pci0000:00/0000:00:07.0";
    let needed = |dom0: &Dom0, why: &str| {
        let said = dom0.run_changing_nothing(&["--json", "hold", NIC]).fails(3, "dom0-needs-it");
        let message = said.json()["error"]["message"].to_string();
        assert!(message.contains(why), "{message}");
    };
    let class = |dom0: &Dom0, class: &str, name: &str| {
        let link = dom0.path(&format!("sys/class/{class}/{name}"));
        std::fs::create_dir_all(link.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(dom0.path(&format!("{folder}/{class}/{name}")), link).unwrap();
    };
    let driven = || {
        let dom0 = Dom0::with(Function::nic(NIC).driven("e1000e"));
        dom0.write("proc/self/mountinfo", "");
        dom0.write("proc/swaps", "Filename Type Size Used Priority\n");
        dom0
    };

    let dom0 = driven();
    dom0.write(&format!("{folder}/net/eth0/flags"), "0x1003\n");
    class(&dom0, "net", "eth0");
    needed(&dom0, "the network interface eth0 is up");
    dom0.write(&format!("{folder}/net/eth0/flags"), "garbage\n");
    needed(&dom0, "the network interface eth0 is up");

    let dom0 = driven();
    dom0.write(&format!("{folder}/block/sda/dev"), "8:0\n");
    class(&dom0, "block", "sda");
    dom0.write("proc/self/mountinfo", "22 1 8:0 / / rw shared:1 - ext4 /dev/mapper/root rw\n");
    needed(&dom0, "/dev/sda is mounted");
    dom0.write("proc/self/mountinfo", "");
    dom0.write("proc/swaps", "Filename Type Size Used Priority\n/dev/sda partition 1 0 -2\n");
    needed(&dom0, "/dev/sda is swap");
    dom0.write("proc/swaps", "");
    // A disk of dom0's that a qube has: 8:10 in decimal, 8:a as block scripts write it.
    let vbd = "/local/domain/0/backend/vbd/7/51712/physical-device";
    dom0.node(vbd, "8:a");
    dom0.write(&format!("{folder}/block/sda/dev"), "8:10\n");
    needed(&dom0, "/dev/sda is given to domain 7");
    // One that makes no sense may be any.
    dom0.node(vbd, "disk");
    let said = dom0.run_changing_nothing(&["--json", "hold", NIC]).fails(11, "unreadable");
    assert!(said.json()["error"]["message"].to_string().contains("physical-device names no block device"));
    dom0.node(vbd, "8:b");
    dom0.write(&format!("{folder}/block/sda/holders/dm-0"), "");
    needed(&dom0, "/dev/sda is held by dm-0");

    let dom0 = driven();
    dom0.write(
        "proc/bus/input/devices",
        "N: Name=\"kbd\"\nS: Sysfs=/devices/pci0000:00/0000:00:07.0/usb1/input/input1\nB: EV=120013\n",
    );
    needed(&dom0, "the only keyboard is on it");
    // Hotkeys elsewhere repeat as well; nobody types a passphrase with them.
    let hotkeys =
        "\nN: Name=\"hotkeys\"\nS: Sysfs=/devices/platform/input/input2\nB: EV=100013\nB: KEY=1e0000 0 0\n";
    let one = std::fs::read_to_string(dom0.path("proc/bus/input/devices")).unwrap();
    dom0.write("proc/bus/input/devices", format!("{one}{hotkeys}"));
    needed(&dom0, "the only keyboard is on it");

    let dom0 = Dom0::with(Function::nic(NIC).driven("e1000e").attribute("boot_vga", "1"));
    needed(&dom0, "the display the machine booted with is on it");
}

#[test]
fn a_disk_with_multipath_is_asked_for_and_its_hidden_paths_are_not() {
    let dom0 = Dom0::with(Function::nic(NIC).driven("nvme"));
    let subsystem = "sys/devices/virtual/nvme-subsystem/nvme-subsys0";
    let path = "sys/devices/pci0000:00/0000:00:07.0/nvme/nvme0/nvme0c0n1";
    let link = |name: &str, to: &str| {
        let link = dom0.path(name);
        std::fs::create_dir_all(link.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(dom0.path(to), link).unwrap();
    };
    // Linux gives the hidden one neither a number nor a node.
    dom0.write(&format!("{path}/hidden"), "1\n");
    dom0.write(&format!("{subsystem}/nvme0n1/dev"), "259:1\n");
    link("sys/class/block/nvme0c0n1", path);
    link("sys/class/block/nvme0n1", &format!("{subsystem}/nvme0n1"));
    link(&format!("{subsystem}/nvme0"), "sys/devices/pci0000:00/0000:00:07.0/nvme/nvme0");
    dom0.write("proc/self/mountinfo", "22 1 259:1 / / rw shared:1 - ext4 /dev/mapper/root rw\n");
    dom0.write("proc/swaps", "Filename Type Size Used Priority\n");
    let said = dom0.run_changing_nothing(&["--json", "hold", NIC]).fails(3, "dom0-needs-it");
    assert!(said.json()["error"]["message"].to_string().contains("/dev/nvme0n1 is mounted"));
    // One that is not hidden has a number: without it nobody knows which disk it is.
    dom0.write(&format!("{path}/hidden"), "0\n");
    dom0.run_changing_nothing(&["--json", "hold", NIC]).fails(11, "unreadable");
}

#[test]
fn pciback_that_lets_every_qube_write_everything() {
    let dom0 = Dom0::with(Function::nic(NIC).held());
    dom0.write("sys/module/xen_pciback/parameters/permissive", "N\n");
    not_warned(&dom0, "permissive");
    dom0.write("sys/module/xen_pciback/parameters/permissive", "Y\n");
    warned(&dom0, "permissive");
}

#[test]
fn a_qube_that_was_given_it_without_a_strict_reset() {
    let dom0 = Dom0::with(Function::nic(NIC).held().quarantined());
    dom0.node("/local/domain/0/backend/pci/7/0/dev-0", NIC);
    dom0.node("/local/domain/0/backend/pci/7/0/opts-0", "msitranslate=0,rdm_policy=relaxed");
    warned(&dom0, "no-strict-reset");
    dom0.run(&["plan", NIC]).says("powering off and starting returns it");
    dom0.node("/local/domain/0/backend/pci/7/0/opts-0", "msitranslate=0,rdm_policy=strict");
    not_warned(&dom0, "no-strict-reset");
}

#[test]
fn a_function_with_firmware_of_its_own() {
    let mut function = Function::nic(NIC).held();
    function.config[0x30..0x34].copy_from_slice(&0xfeb0_0000u32.to_le_bytes());
    warned(&Dom0::with(function), "firmware");
    not_warned(&Dom0::with(Function::nic(NIC).held()), "firmware");
}

#[test]
fn a_dead_device_is_said_to_be_beyond_this_tool() {
    let dom0 = Dom0::with(Function::nic("0000:00:07.0").held().dead());
    let said = dom0.run(&["--json", "reattach", "0000:00:07.0"]).fails(3, "dead");
    let hint = said.json()["error"]["hint"].as_str().unwrap().to_owned();
    assert!(hint.contains("can neither wake a device that a suspend left dead, nor remove it"), "{hint}");
}
