//! How late this worker is, and who is refused because of that.
//!
//! A call that has arrived waits for its turn in its worker's queue, perhaps after a wait for its connection to be read,
//! and under a load that the worker cannot bear that queue only ever grows. As CoDel does it (RFC 8289), a worker counts
//! as late once no call has had its turn within [`TARGET`] for an [`INTERVAL`]: a burst is not overload. Nor is a queue
//! that is empty for a moment the end of one: callers who all come again when the last of them was answered empty it each
//! time, so a turn in time [makes up](IN_TIME) for some of that interval and does not begin it anew. It is over when nobody
//! was refused for an interval, or when the worker [had nothing to do](IDLE) too often. While a worker is late,
//! a call that would wait longer than [`QUEUE`] is refused as it arrives; how long that is, is told by the calls before it,
//! as so many stood in front of them and so long did it take. What had queued up before is refused when its turn comes, if
//! that is after [`TOO_OLD`].
//!
//! Only so many are refused as there is [time](Refusals) for.
//!
//! A worker is a thread, so all of this is of its thread, and costs a call two looks at the clock as long as it is in time.

use super::{
    late_rest::{self, LateRest},
    limits::LATE_REST,
    refusals::{ITEM, Refusals},
};
use futures_util::FutureExt;
use std::{
    cell::Cell,
    mem,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

/// A wait for the turn that is well above what a worker does for a few dozen calls, and that no buyer notices.
const TARGET: Duration = Duration::from_millis(5);

/// How long nobody may have waited for less. Longer than bursts last, such as some thousand calls whose deadline comes at
/// once, and than the system takes the worker off its processor; and well below a caller's deadline.
const INTERVAL: Duration = Duration::from_millis(500);

/// Turns within [`TARGET`] make up for so much more of the time behind than they last: a worker is late that is behind
/// for more than four fifths of its time.
const IN_TIME: u32 = 4;

/// The time with nothing to do after which a worker is late no longer, less one part in [`WORKED_PER_IDLE`] of the time in
/// which it had something to do: that is for more than a quarter of its time.
const IDLE: Duration = Duration::from_millis(125);

/// See [`IDLE`]. Under a load that is too much a worker hardly ever has nothing to do: connections do not
/// [rest](super::late_rest) then.
const WORKED_PER_IDLE: u32 = 3;

/// The pause between two turns after which what was before tells nothing any more: nobody was there, so nobody waited.
const PAUSE: Duration = Duration::from_millis(100);

/// The longest wait that a late worker lets a call begin. As long as its connections rest: it is not to be out of work
/// before.
const QUEUE: Duration = LATE_REST;

/// The wait after which a late worker refuses a call that it had let in, which only happens as it becomes late, or where so
/// many connections are read at once.
const TOO_OLD: Duration = Duration::from_millis(10);

/// The wait for their stream's turn after which a late worker refuses requests of streams. Much longer than [`QUEUE`]: a
/// stream holds no more than its window, which also holds back its caller, and a turn is waited for by many requests at
/// once, so that one that the system takes from the worker must not cost them all.
const STREAMS_TURN: Duration = Duration::from_millis(100);

/// Calls that may always stand in the queue, so that a worker whose calls last longer than [`QUEUE`] has work to go on
/// with.
const ALWAYS_QUEUED: u32 = 2;

thread_local! {
    static WORKER: Worker = Worker::new();
}

/// A call that waits for its turn.
#[derive(Debug)]
pub struct Queued {
    since: Instant,
    /// How long it had waited before, in the kernel's hands.
    unread: Duration,
    /// It and those that stood before it.
    place: u32,
    /// Whether it is polled in the turn of its connection, which is not its own.
    before_its_turn: bool,
    /// The rest of connections that it lets go first.
    lets_go_first: Option<LateRest>,
    /// When the time of the last rest was over that it has seen end.
    over: Option<tokio::time::Instant>,
}

/// Work whose time is taken, if anybody wants to know it.
#[derive(Debug)]
pub struct Begun(Option<Instant>);

/// A connection's turn, in which a late worker answers the calls that it refuses.
#[derive(Debug)]
pub(super) struct Turn(Option<Instant>);

impl Turn {
    /// Calls that arrive in it were read as soon as the worker saw them, unless
    /// [something else](calls_waited_unread_since) is said.
    pub(super) fn begin() -> Self {
        calls_waited_unread_since(None);
        Self(is_late().then(Instant::now))
    }

    /// It is over, and so many calls were looked at in it.
    pub(super) fn end(self, calls: u32) {
        if let Some(began) = self.0 {
            WORKER.with(|worker| worker.refusals.measure(began.elapsed(), calls));
        }
    }
}

impl Queued {
    /// Queues a call that has just arrived. `None` when it is to be refused.
    pub fn arrive() -> Option<Self> {
        WORKER.with(|worker| worker.arrive(Instant::now()))
    }

    /// Ready when the call's turn has come.
    pub fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if mem::take(&mut self.before_its_turn) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        if let Some(rest) = &mut self.lets_go_first {
            ready!(rest.poll_unpin(cx));
            self.lets_go_first = None;
        }
        // There may be so many connections that another rest is over each time: who came long before its end goes on.
        let lets_go_until = Some(tokio::time::Instant::from_std(self.since) + TARGET);
        let Some(mut rest) = late_rest::ending(&mut self.over).filter(|_| self.over < lets_go_until) else {
            return Poll::Ready(());
        };
        match rest.poll_unpin(cx) {
            Poll::Pending => self.lets_go_first = Some(rest),
            // The connections are on their way already, perhaps behind this call.
            Poll::Ready(()) => cx.waker().wake_by_ref(),
        }
        Poll::Pending
    }

    /// The call's turn has come. `None` when it is to be refused after all.
    pub fn begin(self) -> Option<Begun> {
        WORKER.with(|worker| worker.begin(&self, Instant::now()))
    }
}

