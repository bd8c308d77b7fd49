//! Counts and times every call, whatever became of it, writes its line of the log, and answers its request id.
//!
//! The outermost layer, so that what is counted is what the caller was told. A call ends with its answer, and one whose
//! answer is a stream with that stream. A call that is dropped before has been given up by its caller.
//!
//! A caller's `x-request-id` is answered in any case. One is made where a line is written that it leads to; `--log warn`
//! saves both.

use super::Response;
use crate::telemetry::{
    TRACEPARENT, TraceContext,
    call::{self, Notes},
    metrics::{CALL_DURATION, CALLS, Method, STREAMS_OPEN, code_name},
};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request};
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
use tracing::Level;

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
        let mut observed = Call::begin(&request);
        let call = call::noting(&mut observed.notes, || self.0.call(request));
        Observed { call, observed: Some(observed) }
    }
}

/// A call that has not ended.
struct Call {
    method: Method,
    began: Instant,
    stage: Stage,
    /// The id that the caller gave, where there are no notes to hold it.
    request_id: Option<HeaderValue>,
    notes: Option<Box<Notes>>,
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
        let method = Method::at(request.uri().path());
        let headers = request.headers();
        let mut request_id = call::given_request_id(headers.get(call::REQUEST_ID));
        let notes = call::is_wanted(level(method)).then(|| {
            let request_id = request_id.take().unwrap_or_else(call::new_request_id);
            Box::new(Notes::new(request_id, headers.get(TRACEPARENT).and_then(TraceContext::read)))
        });
        Self { method, began: Instant::now(), stage: Stage::Asked, request_id, notes }
    }

    /// The id that is answered.
    fn request_id(&mut self) -> Option<HeaderValue> {
        match &self.notes {
            Some(notes) => Some(notes.request_id.clone()),
            None => self.request_id.take(),
        }
    }

    /// Ends with the head of the answer, unless a stream follows.
    fn answered(mut self, response: &Response) -> Option<Self> {
        match code(response.headers()) {
            Some(code) => self.end(code),
            // What is no gRPC at all was answered in HTTP's words.
            None if !response.status().is_success() => self.end(Code::Unknown),
            None if self.method.is_stream() => {
                self.stage = Stage::Streaming;
                if let Some(notes) = &mut self.notes {
                    notes.complete();
                }
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
        let took = self.began.elapsed();
        CALL_DURATION.took([self.method.number()], took);
        if let Some(notes) = self.notes.take() {
            notes.end(level(self.method), self.method.as_str(), code_name(code), took);
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if self.stage != Stage::Ended {
            self.end(Code::Cancelled);
        }
    }
}

/// Health is asked about all the time, and would drown the rest.
fn level(method: Method) -> Level {
    if method.is_health() { Level::DEBUG } else { Level::INFO }
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
        let Some(observed) = this.observed else { unreachable!("it is polled no more once it was ready") };
        let Ok(mut response) = ready!(call::noting(&mut observed.notes, || this.call.poll(cx)));
        if let Some(request_id) = observed.request_id() {
            response.headers_mut().insert(call::REQUEST_ID, request_id);
        }
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
        let frame = match this.streaming {
            Some(call) => ready!(call::noting(&mut call.notes, || this.body.poll_frame(cx))),
            None => ready!(this.body.poll_frame(cx)),
        };
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
