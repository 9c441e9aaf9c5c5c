//! `rollback`: what it takes for one act, and everything it refuses. That it brings devices back is shown where writes
//! are answered, on the real Xen.

use crate::model::terminal::{Answer, Session, GO_ON};
use crate::model::{Dom0, Function, Qubesd, QUBES_43};
use audit::{Draft, Journal};

const ONE: &str = "0000:03:00.0";
const TWO: &str = "0000:03:00.1";

/// The recorder's word for a function that pciback took.
fn seized(bdf: &str, before: &str) -> Draft {
    let draft = Draft::new("device").text("event", "seized").text("bdf", bdf).text("driver", "pciback");
    draft.text("before", before).text("source", "uevent")
}

fn qube(event: &str, name: &str) -> Draft {
    Draft::new("qube").text("event", event).text("qube", name).text("source", "qubesd")
}

fn given(bdf: &str, name: &str) -> Draft {
    let draft = Draft::new("stay").text("event", "begin").text("bdf", bdf).text("qube", name);
    draft.number("domain", 3).text("source", "xenstore")
}

fn recorded(dom0: &Dom0, records: &[Draft]) {
    let folder = dom0.path("var/lib/qubes-dom0-pci/journal");
    std::fs::create_dir_all(folder.parent().unwrap()).unwrap();
    Journal::open(&folder, "11111111").unwrap().append(records).unwrap();
}

/// sys-net was started with the wrong card, and is gone again.
fn misattached() -> Dom0 {
    let mut dom0 = Dom0::with(Function::nic(ONE).held().quarantined());
    dom0.add(Function::nic(TWO).held().quarantined());
    recorded(
        &dom0,
        &[
            qube("started", "sys-net"),
            seized(ONE, "e1000e"),
            seized(TWO, "e1000e"),
            given(ONE, "sys-net"),
            given(TWO, "sys-net"),
        ],
    );
    dom0
}

#[test]
fn without_a_record_of_the_act_nothing_is_known_to_undo() {
    let dom0 = Dom0::with(Function::nic(ONE).held().quarantined());
    for arguments in [&["--json", "rollback", "--last"][..], &["--json", "rollback", ONE]] {
        dom0.run_changing_nothing(arguments).fails(3, "nothing-known");
    }
}

#[test]
fn a_function_that_was_held_since_the_boot_was_not_taken_from_dom0() {
    let dom0 = Dom0::with(Function::nic(ONE).held());
    recorded(&dom0, &[seized(ONE, ""), seized(ONE, "pciback")]);
    dom0.run_changing_nothing(&["--json", "rollback", ONE]).fails(3, "nothing-known");
}

#[test]
fn another_boots_act_is_not_undone() {
    let dom0 = misattached();
    dom0.write("proc/sys/kernel/random/boot_id", "22222222-2222-3333-4444-555555555555\n");
    dom0.run_changing_nothing(&["--json", "rollback", "--last"]).fails(3, "nothing-known");
}

#[test]
fn a_script_is_shown_the_whole_act_and_how_to_name_it() {
    let dom0 = misattached();
    let said =
        dom0.run_changing_nothing(&["--json", "rollback", "--last"]).fails(4, "consent-missing").json();
    assert_eq!(said["act"]["qube"], "sys-net");
    assert_eq!(said["act"]["functions"][0]["bdf"], ONE);
    assert_eq!(said["act"]["functions"][0]["driver"], "e1000e");
    assert_eq!(said["act"]["functions"][1]["bdf"], TWO);
    assert_eq!(said["functions"][0]["fate"], "open");
    let (plan, hint) = (said["plan"].as_str().unwrap(), said["error"]["hint"].as_str().unwrap());
    assert!(hint.contains(&format!("--plan {plan} --accept ")), "{hint}");
    // The same facts name the same plan.
    let again = dom0.run_changing_nothing(&["--json", "rollback", TWO]).fails(4, "consent-missing").json();
    assert_eq!(again["plan"], plan);
}

#[test]
fn what_a_reboot_would_do_is_said_with_one_edit_for_all_its_functions() {
    let dom0 = misattached();
    dom0.run(&["rollback", "--last"])
        .exits(4)
        .says(&format!("Recommended for {ONE}: reboot; a reboot returns it."));
    dom0.write("etc/default/grub", "GRUB_CMDLINE_LINUX=\"quiet xen-pciback.hide=(03:00.0)(03:00.1)\"\n");
    let said = dom0.run(&["rollback", "--last"]).exits(4).says("xen-pciback.hide");
    let said = said.says(&format!("next-boot --return {ONE} {TWO} --diff | patch -p1 -d /"));
    said.never_says(&format!("--return {ONE} --diff")).never_says(&format!("--return {TWO} --diff"));
}

