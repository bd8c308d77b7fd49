//! Makes the [`Status`] of a failed call: a code, a text, and the details that the contract promises with it.

use crate::{
    app::Error,
    model::{Rule, Violations},
    proto::v1::ErrorReason,
    store::StoreError,
    telemetry::{call, metrics::Shed},
};
use std::time::Duration;
use tonic::{Code, Status, metadata::MetadataValue};
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
    let mut status = Status::with_error_details(code, message, details);
    let delay_ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
    status.metadata_mut().insert(PUSHBACK, delay_ms.into());
    status
}

/// Tells clients that repeat this code by themselves that it is no use.
pub fn final_for_retries(mut status: Status) -> Status {
    status.metadata_mut().insert(PUSHBACK, MetadataValue::from_static("-1"));
    status
}

/// Where the retries that are built into gRPC's own clients look for what [`ErrorDetails`] says in `RetryInfo`: after how
/// many milliseconds to repeat the call, or below 0 that it is not to be.
const PUSHBACK: &str = "grpc-retry-pushback-ms";

/// The details that every error has.
pub fn details(reason: ErrorReason) -> ErrorDetails {
    ErrorDetails::with_error_info(reason_name(reason), DOMAIN, [])
}

/// The name that clients see: that of the enum's value without the prefix which protobuf's style asks for.
pub fn reason_name(reason: ErrorReason) -> &'static str {
    let name = reason.as_str_name();
    name.strip_prefix("ERROR_REASON_").unwrap_or(name)
}

/// Makes the status of a use case that failed: the one place where errors become what clients see. What only the log
/// may know is logged here, once.
pub fn to_status(failed: Error) -> Status {
    match failed {
        Error::Invalid(violations) => invalid(&violations),
        Error::KeyReused => error(
            Code::AlreadyExists,
            ErrorReason::IdempotencyKeyReused,
            "idempotency_key was used before with other content: send the same content, or use a new key",
        ),
        Error::SessionNotFound => error(Code::NotFound, ErrorReason::SessionNotFound, "no session has this session_id"),
        Error::OtherMerchant => error(
            Code::PermissionDenied,
            ErrorReason::PermissionDenied,
            "the credential does not act for this merchant_id: use one whose merchants include it",
        ),
        Error::MayNotVouch => error(
            Code::PermissionDenied,
            ErrorReason::PermissionDenied,
            "the answer would be signed for what is not recorded, which takes the scope `record`: leave out outcome, \
             payment_id, status and error_code, or preview instead",
        ),
        Error::EtagMismatch => error(
            Code::Aborted,
            ErrorReason::EtagMismatch,
            "this etag is not that of now: read the merchant again, apply the change to that, and give its etag back as it is",
        ),
        Error::NoSigningKeys => error(
            Code::FailedPrecondition,
            ErrorReason::SigningKeysMissing,
            "sign_returns needs keys to sign with, and this server has none: start the servers with --signing-key-file",
        ),
        Error::TooManyWaiting => {
            let text = "more calls wait for an outcome than the server takes: try again, or ask without `wait`";
            retryable(Code::ResourceExhausted, ErrorReason::Overloaded, text, RETRY_AFTER_WAITING)
        }
        Error::RateLimited(wait) => {
            let text = "this merchant has made as many calls as it may in a second: wait as long as RetryInfo says";
            retryable(Code::ResourceExhausted, ErrorReason::RateLimited, text, wait.max(LEAST_WAIT))
        }
        Error::Store(StoreError::Overloaded) => {
            Shed::Store.count();
            let text = "more is asked of the store than it can do; nothing was changed: try again";
            retryable(Code::ResourceExhausted, ErrorReason::Overloaded, text, RETRY_AFTER_STORE)
        }
        Error::Store(StoreError::Unavailable(cause)) => {
            tracing::error!(cause, request_id = call::request_id(), "the store is unavailable");
            let text = "the store did not answer: try again";
            retryable(Code::Unavailable, ErrorReason::StoreUnavailable, text, RETRY_AFTER_STORE)
        }
        Error::Store(StoreError::Corrupt(cause)) => {
            tracing::error!(cause, request_id = call::request_id(), "the store holds something unreadable");
            error(Code::Internal, ErrorReason::Internal, "a fault of Waypost: its log has the cause")
        }
    }
}

