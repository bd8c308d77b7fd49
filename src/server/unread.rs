//! Answers that wait for their peer to read them: what ends a connection whose peer asks and never reads.
//!
//! HTTP/2 lets a peer close its window and keep it closed. Its answers then stay in memory, and as it may well go on
//! answering pings, keepalive never ends it: 256 calls on each of a thousand connections would hold gigabytes. So each
//! answer that could go on if only its peer read says since when it waits. An answer that waits for us, such as a stream
//! of events without an event, does not wait for its peer.
//!
//! A [`Call`](super::call::Call) knows when its answer waits. Those of the pages, which hyper sends, are [`Counting`] their
//! answers: what was given and is not asked on for waits.
//!
//! Time is counted in ages of the connection rather than by a clock for each answer: entering and leaving cost an
//! addition, and the connection looks once in an age. Bytes that the kernel does not take are the matter of
//! [`super::guard`].

use super::limits::{UNREAD_AGE, UNREAD_AGES};
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use hyper::service::Service;
use pin_project_lite::pin_project;
use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
};
use tokio::time::sleep;

/// The answers of one connection that wait for their peer, by the age of the connection in which they began to.
#[derive(Clone, Default)]
pub(super) struct Unread(Arc<Ages>);

#[derive(Default)]
struct Ages {
    now: AtomicUsize,
    /// A ring: the slot that comes next is that of the oldest age.
    waiting: [AtomicUsize; UNREAD_AGES],
}

impl Unread {
    /// Ready once an answer has waited for [`UNREAD_AGES`] ages less one, or up to one more.
    pub(super) async fn too_long(&self) {
        loop {
            sleep(UNREAD_AGE).await;
            if self.next_age_holds_the_oldest() {
                return;
            }
        }
    }

    /// Counts an answer that waits for its peer from now on, until what this returns is dropped.
    pub(super) fn begin_waiting(&self) -> Waiting {
        let slot = self.0.now.load(Ordering::Relaxed) % UNREAD_AGES;
        self.0.waiting[slot].fetch_add(1, Ordering::Relaxed);
        Waiting { unread: self.clone(), slot }
    }

    /// Counts the answers of this service.
    pub(super) fn count<S>(&self, service: S) -> Counting<S> {
        Counting { service, unread: self.clone() }
    }

    fn next_age_holds_the_oldest(&self) -> bool {
        let next = self.0.now.load(Ordering::Relaxed).wrapping_add(1);
        self.0.now.store(next, Ordering::Relaxed);
        self.0.waiting[next % UNREAD_AGES].load(Ordering::Relaxed) > 0
    }
}

/// A service whose answers are counted while they wait for their peer.
pub(super) struct Counting<S> {
    service: S,
    unread: Unread,
}

impl<S, I, B> Service<Request<I>> for Counting<S>
where
    S: Service<Request<I>, Response = Response<B>>,
{
    type Response = Response<Answer<B>>;
    type Error = S::Error;
    type Future = Answering<S::Future>;

    fn call(&self, request: Request<I>) -> Self::Future {
        Answering { call: self.service.call(request), unread: self.unread.clone() }
    }
}

pin_project! {
    /// A call whose answer will be counted.
    pub(super) struct Answering<F> {
        #[pin] call: F,
        unread: Unread,
    }
}

impl<F: Future<Output = Result<Response<B>, E>>, B, E> Future for Answering<F> {
    type Output = Result<Response<Answer<B>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let answered = ready!(this.call.poll(cx));
        Poll::Ready(answered.map(|response| {
            response.map(|body| {
                let unread = this.unread.clone();
                Answer { body, waiting: Some(unread.begin_waiting()), unread }
            })
        }))
    }
}

pin_project! {
    /// The body of an answer. It waits for its peer whenever it has given a part and is not asked for the next.
    pub(super) struct Answer<B> {
        #[pin] body: B,
        unread: Unread,
        waiting: Option<Waiting>,
    }
}

impl<B: Body> Body for Answer<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let this = self.project();
        *this.waiting = None;
        let frame = this.body.poll_frame(cx);
        if let Poll::Ready(Some(_)) = &frame {
            *this.waiting = Some(this.unread.begin_waiting());
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// An answer that waits, and the age in which it began to.
pub(super) struct Waiting {
    unread: Unread,
    slot: usize,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.unread.0.waiting[self.slot].fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::{BodyExt, Empty, Full, StreamBody};
    use hyper::{body::Bytes, service::service_fn};
    use std::{convert::Infallible, time::Duration};
    use tokio::time::timeout;

    /// The longest that an answer may wait.
    const LONGEST: Duration = UNREAD_AGE.saturating_mul(UNREAD_AGES as u32);

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_nobody_reads_ends_its_connection() {
        let unread = Unread::default();
        let service = unread.count(service_fn(|_: Request<Empty<Bytes>>| async {
            Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(b"answer"))))
        }));
        let answer = service.call(Request::new(Empty::new())).await.unwrap();
        timeout(LONGEST - UNREAD_AGE - Duration::from_secs(1), unread.too_long()).await.expect_err("too early");
        timeout(LONGEST, unread.too_long()).await.expect("ended");
        drop(answer);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_was_read_or_given_up_ends_nothing() {
        let unread = Unread::default();
        let service = unread.count(service_fn(|_: Request<Empty<Bytes>>| async {
            Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(b"answer"))))
        }));
        service.call(Request::new(Empty::new())).await.unwrap().into_body().collect().await.unwrap();
        drop(service.call(Request::new(Empty::new())).await.unwrap());
        timeout(LONGEST * 10, unread.too_long()).await.expect_err("nothing waits");
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_without_events_does_not_wait_for_its_peer() {
        let unread = Unread::default();
        let service = unread.count(service_fn(|_: Request<Empty<Bytes>>| async {
            let events = futures_util::stream::pending::<Result<Frame<Bytes>, Infallible>>();
            Ok::<_, Infallible>(Response::new(StreamBody::new(events)))
        }));
        let mut events = service.call(Request::new(Empty::new())).await.unwrap().into_body();
        tokio::select! {
            () = unread.too_long() => panic!("the connection was ended"),
            _ = events.frame() => unreachable!("there is no event"),
            () = sleep(LONGEST * 10) => {}
        }
    }
}
