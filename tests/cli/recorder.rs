//! `record`: what is journaled of what happens, and what is when a source is missing, goes away, or talks nonsense.

use crate::model::{Dom0, Fault, Function, Qubesd, QubesdFault, QUBES_42, QUBES_43};
use crate::recording::{count, event, found, fresh, held, log, prepare, records, Running, NIC, USB};
use nix::fcntl::{Flock, FlockArg};
use serde_json::Value;
use std::time::{Duration, Instant};

#[test]
fn it_says_that_it_stops_however_often_it_is_asked_to() {
    let dom0 = fresh();
    for times in 1..=5 {
        Running::start(&dom0, &["--heartbeat", "600"]).stop_impatiently();
        assert_eq!(count(&dom0, "recorder", "phase=stop"), times);
    }
}

#[test]
fn the_story_of_two_functions() {
    let mut dom0 = fresh();
    dom0.add(Function::usb(USB).driven("xhci_hcd"));
    let mut recorder = Running::start(&dom0, &["--heartbeat", "600"]);
    let start = &found(&dom0, "recorder", "phase=start")[0];
    assert_eq!(start["first"], true, "{start}");
    assert_eq!(start["sources"], serde_json::json!(["uevents", "xenstore"]));

    // libvirt takes the card; the boot scripts' way takes the controller.
    recorder.uevent("unbind", NIC, "");
    dom0.write(&format!("sys/bus/pci/devices/{NIC}/driver_override"), "pciback\n");
    dom0.drives(NIC, Some("pciback"));
    recorder.uevent("bind", NIC, "pciback");
    recorder.uevent("unbind", USB, "");
    dom0.write("sys/bus/pci/drivers/pciback/slots", format!("{USB}\n"));
    dom0.drives(USB, Some("pciback"));
    recorder.uevent("bind", USB, "pciback");
    recorder.until(|| count(&dom0, "device", "event=seized") == 2);
    assert_eq!(
        count(&dom0, "device", &format!("event=seized,bdf={NIC},way=override,before=e1000e,owner=dom0")),
        1
    );
    assert_eq!(
        count(&dom0, "device", &format!("event=seized,bdf={USB},way=slot,before=xhci_hcd,owner=dom0")),
        1
    );

    // A qube behind a stub domain gets both, then gives one back, then ends.
    dom0.runs(7, "sys-net");
    dom0.runs(8, "sys-net-dm");
    dom0.node("/local/domain/8/target", "7");
    dom0.node("/local/domain/7/vm", "/vm/cb084001-53d5-4ae7-809b-ec7b16c397a8");
    for (index, bdf) in [NIC, USB].iter().enumerate() {
        dom0.node(format!("/local/domain/0/backend/pci/8/0/opts-{index}"), "permissive=1");
        dom0.node(format!("/local/domain/0/backend/pci/8/0/dev-{index}"), bdf);
    }
    recorder.until(|| count(&dom0, "stay", "event=begin") == 2);
    let begin = &found(&dom0, "stay", &format!("event=begin,bdf={NIC}"))[0];
    assert_eq!(begin["qube"], "sys-net");
    assert_eq!((begin["domain"].as_i64(), begin["stub"].as_i64()), (Some(7), Some(8)));
    assert_eq!(begin["uuid"], "cb084001-53d5-4ae7-809b-ec7b16c397a8");
    assert_eq!(begin["options"], "permissive=1");
    assert_eq!(begin["source"], "xenstore");
    dom0.store().remove("/local/domain/0/backend/pci/8/0/dev-1");
    recorder.until(|| count(&dom0, "stay", &format!("event=end,bdf={USB}")) == 1);
    // It powers itself off: its nodes stay.
    dom0.ends(7);
    dom0.ends(8);
    recorder.until(|| count(&dom0, "stay", &format!("event=end,bdf={NIC}")) == 1);

    // It comes back to dom0.
    recorder.uevent("unbind", NIC, "");
    dom0.drives(NIC, Some("e1000e"));
    recorder.uevent("bind", NIC, "e1000e");
    recorder.until(|| {
        count(&dom0, "device", &format!("event=bound,bdf={NIC},driver=e1000e,before=pciback")) == 1
    });
    recorder.stop();
    assert_eq!(count(&dom0, "recorder", "phase=stop"), 1);
    assert_eq!((count(&dom0, "stay", ""), count(&dom0, "lost", "")), (4, 0), "{}", log(&dom0));
    dom0.run(&["audit", "verify"]).exits(0);
}

