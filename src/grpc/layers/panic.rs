//! Ends a call that panics with `INTERNAL`, and no other call with it.
//!
//! The log gets the method and never the panic's text, which may quote a request.

use super::Response;
use crate::{grpc::status, proto::v1::ErrorReason, telemetry::call};
use http::{Request, uri::PathAndQuery};
use pin_project_lite::pin_project;
use std::{
    convert::Infallible,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{Context, Poll},
};
use tonic::{Code, Status};
use tower::Service;

/// The layer.
#[derive(Clone, Debug)]
pub struct CatchPanic<S>(pub S);

impl<S, B> Service<Request<B>> for CatchPanic<S>
where
    S: Service<Request<B>, Response = Response, Error = Infallible>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Caught<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        // Shares the request's bytes.
        let path = request.uri().path_and_query().cloned();
        Caught { call: self.0.call(request), path }
    }
}

pin_project! {
    /// A call whose panic ends here.
    pub struct Caught<F> {
        #[pin] call: F,
        path: Option<PathAndQuery>,
    }
}

impl<F: Future<Output = Result<Response, Infallible>>> Future for Caught<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        // Unwind safe: after a panic the call is never polled again, only dropped, and what calls share is behind
        // locks of its own.
        let polled = catch_unwind(AssertUnwindSafe(|| this.call.poll(cx)));
        polled.unwrap_or_else(|_| {
            let (method, request_id) = (this.path.as_ref().map(PathAndQuery::path), call::request_id());
            tracing::error!(method, request_id, "a call panicked");
            Poll::Ready(Ok(fault().into_http()))
        })
    }
}

/// The error of a call, or of a part of it, that panicked.
pub(in crate::grpc) fn fault() -> Status {
    status::error(Code::Internal, ErrorReason::Internal, "internal error")
}
