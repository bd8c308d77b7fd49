//! When a call that failed is made again, and after which pause. Holds no clock: whoever calls waits.

use super::{
    error::Error,
    method::{Method, Repeat},
};
use crate::proto::v1::ErrorReason;
use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};
use tonic::Code;

/// How often a call is made at most, and the pauses between. `clients/service-config.json` says the same to clients of
/// other languages; a test holds the two together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retries {
    attempts: u32,
}

/// What gRPC's own retries allow is 5; a fifth attempt seldom finds what four did not.
pub(super) const ATTEMPTS: u32 = 4;

/// The longest first pause: a connection that is lost to a restart is replaced within it.
pub(super) const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// The longest pause: a buyer is waiting.
pub(super) const PAUSE_MAX: Duration = Duration::from_secs(2);

/// How much longer each pause may be than the one before.
pub(super) const MULTIPLIER: u32 = 2;

impl Retries {
    /// None: every failure is the caller's to see. For people at a prompt, and for callers with retries of their own.
    pub const OFF: Self = Self { attempts: 1 };

    /// How long to pause before the call is made again; `None` when it is not. `random` is evenly spread over 0 to 1, so
    /// that callers who failed together do not come back together.
    pub(super) fn pause(self, method: Method, made: u32, error: &Error, random: f64) -> Option<Duration> {
        if made >= self.attempts || !worth_repeating(method.repeat, error) {
            return None;
        }
        let longest = FIRST_PAUSE.saturating_mul(MULTIPLIER.saturating_pow(made.saturating_sub(1))).min(PAUSE_MAX);
        // A server that says when is not asked earlier.
        Some(error.retry_delay().unwrap_or_default() + longest.mul_f64(random.clamp(0.0, 1.0)))
    }
}

impl Default for Retries {
    fn default() -> Self {
        Self { attempts: ATTEMPTS }
    }
}

/// Whether the same call may go well a moment later, and does no harm if it was done already.
fn worth_repeating(repeat: Repeat, error: &Error) -> bool {
    let safe = repeat == Repeat::Safe;
    match error {
        // It was never sent.
        Error::Unreachable { .. } => repeat != Repeat::Stream,
        Error::Lost { .. } | Error::OutOfTime { .. } => safe,
        Error::Refused(refusal) => match refusal.code {
            Code::Unavailable => safe,
            // Without a delay it is the request that is too much, and always will be.
            Code::ResourceExhausted if refusal.retry_delay.is_some() => {
                safe || (repeat == Repeat::NotBegun && refusal.reason == Some(ErrorReason::Overloaded))
            }
            // The server's own limit.
            Code::DeadlineExceeded => safe && refusal.retry_delay.is_some(),
            _ => false,
        },
    }
}

/// Keeps a client from piling retries on servers that fail most of what they are asked: every failure that retries are
/// for takes a token, every success gives half of one back, and below half of the tokens nothing is repeated. As gRPC's
/// `retryThrottling`.
#[derive(Debug)]
pub(super) struct Budget(AtomicU32);

/// Tokens of a budget; the most that gRPC allows. Some hundred calls that are in progress when a server goes away are all
/// repeated.
pub(super) const TOKENS_MAX: u32 = 1_000;

/// Tokens are counted in halves.
const HALVES: u32 = 2;

impl Default for Budget {
    fn default() -> Self {
        Self(AtomicU32::new(TOKENS_MAX * HALVES))
    }
}

impl Budget {
    pub fn succeeded(&self) {
        // Not written when it is full, which it nearly always is: all threads share it.
        if self.0.load(Ordering::Relaxed) < TOKENS_MAX * HALVES {
            self.change(|tokens| (tokens + 1).min(TOKENS_MAX * HALVES));
        }
    }

    /// Takes a token, and tells whether there are enough left to repeat the call.
    pub fn failed(&self) -> bool {
        self.change(|tokens| tokens.saturating_sub(HALVES)) > TOKENS_MAX * HALVES / 2
    }