#[test]
fn it_is_the_first_only_where_that_is_proved() {
    let proofs: [fn(&Dom0); 6] = [
        |dom0| dom0.write("dev/kmsg", "6,812,0,-;the beginning is overwritten\n"),
        |dom0| dom0.write("dev/kmsg", "6,0,0,-;Linux\n6,9,9,-;pciback 0000:00:07.0: registering for 1\n"),
        |dom0| dom0.runs(3, "work"),
        |dom0| dom0.node("/libxl/pci/0000-00-07-0/domid", "3"),
        |dom0| dom0.node("/local/domain/3/name", "left"),
        |dom0| dom0.xenstored_fails(Fault::Error("EIO")),
    ];
    for (number, spoil) in proofs.iter().enumerate() {
        let dom0 = fresh();
        spoil(&dom0);
        dom0.run(&["record", "--once"]).exits(0);
        assert_eq!(found(&dom0, "recorder", "phase=start")[0]["first"], false, "{number}");
    }
    let dom0 = fresh();
    dom0.run(&["record", "--once"]).exits(0);
    assert_eq!(found(&dom0, "recorder", "phase=start")[0]["first"], true);
}

#[test]
fn once_tells_how_things_stand() {
    let mut dom0 = Dom0::with(Function::nic(NIC).held().quarantined());
    dom0.add(Function::usb(USB).driven("xhci_hcd"));
    prepare(&dom0);
    dom0.qube_has(7, "sys-net", NIC);
    let said = dom0.run(&["--json", "record", "--once"]).exits(0).json();
    assert_eq!(said["records"], 4, "{}", log(&dom0));
    let device = &found(&dom0, "device", "event=present")[0];
    assert_eq!(
        (&device["bdf"], &device["driver"], &device["owner"]),
        (&NIC.into(), &"pciback".into(), &"DomIO".into())
    );
    assert_eq!(device["way"], "slot");
    assert!(device["id"].as_str().unwrap().starts_with("8086:10d3"), "{device}");
    assert_eq!(count(&dom0, "stay", "event=present,qube=sys-net,domain=7"), 1);
}

#[test]
fn what_was_there_at_boot_was_taken_at_boot() {
    let dom0 = held();
    dom0.run(&["record", "--once"]).exits(0);
    assert_eq!(count(&dom0, "device", "event=present,way=boot"), 1);
}

#[test]
fn a_qube_that_came_and_went_unseen_is_found_by_its_traces() {
    let dom0 = held();
    dom0.run(&["record", "--once"]).exits(0);
    // One left nodes, the other only a line in the kernel's log.
    dom0.node("/local/domain/0/backend/pci/5/0/dev-0", NIC);
    dom0.node("/local/domain/0/backend/pci/5/0/domain", "tired");
    dom0.write("dev/kmsg", "6,0,0,-;Linux\n6,9,9,-;pciback 0000:00:07.0: registering for 6\n");
    for _ in 0..2 {
        dom0.run(&["record", "--once"]).exits(0);
        assert_eq!(count(&dom0, "stay", "event=end,domain=5,qube=tired,source=snapshot"), 1);
        assert_eq!(count(&dom0, "stay", "event=end,domain=6,qube=domain-6,source=snapshot"), 1);
    }
}

#[test]
fn a_qube_that_ends_before_its_nodes_are_read_is_told_by_them() {
    let dom0 = held();
    let recorder = Running::start(&dom0, &["--heartbeat", "600"]);
    dom0.node("/local/domain/0/backend/pci/5/0/domain", "tired");
    dom0.node("/local/domain/0/backend/pci/5/0/dev-0", NIC);
    recorder.until(|| count(&dom0, "stay", "event=end,domain=5,qube=tired,source=xenstore") == 1);
    // Its nodes are tidied away: that is no news.
    dom0.store().remove("/local/domain/0/backend/pci/5/0/dev-0");
    dom0.runs(7, "sys-net");
    dom0.qube_has(7, "sys-net", NIC);
    recorder.until(|| count(&dom0, "stay", "event=begin,domain=7") == 1);
    recorder.stop();
    assert_eq!((count(&dom0, "stay", ""), count(&dom0, "lost", "")), (2, 0), "{}", log(&dom0));
}

