//! Which driver a function belongs to.

use crate::model::{Dom0, Function};

const NIC: &str = "0000:00:07.0";
const USB: &str = "0000:00:08.0";

fn held() -> Dom0 {
    Dom0::with(Function::nic(NIC).held().quarantined())
}

#[test]
fn a_function_nothing_claims_stays_where_it_is() {
    let dom0 = Dom0::with(Function::new(NIC, 0xdead, 0xbeef, 0xff_0000).held());
    dom0.run_changing_nothing(&["plan", NIC])
        .exits(3)
        .says("no-driver")
        .says("nothing claims pci:v0000DEADd0000BEEF");
    // No command that a script could play: they would end with the card released and driverless.
    assert_eq!(dom0.run(&["--json", "plan", NIC]).json()["plan"]["steps"], serde_json::json!([]));
    dom0.run_changing_nothing(&["--json", "reattach", NIC]).fails(3, "no-driver");
}

#[test]
fn a_driver_built_into_the_kernel_is_named_by_the_admin() {
    let dom0 = Dom0::with(Function::new(NIC, 0xdead, 0xbeef, 0xff_0000).held());
    dom0.register("builtin");
    // The drivers of modules are not among those to choose from.
    dom0.run(&["plan", NIC]).exits(3).says("builtin").never_says("e1000e").never_says("xhci_hcd");
    dom0.run(&["plan", NIC, "--driver", "builtin"])
        .exits(4)
        .says("bind bind builtin")
        .never_says("no-driver");
}

#[test]
fn a_driver_that_xl_recorded_is_enough_where_it_is_registered() {
    let dom0 = Dom0::with(Function::new(NIC, 0xdead, 0xbeef, 0xff_0000).held());
    dom0.node("/libxl/pci/0000-00-07-0/driver_path", "/sys/bus/pci/drivers/builtin");
    dom0.run(&["plan", NIC]).exits(3).says("no-driver");
    dom0.register("builtin");
    dom0.run(&["plan", NIC]).exits(4).says("resolve driver: builtin");
}

#[test]
fn a_driver_whose_name_is_not_its_modules_is_found() {
    let dom0 = Dom0::with(Function::usb(USB).held());
    dom0.run(&["plan", USB]).exits(4).says("resolve driver: xhci_hcd").says("DRIVER=xhci_hcd");
    assert_eq!(dom0.json(&["show", USB])["modules"][0], "xhci_pci");
}

#[test]
fn the_driver_of_a_module_that_is_not_loaded_is_known_after_load() {
    let mut dom0 = Dom0::with(Function::new(NIC, 0x1af4, 0x1041, 0x02_0000).held());
    dom0.claim("virtio-pci", "pci:v00001AF4d*sv*sd*bc*sc*i*");
    dom0.run(&["plan", NIC])
        .exits(4)
        .says("load load virtio_pci")
        .says("bind the driver of virtio_pci (known after load)")
        .says("modprobe virtio_pci")
        .says("DRIVER=$(ls -d /sys/module/virtio_pci/drivers/pci:* | head -n 1)");
}

#[test]
fn a_module_that_is_coming_or_going_counts_as_not_loaded() {
    let dom0 = held();
    dom0.write("sys/module/e1000e/initstate", "coming\n");
    dom0.run(&["plan", NIC]).exits(4).says("load load e1000e");
}

#[test]
fn loading_a_module_must_not_take_other_functions_along() {
    let mut dom0 = held();
    dom0.remove("sys/module/e1000e");
    dom0.add(Function::nic("0000:00:06.0"));
    dom0.run_changing_nothing(&["plan", NIC])
        .exits(3)
        .says("load-takes-others")
        .says("loading e1000e would bind 0000:00:06.0 too");
    dom0.run_changing_nothing(&["--json", "reattach", NIC]).fails(3, "load-takes-others");
}

#[test]
fn loading_a_module_takes_no_function_that_is_pinned_or_has_a_driver() {
    let mut dom0 = held();
    dom0.remove("sys/module/e1000e");
    dom0.add(Function::nic("0000:00:05.0").pinned("none"));
    dom0.add(Function::nic("0000:00:06.0").held());
    dom0.add(Function::usb(USB));
    dom0.run(&["plan", NIC]).exits(4).never_says("load-takes-others");
}

/// A held UHCI controller and a driverless EHCI one beside it, neither module loaded.
fn held_uhci() -> Dom0 {
    let mut dom0 = Dom0::with(Function::new(NIC, 0x8086, 0x2934, 0x0c_0300).held().quarantined());
    dom0.add(Function::new(USB, 0x8086, 0x293a, 0x0c_0320));
    dom0.claim("uhci_hcd", "pci:v*d*sv*sd*bc0Csc03i00*").claim("ehci_pci", "pci:v*d*sv*sd*bc0Csc03i20*");
    dom0.depends("uhci_hcd", &["usbcore"]).depends("ehci_pci", &["usbcore"]).depends("usbcore", &[]);
    dom0
}