impl Drop for Queued {
    fn drop(&mut self) {
        // A thread that ends has no queue any more.
        let _ = WORKER.try_with(|worker| worker.queued.set(worker.queued.get().saturating_sub(1)));
    }
}

impl Begun {
    /// The work of this turn is done.
    pub fn end(self) {
        if let Some(since) = self.0 {
            WORKER.with(|worker| worker.refusals.earn(since.elapsed() + worker.refusals.http2()));
        }
    }

    /// The same for a request of a stream, which shares what HTTP/2 costs with many others.
    pub fn end_item(self) {
        if let Some(since) = self.0 {
            WORKER.with(|worker| worker.refusals.earn(since.elapsed()));
        }
    }
}

/// The worker has nothing to do: its thread waits for what comes next, if that is not there already.
pub(super) fn rests() {
    late_rest::end();
    WORKER.with(|worker| {
        if worker.late.get() {
            worker.rests(Instant::now());
        }
    });
}

/// The worker's thread goes on.
pub(super) fn wakes() {
    WORKER.with(|worker| {
        if worker.idle_since.get().is_some() {
            worker.wakes(Instant::now());
        }
    });
}

/// Whether calls are refused. Those that arrive then are looked at in the turn of their connection.
pub(super) fn is_late() -> bool {
    WORKER.with(|worker| worker.is_late(Instant::now))
}

/// Whether calls are refused, and enough are not to be worked at.
pub(super) fn has_enough_to_do() -> bool {
    WORKER.with(|worker| worker.queued.get() >= ALWAYS_QUEUED && worker.is_late(Instant::now))
}

/// Calls that arrive from now on had been waiting to be read since then, when their connection's last turn ended: for a
/// shorter time, if they were sent later, or for a longer one, if there was more than a turn before them. `None` for
/// those that are read as soon as the worker sees them.
pub(super) fn calls_waited_unread_since(since: Option<Instant>) {
    WORKER.with(|worker| worker.unread_since.set(since));
}