#[test]
fn a_qube_whose_nodes_are_gone_before_they_are_read_leaves_a_time_that_is_not_covered() {
    let dom0 = held();
    let recorder = Running::start(&dom0, &["--heartbeat", "600"]);
    dom0.node("/local/domain/0/backend/pci/5/0/domain", "brief");
    dom0.node("/local/domain/0/backend/pci/5/0/dev-0", NIC);
    dom0.store().remove("/local/domain/0/backend/pci/5");
    recorder.until(|| count(&dom0, "lost", "source=xenstore,why=brief,count=1") == 1);
    let said = dom0.json(&["plan", NIC]);
    let unknown =
        said["device"]["hazards"].as_array().unwrap().iter().find(|one| one["id"] == "unknown-history");
    let evidence = unknown.unwrap_or_else(|| panic!("{said}"))["evidence"].as_str().unwrap();
    assert!(evidence.contains("events were lost"), "{evidence}");
    // What the kernel's log tells of it is told as well.
    dom0.write("dev/kmsg", "6,0,0,-;Linux\n6,9,9,-;pciback 0000:00:07.0: registering for 6\n");
    dom0.node("/local/domain/0/backend/pci/6/0/dev-0", NIC);
    dom0.store().remove("/local/domain/0/backend/pci/6");
    recorder.until(|| count(&dom0, "stay", "event=end,domain=6,qube=domain-6") == 1);
    // An attachment that fails early leaves less than that.
    let before = count(&dom0, "lost", "source=xenstore,why=brief");
    dom0.node("/libxl/pci/0000-00-07-0/domid", "8");
    dom0.store().remove("/libxl/pci/0000-00-07-0/domid");
    recorder.until(|| count(&dom0, "lost", "source=xenstore,why=brief") > before);
    recorder.stop();
}

#[test]
fn a_stay_that_ended_while_nobody_recorded_is_ended() {
    let dom0 = held();
    dom0.qube_has(7, "sys-net", NIC);
    dom0.write("dev/kmsg", "6,0,0,-;Linux\n6,9,9,-;pciback 0000:00:07.0: registering for 7\n");
    let recorder = Running::start(&dom0, &[]);
    recorder.until(|| count(&dom0, "stay", "domain=7") >= 1);
    drop(recorder);
    dom0.store().remove("/local/domain/0/backend/pci/7");
    dom0.ends(7);
    let recorder = Running::start(&dom0, &[]);
    recorder.stop();
    assert_eq!(count(&dom0, "stay", "event=end,domain=7,qube=sys-net"), 1, "{}", log(&dom0));
    assert_eq!(count(&dom0, "stay", "event=end"), 1);
    // The one that was killed never said that it stops.
    assert_eq!(count(&dom0, "recorder", "phase=stop"), 1);
}

#[test]
fn a_store_that_is_not_there_is_missing_until_it_comes() {
    let mut dom0 = Dom0::without_xenstored();
    dom0.add(Function::nic(NIC).held());
    prepare(&dom0);
    let recorder = Running::start(&dom0, &[]);
    let start = &found(&dom0, "recorder", "phase=start")[0];
    assert_eq!(
        (&start["missing"], &start["first"]),
        (&serde_json::json!(["xenstore", "qubesd"]), &Value::Bool(false))
    );
    dom0.qube_has(7, "sys-net", NIC);
    dom0.serve_xenstore();
    recorder.until(|| count(&dom0, "stay", "event=present,qube=sys-net,source=snapshot") == 1);
    assert_eq!(count(&dom0, "recorder", "phase=source"), 1);
    recorder.stop();
}

#[test]
fn a_store_that_restarts_is_read_anew() {
    let dom0 = held();
    dom0.qube_has(7, "sys-net", NIC);
    let recorder = Running::start(&dom0, &[]);
    std::fs::remove_file(dom0.path("run/xenstored/socket")).unwrap();
    dom0.store().hang_up();
    recorder.until(|| count(&dom0, "recorder", "phase=source") == 1);
    dom0.store().remove("/local/domain/0/backend/pci/7");
    dom0.serve_xenstore();
    recorder.until(|| count(&dom0, "stay", "event=end,qube=sys-net,source=snapshot") == 1);
    recorder.stop();
}

#[test]
fn a_store_that_talks_nonsense_is_left_and_tried_again() {
    for nonsense in [[0xff; 40], [0; 40]] {
        let dom0 = held();
        let recorder = Running::start(&dom0, &[]);
        // Until it is heard: the store may not have come to the watches yet.
        recorder.until(|| {
            let heard = count(&dom0, "recorder", "phase=source") > 0;
            if !heard {
                dom0.store().babble(&nonsense);
            }
            heard
        });
        recorder.until(|| count(&dom0, "recorder", "phase=source") >= 2);
        dom0.qube_has(7, "sys-net", NIC);
        recorder.until(|| count(&dom0, "stay", "event=begin,qube=sys-net") == 1);
        recorder.stop();
    }
    let dom0 = held();
    let recorder = Running::start(&dom0, &[]);
    dom0.xenstored_fails(Fault::TooLong);
    dom0.qube_has(7, "sys-net", NIC);
    recorder.until(|| count(&dom0, "recorder", "phase=source") >= 1);
    dom0.store().mend();
    recorder.until(|| count(&dom0, "stay", "event=present,qube=sys-net") == 1);
    recorder.stop();
}

