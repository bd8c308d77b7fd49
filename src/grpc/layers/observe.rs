//! Counts and times every call, whatever became of it.
//!
//! The outermost layer, so that what is counted is what the caller was told. A call ends with its answer, and one whose
//! answer is a stream with that stream. A call that is dropped before has been given up by its caller.

use super::Response;
use crate::telemetry::metrics::{CALL_DURATION, CALLS, Method, STREAMS_OPEN};
use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body::{Frame, SizeHint};
use pin_project_lite::pin_project;
use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Instant,
};
use tonic::{Code, Status, body::Body};
use tower::Service;

/// The layer.
#[derive(Clone, Debug)]
pub struct Observe<S>(pub S);

impl<S, B> Service<Request<B>> for Observe<S>
where
    S: Service<Request<B>, Response = Response, Error = Infallible>,
{
    type Response = http::Response<Answer>;
    type Error = Infallible;
    type Future = Observed<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let observed = Some(Call::begin(&request));
        Observed { call: self.0.call(request), observed }
    }
}

/// A call that has not ended.
struct Call {
    method: Method,
    began: Instant,
    stage: Stage,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Nothing was answered.
    Asked,
    /// The stream of answers is open.
    Streaming,
    /// It was counted.
    Ended,
}

impl Call {
    fn begin<B>(request: &Request<B>) -> Self {
        Self { method: Method::at(request.uri().path()), began: Instant::now(), stage: Stage::Asked }
    }

    /// Ends with the head of the answer, unless a stream follows.
    fn answered(mut self, response: &Response) -> Option<Self> {
        match code(response.headers()) {
            Some(code) => self.end(code),
            // What is no gRPC at all was answered in HTTP's words.
            None if !response.status().is_success() => self.end(Code::Unknown),
            None if self.method.is_stream() => {
                self.stage = Stage::Streaming;
                STREAMS_OPEN.rise([self.method.number()]);
                return Some(self);
            }
            // One message follows, and it is there already.
            None => self.end(Code::Ok),
        }
        None
    }

    fn end(&mut self, code: Code) {
        if self.stage == Stage::Streaming {
            STREAMS_OPEN.fall([self.method.number()]);
        }
        self.stage = Stage::Ended;
        CALLS.add([self.method.number(), code as usize], 1);
        CALL_DURATION.took([self.method.number()], self.began.elapsed());
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if self.stage != Stage::Ended {
            self.end(Code::Cancelled);
        }
    }
}

/// The status code, when the headers or trailers have one.
fn code(headers: &HeaderMap) -> Option<Code> {
    headers.get(Status::GRPC_STATUS).map(|code| Code::from_bytes(code.as_bytes()))
}

pin_project! {
    /// A call that is observed.
    pub struct Observed<F> {
        #[pin] call: F,
        observed: Option<Call>,
    }
}

impl<F: Future<Output = Result<Response, Infallible>>> Future for Observed<F> {
    type Output = Result<http::Response<Answer>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let Ok(response) = ready!(this.call.poll(cx));
        let streaming = this.observed.take().and_then(|call| call.answered(&response));
        Poll::Ready(Ok(response.map(|body| Answer { body, streaming })))
    }
}

pin_project! {
    /// The body of an answer, watched for its end when it is a stream.
    pub struct Answer {
        #[pin] body: Body,
        streaming: Option<Call>,
    }
}

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = self.project();
        let frame = ready!(this.body.poll_frame(cx));
        if let Some(call) = this.streaming {
            let ended = match &frame {
                Some(Ok(frame)) => frame.trailers_ref().map(|trailers| code(trailers).unwrap_or(Code::Unknown)),
                Some(Err(status)) => Some(status.code()),
                None => Some(Code::Unknown),
            };
            if let Some(code) = ended {
                call.end(code);
                *this.streaming = None;
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
