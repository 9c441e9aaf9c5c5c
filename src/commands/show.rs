//! `show`: devices, one by one.

use super::{Context, Purpose};
use crate::assess::Case;
use crate::cli::DeviceArgs;
use crate::error::{Exit, Failure};
use crate::names::escape;
use crate::observe::Sources;
use crate::report::text::wrapped;
use crate::report::{
    self, device_block, emit, hazards_block, history_block, json, no_qubes, qubes_asked, reboot_block,
    unseen_block,
};
use serde_json::{json, Value};
use std::rc::Rc;

/// Shows them.
///
/// # Errors
/// There is no such device, this is no dom0, or something cannot be read.
pub fn run(context: &Context, devices: &DeviceArgs) -> Result<Exit, Failure> {
    let wanted = context.wanted(&devices.device, Purpose::Look)?;
    let mut sources = Sources::open(&context.root)?;
    let dom0 = Rc::new(sources.observe()?);
    let unsettled = context.unsettled(&dom0);
    let named: Vec<_> = wanted.iter().map(|sbdf| (*sbdf, None)).collect();
    let mut cases = Vec::new();
    for case in context.returns(&mut sources, &dom0, &named, &[])? {
        case.subject.is_known()?;
        let verdict = unsettled.verdict(case.sbdf());
        cases.push(case.beside(verdict));
    }
    let mut not_seen = dom0.unseen();
    not_seen.extend(cases.first().and_then(|case| case.past.unseen()));
    if context.json {
        let (pending, running) = report::unsettled(&unsettled);
        let members = json!({
            "pending": pending,
            "running": running,
            "qubes": qubes_asked(&dom0),
            "unseen": not_seen,
        });
        let own = match &cases[..] {
            [case] => members_of(case),
            cases => json!({ "functions": cases.iter().map(members_of).collect::<Vec<_>>() }),
        };
        emit(&json::document("show", json::with(members, own)))?;
        return Ok(Exit::Done);
    }
    let addresses: Vec<String> = wanted.iter().map(ToString::to_string).collect();
    let command = format!("show {}", addresses.join(" "));
    let mut text = report::heading(dom0.by_root, &not_seen, &unsettled, &command);
    let blocks: Vec<String> = cases.iter().map(block).collect();
    text.push_str(&blocks.join("\n"));
    text.push_str(&no_qubes(&dom0));
    text.push_str(&unseen_block(&not_seen));
    emit(&text)?;
    Ok(Exit::Done)
}

fn members_of(case: &Case) -> Value {
    let claims = case.subject.claims.by_alias.iter();
    json!({
        "device": json::device(case),
        "identity": identity(case),
        "modalias": escape(case.subject.function.modalias.as_bytes()),
        "modules": claims.map(|claim| claim.module.to_string()).collect::<Vec<_>>(),
        "reset_methods": case.subject.function.reset_methods,
        "reboot": json::reboot(&case.reboot),
    })
}

fn block(case: &Case) -> String {
    let mut text = device_block(case);
    text.push_str(&history_block(case));
    text.push_str(&wrapped("  identity  ", &identity(case)));
    let reset = match &case.subject.function.reset_methods {
        None => "none".to_owned(),
        Some(methods) => escape(methods.join(" ").as_bytes()),
    };
    text.push_str(&wrapped("  reset     ", &reset));
    text.push_str(&wrapped("  reboot    ", &case.reboot.words()));
    text.push_str(&hazards_block(&case.hazards));
    if !case.state.is_fine() {
        text.push_str(&reboot_block(&case.reboot));
    }
    text
}

fn identity(case: &Case) -> String {
    let function = &case.subject.function;
    let Some(config) = &function.config else { return "it does not answer".to_owned() };
    let reset = match config.function_level_reset {
        Some(true) => ", function-level reset",
        Some(false) => "",
        None => ", capabilities not seen (no root)",
    };
    let serial = function.serial.map(|serial| format!(", serial {serial:016x}")).unwrap_or_default();
    let of = function.physical_function.map(|pf| format!(", virtual function of {pf}")).unwrap_or_default();
    format!(
        "{:04x}:{:04x}, subsystem {:04x}:{:04x}, class {:06x}, revision {:02x}{serial}{reset}{of}",
        config.vendor, config.device, config.subsystem.0, config.subsystem.1, config.class, config.revision
    )
}
