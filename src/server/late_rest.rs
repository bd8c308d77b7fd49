//! The rest of a late worker's connections.
//!
//! Most of what comes to a [late](super::lateness) worker is refused, and refusals that are read and written together cost
//! less than one by one. So a connection that such a worker has read rests, together with all others, until [`LATE_REST`]
//! after the first of them, or until the worker has nothing else to do. The calls that would have their turn then let the
//! connections go first: who is to be refused does not wait for those who are served.
//!
//! Who rests, and who is refused, is never decided here.

use super::limits::LATE_REST;
use futures_util::{
    FutureExt,
    future::{BoxFuture, Shared, WeakShared},
};
use std::cell::RefCell;
use tokio::{
    sync::oneshot,
    task::yield_now,
    time::{Instant, timeout},
};

/// Ready when it is over.
pub(super) type LateRest = Shared<BoxFuture<'static, ()>>;

thread_local! {
    /// The last rest of this worker's connections, until the worker has nothing to do.
    static LAST: RefCell<Option<Last>> = const { RefCell::new(None) };
}

struct Last {
    rest: WeakShared<BoxFuture<'static, ()>>,
    until: Instant,
    /// Ends it; `None` once it [is ending](ending).
    ends: Option<oneshot::Sender<()>>,
}

/// The rest in which other connections are already, or else a new one. With a timer for each connection, each would
/// cost a system call: what is to end next wakes whoever waits for the timers.
pub(super) fn begin() -> LateRest {
    LAST.with_borrow_mut(|last| {
        let goes_on = last.as_ref().and_then(|last| last.rest.upgrade()).filter(|rest| rest.peek().is_none());
        goes_on.unwrap_or_else(|| {
            let (ends, has_ended) = oneshot::channel();
            let until = Instant::now() + LATE_REST;
            let rest = timeout(LATE_REST, has_ended).map(drop).boxed().shared();
            *last = rest.downgrade().map(|rest| Last { rest, until, ends: Some(ends) });
            rest
        })
    })
}

/// Ends the rest: there is nothing else to do.
pub(super) fn end() {
    if let Some(ends) = LAST.with_borrow_mut(|last| last.take()?.ends) {
        // Nobody may be in it any more.
        let _ = ends.send(());
    }
}

/// The rest whose time is over, unless it is the one that was `over` when the caller asked last. It ends once the driver
/// was asked what has come meanwhile: a connection that goes on before would not find it. Who waits for its end goes on
/// behind the connections, in turn; if it has just ended, they are on their way.
pub(super) fn ending(over: &mut Option<Instant>) -> Option<LateRest> {
    LAST.with_borrow_mut(|last| {
        let last = last.as_mut()?;
        let rest = last.rest.upgrade().filter(|_| last.until <= Instant::now())?;
        if let Some(ends) = last.ends.take() {
            tokio::spawn(async move {
                // The driver is asked once nobody else has anything to do, at the latest: who waits for the end has nothing.
                yield_now().await;
                let _ = ends.send(());
            });
        }
        (over.replace(last.until) != Some(last.until)).then_some(rest)
    })
}

#[cfg(test)]
mod tests {
    use super::{super::lateness, *};
    use std::{
        future::{Future, poll_fn},
        io::{self, Write},
        mem,
        sync::{
            Arc, Mutex,
            atomic::{AtomicUsize, Ordering},
        },
        thread,
        time::Duration,
    };
    use tokio::{net::TcpListener, runtime, task::JoinSet, time::advance};

