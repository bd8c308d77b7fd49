//! Refuses calls at once while as many as the server takes are in progress: a queue would only make everyone late.
//!
//! Health is never refused: a server that is full is not ill, and killing it would make the others fuller. A stream
//! counts until its answer begins; how many there can be, and how much they may have in progress, is bounded by the
//! services themselves ([`crate::grpc::limits`]).

use super::{Passed, Response, refuse};
use crate::{
    grpc::{limits::RETRY_AFTER_OVERLOAD, status},
    proto::v1::ErrorReason,
    telemetry::metrics,
};
use futures_util::future::Either;
use http::Request;
use pin_project_lite::pin_project;
use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};
use tonic::{Code, Status};
use tower::Service;

const HEALTH: &str = "/grpc.health.v1.Health/";

/// The layer. Its clones, one for each connection, share one count.
#[derive(Clone, Debug)]
pub struct Shed<S> {
    inner: S,
    calls: Arc<Calls>,
}

#[derive(Debug)]
struct Calls {
    in_progress: AtomicUsize,
    max: usize,
}

/// Counts as one call until it is dropped.
struct Place(Arc<Calls>);

impl<S> Shed<S> {
    /// Lets `max` calls be in progress.
    pub fn new(inner: S, max: usize) -> Self {
        Self { inner, calls: Arc::new(Calls { in_progress: AtomicUsize::new(0), max }) }
    }
}

impl<S, B> Service<Request<B>> for Shed<S>
where
    S: Service<Request<B>, Response = Response, Error = Infallible>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Passed<Counted<S::Future>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let place = Place::take(&self.calls);
        if place.is_none() && !request.uri().path().starts_with(HEALTH) {
            return refuse(overloaded());
        }
        Either::Right(Counted { call: self.inner.call(request), _place: place })
    }
}

impl Place {
    fn take(calls: &Arc<Calls>) -> Option<Self> {
        // Counted first and looked at then, so that calls that come at once cannot all see the last place free.
        let before = calls.in_progress.fetch_add(1, Ordering::Relaxed);
        let place = Self(Arc::clone(calls));
        (before < calls.max).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.in_progress.fetch_sub(1, Ordering::Relaxed);
    }
}

pin_project! {
    /// A call that holds its place.
    pub struct Counted<F> {
        #[pin] call: F,
        _place: Option<Place>,
    }
}

impl<F: Future> Future for Counted<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.project().call.poll(cx)
    }
}

fn overloaded() -> Status {
    metrics::Shed::Calls.count();
    let text = "more calls are in progress than the server takes; this one was not begun";
    status::retryable(Code::ResourceExhausted, ErrorReason::Overloaded, text, RETRY_AFTER_OVERLOAD)
}