#[test]
fn the_newest_act_needs_its_name_even_where_all_is_accepted() {
    let dom0 = misattached();
    let said = dom0.run_changing_nothing(&["--json", "rollback", "--last"]).json();
    let accept = accepted(&said);
    let said = dom0.run_changing_nothing(&["--json", "rollback", "--last", "--accept", &accept]);
    let said = said.fails(4, "consent-missing").json();
    assert!(said["error"]["message"].as_str().unwrap().contains("the act is not named"), "{said}");
}

#[test]
fn a_plan_that_no_longer_holds_is_stale() {
    let dom0 = misattached();
    let plan = dom0.run(&["--json", "rollback", "--last"]).json()["plan"].as_str().unwrap().to_owned();
    dom0.run_changing_nothing(&["--json", "rollback", "--last", "--plan", "0123456789abcdef"])
        .fails(4, "plan-stale");
    dom0.qube_has(5, "work", TWO);
    dom0.run_changing_nothing(&["--json", "rollback", "--last", "--plan", &plan]).fails(4, "plan-stale");
}

#[test]
fn what_a_qube_still_has_is_left_alone_and_named() {
    let dom0 = misattached();
    dom0.runs(5, "work");
    dom0.qube_has(5, "work", TWO);
    let said =
        dom0.run_changing_nothing(&["--json", "rollback", "--last"]).fails(4, "consent-missing").json();
    assert_eq!(
        (&said["functions"][0]["fate"], &said["functions"][1]["fate"]),
        (&"open".into(), &"left".into())
    );
    assert!(said["functions"][1]["why"].as_str().unwrap().contains("in-use"), "{said}");
}

#[test]
fn an_act_of_which_nothing_can_be_given_back_is_refused() {
    let dom0 = misattached();
    dom0.runs(5, "work");
    dom0.runs(6, "vault");
    dom0.qube_has(5, "work", ONE);
    dom0.qube_has(6, "vault", TWO);
    let said = dom0.run_changing_nothing(&["--json", "rollback", "--last"]).fails(3, "refused").json();
    assert_eq!(said["functions"][0]["fate"], "left");
    let said = dom0.run_changing_nothing(&["rollback", "--last"]).exits(3);
    assert!(said.out.starts_with("Taken 20") && said.out.contains(" UTC for sys-net: "), "{}", said.out);
    said.says("left alone: refused: in-use").says("hint: shut the qube down first; `show BDF` says more");
    let dom0 = misattached();
    dom0.write("etc/qubes/dom0-pci.conf", "never-return 8086:10d3\n");
    let said = dom0.run_changing_nothing(&["rollback", "--last"]).exits(3);
    said.says("hint: the policy file of this machine decides").never_says("shut the qube down");
}

#[test]
fn another_device_at_the_same_place_is_not_the_one_that_was_taken() {
    let dom0 = Dom0::with(Function::nic(ONE).held());
    let other = seized(ONE, "e1000e").text("id", "10ec:8168 10ec:0123 020000");
    recorded(&dom0, &[other]);
    let said = dom0.run_changing_nothing(&["--json", "rollback", ONE]).fails(3, "refused").json();
    assert!(said["functions"][0]["why"].as_str().unwrap().contains("another device"), "{said}");
}

#[test]
fn what_is_back_already_is_nothing_to_do() {
    let dom0 = Dom0::with(Function::nic(ONE).driven("e1000e"));
    recorded(&dom0, &[seized(ONE, "e1000e"), given(ONE, "sys-net")]);
    let said = dom0.run_changing_nothing(&["--json", "rollback", "--last"]).exits(0).json();
    assert_eq!((&said["outcome"], &said["functions"][0]["fate"]), (&"nothing".into(), &"back".into()));
    dom0.run_changing_nothing(&["rollback", ONE]).exits(0).says("there is nothing to do");
}

#[test]
fn either_a_device_or_the_newest_act_is_named() {
    let dom0 = misattached();
    dom0.run_changing_nothing(&["--json", "rollback"]).fails(2, "usage");
    dom0.run_changing_nothing(&["--json", "rollback", ONE, "--last"]).fails(2, "usage");
    dom0.run_changing_nothing(&["--json", "rollback", "--last", "--accept", "in-use"]).fails(2, "usage");
    dom0.run_changing_nothing(&["--json", "rollback", "0000:09:00.0"]).fails(2, "no-such-device");
}