    /// What happened, in its order.
    #[derive(Clone, Default)]
    struct Order(Arc<Mutex<Vec<&'static str>>>);

    impl Order {
        async fn tell(self, what: &'static str, after: impl Future<Output = ()>) {
            after.await;
            self.0.lock().unwrap().push(what);
        }
    }

    /// Ready when the turn of a call has come that arrives now.
    fn call() -> impl Future<Output = ()> {
        let mut call = lateness::Queued::arrive().expect("let in");
        async move { poll_fn(|cx| call.poll_turn(cx)).await }
    }

    /// Of the timers, which see only at the next one that a time is over.
    const TICK: Duration = Duration::from_millis(1);

    /// What happens once so much time has gone by in the rest, begun then, of two connections, with two calls that came in
    /// it, at a worker that asks the driver after so many turns; and how often the worker had nothing to do.
    fn order(begun: Duration, rested: Duration, turns: u32) -> (Vec<&'static str>, usize) {
        let idle = Arc::new(AtomicUsize::new(0));
        let counts = Arc::clone(&idle);
        let mut worker = runtime::Builder::new_current_thread();
        worker.enable_all().start_paused(true).event_interval(turns);
        worker.on_thread_park(move || {
            counts.fetch_add(1, Ordering::Relaxed);
        });
        let worker = worker.build().unwrap();
        let _late = lateness::pretend(100);
        worker.block_on(async {
            advance(begun).await;
            let order = Order::default();
            let mut tasks = JoinSet::new();
            for what in ["a connection", "another one"] {
                tasks.spawn(order.clone().tell(what, begin()));
            }
            yield_now().await;
            for what in ["a call", "another call"] {
                tasks.spawn(order.clone().tell(what, call()));
            }
            assert_eq!(advance(rested).now_or_never(), None);
            tasks.join_all().await;
            (mem::take(&mut *order.0.lock().unwrap()), idle.load(Ordering::Relaxed))
        })
    }

    #[test]
    fn connections_that_have_rested_go_before_the_calls_whenever_the_driver_is_asked() {
        // Whether the timers see at once that the time is over, or not before the calls do.
        for begun in [Duration::ZERO, TICK / 2] {
            for turns in 1..20 {
                let order = order(begun, LATE_REST, turns);
                let connections_first = vec!["a connection", "another one", "a call", "another call"];
                assert_eq!(order, (connections_first, 0), "begun at {begun:?}, {turns} turns");
            }
        }
    }

    #[test]
    fn calls_go_on_as_long_as_connections_rest() {
        assert_eq!(
            order(Duration::ZERO, LATE_REST / 2, 61).0,
            ["a call", "another call", "a connection", "another one"]
        );
    }

    #[test]
    fn connections_do_not_rest_while_their_worker_has_nothing_to_do() {
        for end_it in [true, false] {
            let mut worker = runtime::Builder::new_current_thread();
            worker.enable_all().start_paused(true);
            if end_it {
                worker.on_thread_park(lateness::rests);
            }
            let rested = worker.build().unwrap().block_on(async {
                let began = Instant::now();
                begin().await;
                began.elapsed()
            });
            assert_eq!(rested < LATE_REST, end_it, "{rested:?}");
        }
    }

    #[tokio::test]
    async fn a_connection_that_has_rested_reads_what_came_meanwhile() {
        let _late = lateness::pretend(100);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut peer = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let stream = listener.accept().await.unwrap().0;
        // What was not there is looked for again only once the driver says so.
        assert_eq!(stream.try_read(&mut [0; 8]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        let connection = tokio::spawn(async move {
            begin().await;
            stream.try_read(&mut [0; 8])
        });
        let other = tokio::spawn(async move {
            // The worker is busy, and does not ask what there is to read.
            peer.write_all(b"a call").unwrap();
            thread::sleep(LATE_REST);
            peer
        });
        let calls = [(); 2].map(|()| tokio::spawn(call()));
        assert_eq!(connection.await.unwrap().unwrap(), 6);
        assert!(other.is_finished());
        for call in calls {
            call.await.unwrap();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_rest_lets_nobody_go_first_before_its_time_nor_twice_nor_once_everybody_has_gone() {
        let ending = || ending(&mut None);
        let rest = begin();
        assert!(rest.ptr_eq(&begin()));
        assert!(ending().is_none(), "it has only begun");
        rest.clone().await;
        let mut over = None;
        assert!(super::ending(&mut over).is_some_and(|ending| ending.ptr_eq(&rest)), "the timers have just ended it");
        assert!(super::ending(&mut over).is_none());
        let next = begin();
        assert!(!next.ptr_eq(&rest));
        advance(LATE_REST).await;
        assert!(super::ending(&mut over).is_some_and(|ending| ending.ptr_eq(&next)));
        next.await;
        assert!(ending().is_none());
        drop(begin());
        advance(LATE_REST).await;
        assert!(ending().is_none(), "nobody is in it");
        let last = begin();
        end();
        advance(LATE_REST).await;
        assert!(ending().is_none());
        assert_eq!(last.now_or_never(), Some(()));
    }
}