/// What was sent is no message. No field of it is known.
pub fn malformed(message: impl Into<String>) -> Status {
    let message = message.into();
    let mut details = details(ErrorReason::MalformedMessage);
    details.add_bad_request_violation("", cut(&message, DESCRIPTION_BYTES));
    Status::with_error_details(Code::InvalidArgument, cut_encoded(&message), details)
}

/// All violations at once. The reason is the specific one if a violation has one.
fn invalid(violations: &Violations) -> Status {
    let reason_of = |rule| match rule {
        Rule::Field => ErrorReason::InvalidField,
        Rule::AutoReturnNeedsSuccessUrl => ErrorReason::AutoReturnNeedsSuccessUrl,
    };
    let violations = violations.as_slice();
    let mut reasons = violations.iter().map(|violation| reason_of(violation.rule));
    let reason = reasons.find(|reason| *reason != ErrorReason::InvalidField).unwrap_or(ErrorReason::InvalidField);
    let mut details = details(reason);
    let mut room = DETAILS_BYTES;
    for (at, violation) in violations.iter().enumerate() {
        let field = cut(&violation.field, FIELD_BYTES);
        let description = cut(&violation.description, DESCRIPTION_BYTES);
        let needed = field.len() + description.len();
        if needed > room {
            let left = violations.len() - at;
            details.add_bad_request_violation("", format!("and {left} more: correct those above first"));
            break;
        }
        room -= needed;
        details.add_bad_request_violation(field, description);
    }
    let message = match violations {
        [one] => format!("{} {}", cut(&one.field, FIELD_BYTES), one.description),
        several => {
            let fields: Vec<&str> = several.iter().map(|violation| cut(&violation.field, FIELD_BYTES)).collect();
            format!("{} fields are invalid: {}", several.len(), fields.join(", "))
        }
    };
    Status::with_error_details(Code::InvalidArgument, cut_encoded(&message), details)
}

// Details and message travel in headers, the details in base64, and common clients take 8 KiB of headers at most.

/// Bytes of violations in one answer.
const DETAILS_BYTES: usize = 4_096;
/// Bytes of a violation's field; the keys of `metadata` may be longer.
const FIELD_BYTES: usize = 120;
/// Bytes of a violation's description: several of the longest fit.
const DESCRIPTION_BYTES: usize = 400;
/// Bytes of a message as gRPC writes it, percent-encoded.
const MESSAGE_BYTES: usize = 500;

/// As much of the text as fits into that many bytes.
fn cut(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}

/// As much of the text as fits into a message, with a sign that there is more.
pub(in crate::grpc) fn cut_encoded(text: &str) -> String {
    let encoded = |c: char| if (' '..='~').contains(&c) && c != '%' { 1 } else { 3 * c.len_utf8() };
    let mut room = MESSAGE_BYTES;
    let fits = |c: &char| {
        room = room.saturating_sub(encoded(*c));
        room > 0
    };
    let mut shown: String = text.chars().take_while(fits).collect();
    if shown.len() < text.len() {
        shown.push_str("...");
    }
    shown
}

/// Calls wait for seconds, so that a place comes free within some tenths of one.
const RETRY_AFTER_WAITING: Duration = Duration::from_millis(500);

/// Shorter waits are none to a caller, whose clock counts milliseconds.
const LEAST_WAIT: Duration = Duration::from_millis(1);

/// A database that is failing over is back within seconds, and what waits for one that is asked for too much is done by then.
const RETRY_AFTER_STORE: Duration = Duration::from_secs(1);