#[test]
fn at_a_prompt_anything_but_the_name_changes_nothing() {
    let dom0 = misattached();
    for answer in ["", "yes", "sys-usb"] {
        let answer = format!("{answer}\r");
        for answers in [&[answer.as_str()][..], &[GO_ON, &answer, &answer]] {
            let answers = if answer == "\r" { &answers[..answers.len().min(2)] } else { answers };
            let (said, status) = dom0.ask(&["rollback", "--last"], Answer::Each(answers));
            assert_eq!(status.code(), Some(4), "{said}");
            assert!(said.contains("Nothing was changed."), "{said}");
        }
    }
}

#[test]
fn other_operations_need_not_wait_for_the_answer() {
    let dom0 = misattached();
    let hold = || {
        dom0.run(&["hold", ONE]).exits(0).says("nothing to do");
    };
    let (said, status) = dom0.ask(&["rollback", "--last"], Answer::Meanwhile(&hold, "\r"));
    assert_eq!(status.code(), Some(4), "{said}");
    // The name goes on, though another had the lock meanwhile.
    let (said, status) = dom0.ask(&["rollback", "--last"], Answer::Meanwhile(&hold, "sys-net\r"));
    assert!(!matches!(status.code(), Some(2..=4) | None), "{status:?}: {said}");
    assert!(dom0.run(&["audit", "log"]).out.contains("rollback"), "{said}");
}

#[test]
fn an_act_that_changes_while_the_question_is_open_is_left_alone() {
    let changes: [&dyn Fn(&Dom0); 4] = [
        // A qube starts with one of them.
        &|dom0| dom0.qube_has(5, "work", TWO),
        // The config space of one becomes free to a qube.
        &|dom0| dom0.write("sys/bus/pci/drivers/pciback/permissive", format!("{ONE}\n")),
        // A newer act is the last one now.
        &|dom0| {
            recorded(
                dom0,
                &[
                    qube("ended", "sys-net"),
                    qube("started", "work"),
                    seized(TWO, "e1000e"),
                    given(TWO, "work"),
                ],
            );
        },
        // Another operation was interrupted.
        &|dom0| {
            let start = Draft::new("op").op("0badcafe").text("phase", "start").text("command", "hold");
            let start = start
                .text("driver", "pciback")
                .text("override", "")
                .flag("slot", true)
                .text("owner", "DomIO");
            let step = Draft::new("step").op("0badcafe").text("step", "pin").text("phase", "intent");
            recorded(dom0, &[start.text("bdf", ONE), step.text("bdf", ONE)]);
        },
    ];
    for (number, change) in changes.iter().enumerate() {
        let dom0 = misattached();
        let meanwhile = || change(&dom0);
        let (said, status) = dom0.ask(&["rollback", "--last"], Answer::Meanwhile(&meanwhile, "sys-net\r"));
        let (exit, word) =
            if number == 3 { (8, "is not settled") } else { (4, "changed while the question was open") };
        assert_eq!(status.code(), Some(exit), "{number}: {said}");
        assert!(said.contains(word), "{number}: {said}");
        assert!(!dom0.run(&["audit", "log"]).out.contains("rollback"), "{number}");
    }
}

/// Everything accepted and named, as a script would after a review.
fn reviewed(dom0: &Dom0, more: &[&str]) -> Vec<String> {
    let said = dom0.run(&["--json", "rollback", "--last"]).json();
    let (plan, accept) = (said["plan"].as_str().unwrap(), accepted(&said));
    let named = ["--json", "rollback", "--last", "--plan", plan, "--accept", &accept];
    named.iter().chain(more).map(|word| (*word).to_owned()).collect()
}

/// What is still to be accepted, as `--accept` takes it.
fn accepted(said: &serde_json::Value) -> String {
    let ids = said["accept"].as_array().unwrap().iter().map(|id| id.as_str().unwrap());
    ids.collect::<Vec<_>>().join(",")
}

#[test]
fn an_assignment_is_taken_back_only_by_qubesd() {
    let dom0 = misattached();
    let arguments = reviewed(&dom0, &["--unassign"]);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    dom0.run_changing_nothing(&arguments).fails(10, "no-qubesd");
}

