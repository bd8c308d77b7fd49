//! Makes the [`Status`] of a failed call: a code, a text, and the details that the contract promises with it.

use crate::proto::v1::ErrorReason;
use std::time::Duration;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

/// The `domain` of every `google.rpc.ErrorInfo`.
pub const DOMAIN: &str = "waypost.v1";

/// An error that comes again when the call is repeated unchanged.
pub fn error(code: Code, reason: ErrorReason, message: impl Into<String>) -> Status {
    Status::with_error_details(code, message, details(reason))
}

/// An error that may be gone when the call is repeated after `delay`.
pub fn retryable(code: Code, reason: ErrorReason, message: impl Into<String>, delay: Duration) -> Status {
    let mut details = details(reason);
    details.set_retry_info(Some(delay));
    Status::with_error_details(code, message, details)
}

/// The details that every error has.
pub fn details(reason: ErrorReason) -> ErrorDetails {
    ErrorDetails::with_error_info(reason_name(reason), DOMAIN, [])
}

/// The name that clients see: that of the enum's value without the prefix which protobuf's style asks for.
pub fn reason_name(reason: ErrorReason) -> &'static str {
    let name = reason.as_str_name();
    name.strip_prefix("ERROR_REASON_").unwrap_or(name)
}