#[test]
fn ten_thousand_uevents_at_once_lose_nothing() {
    let mut dom0 = Dom0::new();
    let functions: Vec<String> =
        (0..250).map(|number| format!("0000:{:02x}:{:02x}.0", 1 + number / 32, number % 32)).collect();
    for bdf in &functions {
        dom0.add(Function::nic(bdf).driven("e1000e"));
    }
    prepare(&dom0);
    let mut recorder = Running::start(&dom0, &[]);
    // The last datagrams wait in the socket while the journal is written.
    for _ in 0..20 {
        for bdf in &functions {
            recorder.uevent("unbind", bdf, "");
            recorder.uevent("bind", bdf, "e1000e");
        }
    }
    recorder.until(|| log(&dom0).lines().count() >= 10_000);
    let memory = peak(&recorder);
    recorder.stop();
    assert_eq!(
        (count(&dom0, "device", "event=unbound"), count(&dom0, "device", "event=bound")),
        (5000, 5000)
    );
    assert_eq!(count(&dom0, "lost", ""), 0);
    assert!(memory < 12 * 1024, "{memory} KiB");
}

#[test]
fn uevents_that_did_not_fit_are_recorded_as_lost_and_all_is_read_anew() {
    let dom0 = fresh();
    let recorder = Running::start(&dom0, &[]);
    dom0.drives(NIC, Some("pciback"));
    recorder.says(b"overflow");
    recorder.until(|| {
        count(&dom0, "device", &format!("event=present,bdf={NIC},driver=pciback,before=e1000e")) == 1
    });
    let lost = &found(&dom0, "lost", "source=uevent,why=overflow,count=0")[0];
    assert!(lost["since"].as_str().unwrap() < lost["time"].as_str().unwrap(), "{lost}");
    recorder.stop();
}

#[test]
fn words_that_are_no_uevents_are_nothing() {
    let dom0 = fresh();
    let recorder = Running::start(&dom0, &[]);
    let before = records(&dom0).len();
    for bytes in [&b""[..], b"\0\0\0", b"bind@/devices/x\0", &[0xff; 8000], b"libudev\0\xfe\xed\xca\xfe"] {
        recorder.says(bytes);
    }
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(records(&dom0).len(), before);
    recorder.stop();
}

#[test]
fn a_qube_that_restarts_for_ever_does_not_fill_the_disk() {
    let dom0 = held();
    let recorder = Running::start(&dom0, &[]);
    for round in 0..100u16 {
        let id = 100 + round;
        dom0.qube_has(id, "mad", NIC);
        std::thread::sleep(Duration::from_millis(130));
        dom0.store().remove(&format!("/local/domain/0/backend/pci/{id}"));
        dom0.ends(id);
    }
    dom0.qube_has(900, "calm", NIC);
    recorder.until(|| count(&dom0, "stay", "event=begin,qube=calm") == 1);
    recorder.stop();
    let told = count(&dom0, "stay", "qube=mad");
    assert!(told < 75, "{told}");
    let lost: i64 =
        found(&dom0, "lost", "qube=mad,why=rate").iter().map(|it| it["count"].as_i64().unwrap()).sum();
    // On a slow machine some come and go between two readings.
    assert!(lost >= 20 && told >= 40, "{lost} {told}");
}

#[test]
fn idle_it_uses_no_processor_and_little_memory() {
    let mut dom0 = Dom0::with(Function::nic(NIC).held());
    for number in 0..100 {
        dom0.add(
            Function::nic(&format!("0000:{:02x}:{:02x}.0", 1 + number / 32, number % 32)).driven("e1000e"),
        );
    }
    prepare(&dom0);
    let recorder = Running::start(&dom0, &[]);
    // qubesd is missing here and is tried after 1, 3, 7 and 15 seconds.
    std::thread::sleep(Duration::from_secs(8));
    let used = || -> u64 {
        let stat = recorder.proc("stat");
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    };
    let before = used();
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(used(), before);
    assert!(peak(&recorder) < 12 * 1024, "{} KiB", peak(&recorder));
    recorder.stop();
}

