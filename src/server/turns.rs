//! The turns of an HTTP/2 connection at its worker.
//!
//! A call is a task of its own. While the worker is [late](lateness), a call is first looked at in the turn of its
//! connection: what is refused then is read, refused and told together, without waiting for those that are served. Who is
//! refused is never decided here.

use super::{
    guard::with_another_turn,
    lateness::{self, Turn},
};
use std::{
    future::Future,
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{Context, Poll, Waker},
};

/// Calls that came in this turn and are looked at in it.
#[derive(Default)]
pub(super) struct Arrivals(Vec<Pin<Box<dyn Future<Output = ()> + Send>>>);

/// Polls a connection and, if calls came on it that a late worker looks at here, once more: to write what they were
/// answered, and to read on. What is not read cannot be refused, and the calls that were let in may take longer than the
/// others of this turn wait.
pub(super) fn poll_turn<R>(mut connection: impl FnMut(&mut Arrivals) -> Poll<R>) -> Poll<R> {
    let mut arrivals = Arrivals::default();
    let turn = Turn::begin();
    let polled = connection(&mut arrivals);
    let calls = arrivals.begin();
    if calls == 0 || polled.is_ready() {
        return polled;
    }
    // Once only: a caller who sends as fast as it is answered would keep all others waiting. Answers wake the task of
    // their connection, so those of calls that came meanwhile are written in its next turn.
    let polled = with_another_turn(|| connection(&mut arrivals));
    turn.end(calls + arrivals.begin());
    polled
}

impl Arrivals {
    /// Makes a call a task, or keeps it to be looked at.
    pub(super) fn arrive(&mut self, call: impl Future<Output = ()> + Send + 'static) {
        if lateness::is_late() {
            self.0.push(Box::pin(call));
        } else {
            tokio::spawn(call);
        }
    }

    /// Polls each call once, and says how many there were. Those that are not done by then become tasks, which poll them
    /// again in any case, so that this poll needs no waker.
    fn begin(&mut self) -> u32 {
        let calls = mem::take(&mut self.0);
        let number = calls.len() as u32;
        for mut call in calls {
            // Unwind safe: after a panic the call is only dropped, as it would be as a task. Its stream is reset then.
            match catch_unwind(AssertUnwindSafe(|| call.as_mut().poll(&mut Context::from_waker(Waker::noop())))) {
                Ok(Poll::Ready(())) => {}
                Ok(Poll::Pending) => drop(tokio::spawn(call)),
                Err(_) => tracing::error!("an answer panicked"),
            }
        }
        number
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

    type Call = Pin<Box<dyn Future<Output = ()> + Send>>;

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
        let polled = poll_turn(|arrivals| {
            match calls.take() {
                Some(calls) => calls.into_iter().for_each(|call| arrivals.arrive(call)),
                None => seen.push(done.get()),
            }
            Poll::<()>::Pending
        });
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
        let panics: Call = Box::pin(async { panic!("a fault") });
        assert_eq!(turn([panics, call(&done, 0)], &done).await, [1]);
    }
}
