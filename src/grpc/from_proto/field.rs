//! Single fields and their bounds.

use crate::model::{MerchantId, Violations};
use compact_str::CompactString;
use serde_json::{Map, Value};
use std::{fmt::Display, time::Duration};

/// A text of a session's end.
pub(super) type Text = Option<CompactString>;

pub(super) fn list<T, E: Display>(
    field: &str,
    texts: &[String],
    max: usize,
    parse: impl Fn(&str) -> Result<T, E>,
    violations: &mut Violations,
) -> Vec<T> {
    count(field, texts.len(), 0, max, violations);
    let read = |(at, text): (usize, &String)| {
        violations.take(format!("{field}[{at}]"), parse(text).map_err(|e| e.to_string()))
    };
    texts.iter().take(max).enumerate().filter_map(read).collect()
}

pub(super) fn merchant_id(field: &str, text: String, violations: &mut Violations) -> Option<MerchantId> {
    violations.take(field, MerchantId::try_from(Box::from(text)))
}

/// A text of bounded length; `None` when it is empty, which is how proto3 says that it was not given.
pub(super) fn text(
    field: impl Into<String>,
    value: String,
    bytes: usize,
    violations: &mut Violations,
) -> Option<String> {
    if value.len() > bytes {
        violations.add(field, format!("is {} bytes long: write at most {bytes}", value.len()));
    }
    Some(value).filter(|value| !value.is_empty())
}

/// A text of bounded length without control characters: it goes into URLs and to screens.
pub(super) fn plain_text(field: &str, value: String, bytes: usize, violations: &mut Violations) -> Text {
    if value.is_empty() {
        return None;
    }
    if value.chars().any(char::is_control) {
        violations.add(field, "has a control character: leave it out");
    }
    text(field, value, bytes, violations).map(CompactString::from)
}

pub(super) fn count(field: &str, found: usize, min: usize, max: usize, violations: &mut Violations) {
    if found < min {
        violations.add(field, format!("has {found} entries: write at least {min}"));
    } else if found > max {
        violations.add(field, format!("has {found} entries: write at most {max}"));
    }
}

pub(super) fn duration(
    field: &str,
    value: prost_types::Duration,
    min: Duration,
    max: Duration,
    violations: &mut Violations,
) -> Option<Duration> {
    let read = Duration::try_from(value).ok().filter(|duration| (min..=max).contains(duration));
    if read.is_none() && max == Duration::MAX {
        violations.add(field, "is out of range: write a duration of 0 or more");
    } else if read.is_none() {
        // As JSON has them.
        let (min, max) = (min.as_secs(), max.as_secs());
        violations.add(field, format!("is out of range: write a duration from {min}s to {max}s"));
    }
    read
}

pub(super) fn put(fields: &mut Map<String, Value>, name: &str, value: Option<String>) {
    if let Some(value) = value {
        fields.insert(name.into(), value.into());
    }
}
