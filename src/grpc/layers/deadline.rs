//! Ends a call at its deadline: the caller's `grpc-timeout` or the server's own limit, whichever is earlier.
//!
//! The answer is `DEADLINE_EXCEEDED`, where tonic's own timeout says `CANCELLED`. A stream is bounded until its answer
//! begins. A method that waits asks for its [`deadline()`] as it begins; those that [take many requests](TAKES_MANY) find the
//! [`TimeOfEach`] in the request's extensions, and bound these with it themselves.

use super::{Passed, Response, refuse};
use crate::{
    grpc::{
        limits::{Limits, MAY_WAIT, RETRY_AFTER_DEADLINE, TAKES_MANY},
        status,
    },
    proto::v1::ErrorReason,
};
use futures_util::future::Either;
use http::{HeaderMap, HeaderValue, Request};
use pin_project_lite::pin_project;
use std::{
    cell::Cell,
    convert::Infallible,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};
use tokio::time::{Instant, Sleep, sleep_until};
use tonic::{Code, Status};
use tonic_types::StatusExt;
use tower::Service;

thread_local! {
    /// That of the call which this thread polls. An extension of every request would cost three allocations.
    static DEADLINE: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// When the call ends that is being polled; `None` outside of this layer.
pub fn deadline() -> Option<Instant> {
    DEADLINE.get()
}

/// How long each request of a call that takes many may last.
#[derive(Clone, Copy, Debug)]
pub struct TimeOfEach {
    /// The longest for a request that does not wait.
    pub timeout: Duration,
    /// The longest for one that does.
    pub waiting_timeout: Duration,
    /// The end of the whole call, if its caller set one.
    pub end: Option<Instant>,
}

impl TimeOfEach {
    /// Takes the two timeouts from `limits`, for a call without a deadline.
    pub const fn new(limits: &Limits) -> Self {
        Self { timeout: limits.timeout, waiting_timeout: limits.waiting_timeout, end: None }
    }
}

/// The layer.
#[derive(Clone, Debug)]
pub struct LimitTime<S> {
    inner: S,
    of_each: TimeOfEach,
}

impl<S> LimitTime<S> {
    /// Takes the two timeouts from `limits`.
    pub fn new(inner: S, limits: &Limits) -> Self {
        Self { inner, of_each: TimeOfEach::new(limits) }
    }

    fn limit(&self, path: &str) -> Duration {
        if MAY_WAIT.contains(&path) { self.of_each.waiting_timeout } else { self.of_each.timeout }
    }
}

impl<S, B> Service<Request<B>> for LimitTime<S>
where
    S: Service<Request<B>, Response = Response, Error = Infallible>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Passed<Limited<S::Future>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let callers = match callers_timeout(request.headers()) {
            Ok(callers) => callers,
            Err(Malformed) => return refuse(malformed()),
        };
        let limit = self.limit(request.uri().path());
        let now = Instant::now();
        let deadline = now + callers.map_or(limit, |callers| limit.min(callers));
        if TAKES_MANY.contains(&request.uri().path()) {
            let end = callers.and_then(|callers| now.checked_add(callers));
            request.extensions_mut().insert(TimeOfEach { end, ..self.of_each });
        }
        // The timer costs nothing until it is polled, which a call that answers at once never comes to.
        Either::Right(Limited { call: self.inner.call(request), timer: sleep_until(deadline) })
    }
}

pin_project! {
    /// A call that ends at its deadline.
    pub struct Limited<F> {
        #[pin] call: F,
        #[pin] timer: Sleep,
    }
}

impl<F: Future<Output = Result<Response, Infallible>>> Future for Limited<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        DEADLINE.set(Some(this.timer.deadline()));
        let answered = this.call.poll(cx);
        DEADLINE.set(None);
        if answered.is_ready() {
            return answered;
        }
        this.timer.poll(cx).map(|()| Ok(exceeded().into_http()))
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Malformed;

/// Reads `grpc-timeout`: at most eight digits and a unit, as the gRPC over HTTP/2 specification has it.
///
/// It does not say what to do about a malformed one. Refusing, as grpc-go does, is the only answer that does not
/// leave the caller with another deadline than the one it believes in.
fn callers_timeout(headers: &HeaderMap) -> Result<Option<Duration>, Malformed> {
    headers.get("grpc-timeout").map(parse).transpose()
}

fn parse(value: &HeaderValue) -> Result<Duration, Malformed> {
    let [digits @ .., unit] = value.as_bytes() else { return Err(Malformed) };
    if !(1..=8).contains(&digits.len()) || !digits.iter().all(u8::is_ascii_digit) {
        return Err(Malformed);
    }
    let number = digits.iter().fold(0, |number, digit| number * 10 + u64::from(digit - b'0'));
    match unit {
        b'H' => Ok(Duration::from_secs(number * 60 * 60)),
        b'M' => Ok(Duration::from_secs(number * 60)),
        b'S' => Ok(Duration::from_secs(number)),
        b'm' => Ok(Duration::from_millis(number)),
        b'u' => Ok(Duration::from_micros(number)),
        b'n' => Ok(Duration::from_nanos(number)),
        _ => Err(Malformed),
    }
}

fn malformed() -> Status {
    let text = "is not a timeout; write at most eight digits and a unit out of H M S m u n, like 500m";
    let mut details = status::details(ErrorReason::InvalidField);
    details.add_bad_request_violation("grpc-timeout", text);
    Status::with_error_details(Code::InvalidArgument, format!("grpc-timeout {text}"), details)
}

/// The error of a call, or of a part of it, whose time is over.
pub(in crate::grpc) fn exceeded() -> Status {
    let text = "the call did not finish before its deadline";
    status::retryable(Code::DeadlineExceeded, ErrorReason::DeadlineExceeded, text, RETRY_AFTER_DEADLINE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_is_digits_and_a_unit() {
        for (text, expected) in [
            ("1H", Ok(Duration::from_secs(3_600))),
            ("2M", Ok(Duration::from_secs(120))),
            ("3S", Ok(Duration::from_secs(3))),
            ("4m", Ok(Duration::from_millis(4))),
            ("5u", Ok(Duration::from_micros(5))),
            ("6n", Ok(Duration::from_nanos(6))),
            ("99999999H", Ok(Duration::from_secs(99_999_999 * 3_600))),
            ("0S", Ok(Duration::ZERO)),
            ("100000000m", Err(Malformed)),
            ("S", Err(Malformed)),
            ("5", Err(Malformed)),
            ("5s", Err(Malformed)),
            ("-5S", Err(Malformed)),
            ("+5S", Err(Malformed)),
            ("5.5S", Err(Malformed)),
            ("", Err(Malformed)),
        ] {
            assert_eq!(parse(&HeaderValue::from_static(text)), expected, "{text}");
        }
    }
}
