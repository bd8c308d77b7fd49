//! Those who wait for a connection: whose turn it is, and who is refused because the wait would be too long.
//!
//! A call asks for up to three things, one after the other. Who has asked for something goes before who has not, so that
//! what was begun is finished however many come; and so do reads that buyers wait for who have paid.
//!
//! A database that is asked for more than it can do makes all others wait, longer and longer, up to their deadlines, and
//! they hold places among the server's calls that are needed by those who ask nothing of the database. So once all of them
//! have waited for longer than [`TARGET`] for an [`INTERVAL`], one more is let in only if it can expect its turn within that
//! time, until somebody finds a connection at once. As with CoDel (RFC 8289), a burst, or a disk that is busy for a moment,
//! is not overload. How long somebody would wait is told by how many stand in front, and how fast the last ones were served.
//!
//! Only waits are looked at, never how busy the database is: it goes on with all that it can do. How late a worker is, with
//! calls that ask nothing of a database, is the matter of [`lateness`](crate::server::lateness).

use super::super::StoreError;
use std::{
    collections::VecDeque,
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tokio::sync::oneshot;

/// A wait that a buyer hardly notices, and some twenty times what a statement takes.
const TARGET: Duration = Duration::from_millis(200);

/// How long everybody may have waited for longer.
const INTERVAL: Duration = Duration::from_millis(500);

/// How long nobody may have waited for longer, nor been refused, until it is over in any case. Those who were told to come
/// again have done so.
const OVER_AFTER: Duration = Duration::from_secs(2);

/// The wait that is let begin otherwise: who would wait for as long as anybody may is refused now.
const BURST: Duration = Duration::from_secs(1);

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

/// Who is served first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Line {
    /// Calls that have asked for something, and buyers who have paid.
    Urgent,
    /// Calls that have not.
    New,
}

/// A place in the queue, until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    queue: Queue,
    line: Line,
    since: Instant,
    turn: Turn,
}

#[derive(Debug)]
enum Turn {
    /// A connection was free.
    AtOnce(Permit),
    /// Ready with the permit of somebody who needs it no longer; with an error once the queue is closed.
    Awaited(oneshot::Receiver<Permit>),
}

/// Whoever has it may use a connection. The next one in the queue gets it when it is dropped.
#[derive(Debug)]
pub(super) struct Permit(Option<Queue>);

#[derive(Debug)]
struct State {
    connections: usize,
    free: usize,
    closed: bool,
    urgent: Waiting,
    new: Waiting,
    /// Since when every new call has waited for longer than [`TARGET`].
    behind_since: Option<Instant>,
    late_until: Option<Instant>,
    /// When the database last answered somebody, or nobody was waiting.
    moved: Instant,
    refused: u64,
    told: Option<Instant>,
}

/// Those in one line.
#[derive(Debug)]
struct Waiting {
    /// In the order in which they came. Some may have gone.
    turns: VecDeque<oneshot::Sender<Permit>>,
    /// Those who are still there.
    number: usize,
    /// From one to the next that is served, while somebody waits.
    each: Duration,
    /// When the last one was served, or nobody was waiting.
    moved: Instant,
}

/// What the log is told of refusals.
#[derive(Debug)]
struct Refusals {
    refused: u64,
    waiting: usize,
}

impl Queue {
    pub(super) fn new(connections: usize) -> Self {
        Self(Arc::new(Mutex::new(State::new(connections, Instant::now()))))
    }

    /// A place for somebody who has not asked for anything yet, unless the wait would be too long.
    pub(super) fn admit(&self, line: Line) -> Result<Place, StoreError> {
        let now = Instant::now();
        let mut state = self.state();
        let Err(refused) = state.admit(line, now) else { return Ok(self.place(state, line, now)) };
        let refusals = if matches!(refused, StoreError::Overloaded) { state.tell(now) } else { None };
        drop(state);
        if let Some(Refusals { refused, waiting }) = refusals {
            tracing::warn!(refused, waiting, "statements are refused: more is asked of the database than it can do");
        }
        Err(refused)
    }

    /// A place for what has to be done, however long it takes.
    pub(super) fn join(&self) -> Place {
        self.place(self.state(), Line::Urgent, Instant::now())
    }

