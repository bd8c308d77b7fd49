//! HTTP/2 on a connection: hyper with settings that bound what a peer can make us do.
//!
//! Each call is a task of its own. While the worker is [late](lateness), a call is first looked at in the turn of its
//! connection: what is refused then is read, refused and told together, without waiting for those that are served.

use super::{
    connection::{End, Life, Protocol},
    guard::{Guarded, with_another_turn},
    lateness::{self, Turn},
    limits,
    peer::PeerNames,
    request::RequestBody,
    stream::Stream,
    unread::Unread,
};
use hyper::{body::Incoming, rt::Executor, server::conn::http2};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::{
    cell::{Cell, RefCell},
    convert::Infallible,
    error::Error,
    future::{Future, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{Context, Poll, Waker},
};

/// Serves a service over HTTP/2, with prior knowledge as gRPC does, or as a TLS handshake agreed. Requests of a peer that
/// has shown a certificate have its [`PeerNames`] as an extension.
///
/// The service must always be ready: it refuses what is too much rather than wait, because a service that is not
/// ready would hold up the whole connection. `poll_ready` is not asked.
pub struct Http2<S> {
    service: S,
    builder: http2::Builder<InTurn>,
}

impl<S> Http2<S> {
    /// The service is cloned once per connection.
    pub fn new(service: S) -> Self {
        let mut builder = http2::Builder::new(InTurn);
        builder
            .timer(TokioTimer::new())
            .max_concurrent_streams(limits::MAX_CONCURRENT_STREAMS)
            .max_local_error_reset_streams(limits::MAX_LOCAL_ERROR_RESET_STREAMS)
            .max_pending_accept_reset_streams(limits::MAX_PENDING_ACCEPT_RESET_STREAMS)
            .initial_stream_window_size(limits::STREAM_WINDOW)
            .initial_connection_window_size(limits::CONNECTION_WINDOW)
            .max_send_buf_size(limits::MAX_SEND_BUFFER)
            .max_header_list_size(limits::MAX_HEADER_LIST)
            .keep_alive_interval(limits::KEEPALIVE_INTERVAL)
            .keep_alive_timeout(limits::KEEPALIVE_TIMEOUT)
            // No gRPC client reads it.
            .auto_date_header(false);
        Self { service, builder }
    }
}

impl<S, B> Protocol for Http2<S>
where
    S: tower::Service<http::Request<RequestBody>, Response = http::Response<B>, Error = Infallible>,
    S: Clone + Send + Sync + 'static,
    S::Future: Send + 'static,
    B: http_body::Body<Data: Send, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
{
    fn serve(&self, stream: Stream, life: Life) -> Pin<Box<dyn Future<Output = End> + Send>> {
        let unread = Unread::default();
        let service = AlwaysReady { service: RefCell::new(self.service.clone()), peer: stream.peer_names() };
        let stream = Guarded::new(stream, life.preface_timeout, &life.drain);
        let connection = self.builder.serve_connection(TokioIo::new(stream), unread.count(service));
        Box::pin(async move {
            let mut connection = std::pin::pin!(connection);
            let mut unread = std::pin::pin!(unread.too_long());
            tokio::select! {
                biased;
                result = poll_fn(|cx| poll_turn(connection.as_mut(), cx)) => return End::from(result),
                () = unread.as_mut() => return End::unread(),
                () = life.drain.begun() => {}
                () = tokio::time::sleep(life.max_age) => {}
            }
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                biased;
                result = poll_fn(|cx| poll_turn(connection.as_mut(), cx)) => End::from(result),
                () = unread => End::unread(),
                () = life.drain.stopped() => End::Cut,
                () = tokio::time::sleep(limits::LAST_ANSWERS) => End::Cut,
            }
        })
    }
}

/// A call, from its request to the end of its answer.
type Call = Pin<Box<dyn Future<Output = ()> + Send>>;

thread_local! {
    /// Calls that came on the connection which this late worker polls.
    static ARRIVED: Cell<Vec<Call>> = const { Cell::new(Vec::new()) };
}

/// Makes calls tasks, or hands them to [`poll_turn`].
#[derive(Clone)]
struct InTurn;

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for InTurn {
    fn execute(&self, call: F) {
        if !lateness::is_late() {
            tokio::spawn(call);
            return;
        }
        let mut arrived = ARRIVED.take();
        arrived.push(Box::pin(call));
        ARRIVED.set(arrived);
    }
}

/// Polls a connection and, if calls came on it that a late worker looks at here, once more: to write what they were
/// answered, and to read on. What is not read cannot be refused, and the calls that were let in may take longer than the
/// others of this turn wait.
fn poll_turn<C: Future>(mut connection: Pin<&mut C>, cx: &mut Context<'_>) -> Poll<C::Output> {
    let turn = Turn::begin();
    let polled = connection.as_mut().poll(cx);
    let calls = begin_arrived();
    if calls == 0 || polled.is_ready() {
        return polled;
    }
    // Once only: a caller who sends as fast as it is answered would keep all others waiting. Answers wake the task of
    // their connection, so those of calls that came meanwhile are written in its next turn.
    let polled = with_another_turn(|| connection.poll(cx));
    turn.end(calls + begin_arrived());
    polled
}

