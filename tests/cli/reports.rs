//! Situations of public reports, as tests/data/next-boot/reports has them: where each device is at the next boot, the one edit for
//! those that are wanted back, and that it does what it promises when it is applied.

use crate::model::{Dom0, Function, Qubesd, QUBES_42, QUBES_43};
use serde_json::{json, Value};
use std::io::Write;
use std::process::Stdio;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/next-boot/reports");

fn all(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value}"))
}

fn texts(value: &Value) -> Vec<&str> {
    all(value).map(text).collect()
}

fn function(it: &Value) -> Function {
    let number = |name: &str| u32::from_str_radix(text(&it[name]), 16).unwrap();
    let (vendor, device) =
        (u16::try_from(number("vendor")).unwrap(), u16::try_from(number("device")).unwrap());
    let mut made = Function::new(text(&it["bdf"]), vendor, device, number("class"));
    made = match it["kind"].as_str() {
        Some("root_port") => made.bridge().express(4, 0),
        Some("bridge_up") => made.bridge().express(5, 0),
        Some("bridge_down") => made.bridge().express(6, 0),
        Some("conventional_bridge") => made.bridge().conventional(),
        Some("conventional") => made.conventional(),
        _ => made,
    };
    if let Some(driver) = it["driver"].as_str() {
        made = made.driven(driver);
    }
    if it["held"] == true {
        made = made.held();
    }
    if it["slot"] == true {
        made = made.slot_listed();
    }
    if let Some(owner) = it["owner"].as_str() {
        made = made.owned_by(owner);
    }
    if let Some(pinned) = it["override"].as_str() {
        made = made.pinned(pinned);
    }
    if it["behind"].is_array() {
        made = made.behind(&texts(&it["behind"]));
    }
    for (name, value) in it["attributes"].as_object().into_iter().flatten() {
        made = made.attribute(name, text(value));
    }
    made
}

fn dom0(case: &Value) -> (Dom0, Option<Qubesd>) {
    let mut dom0 = Dom0::new();
    for claim in all(&case["claims"]) {
        dom0.claim(text(&claim[0]), text(&claim[1]));
    }
    for load in all(&case["load"]) {
        dom0.load(text(&load[0]), &texts(&load[1]));
    }
    for it in all(&case["functions"]) {
        dom0.add(function(it));
    }
    if let Some(words) = case["cmdline"].as_str() {
        dom0.write("proc/cmdline", format!("{words}\n"));
    }
    let qubesd = match case["qubes"].as_str() {
        Some("4.2") => Some(dom0.qubes(QUBES_42)),
        Some("4.3") => Some(dom0.qubes(QUBES_43)),
        _ => None,
    };
    if let Some(qubesd) = &qubesd {
        dom0.write("etc/qubes-release", format!("Qubes release {0}.0 (R{0})\n", text(&case["qubes"])));
        if let Some(list) = case["lists"].as_str() {
            qubesd.lists(&list.replace('\n', "\\n"));
        }
        for answer in all(&case["answers"]) {
            qubesd.answers(text(&answer[0]), text(&answer[1]), &text(&answer[2]).replace('\n', "\\n"));
        }
    }
    for (name, content) in case["files"].as_object().into_iter().flatten() {
        dom0.write(name, text(content));
    }
    for remove in all(&case["remove"]) {
        dom0.remove(text(remove));
    }
    (dom0, qubesd)
}

/// Where functions are, by their addresses.
fn places(prediction: &Value) -> Value {
    all(&prediction["functions"]).map(|one| (text(&one["bdf"]).to_owned(), one["next"].clone())).collect()
}

fn patch(dom0: &Dom0, diff: &[u8], more: &[&str]) {
    let mut command = std::process::Command::new("patch");
    command.args(["-s", "-p1", "--no-backup-if-mismatch", "-d"]).arg(dom0.path("")).args(more);
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(diff).unwrap();
    assert!(child.wait().unwrap().success(), "{}", String::from_utf8_lossy(diff));
}