    fn place(&self, mut state: MutexGuard<'_, State>, line: Line, now: Instant) -> Place {
        let turn = match state.join(line, now) {
            Some(turn) => Turn::Awaited(turn),
            None => Turn::AtOnce(Permit(Some(self.clone()))),
        };
        drop(state);
        Place { queue: self.clone(), line, since: now, turn }
    }

    /// A permit that nobody waits for.
    pub(super) fn spare(&self) -> Option<Permit> {
        let mut state = self.state();
        state.free = state.free.checked_sub(1).filter(|_| !state.closed)?;
        Some(Permit(Some(self.clone())))
    }

    /// How many permits nobody has.
    pub(super) fn free(&self) -> usize {
        self.state().free
    }

    /// How many wait.
    pub(super) fn waiting(&self) -> usize {
        let state = self.state();
        state.urgent.number + state.new.number
    }

    /// The database has answered somebody.
    pub(super) fn answered(&self) {
        self.state().moved = Instant::now();
    }

    /// Nobody gets a turn any more.
    pub(super) fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        let gone = [mem::take(&mut state.urgent.turns), mem::take(&mut state.new.turns)];
        drop(state);
        drop(gone);
    }

    pub(super) fn is_closed(&self) -> bool {
        self.state().closed
    }

    fn next(&self) -> Option<oneshot::Sender<Permit>> {
        self.state().next()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Waits for its turn; `None` once the queue is closed.
    pub(super) async fn turn(mut self) -> Option<Permit> {
        match &mut self.turn {
            Turn::AtOnce(permit) => Some(permit.pass_on()),
            Turn::Awaited(turn) => {
                let permit = turn.await.ok()?;
                let now = Instant::now();
                self.queue.state().serve(self.line, now.duration_since(self.since), now);
                Some(permit)
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Turn::Awaited(turn) = &self.turn else { return };
        let (now, mut state) = (Instant::now(), self.queue.state());
        state.line(self.line).number -= 1;
        // Who was not served in that time has waited for longer.
        let waited = now.duration_since(self.since);
        if self.line == Line::New && !turn.is_terminated() && waited > TARGET {
            state.new_has_waited(waited, now);
        }
    }
}

impl Permit {
    /// The same permit, which is no longer this one.
    const fn pass_on(&mut self) -> Self {
        Self(self.0.take())
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let Some(queue) = self.0.take() else { return };
        // Who has gone does not take it.
        while let Some(next) = queue.next() {
            match next.send(Self(Some(queue.clone()))) {
                Ok(()) => return,
                Err(mut not_taken) => drop(not_taken.0.take()),
            }
        }
    }
}

impl State {
    fn new(connections: usize, now: Instant) -> Self {
        Self {
            connections,
            free: connections,
            closed: false,
            urgent: Waiting::new(now),
            new: Waiting::new(now),
            behind_since: None,
            late_until: None,
            moved: now,
            refused: 0,
            told: None,
        }
    }

    const fn line(&mut self, line: Line) -> &mut Waiting {
        match line {
            Line::Urgent => &mut self.urgent,
            Line::New => &mut self.new,
        }
    }

    /// The turn that has to be waited for; `None` when a permit is free, which is taken with that.
    fn join(&mut self, line: Line, now: Instant) -> Option<oneshot::Receiver<Permit>> {
        if self.free > 0 && !self.closed {
            self.free -= 1;
            self.serve_at_once();
            return None;
        }
        if self.urgent.number + self.new.number == 0 {
            self.moved = now;
        }
        let (turn, awaited) = oneshot::channel();
        let closed = self.closed;
        self.line(line).join(turn, closed, now);
        Some(awaited)
    }

    /// Whose turn it is now that a permit is free. It is kept when nobody waits.
    fn next(&mut self) -> Option<oneshot::Sender<Permit>> {
        let next = self.urgent.turns.pop_front().or_else(|| self.new.turns.pop_front());
        if next.is_none() {
            self.free += 1;
        }
        next
    }

    fn admit(&mut self, line: Line, now: Instant) -> Result<(), StoreError> {
        let (urgent, new) = (self.urgent.number, self.new.number);
        let ahead = if line == Line::Urgent { urgent } else { urgent + new };
        // The next one for each connection is at hand, however long statements take.
        if ahead < self.connections {
            return Ok(());
        }
        if now.duration_since(self.moved) > SILENT_AFTER {
            return Err(StoreError::Unavailable("the database does not answer".to_owned()));
        }
        let late = self.late_until.is_some_and(|until| now < until);
        let soon = match line {
            Line::Urgent => self.urgent.wait_of_next(false, now) <= BURST,
            Line::New => self.new.wait_of_next(late, now) <= if late { TARGET } else { BURST },
        };
        if soon && ahead < MOST {
            return Ok(());
        }
        if late {
            self.late_until = Some(now + OVER_AFTER);
        }
        Err(StoreError::Overloaded)
    }

    fn serve_at_once(&mut self) {
        for line in [&mut self.urgent, &mut self.new] {
            line.each -= line.each / WEIGHT;
        }
        (self.behind_since, self.late_until) = (None, None);
    }

    fn serve(&mut self, line: Line, waited: Duration, now: Instant) {
        self.line(line).serve(waited, now);
        if line == Line::New {
            self.new_has_waited(waited, now);
        }
    }

    fn new_has_waited(&mut self, waited: Duration, now: Instant) {
        if waited <= TARGET {
            self.behind_since = None;
        } else if now.duration_since(*self.behind_since.get_or_insert(now)) >= INTERVAL {
            self.late_until = Some(now + OVER_AFTER);
        }
    }

    /// Counts a refusal, and says from time to time how many there were.
    fn tell(&mut self, now: Instant) -> Option<Refusals> {
        self.refused += 1;
        if self.told.is_some_and(|told| now.duration_since(told) <= LOGGED_EVERY) {
            return None;
        }
        self.told = Some(now);
        Some(Refusals { refused: mem::take(&mut self.refused), waiting: self.urgent.number + self.new.number })
    }
}

impl Waiting {
    const fn new(now: Instant) -> Self {
        Self { turns: VecDeque::new(), number: 0, each: Duration::ZERO, moved: now }
    }

    fn join(&mut self, turn: oneshot::Sender<Permit>, closed: bool, now: Instant) {
        if self.number == 0 {
            self.moved = now;
        }
        self.number += 1;
        if !closed {
            self.turns.push_back(turn);
        }
        // Those who have gone are left where they are until there are many of them.
        if self.turns.len() > 2 * self.number + MOST {
            self.turns.retain(|turn| !turn.is_closed());
        }
    }

    fn serve(&mut self, waited: Duration, now: Instant) {
        // Where it takes longer than this, each connection has its next at hand.
        let each = waited.min(now.duration_since(self.moved)).min(TARGET);
        self.each = self.each - self.each / WEIGHT + each / WEIGHT;
        self.moved = now;
    }

    /// What the next one would wait. `strictly` takes a line for standing in which nobody was served for [`TARGET`].
    fn wait_of_next(&self, strictly: bool, now: Instant) -> Duration {
        let since = now.duration_since(self.moved);
        let each = if strictly && self.number > 0 && since > TARGET { since } else { self.each };
        each.saturating_mul(self.number as u32 + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        pin::Pin,
        task::{Context, Poll, Waker},
    };

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
            let (waiting, free_at) = (VecDeque::new(), vec![now; connections]);
            let state = State { free: 0, ..State::new(connections, now) };
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
                    self.state.new.number -= 1;
                    self.state.moved = begins;
                    if begins > since {
                        self.state.serve(Line::New, begins - since, begins);
                    } else {
                        self.state.serve_at_once();
                    }
                    self.served += 1;
                    self.longest = self.longest.max(begins - since);
                }
                match self.state.admit(Line::New, self.now) {
                    Ok(()) => {
                        drop(self.state.join(Line::New, self.now));
                        self.waiting.push_back(self.now);
                    }
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
        let come = |state: &mut State, now| state.admit(Line::New, now).map(|()| drop(state.join(Line::New, now)));
        while come(&mut state, began).is_ok() {}
        assert_eq!((state.free, state.new.number), (0, MOST));
        assert!(matches!(come(&mut state, began + SILENT_AFTER), Err(StoreError::Overloaded)));
        assert!(matches!(come(&mut state, began + SILENT_AFTER + MS), Err(StoreError::Unavailable(_))));
        state.moved = began + SILENT_AFTER;
        assert!(matches!(come(&mut state, began + SILENT_AFTER + MS), Err(StoreError::Overloaded)));
        // Nobody waited, so that nobody could be answered.
        state.new.number = 0;
        let later = began + 100 * SECOND;
        while come(&mut state, later).is_ok() {}
        assert!(matches!(come(&mut state, later), Err(StoreError::Overloaded)));
    }

    /// Whether it has its turn.
    fn has_turn(place: &mut Pin<Box<impl Future<Output = Option<Permit>>>>) -> Option<Permit> {
        match place.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(permit) => Some(permit.expect("not closed")),
            Poll::Pending => None,
        }
    }

    #[test]
    fn who_has_begun_goes_before_who_has_not_and_each_line_is_in_order() {
        let queue = Queue::new(1);
        let mut first = Box::pin(queue.join().turn());
        let mut permit = has_turn(&mut first).expect("it is free");
        let [mut new, mut newer] = [(); 2].map(|()| Box::pin(queue.admit(Line::New).expect("few wait").turn()));
        let [mut begun, mut later] = [(); 2].map(|()| Box::pin(queue.join().turn()));
        assert_eq!((queue.free(), queue.waiting()), (0, 4));
        for (next, waiting) in [(&mut begun, 3), (&mut later, 2)] {
            assert!(has_turn(&mut new).is_none() && has_turn(next).is_none());
            drop(permit);
            assert!(has_turn(&mut new).is_none());
            permit = has_turn(next).expect("its turn");
            assert_eq!(queue.waiting(), waiting);
        }
        drop(permit);
        assert!(has_turn(&mut newer).is_none());
        let permit = has_turn(&mut new).expect("its turn");
        drop(newer);
        drop(permit);
        assert_eq!((queue.free(), queue.waiting()), (1, 0));
    }

    #[test]
    fn a_turn_that_nobody_takes_goes_to_the_next() {
        let queue = Queue::new(1);
        let permit = queue.spare().expect("it is free");
        assert!(queue.spare().is_none());
        let [gone, told] = [(); 2].map(|()| queue.join());
        let mut next = Box::pin(queue.join().turn());
        drop(gone);
        drop(permit);
        // It was told, and goes without having looked.
        assert!(has_turn(&mut next).is_none());
        drop(told);
        drop(has_turn(&mut next).expect("its turn"));
        drop(queue.join());
        assert_eq!((queue.free(), queue.waiting()), (1, 0));
    }

    #[test]
    fn new_calls_that_are_never_served_are_too_many() {
        let began = Instant::now();
        let mut state = State { free: 0, ..State::new(1, began) };
        let mut come = |second: u32, waits: bool| {
            let now = began + second * SECOND;
            // Others are served.
            state.moved = now;
            state.admit(Line::New, now)?;
            drop(state.join(Line::New, now));
            if !waits {
                state.new.number -= 1;
                state.new_has_waited(2 * SECOND, now + 2 * SECOND);
            }
            Ok::<_, StoreError>(state.new.turns.len())
        };
        come(0, true).expect("nobody waits");
        for second in 1..3 {
            come(second, false).expect("they might be served");
        }
        assert!(matches!(come(4, false), Err(StoreError::Overloaded)));
    }

    #[test]
    fn those_who_have_gone_are_not_kept_for_ever() {
        let queue = Queue::new(1);
        let _permit = queue.spare().expect("it is free");
        for _ in 0..100_000 {
            drop(queue.admit(Line::New).expect("nobody waits"));
        }
        assert!(queue.state().new.turns.len() <= 2 * MOST);
    }

    #[test]
    fn a_closed_queue_gives_no_turn() {
        let queue = Queue::new(1);
        let permit = queue.spare().expect("it is free");
        let mut waits = Box::pin(queue.join().turn());
        assert!(has_turn(&mut waits).is_none());
        queue.close();
        drop(permit);
        for mut place in [waits, Box::pin(queue.join().turn())] {
            assert!(matches!(place.as_mut().poll(&mut Context::from_waker(Waker::noop())), Poll::Ready(None)));
        }
        assert!(queue.spare().is_none() && queue.is_closed());
        assert_eq!(queue.waiting(), 0);
    }
}