/// A card that a qube had and is assigned; qubesd says yes when that is to be taken back, and lists it all the same.
fn assigned() -> (Dom0, Qubesd) {
    let dom0 = Dom0::with(Function::nic(ONE).held().quarantined());
    recorded(&dom0, &[seized(ONE, "e1000e"), given(ONE, "sys-net")]);
    let qubesd = dom0.qubes(QUBES_43);
    let line = "dom0+03_00.0:* device_id='*' port_id='03_00.0' devclass='pci' backend_domain='dom0' mode='required'\\n";
    qubesd.answers("admin.vm.device.pci.Assigned+", "sys-net", line);
    qubesd.answers("admin.vm.device.pci.Unassign+dom0+03_00.0+_", "sys-net", "");
    (dom0, qubesd)
}

#[test]
fn an_assignment_is_not_taken_back_where_the_return_cannot_begin() {
    let (dom0, qubesd) = assigned();
    let arguments = reviewed(&dom0, &["--unassign"]);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    // Without the kernel's log no step can be proved.
    dom0.remove("dev/kmsg");
    let before = dom0.state(ONE);
    let said = dom0.run(&arguments).json();
    assert_eq!(said["functions"][0]["fate"], "failed", "{said}");
    assert_eq!(dom0.state(ONE), before);
    let asked = qubesd.asked();
    assert!(!asked.iter().any(|request| request.contains("Unassign")), "{asked:?}");
    dom0.run(&["recover"]).exits(0).says("there is nothing to do");
}

#[test]
fn an_assignment_that_qubes_still_lists_afterwards_leaves_the_device_alone() {
    let (dom0, qubesd) = assigned();
    let arguments = reviewed(&dom0, &["--unassign"]);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let before = dom0.state(ONE);
    let said = dom0.run(&arguments).fails(1, "not-returned").json();
    let why = said["functions"][0]["why"].as_str().unwrap();
    assert!(why.contains("Qubes still lists 03_00.0 of sys-net"), "{said}");
    assert_eq!(dom0.state(ONE), before);
    let asked = qubesd.asked();
    assert!(
        asked.iter().any(|request| request.contains("Unassign+dom0+03_00.0+_ dom0 name sys-net")),
        "{asked:?}"
    );
}

const UNASSIGN: &str = "admin.vm.device.pci.Unassign+dom0+03_00.0+_";
const ASSIGNED: &str = "admin.vm.device.pci.Assigned+";
const ALWAYS: &str = "dom0+03_00.0:* device_id='*' port_id='03_00.0' devclass='pci' backend_domain='dom0' mode='required' _no-strict-reset='True'\\n";

/// The same, and what qubesd is told to take back it lists no more.
fn assigned_until_told() -> (Dom0, Qubesd) {
    let (dom0, qubesd) = assigned();
    qubesd.answers(ASSIGNED, "sys-net", ALWAYS);
    qubesd.answers_after(UNASSIGN, ASSIGNED, "sys-net", "");
    (dom0, qubesd)
}

/// What every ending says that is not the wanted one.
const LOST: &str = "the assignment 03_00.0 of sys-net stays taken back";
const AGAIN: &str = "qvm-pci assign --required -o no-strict-reset=True --port sys-net dom0:03_00.0";

#[test]
fn once_an_assignment_was_taken_back_no_ending_says_that_nothing_was_changed() {
    let (dom0, qubesd) = assigned_until_told();
    // Another qube that is assigned it starts at that moment.
    qubesd.answers(ASSIGNED, "work", ALWAYS);
    let list = |state: &str| {
        let one = |name: &str, state: &str| {
            format!("{name} class=AppVM state={state} uuid=b21c7d77-4175-4dd3-8e3f-460435ce18f5\\n")
        };
        let dom0 = "dom0 class=AdminVM state=Running uuid=00000000-0000-0000-0000-000000000000\\n";
        dom0.to_owned() + &one("sys-net", "Halted") + &one("work", state)
    };
    qubesd.answers("admin.vm.List+", "dom0", &list("Halted"));
    qubesd.answers_after(UNASSIGN, "admin.vm.List+", "dom0", &list("Transient"));
    let arguments = reviewed(&dom0, &["--unassign"]);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let said = dom0.run(&arguments).fails(1, "not-returned").json();
    let message = said["functions"][0]["operation"]["error"]["message"].as_str().unwrap();
    assert!(message.contains("pin: work is about to take it") && message.contains(LOST), "{said}");
    assert!(said["functions"][0]["operation"]["advice"][0].as_str().unwrap().ends_with(AGAIN), "{said}");
}

