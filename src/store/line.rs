//! Those who wait for a store that does one thing, or some, at a time, and who is refused because they are too many.
//!
//! A store that is asked for more than it can do makes all wait, longer and longer, up to their deadlines; and they take
//! the places of calls that ask nothing of it. As CoDel does it (RFC 8289), a line is late once nobody in it has waited
//! for less than [`TARGET`] for an [`INTERVAL`]: a burst is not overload, and a store that has stopped is not asked too
//! much. While it is, whoever would wait for longer than [`QUEUE`] is refused at once; how long that is, is told by how
//! many the store took lately. How late a worker is, with calls that ask nothing of a store, is the matter of
//! [`crate::server::lateness`].

use super::StoreError;
use crate::telemetry::metrics::Shed;
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// A wait that a buyer notices, and that is long beside what a store takes for one thing.
const TARGET: Duration = Duration::from_millis(100);

/// How long nobody may have waited for less. Longer than bursts last, such as all callers that come back at once.
const INTERVAL: Duration = Duration::from_millis(500);

/// The longest wait that a late line lets somebody begin: some commits of a disk, or statements of a database.
const QUEUE: Duration = Duration::from_millis(20);

/// Those who may always wait, so that a store that takes longer than [`QUEUE`] for one thing has the next at hand.
const ALWAYS: u32 = 4;

/// The pause after which what was before tells nothing any more: nobody waited.
const PAUSE: Duration = Duration::from_millis(100);

/// The time over which it is counted how many the store takes.
const COUNTED: Duration = Duration::from_millis(100);

/// The least time between two lines of the log about refusals.
const LOGGED_EVERY: Duration = Duration::from_secs(10);

/// The line before one store. Clones are the same line.
#[derive(Debug, Clone, Default)]
pub(super) struct Line(Arc<Mutex<State>>);

/// A place in the line, until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    line: Line,
    since: Instant,
}

#[derive(Debug, Default)]
struct State {
    waiting: u32,
    /// Since when nobody has waited for less than [`TARGET`].
    behind_since: Option<Instant>,
    late: bool,
    last_taken: Option<Instant>,
    last_refused: Option<Instant>,
    counted_since: Option<Instant>,
    counted: u32,
    /// The time in which the store takes one of them.
    each: Duration,
    refused: u64,
    told: Option<Instant>,
}

impl Line {
    /// Whether a call may ask the store for what it has.
    pub(super) fn admit_read(&self) -> Result<(), StoreError> {
        self.admit(1)
    }

    /// Whether a call may ask the store to write something. It finds twice the line: calls read first, and of those
    /// that were let in to do so hardly one is refused afterwards.
    pub(super) fn admit_write(&self) -> Result<(), StoreError> {
        self.admit(2)
    }

    fn admit(&self, lines: u32) -> Result<(), StoreError> {
        if self.state().admits(lines, Instant::now()) { Ok(()) } else { Err(StoreError::Overloaded) }
    }

    /// Waits for the store. Work that nobody waits for does so without having been admitted.
    pub(super) fn join(&self) -> Place {
        self.state().waiting += 1;
        Place { line: self.clone(), since: Instant::now() }
    }

    /// How many wait.
    pub(super) fn waiting(&self) -> u32 {
        self.state().waiting
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// The store takes what this one asks.
    pub(super) fn taken(self) {
        let now = Instant::now();
        self.line.state().took(now.duration_since(self.since), now);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.line.state().waiting -= 1;
    }
}

impl State {
    fn admits(&mut self, lines: u32, now: Instant) -> bool {
        let long_ago = |last: Option<Instant>| last.is_none_or(|last| now.duration_since(last) > PAUSE);
        if self.late && self.waiting == 0 && long_ago(self.last_taken) {
            (self.late, self.behind_since) = (false, None);
        }
        let wait = self.each.saturating_mul(self.waiting + 1);
        if !self.late || self.waiting < lines * ALWAYS || wait <= lines * QUEUE {
            return true;
        }
        self.last_refused = Some(now);
        Shed::Store.count();
        self.tell(now);
        false
    }

    fn took(&mut self, wait: Duration, now: Instant) {
        self.last_taken = Some(now);
        self.counted += 1;
        let since = *self.counted_since.get_or_insert(now);
        if now.duration_since(since) >= COUNTED {
            self.each = now.duration_since(since) / self.counted;
            (self.counted_since, self.counted) = (Some(now), 0);
        }
        if wait > TARGET {
            let since = *self.behind_since.get_or_insert(now);
            self.late |= now.duration_since(since) >= INTERVAL;
        } else {
            self.behind_since = None;
            // While some are refused the others do not wait for long, which is no reason to stop.
            self.late &= self.last_refused.is_some_and(|last| now.duration_since(last) < INTERVAL);
        }
    }

