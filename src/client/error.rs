//! Why a call failed, for code that decides and for people who read it.

use super::Address;
use crate::{grpc::status::DOMAIN, proto::v1::ErrorReason};
use std::{error, fmt, time::Duration};
use tonic::{Code, ConnectError, Status, TimeoutExpired};
use tonic_types::StatusExt;

/// Why a call failed. Texts name the server and never what was sent to it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The server, or something between it and us, said no.
    #[error("{0}")]
    Refused(Box<Refusal>),
    /// No connection came about: the call was never sent.
    #[error("cannot reach {server}: {cause}")]
    Unreachable {
        /// Who was to be called.
        server: Address,
        /// What went wrong.
        cause: String,
    },
    /// The connection broke before there was an answer: the call may have been carried out, or not.
    #[error("no answer from {server}: {cause}")]
    Lost {
        /// Who was called.
        server: Address,
        /// What went wrong.
        cause: String,
    },
    /// There was no answer within the deadline: the call may have been carried out, or not.
    #[error("no answer from {server} within {}", humantime::format_duration(*within))]
    OutOfTime {
        /// Who was called.
        server: Address,
        /// How long the call had.
        within: Duration,
    },
}

/// What a server says when it says no.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The status code of gRPC.
    pub code: Code,
    /// Waypost's reason, to decide by: each value says what to do about it. `None` when the answer is not Waypost's, or
    /// from a server that is newer than this client.
    pub reason: Option<ErrorReason>,
    /// The reason as it was written, whoever wrote it.
    pub reason_name: Option<String>,
    /// What is wrong, for developers.
    pub message: String,
    /// Every field that is wrong.
    pub violations: Vec<Violation>,
    /// How long to wait before the call is made again, when that may help.
    pub retry_delay: Option<Duration>,
}

/// A field that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The proto path, such as `redirect_urls.success`.
    pub field: String,
    /// What is wrong with it, and what to write instead.
    pub description: String,
}

impl Error {
    /// Waypost's reason, if the server gave one.
    pub fn reason(&self) -> Option<ErrorReason> {
        self.refusal().and_then(|refusal| refusal.reason)
    }

    /// The fields that are wrong, if that is the trouble.
    pub fn violations(&self) -> &[Violation] {
        self.refusal().map_or(&[], |refusal| &refusal.violations)
    }

    /// How long the server asks to be left alone, if it says so.
    pub fn retry_delay(&self) -> Option<Duration> {
        self.refusal().and_then(|refusal| refusal.retry_delay)
    }

    /// As gRPC codes have it.
    pub fn code(&self) -> Code {
        match self {
            Self::Refused(refusal) => refusal.code,
            Self::Unreachable { .. } | Self::Lost { .. } => Code::Unavailable,
            Self::OutOfTime { .. } => Code::DeadlineExceeded,
        }
    }

    fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Refused(refusal) => Some(refusal),
            Self::Unreachable { .. } | Self::Lost { .. } | Self::OutOfTime { .. } => None,
        }
    }

    /// What a status is the sign of. One with a source was made on this side of the wire.
    pub(crate) fn from_status(status: &Status, server: &Address, within: Duration) -> Self {
        let server = server.clone();
        let Some(source) = error::Error::source(status) else { return Self::Refused(Box::new(Refusal::from(status))) };
        // What tonic makes of the time that the request was given.
        if chain(source).any(|cause| cause.is::<TimeoutExpired>()) {
            return Self::OutOfTime { server, within };
        }
        let cause = innermost(source).to_string();
        match chain(source).any(|cause| cause.is::<ConnectError>()) {
            true => Self::Unreachable { server, cause },
            false => Self::Lost { server, cause },
        }
    }
}

/// An error and what caused it, down to the bottom.
fn chain<'a>(error: &'a (dyn error::Error + 'static)) -> impl Iterator<Item = &'a (dyn error::Error + 'static)> {
    std::iter::successors(Some(error), |error| error.source())
}

/// The cause at the bottom: those above it say only that there is one.
pub(crate) fn innermost<'a>(error: &'a (dyn error::Error + 'static)) -> &'a (dyn error::Error + 'static) {
    chain(error).last().unwrap_or(error)
}

impl From<&Status> for Refusal {
    fn from(status: &Status) -> Self {
        let details = status.get_error_details();
        let info = details.error_info();
        let ours = info.filter(|info| info.domain == DOMAIN);
        let violations = details.bad_request().map(|bad| bad.field_violations.as_slice()).unwrap_or_default();
        Self {
            code: status.code(),
            reason: ours.and_then(|info| ErrorReason::from_str_name(&format!("ERROR_REASON_{}", info.reason))),
            reason_name: info.map(|info| info.reason.clone()),
            message: match status.message() {
                "" => status.code().description().to_owned(),
                message => message.to_owned(),
            },
            violations: violations
                .iter()
                .map(|violation| Violation {
                    field: violation.field.clone(),
                    description: violation.description.clone(),
                })
                .collect(),
            retry_delay: details.retry_info().map(|retry| retry.retry_delay.unwrap_or_default()),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.reason_name {
            Some(reason) => write!(f, "{} ({reason})", self.message)?,
            None => write!(f, "{} ({:?})", self.message, self.code)?,
        }
        for Violation { field, description } in &self.violations {
            // A single violation often is the message already.
            if self.message != format!("{field} {description}") {
                write!(f, "; {field}: {description}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;
    use tonic_types::ErrorDetails;

    fn refusal(status: &Status) -> Refusal {
        match Error::from_status(status, &"127.0.0.1:1".parse().unwrap(), Duration::from_secs(1)) {
            Error::Refused(refusal) => *refusal,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn reason_violations_and_delay_are_decoded() {
        let mut details = ErrorDetails::with_error_info("OVERLOADED", DOMAIN, []);
        details.add_bad_request_violation("ttl", "is too long");
        details.set_retry_info(Some(Duration::from_millis(500)));
        let refusal = refusal(&Status::with_error_details(Code::ResourceExhausted, "too much", details));
        assert_eq!(refusal.reason, Some(ErrorReason::Overloaded));
        assert_eq!(refusal.retry_delay, Some(Duration::from_millis(500)));
        expect!["too much (OVERLOADED); ttl: is too long"].assert_eq(&refusal.to_string());
    }

    #[test]
    fn a_reason_of_somebody_else_is_not_taken_for_ours() {
        let details = ErrorDetails::with_error_info("OVERLOADED", "example.com", []);
        let refusal = refusal(&Status::with_error_details(Code::Unavailable, "", details));
        assert_eq!(refusal.reason, None);
        assert_eq!(refusal.reason_name.as_deref(), Some("OVERLOADED"));
        assert!(!refusal.message.is_empty());
    }
}
