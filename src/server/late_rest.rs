//! The rest of a late worker's connections.
//!
//! Most of what comes to a [late](super::lateness) worker is refused, and refusals that are read and written together cost
//! less than one by one. So a connection that such a worker has read rests, together with all others, until [`LATE_REST`]
//! after the first of them or until the worker has no other call to go on with. Then all of them have their turn before
//! the calls that wait for theirs: who is to be refused does not wait for those who are served.

use super::limits::LATE_REST;
use futures_util::{
    FutureExt,
    future::{BoxFuture, Shared, WeakShared, select},
};
use std::{
    cell::{Cell, RefCell},
    time::Instant,
};
use tokio::{sync::oneshot, time::sleep};

/// Ready when it is over.
pub(super) type LateRest = Shared<BoxFuture<'static, ()>>;

thread_local! {
    /// The last rest of this worker's connections, as long as one of them is in it.
    static LAST: RefCell<Option<Last>> = const { RefCell::new(None) };
    static ENDED: Cell<u32> = const { Cell::new(0) };
}

struct Last {
    rest: WeakShared<BoxFuture<'static, ()>>,
    until: Instant,
    end: oneshot::Sender<()>,
}

/// The rest in which other connections are already, or else a new one. With a timer for each connection, each would
/// cost a system call: what is to end next wakes whoever waits for the timers.
pub(super) fn begin() -> LateRest {
    LAST.with_borrow_mut(|last| {
        let goes_on = last.as_ref().and_then(|last| last.rest.upgrade()).filter(|rest| rest.peek().is_none());
        goes_on.unwrap_or_else(|| {
            let (end, ended) = oneshot::channel();
            // The timer is for a worker that nobody [asks](end) to go on.
            let rest = select(Box::pin(sleep(LATE_REST)), ended).map(drop).boxed().shared();
            *last = rest.downgrade().map(|rest| Last { rest, until: Instant::now() + LATE_REST, end });
            rest
        })
    })
}

/// Ends the rest that is over, or any if there is nothing else to do. Says how many were ended here.
pub(super) fn end(nothing_else: bool) -> u32 {
    let over = LAST.with_borrow_mut(|last| last.take_if(|last| nothing_else || last.until <= Instant::now()));
    if over.is_some_and(|last| last.end.send(()).is_ok()) {
        ENDED.set(ended().wrapping_add(1));
    }
    ended()
}

/// How many were ended by [`end`].
pub(super) fn ended() -> u32 {
    ENDED.get()
}
