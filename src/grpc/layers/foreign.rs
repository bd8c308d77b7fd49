//! Turns the errors that tonic makes by itself into ours, so that every error of a call has a reason, and answers
//! what is not gRPC at all with an HTTP status.
//!
//! Our own errors carry details and pass unchanged. The errors of the standard services keep their code and text, which
//! are specified elsewhere, and get a reason.

use super::{Passed, Response};
use crate::{
    grpc::{limits::MAX_REQUEST_BYTES, status},
    proto::v1::ErrorReason,
};
use futures_util::future::{Either, ready};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};
use http_body::Frame;
use http_body_util::BodyExt;
use pin_project_lite::pin_project;
use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tonic::{Code, Status, body::Body};
use tower::Service;

/// The layer.
#[derive(Clone, Debug)]
pub struct Foreign<S>(pub S);

impl<S, B> Service<Request<B>> for Foreign<S>
where
    S: Service<Request<B>, Response = Response, Error = Infallible>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Passed<Explained<S::Future>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        if request.method() != Method::POST {
            return Either::Left(ready(Ok(plain(StatusCode::METHOD_NOT_ALLOWED))));
        }
        if !request.headers().get(header::CONTENT_TYPE).is_some_and(is_grpc) {
            return Either::Left(ready(Ok(plain(StatusCode::UNSUPPORTED_MEDIA_TYPE))));
        }
        Either::Right(Explained { call: self.0.call(request) })
    }
}

pin_project! {
    /// A call whose error gets a reason.
    pub struct Explained<F> { #[pin] call: F }
}

impl<F: Future<Output = Result<Response, Infallible>>> Future for Explained<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Ok(response) = ready!(self.project().call.poll(cx));
        // An answer that went well has its status in the trailers, not here.
        let headers = response.headers();
        let unexplained =
            headers.contains_key(Status::GRPC_STATUS) && !headers.contains_key(Status::GRPC_STATUS_DETAILS);
        if !unexplained {
            return Poll::Ready(Ok(response));
        }
        let explained = Status::from_header_map(headers).and_then(|foreign| explain(&foreign));
        Poll::Ready(Ok(explained.map_or(response, Status::into_http)))
    }
}

/// The answers of a service that is not ours and ends them with errors of its own: each gets a reason.
pub(in crate::grpc) fn explain_at_the_end(answers: Response) -> Response {
    answers.map(|body| {
        Body::new(body.map_frame(|frame| match frame.into_trailers() {
            Ok(trailers) => Frame::trailers(explained(&trailers).unwrap_or(trailers)),
            Err(frame) => frame,
        }))
    })
}

fn explained(trailers: &HeaderMap) -> Option<HeaderMap> {
    let mut explained = HeaderMap::new();
    explain(&Status::from_header_map(trailers)?)?.add_header(&mut explained).ok()?;
    Some(explained)
}

/// `application/grpc` and its `+proto` and the like, but not `application/grpc-web`.
fn is_grpc(content_type: &HeaderValue) -> bool {
    let rest = content_type.as_bytes().strip_prefix(b"application/grpc");
    rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';')))
}

fn plain(code: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = code;
    response
}

/// What tonic 0.14 says when the bytes of a request are at fault, all of it as `INTERNAL`. The gRPC specification
/// has that too, but to a caller it would be our fault and worth a retry.
const FAULTS_OF_THE_REQUEST: [&str; 4] = [
    // prost could not read the message.
    "failed to decode Protobuf message",
    // The body ended inside a message.
    "Unexpected EOF decoding stream",
    // The body ended before a message.
    "Missing request message",
    // The flag before the message is neither 0 nor 1, or it is 1 without a known encoding.
    "protocol error: received message with",
];

/// What reflection says of a request without a question.
const ASKS_NOTHING: &str = "invalid MessageRequest";

/// What tonic says when the peer broke off. It has reset the stream and reads no answer.
const BROKEN_OFF: &str = "h2 protocol error";

/// The error as ours, or nothing when it shall pass as it is.
pub(in crate::grpc) fn explain(foreign: &Status) -> Option<Status> {
    let text = foreign.message();
    if text.starts_with(BROKEN_OFF) {
        return None;
    }
    let mut own = match foreign.code() {
        // Not an error; the peer has gone.
        Code::Ok | Code::Cancelled => return None,
        // Health does not know the name of a service, or reflection that of something else.
        Code::NotFound => status::error(Code::NotFound, ErrorReason::NameNotFound, status::cut_encoded(text)),
        Code::OutOfRange if text.contains("message length too large") => status::final_for_retries(status::error(
            Code::ResourceExhausted,
            ErrorReason::MessageTooLarge,
            format!("the request message is larger than {MAX_REQUEST_BYTES} bytes"),
        )),
        Code::Unimplemented if text.is_empty() => {
            status::error(Code::Unimplemented, ErrorReason::MethodNotFound, "this server has no such method")
        }
        // An encoding that we do not know; the text names it.
        Code::Unimplemented => status::error(Code::Unimplemented, ErrorReason::MethodNotFound, text),
        Code::Internal if FAULTS_OF_THE_REQUEST.iter().any(|fault| text.starts_with(fault)) => {
            status::malformed(format!("the request is not a message of the method's type: {text}"))
        }
        Code::InvalidArgument if text == ASKS_NOTHING => {
            status::malformed(format!("the request asks for nothing: {text}"))
        }
        // Nobody makes these without details. If somebody does, it is a fault of ours that must be seen.
        Code::Unknown
        | Code::InvalidArgument
        | Code::DeadlineExceeded
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::ResourceExhausted
        | Code::FailedPrecondition
        | Code::Aborted
        | Code::OutOfRange
        | Code::Internal
        | Code::Unavailable
        | Code::DataLoss
        | Code::Unauthenticated => {
            tracing::error!(code = ?foreign.code(), "an error without a reason was answered");
            status::error(Code::Internal, ErrorReason::Internal, "internal error")
        }
    };
    // For an unknown encoding this is the list of the known ones.
    own.metadata_mut().as_mut().extend(foreign.metadata().clone().into_headers());
    Some(own)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tonic_types::StatusExt;

    #[test]
    fn only_grpc_is_grpc() {
        for (content_type, expected) in [
            ("application/grpc", true),
            ("application/grpc+proto", true),
            ("application/grpc;charset=utf-8", true),
            ("application/grpc-web+proto", false),
            ("application/json", false),
            ("", false),
        ] {
            assert_eq!(is_grpc(&HeaderValue::from_static(content_type)), expected, "{content_type}");
        }
    }

    #[test]
    fn the_error_of_a_standard_service_keeps_its_code_and_text_and_gets_a_reason() {
        let own = explain(&Status::not_found("service not registered")).unwrap();
        assert_eq!((own.code(), own.message()), (Code::NotFound, "service not registered"));
        assert_eq!(own.get_details_error_info().unwrap().reason, "NAME_NOT_FOUND");
    }

    #[test]
    fn an_error_that_nobody_explained_is_a_fault_of_ours_and_says_nothing_else() {
        let own = explain(&Status::data_loss("row 17 of card numbers")).unwrap();
        assert_eq!((own.code(), own.message()), (Code::Internal, "internal error"));
    }
}
