//! The effective configuration as a file that can be used again.

use super::{
    definition::Kind,
    effective::{Effective, Value},
    redacted,
};
use std::fmt::Write;

/// The file's text, without a newline at its end.
pub fn file(effective: &Effective) -> String {
    let mut text = format!("# What `waypost serve` of version {} runs with.\n", env!("CARGO_PKG_VERSION"));
    let mut group = "";
    for value in &effective.values {
        if value.definition.group() != group {
            group = value.definition.group();
            let _ = writeln!(text, "\n# {group}");
        }
        let assignment = assignment(value);
        let _ = writeln!(text, "{assignment:WIDTH$}  # {}", origin(effective, value));
    }
    text.trim_end().to_owned()
}

/// Columns of an assignment: most of them, so that the comments stand in a column of their own.
const WIDTH: usize = 40;

fn assignment(value: &Value) -> String {
    let key = &value.definition.key;
    match value.definition.kind() {
        Kind::Switch => format!("{key} = {}", value.definition.is_on(&value.texts)),
        _ if value.texts.is_empty() => format!("# {key} is not set"),
        Kind::List => {
            let texts: Vec<String> = value.texts.iter().map(|text| quoted(&text.to_string_lossy())).collect();
            format!("{key} = [{}]", texts.join(", "))
        }
        kind @ (Kind::Number { .. } | Kind::Text) => {
            format!("{key} = {}", scalar(kind, &value.texts[0].to_string_lossy()))
        }
    }
}

/// A value of one text as TOML has it.
pub fn scalar(kind: Kind, text: &str) -> String {
    match (kind, text.parse::<u64>()) {
        (Kind::Number { .. }, Ok(number)) => number.to_string(),
        _ => quoted(text),
    }
}

fn quoted(text: &str) -> String {
    toml::Value::String(redacted(text).into_owned()).to_string()
}

fn origin(effective: &Effective, value: &Value) -> String {
    let origin = effective.origin(value).replace(char::is_control, "?");
    let default =
        value.definition.meaning().1.filter(|_| value.texts.is_empty() && value.definition.kind() != Kind::Switch);
    match default {
        Some(default) => format!("{origin}: {default}"),
        None if value.is_redacted() => format!("{origin}; user and password are left out"),
        None => origin,
    }
}