/// Makes this thread's worker late, with so many calls in its queue, until this is dropped.
#[cfg(test)]
pub(super) fn pretend(queued: u32) -> impl Drop {
    struct Pretence;

    impl Drop for Pretence {
        fn drop(&mut self) {
            WORKER.with(|worker| {
                worker.late.set(false);
                worker.queued.set(0);
            });
        }
    }

    WORKER.with(|worker| {
        worker.late.set(true);
        worker.queued.set(queued);
        worker.last_turn.set(Instant::now());
    });
    Pretence
}

/// What HTTP/2 is measured to cost for a call.
#[cfg(test)]
pub(super) fn http2() -> Duration {
    WORKER.with(|worker| worker.refusals.http2())
}

/// How long a call that arrives now has waited unread.
#[cfg(test)]
pub(super) fn unread_for() -> Duration {
    Queued::arrive().expect("a worker in time").unread
}

/// A request of a stream has its turn now. `None` when it is to be refused.
pub fn begin_item() -> Option<Begun> {
    WORKER.with(Worker::begin_item)
}

/// Something waited for its turn since then, and has it now.
pub fn had_to_wait(since: Instant) {
    WORKER.with(|worker| {
        let now = Instant::now();
        worker.observe(now.duration_since(since), now);
    });
}

/// What a worker knows of its lateness.
struct Worker {
    /// Calls that arrived and had no turn yet.
    queued: Cell<u32>,
    /// Since when the calls that arrive now have waited to be read.
    unread_since: Cell<Option<Instant>>,
    /// How long a call waits for each of those that stand before it, and for itself.
    wait_each: Cell<Duration>,
    last_wait: Cell<Duration>,
    /// When somebody last had a turn.
    last_turn: Cell<Instant>,
    /// For how long nobody has had a turn within [`TARGET`], less [`IN_TIME`] times the time in which somebody had.
    behind: Cell<Duration>,
    late: Cell<bool>,
    /// Since when a late worker has had nothing to do.
    idle_since: Cell<Option<Instant>>,
    /// Since when it has had something to do again.
    busy_since: Cell<Option<Instant>>,
    /// How long a late worker had nothing to do, less a part of the time in which it had.
    idle: Cell<Duration>,
    refusals: Refusals,
    last_refusal: Cell<Instant>,
}

impl Worker {
    fn new() -> Self {
        let now = Instant::now();
        Self {
            queued: Cell::new(0),
            unread_since: Cell::new(None),
            wait_each: Cell::new(Duration::ZERO),
            last_wait: Cell::new(Duration::ZERO),
            last_turn: Cell::new(now),
            behind: Cell::new(Duration::ZERO),
            late: Cell::new(false),
            idle_since: Cell::new(None),
            busy_since: Cell::new(None),
            idle: Cell::new(Duration::ZERO),
            refusals: Refusals::new(),
            last_refusal: Cell::new(now),
        }
    }

    fn is_late(&self, now: impl FnOnce() -> Instant) -> bool {
        // Nobody waits and nobody has come for a while: whoever comes now is no part of what was before.
        let is_over = || self.queued.get() == 0 && now().duration_since(self.last_turn.get()) > PAUSE;
        if self.late.get() && is_over() {
            self.be_in_time();
        }
        self.late.get()
    }

    fn be_in_time(&self) {
        self.behind.set(Duration::ZERO);
        self.idle.set(Duration::ZERO);
        self.late.set(false);
    }

    /// Nothing is left to do. Only looked at while the worker is late.
    fn rests(&self, now: Instant) {
        if let Some(since) = self.busy_since.take() {
            self.idle.set(self.idle.get().saturating_sub(now.duration_since(since) / WORKED_PER_IDLE));
        }
        self.idle_since.set(Some(now).filter(|_| self.late.get()));
    }

    /// Something is to be done again. Who had nothing to do for much of the time does not have too much of it, however many
    /// come at once and are refused.
    fn wakes(&self, now: Instant) {
        let Some(since) = self.idle_since.take() else { return };
        self.busy_since.set(Some(now));
        self.idle.set(self.idle.get() + now.duration_since(since));
        if self.idle.get() > IDLE {
            self.be_in_time();
        }
    }

