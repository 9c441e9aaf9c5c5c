//! JSON documents held against the schemas in `tests/schemas`: the part of JSON Schema (2020-12) that these use.

use serde_json::{Map, Value};
use std::path::Path;

/// Holds a document against the schema of its command.
#[track_caller]
pub fn hold(document: &Value) {
    let name = document["schema"].as_str().expect("a document names its schema");
    against(document, name.split('/').nth(1).expect("qubes-dom0-pci/COMMAND/1"));
}

/// Holds a record of the journal, as it was printed, against the schema of records.
#[track_caller]
pub fn hold_record(record: &Value) {
    against(record, "journal-record");
}

#[track_caller]
fn against(document: &Value, name: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/schemas/{name}.json"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let schema: Value = serde_json::from_str(&text).unwrap();
    if let Err(why) = meets(document, &schema, &schema) {
        panic!("{name}: {why}\n{document}");
    }
}

/// Whether a value meets a schema; else where and why not.
pub fn meets(value: &Value, schema: &Value, root: &Value) -> Result<(), String> {
    let rules = schema.as_object().expect("a schema is an object");
    for (word, rule) in rules {
        let met = match word.as_str() {
            "$schema" | "title" | "$defs" | "required" => Ok(()),
            "$ref" => {
                let name =
                    rule.as_str().unwrap().strip_prefix("#/$defs/").expect("a definition of this file");
                meets(value, &root["$defs"][name], root)
            }
            "const" => equal(value, std::slice::from_ref(rule)),
            "enum" => equal(value, rule.as_array().unwrap()),
            "type" => typed(value, rule),
            "anyOf" => any(value, rule.as_array().unwrap(), root),
            "items" => items(value, rule, root),
            "properties" => properties(value, rules, root),
            "additionalProperties" => Ok(()),
            other => panic!("this validator does not know `{other}`"),
        };
        met?;
    }
    Ok(())
}

fn equal(value: &Value, among: &[Value]) -> Result<(), String> {
    if among.contains(value) {
        Ok(())
    } else {
        Err(format!("{value} is none of {among:?}"))
    }
}

fn typed(value: &Value, rule: &Value) -> Result<(), String> {
    let is = |name: &str| match name {
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        "null" => value.is_null(),
        other => panic!("no type `{other}`"),
    };
    let names = rule.as_array().cloned().unwrap_or_else(|| vec![rule.clone()]);
    if names.iter().any(|name| is(name.as_str().unwrap())) {
        Ok(())
    } else {
        Err(format!("{value} is no {rule}"))
    }
}

fn any(value: &Value, schemas: &[Value], root: &Value) -> Result<(), String> {
    let mut whys = Vec::new();
    for schema in schemas {
        match meets(value, schema, root) {
            Ok(()) => return Ok(()),
            Err(why) => whys.push(why),
        }
    }
    Err(format!("meets none: {}", whys.join("; or ")))
}

fn items(value: &Value, schema: &Value, root: &Value) -> Result<(), String> {
    for (at, item) in value.as_array().into_iter().flatten().enumerate() {
        meets(item, schema, root).map_err(|why| format!("[{at}]: {why}"))?;
    }
    Ok(())
}

fn properties(value: &Value, rules: &Map<String, Value>, root: &Value) -> Result<(), String> {
    let Some(object) = value.as_object() else { return Ok(()) };
    let known = rules["properties"].as_object().unwrap();
    for (name, member) in object {
        match known.get(name) {
            Some(schema) => meets(member, schema, root).map_err(|why| format!("{name}: {why}"))?,
            None if rules.get("additionalProperties") == Some(&Value::Bool(false)) => {
                return Err(format!("`{name}` is not in the schema"));
            }
            None => {}
        }
    }
    for name in rules.get("required").and_then(Value::as_array).into_iter().flatten() {
        if !object.contains_key(name.as_str().unwrap()) {
            return Err(format!("{name} is missing"));
        }
    }
    Ok(())
}
