//! The body of a request, which is read to its end even when nobody wants it any more.
//!
//! Who refuses a call by its head, or at its deadline, has not read its request. Dropped then, the request would reset
//! its stream; what the peer has sent of it, or sends before it hears of that, is an error to HTTP/2, and
//! [some hundred](super::limits::MAX_LOCAL_ERROR_RESET_STREAMS) of them end the connection with every call on it. So
//! the answer goes out at once, and what is left of the request is thrown away as it comes. It is never looked into here.

use super::limits::{MAX_UNWANTED_REQUESTS, REST_OF_REQUEST, STREAM_WINDOW};
use bytes::{Buf, Bytes};
use h2::RecvStream;
use http_body::{Body, Frame};
use std::{
    cell::Cell,
    future::Future,
    pin::Pin,
    task::{Context, Poll, Waker, ready},
    thread,
};
use tokio::{runtime::Handle, time::timeout};

/// A frame counts as that many bytes at least: about as much as a request has, so that a flood of tiny ones ends as soon.
const LEAST_COUNTED: usize = 64;

thread_local! {
    /// Those that this worker waits for.
    static UNWANTED: Cell<usize> = const { Cell::new(0) };
}

/// What comes after the head of a request.
#[derive(Debug)]
pub struct RequestBody {
    /// `None` once it has ended.
    rest: Option<RecvStream>,
}

impl RequestBody {
    pub(super) const fn new(rest: RecvStream) -> Self {
        Self { rest: Some(rest) }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = h2::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        let Some(rest) = &mut self.rest else { return Poll::Ready(None) };
        let frame = ready!(poll_next(rest, cx));
        if !matches!(frame, Some(Ok(_))) || rest.is_end_stream() {
            self.rest = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.rest.as_ref().is_none_or(RecvStream::is_end_stream)
    }
}

/// The next frame of a request, for which its peer may send another one.
fn poll_next(rest: &mut RecvStream, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
    let Some(data) = ready!(rest.poll_data(cx)) else {
        return rest
            .poll_trailers(cx)
            .map(|trailers| trailers.transpose().map(|trailers| trailers.map(Frame::trailers)));
    };
    if let Ok(data) = &data {
        // Fails only for more than has come.
        let _ = rest.flow_control().release_capacity(data.len());
    }
    Poll::Ready(Some(data.map(Frame::data)))
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        // After a panic the caller is to be told by the reset, and a second panic would end the process.
        let Some(rest) = self.rest.take_if(|_| !thread::panicking()) else { return };
        let mut unwanted = Unwanted { rest, left: STREAM_WINDOW as usize };
        // Mostly all of it is there already. If not, there is no task to wake yet.
        if Pin::new(&mut unwanted).poll(&mut Context::from_waker(Waker::noop())).is_ready() {
            return;
        }
        // A server that ends may have no runtime any more, and needs no stream any more.
        if let (Some(place), Ok(worker)) = (Place::take(), Handle::try_current()) {
            worker.spawn(async move {
                let _place = place;
                // Or in time.
                let _ = timeout(REST_OF_REQUEST, unwanted).await;
            });
        }
    }
}

/// One of those that a worker waits for, until it is dropped.
struct Place;

impl Place {
    fn take() -> Option<Self> {
        let before = UNWANTED.get();
        (before < MAX_UNWANTED_REQUESTS).then(|| {
            UNWANTED.set(before + 1);
            Self
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // A thread that ends waits for none any more.
        let _ = UNWANTED.try_with(|unwanted| unwanted.set(unwanted.get().saturating_sub(1)));
    }
}

/// Ready when a request has ended, or went on for longer than what its peer can have sent before it heard the answer.
struct Unwanted {
    rest: RecvStream,
    left: usize,
}

impl Future for Unwanted {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        while let Some(Ok(frame)) = ready!(poll_next(&mut self.rest, cx)) {
            let bytes = frame.data_ref().map_or(0, Buf::remaining).max(LEAST_COUNTED);
            let Some(left) = self.left.checked_sub(bytes) else { break };
            self.left = left;
            if self.rest.is_end_stream() {
                break;
            }
        }
        Poll::Ready(())
    }
}