/// The most memory it ever had, in KiB; without the pages of its own file where that was not optimised, which makes it
/// some times as large as the product's.
fn peak(recorder: &Running) -> u64 {
    let status = recorder.proc("status");
    let value = |key: &str| -> u64 {
        let line = status.lines().find(|line| line.starts_with(key)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    value("VmHWM:") - if cfg!(debug_assertions) { value("RssFile:") } else { 0 }
}

#[test]
fn a_heartbeat_says_up_to_when_time_is_covered() {
    let dom0 = fresh();
    let recorder = Running::start(&dom0, &["--heartbeat", "1"]);
    recorder.until(|| count(&dom0, "recorder", "phase=heartbeat,interval=1") >= 2);
    recorder.stop();
}

#[test]
fn the_space_that_operations_need_is_left_and_the_gap_is_told() {
    let dom0 = fresh();
    let place = dom0.path("var/lib/qubes-dom0-pci/journal");
    std::fs::create_dir_all(&place).unwrap();
    let mounted = std::process::Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=20m,mode=0700", "none"])
        .arg(&place)
        .status();
    if !mounted.is_ok_and(|status| status.success()) {
        return crate::model::missing("no right to mount a small file system");
    }
    let outcome = std::panic::catch_unwind(|| full_disk(&dom0));
    let _ = std::process::Command::new("umount").arg("-l").arg(&place).status();
    if let Err(panic) = outcome {
        std::panic::resume_unwind(panic);
    }
}

/// Whether a recorder says that it hears, and has written down what it heard.
fn vouches(dom0: &Dom0) -> bool {
    let mark = std::fs::File::open(dom0.path("run/qubes-dom0-pci/recorder")).unwrap();
    Flock::lock(mark, FlockArg::LockSharedNonblock).is_err()
}

fn full_disk(dom0: &Dom0) {
    let filler = dom0.path("var/lib/qubes-dom0-pci/journal/filler");
    let mut recorder = Running::start(dom0, &[]);
    std::fs::write(&filler, vec![0; 14 << 20]).unwrap();
    let before = records(dom0).len();
    recorder.until(|| vouches(dom0));
    recorder.uevent("unbind", NIC, "");
    dom0.drives(NIC, Some("pciback"));
    recorder.uevent("bind", NIC, "pciback");
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(records(dom0).len(), before);
    // It heard what it cannot write: nobody may take its silence for quiet.
    assert!(!vouches(dom0));
    std::fs::remove_file(filler).unwrap();
    recorder.until(|| count(dom0, "device", &format!("event=present,bdf={NIC},driver=pciback")) == 1);
    recorder.until(|| vouches(dom0));
    let lost = &found(dom0, "lost", "source=journal,why=space")[0];
    assert!(lost["count"].as_i64().unwrap() >= 1, "{lost}");
    recorder.stop();
}

#[test]
fn what_qubes_knows_of_a_qube_stands_with_its_stay() {
    for (transcript, version) in [(QUBES_42, "qubesd 4.2"), (QUBES_43, "qubesd 4.3")] {
        let dom0 = held();
        let qubesd = dom0.qubes(transcript);
        qubesd.answers("admin.vm.property.Get+label", "sys-net", "default=False type=label red");
        qubesd.answers("admin.vm.property.Get+provides_network", "sys-net", "default=False type=bool True");
        let listed = "sys-net class=AppVM state=Running";
        let uuid = if transcript == QUBES_43 { " uuid=cb084001-53d5-4ae7-809b-ec7b16c397a8" } else { "" };
        let recorder = Running::start(&dom0, &[]);
        let start = &found(&dom0, "recorder", "phase=start")[0];
        assert_eq!(start["sources"], serde_json::json!(["uevents", "xenstore", version]));
        recorder.until(|| qubesd.listeners() == 1);
        qubesd.tells(&event("sys-net", "domain-pre-start", &[("start_guid", "True")]));
        qubesd.lists(&format!("{listed}{uuid}\\n"));
        dom0.qube_has(7, "sys-net", NIC);
        qubesd.tells(&event("sys-net", "domain-start", &[("start_guid", "True")]));
        recorder.until(|| {
            count(&dom0, "stay", "event=begin,qube=sys-net,label=red,class=AppVM,network=true") == 1
        });
        qubesd.tells(&event("sys-net", "property-set:label", &[("newvalue", "orange"), ("oldvalue", "red")]));
        recorder.until(|| count(&dom0, "qube", "event=label,qube=sys-net,label=orange,before=red") == 1);
        qubesd.tells(&event("sys-net", "domain-shutdown", &[]));
        recorder.until(|| count(&dom0, "qube", "event=stopped,qube=sys-net") == 1);
        recorder.stop();
        assert_eq!(count(&dom0, "qube", "event=started,qube=sys-net"), 1, "told once: {}", log(&dom0));
    }
}

#[test]
fn assignments_are_told_in_the_words_of_either_release() {
    let told = |transcript: &str, name: &str, device: &str| -> (usize, usize) {
        let dom0 = held();
        let qubesd = dom0.qubes(transcript);
        let recorder = Running::start(&dom0, &[]);
        let values = [("device", device), ("options", "{'permissive': 'True'}")];
        recorder.until(|| qubesd.listeners() == 1);
        qubesd.tells(&event("work", &format!("device-{name}:pci"), &values));
        qubesd.tells(&event("work", "domain-shutdown", &[]));
        recorder.until(|| count(&dom0, "qube", "event=stopped") == 1);
        recorder.stop();
        let of =
            |event: &str| count(&dom0, "qube", &format!("event={event},qube=work,bdf={NIC},port=00_07.0"));
        (of("assigned"), of("unassigned"))
    };
    let of_43 = "dom0:00_07.0:0x8086:0x10d3::p020000";
    assert_eq!(told(QUBES_43, "assign", of_43), (1, 0));
    assert_eq!(told(QUBES_43, "unassign", of_43), (0, 1));
    // There it is said only of running qubes, where xenstore tells it.
    assert_eq!(told(QUBES_43, "attach", of_43), (0, 0));
    assert_eq!(told(QUBES_42, "attach", "dom0:00_07.0"), (1, 0));
    assert_eq!(told(QUBES_42, "detach", "dom0:00_07.0"), (0, 1));
}

#[test]
fn a_qubesd_that_goes_away_is_missing_until_it_is_back() {
    let dom0 = held();
    let qubesd = dom0.qubes(QUBES_43);
    let recorder = Running::start(&dom0, &[]);
    qubesd.hangs_up();
    recorder.until(|| count(&dom0, "recorder", "phase=source") >= 2);
    recorder.until(|| qubesd.listeners() == 1);
    qubesd.tells(&event("work", "domain-shutdown", &[]));
    recorder.until(|| count(&dom0, "qube", "event=stopped,qube=work") == 1);
    recorder.stop();
}

#[test]
fn a_qubesd_that_is_silent_or_talks_nonsense_does_not_keep_the_others_from_being_heard() {
    for fault in [QubesdFault::Silent, QubesdFault::Refuses, QubesdFault::Nonsense, QubesdFault::Endless] {
        let dom0 = held();
        dom0.qubes(QUBES_43).fails(fault);
        let recorder = Running::start(&dom0, &[]);
        dom0.qube_has(7, "sys-net", NIC);
        recorder.until(|| count(&dom0, "stay", "event=begin,qube=sys-net") == 1);
        recorder.stop();
    }
}

#[test]
fn hostile_names_come_out_escaped() {
    let dom0 = held();
    let qubesd = dom0.qubes(QUBES_43);
    let recorder = Running::start(&dom0, &[]);
    dom0.runs(7, "");
    dom0.node("/local/domain/7/name", b"\x1b[2J\"quoted\\\n");
    dom0.node("/local/domain/0/backend/pci/7/0/dev-0", NIC);
    recorder.until(|| count(&dom0, "stay", "event=begin") == 1);
    assert_eq!(found(&dom0, "stay", "")[0]["qube"], "\\x1b[2J\"quoted\\\\\\x0a");
    let long = "x".repeat(65_000);
    recorder.until(|| qubesd.listeners() == 1);
    qubesd.tells(&event(&format!("\x1b[31m{long}"), "domain-shutdown", &[]));
    recorder.until(|| count(&dom0, "qube", "event=stopped") == 1);
    assert!(found(&dom0, "qube", "")[0]["qube"].as_str().unwrap().starts_with("\\x1b[31mxxx"));
    recorder.stop();
    dom0.run(&["audit", "verify"]).exits(0);
}

/// A qubesd that knows a red sys-net which provides network.
fn red_sys_net(dom0: &Dom0) -> Qubesd {
    let qubesd = dom0.qubes(QUBES_43);
    qubesd.answers("admin.vm.property.Get+label", "sys-net", "default=False type=label red");
    qubesd.answers("admin.vm.property.Get+provides_network", "sys-net", "default=False type=bool True");
    qubesd.lists("sys-net class=AppVM state=Running uuid=cb084001-53d5-4ae7-809b-ec7b16c397a8\\n");
    qubesd
}

#[test]
fn a_qube_that_starts_before_qubesd_is_heard_gets_its_label_class_and_network() {
    for options in [&b""[..], b"permissive=1"] {
        let dom0 = held();
        let recorder = Running::start(&dom0, &[]);
        dom0.node("/local/domain/0/backend/pci/7/0/opts-0", options);
        dom0.qube_has(7, "sys-net", NIC);
        recorder.until(|| count(&dom0, "stay", "event=begin,qube=sys-net") == 1);
        red_sys_net(&dom0);
        let known = "event=present,qube=sys-net,label=red,class=AppVM,network=true";
        recorder.until(|| count(&dom0, "stay", known) == 1);
        dom0.store().remove("/local/domain/0/backend/pci/7");
        dom0.ends(7);
        recorder.until(|| count(&dom0, "stay", "event=end,label=red,class=AppVM,network=true") == 1);
        recorder.stop();
        assert_eq!(count(&dom0, "stay", ""), 3, "{}", log(&dom0));
        dom0.run(&["list", "--all", "--long"]).exits(0).says("red");
    }
}

#[test]
fn a_qubesd_that_answers_nobody_in_a_start_is_asked_again() {
    let dom0 = held();
    let qubesd = red_sys_net(&dom0);
    let listed = "sys-net class=AppVM state=Running uuid=cb084001-53d5-4ae7-809b-ec7b16c397a8\\n";
    qubesd.lists("");
    let recorder = Running::start(&dom0, &[]);
    recorder.until(|| qubesd.listeners() == 1);
    qubesd.lists(listed);
    qubesd.fails(QubesdFault::Refuses);
    qubesd.tells(&event("sys-net", "domain-pre-start", &[("start_guid", "True")]));
    dom0.qube_has(7, "sys-net", NIC);
    recorder.until(|| count(&dom0, "stay", "event=begin,qube=sys-net") == 1);
    qubesd.recovers();
    qubesd.tells(&event("sys-net", "domain-start", &[("start_guid", "True")]));
    recorder.until(|| count(&dom0, "stay", "event=present,label=red,class=AppVM,network=true") == 1);
    recorder.stop();
}

#[test]
fn qubesd_is_heard_within_a_second_or_two_of_its_socket() {
    let dom0 = held();
    let recorder = Running::start(&dom0, &[]);
    // By now it would be tried after 7 and 15 seconds.
    std::thread::sleep(Duration::from_millis(3500));
    let qubesd = dom0.qubes(QUBES_43);
    let began = Instant::now();
    recorder.until(|| qubesd.listeners() == 1);
    assert!(began.elapsed() < Duration::from_millis(1500), "{:?}", began.elapsed());
    // A restart: the socket goes, and later another one is there, which is not listened to at once.
    let socket = dom0.path("run/qubesd.sock");
    std::fs::remove_file(&socket).unwrap();
    qubesd.hangs_up();
    recorder.until(|| count(&dom0, "recorder", "phase=source") >= 2);
    std::thread::sleep(Duration::from_millis(3500));
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    std::thread::sleep(Duration::from_millis(300));
    std::fs::remove_file(&socket).unwrap();
    qubesd.serve(&socket);
    let began = Instant::now();
    recorder.until(|| qubesd.listeners() == 1);
    assert!(began.elapsed() < Duration::from_millis(1500), "{:?}", began.elapsed());
    recorder.stop();
}

#[test]
fn a_start_that_failed_is_neither_a_start_nor_a_stop() {
    let dom0 = held();
    let qubesd = dom0.qubes(QUBES_43);
    let recorder = Running::start(&dom0, &[]);
    recorder.until(|| qubesd.listeners() == 1);
    let reason = "internal error: libxenlight failed to create new domain 'work'";
    qubesd.tells(&event("work", "domain-pre-start", &[("start_guid", "True")]));
    qubesd.tells(&event("work", "domain-start-failed", &[("reason", reason)]));
    // The next one gets as far as a domain of its own: that stops later.
    qubesd.tells(&event("work", "domain-pre-start", &[("start_guid", "True")]));
    qubesd.tells(&event("work", "domain-start-failed", &[("reason", "Cannot connect to qrexec agent")]));
    qubesd.tells(&event("work", "domain-stopped", &[]));
    qubesd.tells(&event("work", "domain-shutdown", &[]));
    recorder.until(|| count(&dom0, "qube", "event=stopped") > 0);
    recorder.stop();
    let told: Vec<String> =
        found(&dom0, "qube", "").iter().map(|one| one["event"].as_str().unwrap().to_owned()).collect();
    assert_eq!(told, ["starting", "start-failed", "starting", "start-failed", "stopped"]);
    assert_eq!(found(&dom0, "qube", "event=start-failed")[0]["reason"], reason);
    dom0.run(&["audit", "log"]).exits(0).says(&format!("work failed to start: {reason}"));
}

#[test]
fn a_stay_is_told_of_once_with_its_options() {
    let dom0 = held();
    let recorder = Running::start(&dom0, &[]);
    let pause = || std::thread::sleep(Duration::from_millis(400));
    dom0.runs(7, "work");
    // In libxl's order, as slowly as it was recorded.
    dom0.node("/libxl/pci/0000-00-07-0/domid", "7");
    pause();
    dom0.node("/local/domain/0/backend/pci/7/0/dev-0", NIC);
    pause();
    dom0.node("/local/domain/0/backend/pci/7/0/opts-0", "permissive=1");
    recorder.until(|| count(&dom0, "stay", "event=begin,qube=work,options=permissive=1") == 1);
    dom0.store().remove("/local/domain/0/backend/pci/7");
    dom0.store().remove("/libxl/pci/0000-00-07-0/domid");
    recorder.until(|| count(&dom0, "stay", "event=end,qube=work,options=permissive=1") == 1);
    assert_eq!(count(&dom0, "stay", ""), 2, "{}", log(&dom0));
    // One that ends before they come is told of too.
    dom0.node("/libxl/pci/0000-00-07-0/domid", "7");
    pause();
    dom0.store().remove("/libxl/pci/0000-00-07-0/domid");
    recorder.until(|| count(&dom0, "stay", "event=end") == 2);
    assert_eq!(count(&dom0, "stay", "event=begin"), 2, "{}", log(&dom0));
    recorder.stop();
}

/// A qube that has both, the first of them permissive.
fn has_both(dom0: &Dom0) {
    dom0.runs(7, "work");
    for (index, bdf) in [NIC, USB].iter().enumerate() {
        let backend = "/local/domain/0/backend/pci/7/0";
        dom0.node(format!("{backend}/opts-{index}"), format!("permissive={}", 1 - index));
        dom0.node(format!("{backend}/dev-{index}"), bdf);
    }
}

#[test]
fn options_stay_with_their_function_while_libxl_moves_it_to_another_number() {
    let backend = |name: &str| format!("/local/domain/0/backend/pci/7/0/{name}");
    let both = || {
        let mut dom0 = held();
        dom0.add(Function::usb(USB).held());
        dom0
    };
    // One after the other, with the time of a reading between.
    let dom0 = both();
    let recorder = Running::start(&dom0, &[]);
    has_both(&dom0);
    recorder.until(|| count(&dom0, "stay", "event=begin") == 2);
    dom0.node(backend("dev-0"), USB);
    std::thread::sleep(Duration::from_millis(400));
    dom0.node(backend("opts-0"), "permissive=0");
    dom0.store().remove(&backend("dev-1"));
    dom0.store().remove(&backend("opts-1"));
    recorder.until(|| count(&dom0, "stay", &format!("event=end,bdf={NIC},options=permissive=1")) == 1);
    std::thread::sleep(Duration::from_millis(300));
    recorder.stop();
    assert_eq!(count(&dom0, "stay", &format!("bdf={USB},options=permissive=0")), 1, "{}", log(&dom0));
    assert_eq!(count(&dom0, "stay", ""), 3, "{}", log(&dom0));

    // In one transaction, between two of the reader's questions: from either side.
    let moved = [
        (backend("dev-0"), Some(USB)),
        (backend("opts-0"), Some("permissive=0")),
        (backend("dev-1"), None),
        (backend("opts-1"), None),
    ];
    let changes: Vec<(&str, Option<&str>)> = moved.iter().map(|(path, value)| (&path[..], *value)).collect();
    for read in ["dev-0", "opts-0", "dev-1", "opts-1"] {
        let dom0 = both();
        has_both(&dom0);
        dom0.store().once_read(&backend(read), &changes);
        dom0.run(&["record", "--once"]).exits(0);
        let wrong = count(&dom0, "stay", &format!("bdf={USB},options=permissive=1"))
            + count(&dom0, "stay", &format!("bdf={NIC},options=permissive=0"));
        assert_eq!(wrong, 0, "{read}: {}", log(&dom0));
    }
}