    fn tell(&mut self, now: Instant) {
        self.refused += 1;
        if self.told.is_none_or(|told| now.duration_since(told) > LOGGED_EVERY) {
            tracing::warn!(refused = self.refused, "calls are refused: more is asked of the store than it can do");
            (self.refused, self.told) = (0, Some(now));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;

    const MS: Duration = Duration::from_millis(1);

    /// A store that takes up to `together` at once, and has them done after `lasts`.
    struct Scene {
        state: State,
        now: Instant,
        line: VecDeque<Instant>,
        done: usize,
        refused: usize,
        longest: Duration,
    }

    impl Scene {
        fn new() -> Self {
            let (state, now) = (State::default(), Instant::now());
            Self { state, now, line: VecDeque::new(), done: 0, refused: 0, longest: Duration::ZERO }
        }

        /// Somebody comes each `every` for that long.
        fn load(&mut self, length: Duration, every: Duration, (together, lasts): (usize, Duration)) {
            (self.done, self.refused, self.longest) = (0, 0, Duration::ZERO);
            let (begin, mut next) = (self.now, self.now);
            while self.now < begin + length {
                while next <= self.now {
                    if self.state.admits(1, next) {
                        self.state.waiting += 1;
                        self.line.push_back(next);
                    } else {
                        self.refused += 1;
                    }
                    next += every;
                }
                let taken = self.line.len().min(together);
                for since in self.line.drain(..taken) {
                    self.longest = self.longest.max(self.now - since);
                    self.state.waiting -= 1;
                    self.state.took(self.now - since, self.now);
                }
                self.done += taken;
                self.now = if taken == 0 { next } else { self.now + lasts };
            }
        }
    }

    #[test]
    fn a_store_that_keeps_up_refuses_nobody_and_a_burst_is_no_overload() {
        for store in [(1, MS), (1_000, 30 * MS)] {
            let mut scene = Scene::new();
            scene.load(2_000 * MS, 2 * MS, store);
            assert_eq!(scene.refused, 0);
            // Half a second of work at once.
            scene.load(MS, MS / 500, store);
            scene.load(1_000 * MS, 2 * MS, store);
            assert_eq!(scene.refused, 0);
        }
    }

    #[test]
    fn a_store_that_is_asked_for_ten_times_as_much_goes_on_at_its_rate_with_a_short_line() {
        for (store, every) in [((1, MS), MS / 10), ((100, 10 * MS), MS / 100)] {
            let mut scene = Scene::new();
            // Until those are gone that came before it was noticed.
            scene.load(10_000 * MS, every, store);
            scene.load(1_000 * MS, every, store);
            let (capacity, asked) = (1_000 * store.0 / store.1.as_millis() as usize, scene.done + scene.refused);
            assert!(scene.done * 100 >= capacity * 95, "{} of {capacity}", scene.done);
            assert!(asked * 100 >= capacity * 950, "{asked}");
            assert!(scene.longest <= QUEUE + 2 * store.1, "{:?}", scene.longest);
        }
    }

    #[test]
    fn who_comes_when_it_is_over_is_let_in() {
        let mut scene = Scene::new();
        scene.load(10_000 * MS, MS / 10, (1, MS));
        assert!(scene.refused > 0);
        scene.load(1_000 * MS, 2 * MS, (1, MS));
        scene.load(1_000 * MS, 2 * MS, (1, MS));
        assert_eq!(scene.refused, 0);
        // Or after a pause, and be it in the midst of it.
        scene.load(3_000 * MS, MS / 10, (1, MS));
        assert!(scene.state.late);
        scene.line.clear();
        scene.state.waiting = 0;
        assert!(scene.state.admits(1, scene.now + 2 * PAUSE) && !scene.state.late);
    }

    #[test]
    fn a_store_that_stands_still_refuses_nobody() {
        let mut state = State::default();
        let began = Instant::now();
        for second in 0..30 {
            assert!(state.admits(1, began + second * Duration::from_secs(1)));
            state.waiting += 100;
        }
    }

    #[test]
    fn a_place_is_free_once_it_is_taken_or_given_up() {
        let line = Line::default();
        let (one, other) = (line.join(), line.join());
        assert_eq!(line.waiting(), 2);
        one.taken();
        drop(other);
        assert_eq!(line.waiting(), 0);
        assert!(line.admit_read().is_ok());
    }
}