#[test]
fn of_two_assignments_the_one_that_was_taken_back_is_named_where_the_other_is_not() {
    let dom0 = Dom0::with(Function::nic(ONE).held().quarantined());
    recorded(&dom0, &[seized(ONE, "e1000e")]);
    let qubesd = dom0.qubes(QUBES_43);
    qubesd.answers(ASSIGNED, "sys-net", ALWAYS);
    qubesd.answers(ASSIGNED, "work", ALWAYS);
    qubesd.answers(UNASSIGN, "sys-net", "");
    qubesd.answers_after(UNASSIGN, ASSIGNED, "sys-net", "");
    let arguments = reviewed(&dom0, &["--unassign"]);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let before = dom0.state(ONE);
    let said = dom0.run(&arguments).fails(11, "not-returned").json();
    let operation = &said["functions"][0]["operation"];
    assert_eq!(operation["error"]["code"], "qubesd-refused", "{said}");
    let message = operation["error"]["message"].as_str().unwrap();
    assert!(message.contains(LOST) && !message.contains("of work "), "{said}");
    assert_eq!(dom0.state(ONE), before);
}

#[test]
fn recover_names_the_assignment_that_the_interrupted_run_took_back() {
    for (assignment, says) in [("", true), (ALWAYS, false)] {
        let (dom0, qubesd) = assigned();
        qubesd.answers(ASSIGNED, "sys-net", assignment);
        let start = Draft::new("op").op("0badcafe").text("phase", "start").text("command", "rollback");
        let start = start.text("bdf", ONE).text("driver", "pciback").text("override", "");
        let start = start.flag("slot", true).text("owner", "DomIO");
        let step = Draft::new("step").op("0badcafe").text("step", "unassign").text("phase", "intent");
        let step = step.text("bdf", ONE).text("what", "03_00.0 of sys-net").text("qube", "sys-net");
        recorded(&dom0, &[start, step.text("again", AGAIN)]);
        let said = dom0.run_changing_nothing(&["recover"]).exits(0).out.clone();
        let said = crate::model::folded(&said);
        assert_eq!((said.contains(LOST), said.contains(AGAIN)), (says, says), "{said}");
    }
}

/// A card that is back, and assigned all the same.
fn back_but_assigned() -> (Dom0, Qubesd) {
    let dom0 = Dom0::with(Function::nic(ONE).driven("e1000e"));
    recorded(&dom0, &[seized(ONE, "e1000e"), given(ONE, "sys-net")]);
    let qubesd = dom0.qubes(QUBES_43);
    qubesd.answers(ASSIGNED, "sys-net", ALWAYS);
    (dom0, qubesd)
}

#[test]
fn the_assignment_of_what_is_back_already_is_warned_of_and_taken_back_where_that_is_asked() {
    let (dom0, qubesd) = back_but_assigned();
    let said = dom0.run_changing_nothing(&["--json", "rollback", ONE]).exits(0).json();
    assert_eq!(said["outcome"], "nothing");
    assert!(said["warnings"][0].as_str().unwrap().contains("the next start of sys-net takes it"), "{said}");
    // qubesd refuses, or says yes and lists it still.
    let said = dom0.run(&["--json", "rollback", ONE, "--unassign"]).fails(11, "not-returned").json();
    assert_eq!(said["functions"][0]["fate"], "failed", "{said}");
    qubesd.answers(UNASSIGN, "sys-net", "");
    dom0.run(&["--json", "rollback", ONE, "--unassign"]).fails(1, "not-returned");

    let (dom0, qubesd) = back_but_assigned();
    qubesd.answers(UNASSIGN, "sys-net", "");
    qubesd.answers_after(UNASSIGN, ASSIGNED, "sys-net", "");
    let before = dom0.state(ONE);
    // The newest act has to be named for this too.
    dom0.run_changing_nothing(&["--json", "rollback", "--last", "--unassign"]).fails(4, "consent-missing");
    let said = dom0.run(&["--json", "rollback", ONE, "--unassign"]).exits(0).json();
    assert_eq!((&said["outcome"], &said["functions"][0]["fate"]), (&"done".into(), &"back".into()), "{said}");
    assert_eq!(said["functions"][0]["operation"]["steps"][0]["step"], "unassign", "{said}");
    assert_eq!(said["warnings"].as_array().unwrap().len(), 0, "{said}");
    assert_eq!(dom0.state(ONE), before);
    let said = dom0.run_changing_nothing(&["--json", "rollback", ONE, "--unassign"]).exits(0).json();
    assert_eq!(said["outcome"], "nothing");
}