    fn change(&self, change: impl Fn(u32) -> u32) -> u32 {
        let changed = |tokens| Some(change(tokens));
        change(self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, changed).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::{super::method, *};
    use crate::client::Refusal;
    use serde_json::Value;
    use std::collections::BTreeSet;

    fn refused(code: Code, reason: ErrorReason, retry_delay: Option<Duration>) -> Error {
        Error::Refused(Box::new(Refusal {
            code,
            reason: Some(reason),
            reason_name: None,
            message: String::new(),
            violations: Vec::new(),
            retry_delay,
        }))
    }

    fn unreachable() -> Error {
        Error::Unreachable { server: "127.0.0.1:1".parse().unwrap(), cause: String::new() }
    }

    fn lost() -> Error {
        Error::Lost { server: "127.0.0.1:1".parse().unwrap(), cause: String::new() }
    }

    const SECOND: Option<Duration> = Some(Duration::from_secs(1));

    #[test]
    fn only_what_may_go_well_and_does_no_harm_is_repeated() {
        let overloaded = || refused(Code::ResourceExhausted, ErrorReason::Overloaded, SECOND);
        for (error, read, update) in [
            (unreachable(), true, true),
            (lost(), true, false),
            (overloaded(), true, true),
            (refused(Code::Unavailable, ErrorReason::StoreUnavailable, SECOND), true, false),
            (refused(Code::DeadlineExceeded, ErrorReason::DeadlineExceeded, SECOND), true, false),
            (refused(Code::ResourceExhausted, ErrorReason::MessageTooLarge, None), false, false),
            (refused(Code::InvalidArgument, ErrorReason::InvalidField, None), false, false),
            (refused(Code::AlreadyExists, ErrorReason::IdempotencyKeyReused, None), false, false),
            (refused(Code::NotFound, ErrorReason::SessionNotFound, None), false, false),
            (refused(Code::Aborted, ErrorReason::EtagMismatch, None), false, false),
            (refused(Code::Internal, ErrorReason::Internal, None), false, false),
            (refused(Code::Unauthenticated, ErrorReason::Unauthenticated, None), false, false),
            (refused(Code::PermissionDenied, ErrorReason::PermissionDenied, None), false, false),
            (refused(Code::FailedPrecondition, ErrorReason::SigningKeysMissing, None), false, false),
        ] {
            let repeated = |method| Retries::default().pause(method, 1, &error, 0.5).is_some();
            assert_eq!(repeated(method::GET_SESSION), read, "{error:?}");
            assert_eq!(repeated(method::UPDATE_MERCHANT), update, "{error:?}");
            assert!(!repeated(method::WATCH_SESSION), "{error:?}");
        }
    }

    #[test]
    fn pauses_grow_to_their_bound_are_spread_and_end() {
        let pause = |made, random| Retries::default().pause(method::GET_SESSION, made, &lost(), random);
        assert_eq!(pause(1, 1.0), Some(FIRST_PAUSE));
        assert_eq!(pause(2, 1.0), Some(FIRST_PAUSE * 2));
        assert_eq!(pause(3, 0.5), Some(FIRST_PAUSE * 2));
        assert_eq!(pause(ATTEMPTS, 0.5), None);
        assert_eq!(Retries::OFF.pause(method::GET_SESSION, 1, &lost(), 0.5), None);
        let many = Retries { attempts: u32::MAX };
        assert_eq!(many.pause(method::GET_SESSION, 1_000, &lost(), 1.0), Some(PAUSE_MAX));
    }

    #[test]
    fn a_server_that_says_when_is_not_asked_earlier() {
        let overloaded = refused(Code::ResourceExhausted, ErrorReason::Overloaded, SECOND);
        let pause = |random| Retries::default().pause(method::GET_SESSION, 1, &overloaded, random).unwrap();
        assert_eq!(pause(0.0), Duration::from_secs(1));
        assert_eq!(pause(1.0), Duration::from_secs(1) + FIRST_PAUSE);
    }

    #[test]
    fn servers_that_fail_most_calls_are_not_asked_again_until_they_do_better() {
        let budget = Budget::default();
        let repeated = (0..TOKENS_MAX).filter(|_| budget.failed()).count();
        assert_eq!(repeated, (TOKENS_MAX / 2 - 1) as usize);
        for _ in 0..TOKENS_MAX {
            assert!(!budget.failed());
            budget.succeeded();
            budget.succeeded();
        }
        for _ in 0..TOKENS_MAX + 4 {
            budget.succeeded();
        }
        assert!(budget.failed());
    }

    /// What clients of other languages are told is what this client does.
    #[test]
    fn the_service_config_says_the_same() {
        let text = include_str!("../../clients/service-config.json");
        let config: Value = serde_json::from_str(text).unwrap();
        let mut safe = BTreeSet::new();
        for entry in config["methodConfig"].as_array().unwrap() {
            let names = entry["name"].as_array().unwrap();
            let paths = names.iter().map(|name| {
                format!("/{}/{}", name["service"].as_str().unwrap(), name["method"].as_str().unwrap_or_default())
            });
            let policy = &entry["retryPolicy"];
            if policy.is_null() {
                continue;
            }
            safe.extend(paths);
            assert_eq!(policy["maxAttempts"], ATTEMPTS);
            assert_eq!(policy["initialBackoff"], "0.1s");
            assert_eq!(policy["maxBackoff"], "2s");
            assert_eq!(policy["backoffMultiplier"], MULTIPLIER);
            assert_eq!(policy["retryableStatusCodes"], serde_json::json!(["UNAVAILABLE", "RESOURCE_EXHAUSTED"]));
        }
        let ours =
            method::ALL.iter().filter(|method| method.repeat == Repeat::Safe).map(|method| method.path.to_owned());
        assert_eq!(safe, ours.collect());
        assert_eq!(config["retryThrottling"], serde_json::json!({"maxTokens": TOKENS_MAX, "tokenRatio": 0.5}));
    }
}
