//! Refuses calls at once while as many as the server takes are in progress, or their worker is
//! [late](crate::server::lateness): a queue would only make everyone late.
//!
//! Health is never refused: a server that is full is not ill, and killing it would make the others fuller. A stream
//! counts until its answer begins; how many there can be, and how much they may have in progress, is bounded by the
//! services themselves ([`crate::grpc::limits`]), and a late worker refuses their requests one by one.

use super::{Passed, Response};
use crate::{
    grpc::{limits::RETRY_AFTER_OVERLOAD, status},
    proto::v1::ErrorReason,
    server::lateness::Queued,
    telemetry::metrics,
};
use futures_util::future::{Either, ready};
use http::{HeaderMap, Request};
use pin_project_lite::pin_project;
use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{self, Context, Poll},
};
use tonic::{Code, Status, body::Body};
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
        if request.uri().path().starts_with(HEALTH) {
            return Either::Right(Counted { call: self.inner.call(request), place: None, queued: None });
        }
        let Some(place) = Place::take(&self.calls) else {
            metrics::Shed::Calls.count();
            return Either::Left(ready(Ok(refusal())));
        };
        let Some(queued) = Queued::arrive() else { return Either::Left(ready(Ok(refusal()))) };
        Either::Right(Counted { call: self.inner.call(request), place: Some(place), queued: Some(queued) })
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
    /// A call that holds its place, and waits for its turn.
    pub struct Counted<F> {
        #[pin] call: F,
        place: Option<Place>,
        queued: Option<Queued>,
    }
}

impl<F: Future<Output = Result<Response, Infallible>>> Future for Counted<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Some(queued) = this.queued {
            task::ready!(queued.poll_turn(cx));
        }
        let Some(queued) = this.queued.take() else { return this.call.poll(cx) };
        let Some(begun) = queued.begin() else { return Poll::Ready(Ok(refusal())) };
        let polled = this.call.poll(cx);
        begun.end();
        polled
    }
}

thread_local! {
    /// What a refused call is answered. Made once, as it is needed most when there is no time to make it.
    static OVERLOADED: HeaderMap = overloaded().into_http::<Body>().into_parts().0.headers;
}

fn refusal() -> Response {
    let mut response = Response::new(Body::empty());
    *response.headers_mut() = OVERLOADED.with(HeaderMap::clone);
    response
}

/// The error of a call, or of a request of a stream, that the server has no time for.
pub(in crate::grpc) fn overloaded() -> Status {
    let text = "more is asked of the server than it can do; this was not begun";
    status::retryable(Code::ResourceExhausted, ErrorReason::Overloaded, text, RETRY_AFTER_OVERLOAD)
}
