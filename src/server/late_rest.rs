//! The rest of a late worker's connections.
//!
//! Most of what comes to a [late](super::lateness) worker is refused, and refusals that are read and written together cost
//! less than one by one. So a connection that such a worker has read rests, together with all others, until [`LATE_REST`]
//! after the first of them, or until the worker has nothing else to do. The calls that would have their turn then let the
//! connections go first, each once: who is to be refused does not wait for those who are served.
//!
//! Who rests, and who is refused, is never decided here.

use super::limits::LATE_REST;
use futures_util::{
    FutureExt,
    future::{BoxFuture, Shared, WeakShared},
};
use std::cell::{Cell, RefCell};
use tokio::{
    sync::oneshot,
    time::{Instant, timeout},
};

/// Ready when it is over.
pub(super) type LateRest = Shared<BoxFuture<'static, ()>>;

thread_local! {
    /// The last rest of this worker's connections, until it is ended here.
    static LAST: RefCell<Option<Last>> = const { RefCell::new(None) };
    /// See [`ended`].
    static ENDED: Cell<u32> = const { Cell::new(0) };
}

struct Last {
    rest: WeakShared<BoxFuture<'static, ()>>,
    until: Instant,
    over: oneshot::Sender<()>,
}

/// The rest in which other connections are already, or else a new one. With a timer for each connection, each would
/// cost a system call: what is to end next wakes whoever waits for the timers.
pub(super) fn begin() -> LateRest {
    LAST.with_borrow_mut(|last| {
        let goes_on = last.as_ref().and_then(|last| last.rest.upgrade()).filter(|rest| rest.peek().is_none());
        goes_on.unwrap_or_else(|| {
            let (over, is_over) = oneshot::channel();
            let until = Instant::now() + LATE_REST;
            let rest = timeout(LATE_REST, is_over).map(drop).boxed().shared();
            *last = rest.downgrade().map(|rest| Last { rest, until, over });
            rest
        })
    })
}

/// Ends the rest: there is nothing else to do.
pub(super) fn end() {
    end_if(|_| true);
}

/// Ends the rest if its time is over, and does not wait for the timers to see that.
pub(super) fn end_if_over() {
    end_if(|last| last.until <= Instant::now());
}

/// How many were ended here in which somebody was.
pub(super) fn ended() -> u32 {
    ENDED.get()
}

fn end_if(is_over: impl Fn(&Last) -> bool) {
    let ending = LAST.with_borrow_mut(|last| last.take_if(|last| is_over(last)));
    if ending.is_some_and(|last| last.over.send(()).is_ok()) {
        ENDED.set(ended().wrapping_add(1));
    }
}

#[cfg(test)]
mod tests {
    use super::{super::lateness, *};
    use std::{
        future::{Future, poll_fn},
        mem,
        sync::{Arc, Mutex},
        time::Duration,
    };
    use tokio::{
        runtime,
        task::{JoinSet, yield_now},
        time::advance,
    };

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

    /// What happens once so much time has gone by in the rest of two connections, with two calls that came in it.
    async fn order(rested: Duration) -> Vec<&'static str> {
        let order = Order::default();
        let mut tasks = JoinSet::new();
        for what in ["a connection", "another one"] {
            tasks.spawn(order.clone().tell(what, begin()));
        }
        yield_now().await;
        for what in ["a call", "another call"] {
            tasks.spawn(order.clone().tell(what, call()));
        }
        // Without a turn of the timers.
        assert_eq!(advance(rested).now_or_never(), None);
        tasks.join_all().await;
        mem::take(&mut *order.0.lock().unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn connections_that_have_rested_go_before_the_calls() {
        let _late = lateness::pretend(100);
        assert_eq!(order(LATE_REST).await, ["a connection", "another one", "a call", "another call"]);
    }

    #[tokio::test(start_paused = true)]
    async fn calls_go_on_as_long_as_connections_rest() {
        let _late = lateness::pretend(100);
        assert_eq!(order(LATE_REST / 2).await, ["a call", "another call", "a connection", "another one"]);
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

    #[tokio::test(start_paused = true)]
    async fn a_rest_that_its_time_has_ended_is_over_and_lets_nobody_go_first() {
        let rest = begin();
        assert!(rest.ptr_eq(&begin()));
        rest.clone().await;
        let next = begin();
        assert!(!next.ptr_eq(&rest));
        end_if_over();
        assert_eq!(next.peek(), None, "it has only begun");
        next.await;
        end_if_over();
        drop(begin());
        end();
        assert_eq!(ended(), 0, "nobody was in them");
        let last = begin();
        end();
        assert_eq!((ended(), last.now_or_never()), (1, Some(())));
    }
}