/// How many there were.
fn begin_arrived() -> u32 {
    let arrived = ARRIVED.take();
    let calls = arrived.len() as u32;
    arrived.into_iter().for_each(begin);
    calls
}

/// Polls a call once. If it is not done by then it becomes a task, which polls it again in any case, so that this poll
/// needs no waker.
fn begin(mut call: Call) {
    // Unwind safe: after a panic the call is only dropped, as it would be as a task. Its stream is reset then.
    match catch_unwind(AssertUnwindSafe(|| call.as_mut().poll(&mut Context::from_waker(Waker::noop())))) {
        Ok(Poll::Ready(())) => {}
        Ok(Poll::Pending) => drop(tokio::spawn(call)),
        Err(_) => tracing::error!("an answer panicked"),
    }
}

impl From<hyper::Result<()>> for End {
    fn from(result: hyper::Result<()>) -> Self {
        result.map_or_else(|error| Self::Failed(error.into()), |()| Self::Closed)
    }
}

/// A tower service as hyper's, which calls by shared reference. A connection calls from one task only, so the cell is
/// never borrowed twice; cloning the service for each call would move its counters between cores.
struct AlwaysReady<S> {
    service: RefCell<S>,
    peer: Option<PeerNames>,
}

impl<S> hyper::service::Service<http::Request<Incoming>> for AlwaysReady<S>
where
    S: tower::Service<http::Request<RequestBody>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn call(&self, request: http::Request<Incoming>) -> Self::Future {
        let mut request = request.map(RequestBody::new);
        if let Some(peer) = &self.peer {
            request.extensions_mut().insert(peer.clone());
        }
        self.service.borrow_mut().call(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };
    use tokio::task::yield_now;

    /// Counts what happened, from futures that have to be sent.
    #[derive(Clone, Default)]
    struct Count(Arc<AtomicUsize>);

    impl Count {
        fn add(&self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }

        fn get(&self) -> usize {
            self.0.load(Ordering::Relaxed)
        }
    }

    /// What a connection's turn does in which these calls came: how many were done when the connection was polled again,
    /// if it was.
    async fn turn<const N: usize>(calls: [Call; N], done: &Count) -> Vec<usize> {
        let (mut calls, mut seen) = (Some(calls), Vec::new());
        let mut connection = std::pin::pin!(poll_fn(|_| {
            match calls.take() {
                Some(calls) => calls.into_iter().for_each(|call| InTurn.execute(call)),
                None => seen.push(done.get()),
            }
            Poll::<()>::Pending
        }));
        let polled = poll_fn(|cx| Poll::Ready(poll_turn(connection.as_mut(), cx))).await;
        assert!(polled.is_pending());
        seen
    }

    /// A call that is done after so many turns of others.
    fn call(done: &Count, after: usize) -> Call {
        let done = done.clone();
        Box::pin(async move {
            for _ in 0..after {
                yield_now().await;
            }
            done.add();
        })
    }

    #[tokio::test]
    async fn a_late_worker_looks_at_calls_in_the_turn_of_their_connection_and_writes_what_they_answer() {
        for late in [false, true] {
            let _late = late.then(|| lateness::pretend(0));
            let done = Count::default();
            assert_eq!(turn([call(&done, 0)], &done).await, if late { vec![1] } else { vec![] });
            yield_now().await;
            assert_eq!(done.get(), 1);
        }
    }

    #[tokio::test]
    async fn what_a_call_costs_is_measured_in_the_turns_of_a_late_worker_in_which_calls_came() {
        let done = Count::default();
        let before = lateness::http2();
        let quick = async || turn([0; 20].map(|after| call(&done, after)), &done).await;
        quick().await;
        assert_eq!(lateness::http2(), before, "a worker in time");
        let _late = lateness::pretend(0);
        turn([], &done).await;
        assert_eq!(lateness::http2(), before, "no calls");
        // The system may stop the worker in any of them.
        for _ in 0..1_000 {
            if lateness::http2() < before {
                return;
            }
            quick().await;
        }
        panic!("not measured");
    }

    #[tokio::test]
    async fn a_call_that_has_to_wait_goes_on_as_a_task() {
        let _late = lateness::pretend(0);
        let done = Count::default();
        assert_eq!(turn([call(&done, 1)], &done).await, [0]);
        while done.get() == 0 {
            yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_call_that_panics_ends_neither_its_connection_nor_the_calls_beside_it() {
        let _late = lateness::pretend(0);
        let done = Count::default();
        let panics = Box::pin(async { panic!("a fault") });
        assert_eq!(turn([panics, call(&done, 0)], &done).await, [1]);
    }
}
