//! Times and lengths of time, as people write and read them.

use jiff::Timestamp;
use std::time::Duration;

/// A point in time, to the second.
pub fn point(time: Option<prost_types::Timestamp>) -> String {
    match time.and_then(|time| Timestamp::new(time.seconds, time.nanos).ok()) {
        Some(time) => time.strftime("%Y-%m-%d %H:%M:%S UTC").to_string(),
        None => "unknown".into(),
    }
}

/// A length of time, such as `1m 30s`.
pub fn span(span: Duration) -> String {
    humantime::format_duration(span).to_string()
}

/// A length of time as it comes over the wire; `None` when it is not there or negative.
pub fn proto_span(duration: Option<prost_types::Duration>) -> Option<String> {
    duration.and_then(|duration| Duration::try_from(duration).ok()).map(span)
}

/// Reads a length of time, such as `90s` or `1h 30m`.
pub fn parse_span(text: &str) -> Result<Duration, String> {
    let span = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if span > PROTO_SPAN_MAX {
        return Err("is longer than 10,000 years".into());
    }
    Ok(span)
}

/// The most that `google.protobuf.Duration` may hold.
const PROTO_SPAN_MAX: Duration = Duration::from_secs(315_576_000_000);

/// As it goes over the wire, for what [`parse_span`] read.
pub fn to_proto(span: Duration) -> prost_types::Duration {
    span.try_into().expect("parse_span lets nothing through that does not fit")
}