    fn arrive(&self, now: Instant) -> Option<Queued> {
        let place = self.queued.get() + 1;
        let too_long = || self.wait_each.get().saturating_mul(place) > QUEUE;
        let late = self.is_late(|| now);
        if late && place > ALWAYS_QUEUED && too_long() && self.refuse(self.refusals.http2()) {
            return None;
        }
        self.queued.set(place);
        let unread = self.unread_since.get().map_or(Duration::ZERO, |since| now.duration_since(since));
        Some(Queued { since: now, unread, place, before_its_turn: late, lets_go_first: None, over: None })
    }

    fn begin(&self, queued: &Queued, now: Instant) -> Option<Begun> {
        let in_queue = now.duration_since(queued.since);
        // Weighed one to seven with what was known: some dozens of calls make it.
        self.wait_each.set((self.wait_each.get() * 7 + in_queue / queued.place) / 8);
        let wait = queued.unread + in_queue;
        self.observe(wait, now);
        if !self.late.get() {
            return Some(Begun(None));
        }
        let too_old = queued.place > ALWAYS_QUEUED && in_queue > TOO_OLD;
        if too_old && self.refuse(self.refusals.http2()) { None } else { Some(Begun(Some(now))) }
    }

    fn begin_item(&self) -> Option<Begun> {
        if !self.is_late(Instant::now) {
            return Some(Begun(None));
        }
        if self.last_wait.get() > STREAMS_TURN && self.refuse(ITEM) {
            return None;
        }
        Some(Begun(Some(Instant::now())))
    }

    fn observe(&self, wait: Duration, now: Instant) {
        let was_behind = self.last_wait.replace(wait) > TARGET;
        let since_last = now.duration_since(self.last_turn.replace(now));
        if since_last > PAUSE.max(wait) {
            self.be_in_time();
        }
        if wait > TARGET {
            // Before this one came nobody waited.
            let waited = since_last.min(wait);
            let behind = self.behind.get().saturating_sub((since_last - waited) * IN_TIME);
            // From the first such turn on, not from the last before it: between them the worker may have been stopped. And
            // a stop between two such turns is not overload.
            let more = if was_behind { waited.min(PAUSE) } else { Duration::ZERO };
            let behind = INTERVAL.min(behind + more);
            self.behind.set(behind);
            self.late.set(self.late.get() || behind == INTERVAL);
        } else {
            self.behind.set(self.behind.get().saturating_sub(since_last * IN_TIME));
            // While some are refused the others do not wait for long, which is no reason to stop.
            let refuses = self.late.get() && now.duration_since(self.last_refusal.get()) < INTERVAL;
            self.late.set(refuses);
        }
    }