/// The files that the edit is for, as they are now.
fn bytes(dom0: &Dom0, edit: &Value) -> Vec<Vec<u8>> {
    let paths = all(&edit["files"]).map(|file| text(&file["path"]).trim_start_matches('/').to_owned());
    paths.map(|path| std::fs::read(dom0.path(&path)).unwrap()).collect()
}

/// What comes of one question: the promise, after it was held against what the applied edit does.
fn asked(dom0: &Dom0, give: &[&str]) -> Value {
    let mut words = vec!["next-boot", "--return"];
    words.extend(give);
    let answer = dom0.json(&words);
    let edit = &answer["edit"];
    if edit["needed"] == false {
        return json!({ "needed": false });
    }
    let before = bytes(dom0, edit);
    words.push("--diff");
    let diff = dom0.command(&words).output().unwrap();
    assert!(diff.status.success());
    patch(dom0, &diff.stdout, &[]);
    // What the commands do: the generator's part, driverctl's.
    let generated: Vec<(&str, Vec<u8>)> = ["boot/grub2/grub.cfg", "boot/grub/grub.cfg"]
        .into_iter()
        .filter_map(|path| Some((path, std::fs::read(dom0.path(path)).ok()?)))
        .collect();
    generated.iter().for_each(|(path, _)| dom0.remove(path));
    let commands = texts(&edit["commands"]);
    let gone: Vec<&str> = commands.iter().filter_map(|command| command.strip_prefix("rm /")).collect();
    let kept: Vec<Vec<u8>> = gone.iter().map(|path| std::fs::read(dom0.path(path)).unwrap()).collect();
    gone.iter().for_each(|path| dom0.remove(path));
    // The initramfs that dracut or update-initramfs makes has what the files say now: nothing of these devices.
    let then = dom0.json(&["next-boot"]);
    assert_eq!(places(&then), places(&edit["after"]), "{give:?}: {}", String::from_utf8_lossy(&diff.stdout));
    patch(dom0, &diff.stdout, &["-R"]);
    assert_eq!(bytes(dom0, edit), before);
    generated.iter().for_each(|(path, bytes)| dom0.write(path, bytes));
    gone.iter().zip(kept).for_each(|(path, bytes)| dom0.write(path, bytes));
    let returned = give.iter().map(|name| format!("0000:{name}"));
    let returns = |bdf: &String| {
        all(&edit["after"]["functions"]).find(|one| one["bdf"] == **bdf).unwrap()["returns"].clone()
    };
    let returned: Value = returned.map(|bdf| (bdf.clone(), returns(&bdf))).collect();
    let added: Vec<String> = String::from_utf8_lossy(&diff.stdout)
        .lines()
        .filter(|line| line.starts_with('+') && !line.starts_with("+++"))
        .map(|line| line.trim_start_matches('+').to_owned())
        .collect();
    json!({ "returns": returned, "commands": commands, "lines": added })
}

#[test]
fn what_people_reported_is_predicted_and_mended() {
    let mut names: Vec<_> = std::fs::read_dir(FOLDER).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.sort();
    assert!(names.len() >= 18);
    let mut wrong = Vec::new();
    for path in names {
        let case: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        let (dom0, _qubesd) = dom0(&case);
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let answer = dom0.json(&["next-boot"]);
        let dead = all(&answer["dead_assignments"]).map(|one| one["command"].clone()).collect::<Value>();
        let taken: Value = all(&answer["functions"])
            .filter(|one| one["taken_by"] != json!([]))
            .map(|one| (text(&one["bdf"]).to_owned(), one["taken_by"].clone()))
            .collect();
        let mut found = json!({ "next": places(&answer), "taken_by": taken, "dead": dead, "asks": [] });
        for ask in all(&case["asks"]) {
            let give = texts(&ask["give"]);
            let promise = asked(&dom0, &give);
            found["asks"].as_array_mut().unwrap().push(json!({ "give": give, "promise": promise }));
        }
        let expected = json!({
            "next": case["next"], "taken_by": case["taken_by"], "dead": case["dead"], "asks": case["asks"],
        });
        if found != expected {
            wrong.push(format!("{name}: expected {expected}\nfound {found}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}