#[test]
fn loading_a_module_must_not_take_other_functions_by_a_soft_dependency() {
    let dom0 = held_uhci();
    dom0.run(&["plan", NIC]).exits(4).never_says("load-takes-others");
    let takes = || {
        dom0.run_changing_nothing(&["plan", NIC])
            .exits(3)
            .says("load-takes-others")
            .says("loading uhci_hcd would bind 0000:00:08.0 too")
            .says("modprobe loads ehci_pci with it");
    };
    for line in ["uhci_hcd pre: ehci_pci", "uhci-hcd pre: other post: ehci-pci", "uhci* post: ehci_pci"] {
        dom0.softdep(&format!("softdep {line}"));
        takes();
    }
    // What is loaded already has soft dependencies too; they may be wrapped, and in modprobe's own files.
    dom0.load("usbcore", &[]);
    dom0.softdep("softdep usbcore pre: ehci_pci");
    takes();
    dom0.softdep("");
    dom0.write("etc/modprobe.d/site.conf", "softdep uhci_hcd \\\n  pre: ehci_pci\n");
    takes();
    dom0.load("ehci_pci", &["ehci-pci"]);
    dom0.run(&["plan", NIC]).exits(4).never_says("load-takes-others");
}

#[test]
fn loading_a_module_must_not_take_other_functions_by_a_dependency() {
    let mut dom0 = held_uhci();
    dom0.claim("both", "pci:v00008086d00002934sv*sd*bc*sc*i*").depends("both", &["ehci_pci"]);
    dom0.run_changing_nothing(&["plan", NIC])
        .exits(3)
        .says("loading both would bind 0000:00:08.0 too")
        .says("modprobe loads ehci_pci with it");
}

#[test]
fn loading_a_module_must_not_take_a_function_that_waits_for_a_driver_by_name() {
    let mut dom0 = held();
    dom0.add(Function::usb(USB).pinned("e1000e"));
    // Its driver is registered: nothing is loaded.
    dom0.run(&["plan", NIC]).exits(4).never_says("load-takes-others");
    dom0.remove("sys/module/e1000e");
    // A driver's name is free for one driver only.
    dom0.run(&["plan", NIC]).exits(4).never_says("load-takes-others");
    dom0.remove("sys/bus/pci/drivers/e1000e");
    dom0.run_changing_nothing(&["plan", NIC])
        .exits(3)
        .says("loading e1000e would bind 0000:00:08.0 too")
        .says("its driver_override is e1000e");
    for harmless in ["none", "pciback", "vfio-pci"] {
        let mut dom0 = held();
        dom0.remove("sys/module/e1000e");
        dom0.remove("sys/bus/pci/drivers/e1000e");
        dom0.add(Function::nic(USB).pinned(harmless));
        dom0.run(&["plan", NIC]).exits(4).never_says("load-takes-others");
    }
}

#[test]
fn a_module_that_cannot_be_loaded_is_no_driver() {
    let places = [
        (
            "etc/modprobe.d/site.conf",
            "# why\ninstall e1000e /bin/false\n",
            "/etc/modprobe.d/site.conf, line 2",
        ),
        (
            "usr/lib/modprobe.d/dist.conf",
            "install usbcore \\\n true\n",
            "/usr/lib/modprobe.d/dist.conf, line 1",
        ),
        ("proc/cmdline", "root=/dev/x module_blacklist=foo,e1000e ro\n", "/proc/cmdline"),
        ("proc/cmdline", "module_blacklist=usbcore\n", "/proc/cmdline"),
    ];
    for (path, text, place) in places {
        let mut dom0 = held();
        dom0.depends("e1000e", &["usbcore"]);
        dom0.remove("sys/module/e1000e");
        dom0.write(path, text);
        dom0.run_changing_nothing(&["plan", NIC]).exits(3).says("no-driver").says(place);
        dom0.run_changing_nothing(&["--json", "reattach", NIC]).fails(3, "no-driver");
        dom0.run(&["plan", NIC, "--driver", "e1000e"]).exits(4);
        // Another module may drive it; this one is not tried then.
        dom0.claim("other", "pci:v00008086d000010D3sv*sd*bc02sc*i*");
        dom0.run(&["plan", NIC]).exits(4).says("load load other");
        dom0.load("e1000e", &["e1000e"]);
        dom0.run(&["plan", NIC]).exits(4).never_says("no-driver");
    }
    // modprobe reads only these, and of a name only the first.
    let dom0 = held();
    dom0.remove("sys/module/e1000e");
    dom0.write("etc/modprobe.d/site.conf.off", "install e1000e /bin/false\n");
    dom0.write("usr/lib/modprobe.d/dist.conf", "install e1000e /bin/false\n");
    dom0.write("etc/modprobe.d/dist.conf", "");
    dom0.run(&["plan", NIC]).exits(4).never_says("no-driver");
}

