//! Those who wait for a connection, and who is refused because the wait would be too long.
//!
//! A database that is asked for more than it can do makes all wait, longer and longer, up to their deadlines. A call asks
//! for up to three things, one after the other, so each would get its first and wait in vain for its next: nothing would be
//! finished any more; and it would hold a place among the server's calls that others need who ask nothing of the database.
//! So once everybody has waited for longer than [`TARGET`] for an [`INTERVAL`], a call that has not asked for anything yet is
//! let in only if it can expect its connection within that time, until somebody finds one at once. As with CoDel (RFC 8289), a burst, or a disk that is busy
//! for a moment, is not overload. How long somebody would wait is told by how many stand in front, and how fast the last ones
//! were served.
//!
//! Only waits are looked at, never how busy the database is: it goes on with all that it can do. How late a worker is, with
//! calls that ask nothing of a database, is the matter of [`lateness`](crate::server::lateness).

use super::super::StoreError;
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// A wait that a buyer hardly notices, three times over for a create.
pub(super) const TARGET: Duration = Duration::from_millis(100);

/// How long everybody may have waited for longer.
const INTERVAL: Duration = Duration::from_millis(500);

/// How long nobody may have waited for longer, nor been refused, until it is over in any case. Those who were told to come
/// again have done so.
const OVER_AFTER: Duration = Duration::from_secs(2);

/// The wait that is let begin otherwise: who would wait for as long as anybody may is refused now.
pub(super) const BURST: Duration = Duration::from_secs(1);

/// Behind so many nobody is let in, so that a database which answers nobody leaves places to others among the server's
/// calls.
const MOST: usize = 1_024;

/// The weight of one that was served in the mean of all before.
const WEIGHT: u32 = 128;

/// The time after which a database that answers nobody of those who wait counts as silent: it is not asked for too much, it
/// is away.
const SILENT_AFTER: Duration = Duration::from_secs(1);

/// The least time between two lines of the log about refusals.
const LOGGED_EVERY: Duration = Duration::from_secs(10);

/// Those who wait for one of so many connections. Clones are the same queue.
#[derive(Debug, Clone)]
pub(super) struct Queue(Arc<Mutex<State>>);

/// A place in the queue, until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    queue: Queue,
    since: Instant,
}

#[derive(Debug)]
struct State {
    connections: usize,
    waiting: usize,
    /// From one to the next that is served, while somebody waits.
    each: Duration,
    last_served: Instant,
    /// Since when everybody has waited for longer than [`TARGET`].
    behind_since: Option<Instant>,
    late_until: Option<Instant>,
    /// When the database last answered somebody, or nobody was waiting.
    moved: Instant,
    refused: u64,
    told: Option<Instant>,
}

impl Queue {
    pub(super) fn new(connections: usize) -> Self {
        Self(Arc::new(Mutex::new(State::new(connections, Instant::now()))))
    }

    /// A place for a call that has not asked for anything yet. `longest` is what it may have to wait while all others wait
    /// for too long.
    pub(super) fn admit(&self, longest: Duration) -> Result<Place, StoreError> {
        let now = Instant::now();
        self.state().admit(longest, now)?;
        Ok(Place { queue: self.clone(), since: now })
    }

    /// A place for what has to be done, however long it takes.
    pub(super) fn join(&self) -> Place {
        let now = Instant::now();
        self.state().join(now);
        Place { queue: self.clone(), since: now }
    }

    /// The database has answered somebody.
    pub(super) fn answered(&self) {
        self.state().moved = Instant::now();
    }

    /// How many wait.
    pub(super) fn waiting(&self) -> usize {
        self.state().waiting
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Who had this place has found a connection at once.
    pub(super) fn served_at_once(self) {
        self.queue.state().serve_at_once();
    }

    /// Who had this place has waited for a connection, and got it.
    pub(super) fn served(self) {
        let now = Instant::now();
        self.queue.state().serve(now.duration_since(self.since), now);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.queue.state().waiting -= 1;
    }
}

impl State {
    fn new(connections: usize, now: Instant) -> Self {
        let (behind_since, late_until, told) = (None, None, None);
        let (waiting, refused, each) = (0, 0, Duration::ZERO);
        Self { connections, waiting, each, last_served: now, behind_since, late_until, moved: now, refused, told }
    }

