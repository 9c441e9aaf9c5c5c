//! What is asked for.

use super::super::{boot, device, failure, moment, Context};
use crate::cli::audit::LogArgs;
use crate::error::Failure;
use crate::names::escape;
use audit::Query;

/// The question that the arguments put.
///
/// # Errors
/// One of them is none.
pub fn query(context: &Context, args: &LogArgs) -> Result<Query, Failure> {
    let mut values = Vec::new();
    if let Some(text) = &args.device {
        values.push((None, device(context, text)?.to_string()));
    }
    let named = [("op", &args.operation), ("kind", &args.kind), ("label", &args.label)];
    values.extend(
        named
            .into_iter()
            .filter_map(|(key, value)| Some((Some(key.to_owned()), escape(value.as_deref()?.as_bytes())))),
    );
    if let Some(text) = &args.boot {
        values.push((Some("boot".to_owned()), boot_of(context, text)?));
    }
    for text in &args.matches {
        let Some((key, value)) = text.split_once('=') else {
            return Err(Failure::usage(
                format!("{} is no KEY=VALUE", escape(text.as_bytes())),
                "see `audit log --help`",
            ));
        };
        values.push((Some(key.to_owned()), value.to_owned()));
    }
    let any = args.qube.as_deref().map(of_qube).unwrap_or_default();
    // As the journal writes it: the query compares the texts.
    let time = |text: &Option<String>| text.as_deref().map(|text| Ok(moment(text)?.to_string())).transpose();
    Ok(Query { values, any, since: time(&args.since)?, until: time(&args.until)?, ..Query::default() })
}

/// Every member in which a record may name a qube.
fn of_qube(name: &str) -> Vec<Vec<(Option<String>, String)>> {
    let name = escape(name.as_bytes());
    let is = |key: &str, value: String| vec![(Some(key.to_owned()), value)];
    let mut any: Vec<_> = ["qube", "qubes", "before"].map(|key| is(key, name.clone())).to_vec();
    any.push(is("accepted", format!("exposed:{name}")));
    any
}

/// A boot as the journal names it: `this` one, the one so many before it, or the one whose name begins so.
fn boot_of(context: &Context, text: &str) -> Result<String, Failure> {
    let this = boot(context);
    if matches!(text, "this" | "0" | "-0") && !this.is_empty() {
        return Ok(this);
    }
    let shown = escape(text.as_bytes());
    let known = audit::boots(&context.journal).map_err(|error| failure(&error))?;
    if let Some(back) = text.strip_prefix('-').and_then(|text| text.parse::<usize>().ok()) {
        let earlier: Vec<&String> = known.iter().filter(|boot| **boot != this).collect();
        let place = earlier.len().checked_sub(back.max(1));
        return place.and_then(|place| earlier.get(place)).map(|boot| (*boot).clone()).ok_or_else(|| {
            Failure::usage(
                format!("the journal knows {} earlier boots", earlier.len()),
                "-1 is the latest of them",
            )
        });
    }
    let mut fitting =
        known.iter().filter(|boot| !text.is_empty() && boot.starts_with(&text.to_ascii_lowercase()));
    match (fitting.next(), fitting.next()) {
        (Some(boot), None) => Ok(boot.clone()),
        (Some(_), Some(_)) => {
            Err(Failure::usage(format!("several boots begin with {shown}"), "give more of it"))
        }
        (None, _) => Err(Failure::usage(
            format!("the journal knows no boot {shown}"),
            "give `this`, -1 for the one before, or a beginning of its id",
        )),
    }
}