#[test]
fn an_assignment_that_was_taken_back_beside_a_function_that_is_refused_is_a_part() {
    let mut dom0 = Dom0::with(Function::nic(ONE).driven("e1000e"));
    dom0.add(Function::nic(TWO).held().quarantined());
    recorded(&dom0, &[seized(ONE, "e1000e"), seized(TWO, "e1000e"), given(TWO, "sys-net")]);
    dom0.qube_has(5, "work", TWO);
    let qubesd = dom0.qubes(QUBES_43);
    qubesd.answers(ASSIGNED, "sys-net", ALWAYS);
    qubesd.answers(UNASSIGN, "sys-net", "");
    qubesd.answers_after(UNASSIGN, ASSIGNED, "sys-net", "");
    let said = dom0.run(&["--json", "rollback", ONE, "--unassign"]).fails(12, "partly").json();
    let fate = |at: usize| said["functions"][at]["fate"].as_str().unwrap().to_owned();
    assert_eq!((fate(0), fate(1)), ("back".to_owned(), "left".to_owned()), "{said}");
}

#[test]
fn without_qubesd_no_assignment_is_said_to_be_taken_back() {
    let (dom0, qubesd) = back_but_assigned();
    qubesd.fails(crate::model::QubesdFault::Refuses);
    dom0.run_changing_nothing(&["--json", "rollback", ONE, "--unassign"]).fails(10, "no-qubesd");
}

/// Five devices that were taken for work in one act, with names as long as they come.
fn five() -> Dom0 {
    let all = ["0000:03:00.0", "0000:03:00.1", "0000:04:00.0", "0000:05:00.0", "0000:06:00.0"];
    let mut dom0 = Dom0::with(Function::nic(all[0]).held().quarantined());
    dom0.add(Function::nic(all[1]).held().quarantined());
    dom0.add(Function::nic(all[2]).held().quarantined());
    dom0.add(Function::usb(all[3]).held().quarantined());
    dom0.add(Function::usb(all[4]).held().quarantined());
    dom0.write("etc/qubes-release", "Qubes release 4.3.0 (R4.3)\n");
    dom0.write("etc/default/grub", "GRUB_CMDLINE_LINUX=\"rhgb quiet\"\n");
    let taken = all.iter().map(|bdf| {
        let driver = if *bdf < "0000:05" { "e1000e" } else { "xhci_hcd" };
        seized(bdf, driver)
    });
    let had = all.iter().map(|bdf| given(bdf, "work"));
    recorded(&dom0, &taken.chain(had).collect::<Vec<_>>());
    dom0
}

#[test]
fn the_review_of_five_devices_fits_the_screen_it_asks_on() {
    let dom0 = five();
    let all = ["0000:03:00.0", "0000:03:00.1", "0000:04:00.0", "0000:05:00.0", "0000:06:00.0"];
    let reattach: Vec<&str> = std::iter::once("reattach").chain(all).collect();
    for arguments in [&["rollback", "--last"][..], &reattach] {
        for (rows, columns) in [(24, 80), (24, 60), (30, 120), (50, 200)] {
            let mut session = Session::begin(&dom0.command(arguments), (rows, columns), "");
            assert!(session.until_question(), "{}", session.shown());
            session.press("\x1b");
            let (shown, status) = session.end();
            assert_eq!(status.code(), Some(4), "{shown}");
            let plain = console::strip_ansi_codes(&shown).replace('\r', "");
            let end = plain.find("return them now").unwrap_or_else(|| panic!("{plain}"));
            let lines: Vec<&str> = plain[..end].lines().collect();
            let width = usize::from(columns);
            let taken: usize = lines.iter().map(|line| line.chars().count().div_ceil(width).max(1)).sum();
            assert!(taken < usize::from(rows), "{taken} rows of {rows}:\n{plain}");
            for line in &lines {
                let is_command = line.starts_with("  qubes-dom0-pci") || line.starts_with("  qvm-");
                assert!(is_command || line.chars().count() <= width, "{columns}: {line}");
            }
            for bdf in all {
                let short = bdf.strip_prefix("0000:").unwrap();
                let named = lines.iter().filter(|line| line.starts_with(&format!("  {short}  "))).count();
                assert_eq!(named, 1, "{bdf}:\n{plain}");
            }
            // What is common to all is said once.
            assert_eq!(plain[..end].matches("exposed:work: ").count(), 1, "{plain}");
        }
    }
}