    fn join(&mut self, now: Instant) {
        if self.waiting == 0 {
            self.moved = now;
        }
        self.waiting += 1;
    }

    fn admit(&mut self, longest: Duration, now: Instant) -> Result<(), StoreError> {
        // The next statement of each connection is at hand, however long statements take.
        let at_hand = self.waiting < self.connections;
        if !at_hand && now.duration_since(self.moved) > SILENT_AFTER {
            return Err(StoreError::Unavailable("the database does not answer".to_owned()));
        }
        let late = self.late_until.is_some_and(|until| now < until);
        let longest = if late { longest } else { BURST };
        let short = || self.waiting < MOST && self.each.saturating_mul(self.waiting as u32 + 1) <= longest;
        if at_hand || short() {
            self.join(now);
            return Ok(());
        }
        if late {
            self.late_until = Some(now + OVER_AFTER);
        }
        self.tell(now);
        Err(StoreError::Overloaded)
    }

    fn serve_at_once(&mut self) {
        self.each -= self.each / WEIGHT;
        (self.behind_since, self.late_until) = (None, None);
    }

    fn serve(&mut self, waited: Duration, now: Instant) {
        // Nobody waited before this one came, and a database that is as slow as that gives each connection its next.
        let each = waited.min(now.duration_since(self.last_served)).min(TARGET);
        self.each = self.each - self.each / WEIGHT + each / WEIGHT;
        self.last_served = now;
        if waited <= TARGET {
            self.behind_since = None;
        } else if now.duration_since(*self.behind_since.get_or_insert(now)) >= INTERVAL {
            self.late_until = Some(now + OVER_AFTER);
        }
    }

