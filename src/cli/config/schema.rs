//! The JSON Schema of the file, draft 2020-12.

use super::definition::{Definition, Kind};
use serde_json::{Map, Value, json};

/// The schema of a file of these options.
pub fn of(definitions: &[Definition]) -> Value {
    let properties: Map<String, Value> =
        definitions.iter().map(|definition| (definition.key.clone(), property(definition))).collect();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Configuration of `waypost serve`",
        "description": "Every key is also a flag and an environment variable, which come before the file.",
        "type": "object",
        "additionalProperties": false,
        "properties": properties,
    })
}

fn property(definition: &Definition) -> Value {
    let help = definition.help();
    let description = if help.ends_with(['.', ']']) { help } else { format!("{help}.") };
    let mut property = match definition.kind() {
        Kind::Switch => json!({"type": "boolean", "default": false}),
        Kind::Number { min } => json!({"type": "integer", "minimum": min}),
        Kind::Text => json!({"type": "string"}),
        Kind::List => json!({"type": "array", "items": {"type": "string"}}),
    };
    property["description"] = description.into();
    let choices = definition.choices();
    if !choices.is_empty() {
        property["enum"] = choices.into();
    }
    if let Some(default) = default(definition) {
        property["default"] = default;
    }
    property
}

/// The value that holds when the key is not there.
fn default(definition: &Definition) -> Option<Value> {
    let defaults: Vec<String> =
        definition.defaults().iter().map(|value| value.to_string_lossy().into_owned()).collect();
    let first = defaults.first()?;
    Some(match definition.kind() {
        Kind::Switch => definition.is_on(&definition.defaults()).into(),
        Kind::Number { .. } => first.parse::<u64>().map_or_else(|_| first.as_str().into(), Value::from),
        Kind::Text => first.as_str().into(),
        Kind::List => defaults.into(),
    })
}