    /// Whether there is time for a refusal that costs so much, which is taken then.
    fn refuse(&self, cost: Duration) -> bool {
        // Exact enough, and no look at the clock.
        let now = self.last_turn.get();
        let refuses = self.refusals.take(cost, now);
        if refuses {
            self.last_refusal.set(now);
        }
        refuses
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// A worker that does one call after the other, each in `cost`, and calls that arrive each `every`.
    struct Scene {
        worker: Worker,
        now: Instant,
        queue: std::collections::VecDeque<Queued>,
        served: u32,
        refused: u32,
        longest: Duration,
        /// What a refusal takes.
        refusal: Duration,
    }

    impl Scene {
        fn new() -> Self {
            let (worker, now) = (Worker::new(), Instant::now());
            Self {
                worker,
                now,
                queue: Default::default(),
                served: 0,
                refused: 0,
                longest: Duration::ZERO,
                refusal: Duration::ZERO,
            }
        }

        /// Goes on for that long.
        fn load(&mut self, length: Duration, every: Duration, cost: Duration) {
            (self.served, self.refused, self.longest) = (0, 0, Duration::ZERO);
            let (begin, mut next) = (self.now, self.now);
            while self.now < begin + length {
                while next <= self.now {
                    self.offer(next);
                    next += every;
                }
                if !self.serve(cost) {
                    self.rest_until(next);
                }
            }
        }

        /// Goes on for that long with so many callers, each of whom comes again as soon as all have their answers.
        fn load_in_step(&mut self, length: Duration, callers: u32, cost: Duration) {
            (self.served, self.refused, self.longest) = (0, 0, Duration::ZERO);
            let end = self.now + length;
            while self.now < end {
                (0..callers).for_each(|_| self.offer(self.now));
                while self.serve(cost) {}
            }
        }

        fn rest_until(&mut self, next: Instant) {
            self.worker.rests(self.now);
            self.now = next;
            self.worker.wakes(self.now);
        }

        fn offer(&mut self, at: Instant) {
            match self.worker.arrive(at) {
                Some(queued) => self.queue.push_back(queued),
                None => {
                    self.refused += 1;
                    self.now += self.refusal;
                    if !self.refusal.is_zero() {
                        self.worker.refusals.measure(self.refusal, 1);
                    }
                }
            }
        }

        /// Gives one of the queue its turn, if anybody waits.
        fn serve(&mut self, cost: Duration) -> bool {
            let Some(queued) = self.queue.pop_front() else { return false };
            self.longest = self.longest.max(self.now - queued.since);
            let begun = self.worker.begin(&queued, self.now);
            // Of this worker, which is not that of this thread.
            std::mem::forget(queued);
            self.worker.queued.set(self.worker.queued.get() - 1);
            let Some(Begun(late)) = begun else {
                self.refused += 1;
                return true;
            };
            self.now += cost;
            if late.is_some() {
                self.worker.refusals.earn(cost + self.worker.refusals.http2());
            }
            self.served += 1;
            true
        }
    }

    #[test]
    fn a_worker_in_time_refuses_nothing_and_a_burst_is_no_overload() {
        let mut scene = Scene::new();
        scene.load(1_000 * MS, 2 * MS, MS);
        assert_eq!((scene.refused, scene.served), (0, 500));
        // 40 ms of work at once.
        scene.load(4 * MS, MS / 10, MS);
        scene.load(1_000 * MS, 2 * MS, MS);
        assert_eq!(scene.refused, 0);
    }

    #[test]
    fn a_late_worker_refuses_what_is_too_much_and_works_on_with_a_short_queue() {
        let mut scene = Scene::new();
        // Ten times what it can do.
        scene.load(5_000 * MS, MS / 20, MS / 2);
        scene.load(1_000 * MS, MS / 20, MS / 2);
        assert_eq!(scene.served, 2_000, "it is never without work");
        assert!(scene.refused > 17_000, "{}", scene.refused);
        assert!(scene.longest <= QUEUE + MS, "{:?}", scene.longest);
    }

    #[test]
    fn callers_who_keep_in_step_make_a_worker_late_though_the_first_of_them_never_waits() {
        for (callers, cost) in [(150, 5 * MS), (400, MS), (100, MS / 2)] {
            let mut scene = Scene::new();
            scene.load_in_step(3_000 * MS, callers, cost);
            scene.load_in_step(1_000 * MS, callers, cost);
            assert!(scene.refused > scene.served, "{callers}: {} and {}", scene.refused, scene.served);
            assert!(scene.longest < cost * callers / 10, "{callers}: {:?}", scene.longest);
        }
        // Those who are together no longer than a burst are served.
        let mut scene = Scene::new();
        scene.load_in_step(3_000 * MS, 40, MS / 2);
        assert_eq!(scene.refused, 0);
    }

    #[test]
    fn a_worker_that_has_less_to_do_again_refuses_nothing() {
        let mut scene = Scene::new();
        scene.load(1_000 * MS, MS / 10, MS);
        assert!(scene.refused > 0);
        scene.load(3_000 * MS, 2 * MS, MS);
        scene.load(1_000 * MS, 2 * MS, MS);
        assert!(!scene.worker.late.get() && scene.refused == 0);
    }

    #[test]
    fn a_worker_that_often_has_nothing_to_do_refuses_nothing_for_long_however_many_come_together() {
        for (together, every, cost) in [(40, 90 * MS, MS), (5, 8 * MS, MS), (3, 20 * MS, 4 * MS)] {
            let mut scene = Scene::new();
            scene.load(1_000 * MS, MS / 10, MS);
            assert!(scene.refused > 0, "it is late");
            let bursts = |scene: &mut Scene| {
                scene.refused = 0;
                let end = scene.now + 3_000 * MS;
                while scene.now < end {
                    let next = scene.now + every;
                    (0..together).for_each(|_| scene.offer(scene.now));
                    while scene.serve(cost) {}
                    scene.rest_until(scene.now.max(next));
                }
                scene.refused
            };
            bursts(&mut scene);
            assert_eq!(bursts(&mut scene), 0, "{together} calls of {cost:?} each {every:?}");
            // The system stops the worker for a while, as calls wait.
            (0..together).for_each(|_| scene.offer(scene.now));
            scene.serve(cost);
            scene.now += 600 * MS;
            bursts(&mut scene);
            assert_eq!(bursts(&mut scene), 0, "{together} calls of {cost:?} each {every:?}, after a stop");
        }
    }

    #[test]
    fn time_in_which_nobody_waits_does_not_make_a_worker_late() {
        let worker = Worker::new();
        let mut now = Instant::now();
        for _ in 0..100 {
            // Two calls that waited for work that nobody counts, and a pause.
            for wait in [6 * MS, 7 * MS] {
                now += 7 * MS;
                worker.observe(wait, now);
            }
            now += 76 * MS;
        }
        assert!(!worker.late.get());
    }

    #[test]
    fn the_calls_that_may_always_stand_in_the_queue_are_not_refused_when_their_turn_comes() {
        // Two who wait for each other, as each comes again when it has its answer.
        let mut scene = Scene::new();
        scene.offer(scene.now);
        scene.load(3_000 * MS, 12 * MS, 12 * MS);
        assert!(scene.worker.late.get());
        assert_eq!(scene.refused, 0);
    }

    #[test]
    fn what_refusals_cost_is_measured_so_that_they_get_all_of_their_part() {
        // Twelve times what it can do. At the most that is counted for a refusal, all of them are more than their part.
        for (refusal, kept_up) in [(MS / 250, true), (MS / 50, false)] {
            let mut scene = Scene { refusal, ..Scene::new() };
            let (every, cost) = (MS / 40, MS * 3 / 10);
            scene.load(2_000 * MS, every, cost);
            scene.load(1_000 * MS, every, cost);
            assert_eq!(scene.longest < 2 * QUEUE, kept_up, "{refusal:?}: {:?}", scene.longest);
            if kept_up {
                let (refusing, working) = (refusal * scene.refused, (refusal + cost) * scene.served);
                assert!(refusing < working / 3, "{refusing:?} beside {working:?}");
            }
        }
    }

    #[test]
    fn calls_that_waited_unread_make_a_worker_late_as_those_that_waited_in_its_queue_and_tell_nothing_of_the_queue() {
        for (unread, late) in [(None, false), (Some(MS), false), (Some(20 * MS), true)] {
            let worker = Worker::new();
            let mut now = Instant::now();
            for _ in 0..60 {
                now += 10 * MS;
                worker.unread_since.set(unread.map(|unread| now - unread));
                let queued = worker.arrive(now).expect("the queue is short");
                worker.queued.set(0);
                worker.begin(&queued, now + MS / 10);
                std::mem::forget(queued);
            }
            assert_eq!(worker.is_late(|| now), late, "{unread:?}");
            assert!(worker.wait_each.get() <= MS / 10);
        }
    }

    #[test]
    fn requests_of_streams_are_refused_by_a_late_worker_and_by_no_other() {
        let worker = Worker::new();
        let mut now = Instant::now();
        for wait in [MS, 20 * MS, 120 * MS] {
            for _ in 0..60 {
                now += 10 * MS;
                worker.observe(wait, now);
            }
            assert_eq!(worker.begin_item().is_none(), wait > STREAMS_TURN, "{wait:?}");
        }
        // Each costs next to nothing.
        assert!((0..10_000).all(|_| worker.begin_item().is_none()));
        // Refused as long as its queue is long.
        worker.observe(MS, now);
        assert!(worker.begin_item().is_some());
    }

    #[test]
    fn a_worker_that_nobody_calls_any_more_is_not_late() {
        let worker = Worker::new();
        let mut now = Instant::now();
        for _ in 0..60 {
            now += 10 * MS;
            worker.observe(20 * MS, now);
        }
        assert!(worker.is_late(|| now + PAUSE));
        // As long as a call waits for its turn, however long nobody else comes.
        worker.queued.set(1);
        assert!(worker.is_late(|| now + PAUSE + MS));
        worker.queued.set(0);
        // Calls that come together then are all let in, though those before them waited for long.
        worker.wait_each.set(QUEUE);
        for _ in 0..=ALWAYS_QUEUED {
            std::mem::forget(worker.arrive(now + PAUSE + MS).expect("let in"));
        }
        worker.queued.set(0);
        assert!(!worker.is_late(|| now));
    }

    /// Whether a call's turn has come when its task is polled.
    fn has_its_turn(call: &mut Queued) -> bool {
        call.poll_turn(&mut Context::from_waker(std::task::Waker::noop())).is_ready()
    }

    /// A rest of connections whose time the timers do not see to be over.
    fn rest() -> LateRest {
        let rest = late_rest::begin();
        assert_eq!(rest.clone().now_or_never(), None);
        rest
    }

    fn rest_is_over() {
        assert_eq!(tokio::time::advance(LATE_REST).now_or_never(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_of_a_late_worker_lets_its_connection_and_those_that_rested_go_first_but_not_for_ever() {
        let _late = pretend(100);
        let [mut early, mut call] = [(); 2].map(|()| Queued::arrive().expect("let in"));
        assert!([&mut early, &mut call].map(has_its_turn) == [false, false], "that is their connection's turn");
        let mut last = rest();
        assert!(has_its_turn(&mut early), "they rest");
        // There may be so many connections that each time a rest is over.
        for _ in 0..3 {
            rest_is_over();
            call.since = tokio::time::Instant::now().into_std();
            assert!(!has_its_turn(&mut call), "their time is over");
            last.await;
            last = rest();
        }
        rest_is_over();
        call.since -= TARGET;
        assert!(has_its_turn(&mut call), "that is enough");
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_is_read_when_a_rest_is_just_over_lets_go_first_who_rested() {
        let _late = pretend(100);
        let call = || {
            let mut call = Queued::arrive().expect("let in");
            assert!(!has_its_turn(&mut call), "that is its connection's turn");
            call
        };
        let rest = rest();
        let mut before = call();
        rest_is_over();
        assert!(!has_its_turn(&mut before));
        // Until the driver was asked, and a connection that did not rest was read.
        for _ in 0..3 {
            tokio::task::yield_now().await;
        }
        let mut after = call();
        assert!([(); 2].map(|()| has_its_turn(&mut after)) == [false, true]);
        assert_eq!(rest.now_or_never(), Some(()));
    }

    #[test]
    fn a_call_that_is_given_up_before_its_turn_leaves_the_queue() {
        std::thread::spawn(|| {
            let (one, other) = (Queued::arrive().unwrap(), Queued::arrive().unwrap());
            assert_eq!(WORKER.with(|worker| worker.queued.get()), 2);
            drop(one);
            other.begin().unwrap().end();
            assert_eq!(WORKER.with(|worker| worker.queued.get()), 0);
        })
        .join()
        .unwrap();
    }
}