    fn tell(&mut self, now: Instant) {
        self.refused += 1;
        if self.told.is_none_or(|told| now.duration_since(told) > LOGGED_EVERY) {
            let (refused, waiting) = (self.refused, self.waiting);
            tracing::warn!(refused, waiting, "statements are refused: more is asked of the database than it can do");
            (self.refused, self.told) = (0, Some(now));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;

    const MS: Duration = Duration::from_millis(1);
    const SECOND: Duration = Duration::from_secs(1);

    /// A database with some connections, each of which serves one call after the other.
    struct Scene {
        state: State,
        now: Instant,
        waiting: VecDeque<Instant>,
        free_at: Vec<Instant>,
        served: usize,
        refused: usize,
        longest: Duration,
    }

    impl Scene {
        fn new(connections: usize) -> Self {
            let now = Instant::now();
            let (state, waiting, free_at) = (State::new(connections, now), VecDeque::new(), vec![now; connections]);
            Self { state, now, waiting, free_at, served: 0, refused: 0, longest: Duration::ZERO }
        }

        /// Somebody comes each `every` for that long, and the database takes `each` for one call.
        fn load(&mut self, length: Duration, every: Duration, each: Duration) {
            (self.served, self.refused, self.longest) = (0, 0, Duration::ZERO);
            let end = self.now + length;
            while self.now < end {
                while let (Some(free), true) = (self.free_at.iter_mut().min(), !self.waiting.is_empty()) {
                    if *free > self.now {
                        break;
                    }
                    let since = self.waiting.pop_front().expect("not empty");
                    let begins = since.max(*free);
                    *free = begins + each;
                    self.state.waiting -= 1;
                    self.state.moved = begins;
                    if begins > since {
                        self.state.serve(begins - since, begins);
                    } else {
                        self.state.serve_at_once();
                    }
                    self.served += 1;
                    self.longest = self.longest.max(begins - since);
                }
                match self.state.admit(TARGET, self.now) {
                    Ok(()) => self.waiting.push_back(self.now),
                    Err(_) => self.refused += 1,
                }
                self.now += every;
            }
        }
    }

    #[test]
    fn a_database_that_keeps_up_refuses_nobody_also_after_bursts_and_pauses_of_its_own() {
        for (connections, each) in [(1, MS), (16, 16 * MS), (16, MS / 2)] {
            let mut scene = Scene::new(connections);
            let every = each * 2 / connections as u32;
            scene.load(SECOND, every, each);
            assert_eq!(scene.refused, 0);
            // Work of 200 ms at once.
            let burst = ((200 * MS).div_duration_f64(each) * connections as f64).min(0.9 * MOST as f64);
            scene.load(MS, MS.div_f64(burst), each);
            assert_eq!(scene.refused, 0, "{connections} {each:?}");
            // Twice it stands still for a moment.
            for _ in 0..2 {
                scene.load(SECOND, every, each);
                assert_eq!(scene.refused, 0, "{connections} {each:?}");
                let still = (300 * MS).min(every * MOST as u32 * 9 / 10);
                let now = scene.now;
                scene.free_at.iter_mut().for_each(|free| *free = now.max(*free) + still);
            }
            scene.load(SECOND, every, each);
            assert_eq!(scene.refused, 0, "{connections} {each:?}");
        }
    }

    #[test]
    fn a_database_that_is_asked_for_ten_times_as_much_does_all_that_it_can_and_nobody_waits_for_long() {
        for (connections, each) in [(1, MS), (4, 20 * MS), (16, MS), (16, 400 * MS)] {
            let mut scene = Scene::new(connections);
            let every = each / connections as u32 / 10;
            // Until it was noticed, and those are served who came before.
            scene.load(20 * SECOND, every, each);
            for _ in 0..5 {
                scene.load(4 * SECOND, every, each);
                let capacity = (4 * SECOND).div_duration_f64(each) * connections as f64;
                assert!(scene.served as f64 >= 0.95 * capacity, "{} of {capacity}", scene.served);
                assert!(scene.refused as f64 >= 8.0 * capacity, "{} beside {capacity}", scene.refused);
                assert!(scene.longest <= TARGET.max(each) * 3 / 2, "{:?} of {each:?}", scene.longest);
            }
            // When it is over, nobody is refused, also when they come together.
            scene.load(3 * SECOND, every * 20, each);
            assert_eq!(scene.state.late_until, None);
            let together = if each < TARGET { 5 * connections as u32 } else { connections as u32 };
            for _ in 0..20 {
                scene.load(MS, MS / together, each);
                assert_eq!(scene.refused, 0, "{connections} {each:?}");
                scene.load(each * 10, each, each);
                assert_eq!(scene.refused, 0, "{connections} {each:?}");
            }
        }
    }

    #[test]
    fn a_silent_database_is_away_and_not_asked_for_too_much() {
        let began = Instant::now();
        let mut state = State::new(4, began);
        while state.admit(TARGET, began).is_ok() {}
        assert!(state.waiting > 4);
        assert!(matches!(state.admit(TARGET, began + SILENT_AFTER), Err(StoreError::Overloaded)));
        assert!(matches!(state.admit(TARGET, began + SILENT_AFTER + MS), Err(StoreError::Unavailable(_))));
        state.moved = began + SILENT_AFTER;
        assert!(matches!(state.admit(TARGET, began + SILENT_AFTER + MS), Err(StoreError::Overloaded)));
        // Nobody waited, so that nobody could be answered.
        state.waiting = 0;
        let later = began + 100 * SECOND;
        while state.admit(TARGET, later).is_ok() {}
        assert!(matches!(state.admit(TARGET, later), Err(StoreError::Overloaded)));
    }

    #[test]
    fn a_place_is_free_once_its_owner_is_served_or_has_gone() {
        let queue = Queue::new(1);
        let (one, other) = (queue.join(), queue.admit(TARGET).expect("few wait"));
        assert_eq!(queue.waiting(), 2);
        one.served();
        drop(other);
        assert_eq!(queue.waiting(), 0);
    }
}
