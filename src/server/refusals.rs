//! What refusals may cost a late worker, and what they do cost it.
//!
//! A refusal costs more than half of what the cheapest call costs, as HTTP/2 has to be spoken for both. So refusals get a
//! [part](PART) of the worker's time, at what they are measured to cost: what cannot be refused within that part is
//! served, and what cannot be served yet waits where HTTP/2's limit of streams holds it, at the caller. A worker that
//! refused all it could would be busy with nothing else. Calls that cost [much more](WORTH_REFUSING) than a refusal spare
//! a [larger part](LARGER_PART), as that keeps everybody's wait short under several times the load.
//!
//! Whether a worker is late, and whose turn to be refused it is, is never decided here: see [`super::lateness`].

use crate::telemetry::metrics::Shed;
use std::{
    cell::Cell,
    time::{Duration, Instant},
};

/// Of a late worker's time, refusals get at most one part in so many.
const PART: u32 = 10;

/// The same while calls are [`WORTH_REFUSING`].
const LARGER_PART: u32 = 4;

/// What a call costs for whose sake a dozen others are refused rather than let wait.
const WORTH_REFUSING: Duration = Duration::from_micros(200);

/// The most that is counted for what HTTP/2 costs for a call, refused or not: when each comes on another connection. What
/// it does cost is [measured](Refusals::measure), as it differs by machine and by how many come together, and is no more
/// where something else was done in the turn of a connection, or the system stopped the worker in it.
const MOST_HTTP2: Duration = Duration::from_micros(10);

/// What a request of a stream costs that is refused.
pub(super) const ITEM: Duration = Duration::from_nanos(500);

/// The most time that is saved up, so that the first refusals are told at once.
const MOST_SAVED: Duration = Duration::from_millis(20);

/// The least time between two lines of the log about refused calls.
const LOGGED_EVERY: Duration = Duration::from_secs(10);

/// A worker's time for refusals.
pub(super) struct Refusals {
    /// What HTTP/2 costs for a call.
    http2: Cell<Duration>,
    /// Time that refusals may take.
    saved: Cell<Duration>,
    untold: Cell<u64>,
    told: Cell<Option<Instant>>,
}

impl Refusals {
    pub(super) const fn new() -> Self {
        Self { http2: Cell::new(MOST_HTTP2), saved: Cell::new(MOST_SAVED), untold: Cell::new(0), told: Cell::new(None) }
    }

    /// A turn of a connection in which so many calls were looked at, nearly all to be refused or to wait for their own turn,
    /// has taken so long.
    pub(super) fn measure(&self, took: Duration, calls: u32) {
        if let Some(each) = took.checked_div(calls) {
            // Weighed one to seven with what was known.
            self.http2.set((self.http2.get() * 7 + each.clamp(ITEM, MOST_HTTP2)) / 8);
        }
    }

    /// What HTTP/2 costs for a call, which is what it costs to refuse one.
    pub(super) fn http2(&self) -> Duration {
        self.http2.get()
    }

    /// Something was worked at for so long, HTTP/2 included.
    pub(super) fn earn(&self, worked: Duration) {
        let part = if worked < WORTH_REFUSING { PART } else { LARGER_PART };
        self.saved.set(MOST_SAVED.min(self.saved.get() + worked / (part - 1)));
    }

    /// Whether there is time left for a refusal that costs so much. Takes it, and counts the refusal.
    pub(super) fn take(&self, cost: Duration, now: Instant) -> bool {
        let Some(left) = self.saved.get().checked_sub(cost) else { return false };
        self.saved.set(left);
        Shed::Late.count();
        self.tell(now);
        true
    }

    fn tell(&self, now: Instant) {
        let refused = self.untold.get() + 1;
        self.untold.set(refused);
        if self.told.get().is_none_or(|told| now.duration_since(told) > LOGGED_EVERY) {
            tracing::warn!(refused, "calls are refused: more is asked of this worker than it can do");
            self.untold.set(0);
            self.told.set(Some(now));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const US: Duration = Duration::from_micros(1);

    #[test]
    fn refusals_never_get_more_than_their_part_of_the_time() {
        for (cost, part) in [(10 * US, PART), (250 * US, LARGER_PART)] {
            let (refusals, now) = (Refusals::new(), Instant::now());
            let mut refused = 0;
            let mut refuse_all = || {
                while refusals.take(refusals.http2(), now) {
                    refused += 1;
                }
            };
            refuse_all();
            for _ in 0..1_000 {
                refusals.earn(cost + refusals.http2());
                refuse_all();
            }
            let (refusing, working) = (MOST_HTTP2 * refused, (cost + MOST_HTTP2) * 1_000);
            let most = working / (part - 1) + MOST_SAVED;
            assert!((most - 2 * MOST_HTTP2..=most).contains(&refusing), "{cost:?}: {refusing:?} of {most:?}");
        }
    }

    #[test]
    fn no_more_is_saved_than_the_first_refusals_take() {
        let (refusals, now) = (Refusals::new(), Instant::now());
        for cost in [refusals.http2(), ITEM] {
            (0..1_000).for_each(|_| refusals.earn(1_000 * US));
            let taken = std::iter::repeat_with(|| refusals.take(cost, now)).take_while(|taken| *taken).count();
            assert_eq!(cost * taken as u32, MOST_SAVED);
        }
    }

    #[test]
    fn a_turn_in_which_the_system_stops_the_worker_tells_little_of_what_refusals_cost() {
        let refusals = Refusals::new();
        for _ in 0..60 {
            refusals.measure(12 * US, 3);
        }
        assert!(refusals.http2.get().abs_diff(4 * US) < US / 10, "{:?}", refusals.http2.get());
        refusals.measure(600_000 * US, 1);
        // A turn without calls, whatever it took.
        refusals.measure(1_000 * US, 0);
        assert!(refusals.http2.get() < 5 * US, "{:?}", refusals.http2.get());
        // A clock that stands still makes nothing free.
        for _ in 0..200 {
            refusals.measure(Duration::ZERO, 1);
        }
        assert!(refusals.http2.get() >= ITEM, "{:?}", refusals.http2.get());
    }
}
