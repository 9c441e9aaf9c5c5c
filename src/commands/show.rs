//! `show`: one device.

use super::assessed::{names_of, Assessed};
use super::Context;
use crate::error::{Exit, Failure};
use crate::observe::Sources;
use crate::report::text::wrapped;
use crate::report::{self, device_block, emit, hazards_block, history_block, json, reboot_block};
use crate::run::Unsettled;
use serde_json::json;

/// Runs it.
///
/// # Errors
/// There is no such device, this is no dom0, or something cannot be read.
pub fn run(context: &Context, device: &str) -> Result<Exit, Failure> {
    let sbdf = Sources::find(&context.root, device)?;
    let mut sources = Sources::open(&context.root)?;
    let one = Assessed::of(context, &mut sources, sbdf, None)?;
    let unsettled = Unsettled::read(&context.root, &context.journal, &one.dom0.boot_id);
    let one = one.beside(&unsettled);
    let names = names_of(context, std::iter::once(&one.function));
    let description = names.describe(one.function.class, one.function.vendor, one.function.device);
    let unseen = Assessed::unseen(&one.dom0, &one.past);
    let identity = identity(&one);
    if context.json {
        let device = one.described(&description, json::device);
        let claims: Vec<String> = one.claims.by_alias.iter().map(|claim| claim.module.to_string()).collect();
        let (pending, running) = report::unsettled(&unsettled);
        let members = json!({
            "pending": pending,
            "running": running,
            "device": device,
            "identity": identity,
            "modalias": crate::names::escape(one.function.modalias.as_bytes()),
            "modules": claims,
            "reset_methods": one.function.reset_methods,
            "reboot": json::reboot(&one.reboot),
            "qubes": Assessed::qubes(&one.dom0),
            "unseen": unseen,
        });
        emit(&json::document("show", members))?;
        return Ok(Exit::Done);
    }
    let mut text = Assessed::heading(&one.dom0, &unseen, &unsettled, &format!("show {sbdf}"));
    text.push_str(&one.described(&description, device_block));
    text.push_str(&one.described(&description, history_block));
    text.push_str(&wrapped("  identity  ", &identity));
    let reset = match &one.function.reset_methods {
        None => "none".to_owned(),
        Some(methods) => crate::names::escape(methods.join(" ").as_bytes()),
    };
    text.push_str(&wrapped("  reset     ", &reset));
    text.push_str(&wrapped("  reboot    ", &one.reboot.words()));
    text.push_str(&hazards_block(&one.hazards));
    if !one.state.is_fine() {
        text.push_str(&reboot_block(&one.reboot));
    }
    text.push_str(&Assessed::of_no_qubes(&one.dom0));
    for what in unseen {
        text.push_str(&wrapped("not seen: ", &what));
    }
    emit(&text)?;
    Ok(Exit::Done)
}

fn identity(one: &Assessed) -> String {
    let function = &one.function;
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