#[test]
fn a_module_that_is_loaded_and_registers_no_pci_driver_drives_nothing() {
    let mut dom0 = Dom0::with(Function::new(NIC, 0x1022, 0x790b, 0x0c_0500).held());
    dom0.claim("sp5100_tco", "pci:v00001022d0000790Bsv*sd*bc*sc*i*");
    dom0.load("sp5100_tco", &[]);
    dom0.run_changing_nothing(&["plan", NIC])
        .exits(3)
        .says("no-driver")
        .says("sp5100_tco is loaded and registers no PCI driver");
    dom0.run_changing_nothing(&["--json", "reattach", NIC]).fails(3, "no-driver");
    dom0.claim("i2c_piix4", "pci:v00001022d0000790Bsv*sd*bc*sc*i*");
    dom0.load("i2c_piix4", &["piix4_smbus"]);
    dom0.run(&["plan", NIC]).exits(4).never_says("no-driver").says("resolve driver: piix4_smbus\n");
}

#[test]
fn a_driver_named_by_the_admin_needs_no_module_loaded() {
    let mut dom0 = held();
    dom0.claim("other", "pci:v00008086d000010D3sv*sd*bc*sc*i*");
    dom0.write("etc/modprobe.d/site.conf", "blacklist other\n");
    dom0.add(Function::nic("0000:00:06.0"));
    dom0.run(&["plan", NIC, "--driver", "e1000e"])
        .exits(4)
        .says("resolve driver: e1000e")
        .never_says("load-takes-others")
        .never_says("driver-blacklisted");
}

#[test]
fn several_modules_that_claim_it_are_tried_in_the_order_of_the_aliases() {
    let mut dom0 = held();
    dom0.claim("other", "pci:v00008086d000010D3sv*sd*bc02sc*i*");
    dom0.run(&["plan", NIC])
        .exits(4)
        .says("driver-ambiguous: several modules claim it")
        .says("e1000e, other")
        .says("driver: e1000e, then the driver of other (known after load)");
}

#[test]
fn a_blacklisted_module_is_loaded_only_with_consent() {
    let places = [
        ("etc/modprobe.d/site.conf", "# why\nblacklist e1000e\n"),
        ("usr/lib/modprobe.d/dist.conf", "  blacklist   e1000e  \n"),
        ("proc/cmdline", "root=/dev/x modprobe.blacklist=foo,e1000e ro\n"),
    ];
    for (path, text) in places {
        let dom0 = held();
        dom0.remove("sys/module/e1000e");
        dom0.write(path, text);
        dom0.run(&["plan", NIC]).exits(4).says("driver-blacklisted: the module e1000e is blacklisted");
        dom0.load("e1000e", &["e1000e"]);
        dom0.run(&["plan", NIC]).exits(4).never_says("driver-blacklisted");
    }
}

#[test]
fn another_driver_than_the_one_it_had_is_said() {
    let dom0 = held();
    dom0.node("/libxl/pci/0000-00-07-0/driver_path", "/sys/bus/pci/drivers/igb");
    dom0.run(&["plan", NIC]).exits(4).says("driver-differs: it had the driver igb before");
    dom0.node("/libxl/pci/0000-00-07-0/driver_path", "/sys/bus/pci/drivers/e1000e");
    dom0.run(&["plan", NIC]).exits(4).never_says("driver-differs");
}

#[test]
fn a_driver_that_is_none_is_a_wrong_argument() {
    let dom0 = held();
    for name in ["", "..", "../x", "a b", "\x1b[2J", "pciback", "vfio-pci", "absent"] {
        dom0.run_changing_nothing(&["--json", "plan", NIC, "--driver", name]).fails(2, "usage");
        dom0.run_changing_nothing(&["--json", "reattach", NIC, "--driver", name]).fails(2, "usage");
    }
}

#[test]
fn what_only_shows_goes_on_without_the_modules_of_the_running_kernel() {
    let dom0 = held();
    dom0.remove("lib/modules");
    dom0.run(&["list", "--long"]).exits(0).says("held by pciback");
}

/// A built-in driver with parameters has a module's folder too, without the state that only a loaded one has.
#[test]
fn a_built_in_driver_that_is_linked_to_a_module_is_named_as_built_in() {
    let disks = Function::new(NIC, 0x8086, 0xa282, 0x01_0601).held().quarantined();
    let dom0 = Dom0::with(disks);
    dom0.write("sys/bus/pci/drivers/ahci/bind", "");
    dom0.write("sys/module/ahci/parameters/mobile_lpm_policy", "-1\n");
    std::os::unix::fs::symlink("../../../../module/ahci", dom0.path("sys/bus/pci/drivers/ahci/module"))
        .unwrap();
    dom0.run(&["plan", NIC]).exits(3).says("no-driver").says("built in are ahci");
    // One that was loaded is not.
    dom0.write("sys/module/ahci/initstate", "live\n");
    dom0.run(&["plan", NIC]).exits(3).says("built in is none");
}
