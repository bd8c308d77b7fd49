//! Removes what is over: sessions and, with them, their idempotency keys (SPEC 9).
//!
//! A clock that is wrong by more than the retention would remove everything, and what is removed is gone. So nothing is
//! removed before this machine's clock has gone on [steadily](Steadiness) for some time, nor while it differs from the
//! clock of a store that has one.

use super::App;
use crate::{
    model::Timestamp,
    store::StoreError,
    telemetry::metrics::{SESSIONS_REMOVED, SWEEPS},
};
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior, interval};

/// How often it is looked for something to remove.
const EVERY: Duration = Duration::from_secs(60);
/// Sessions removed in one step: a step must not hold up those who write.
const BATCH: usize = 500;
/// Steps in one go, after which the next one waits for its turn.
const STEPS: usize = 100;
/// How long a clock has to go on steadily before it is believed: longer than time services take to correct one after a
/// start.
const SETTLED: Duration = Duration::from_secs(10 * 60);
/// How much more or less than it should a clock may go on between two looks. Corrections by degrees stay far below.
const JUMP: Duration = Duration::from_secs(10);
/// How much this machine's clock may differ from that of the store.
const SKEW: Duration = Duration::from_secs(5 * 60);

impl App {
    /// Removes sessions `retention` after they are over, for as long as it is polled. A store that fails is asked again
    /// next time.
    pub async fn keep_removing(&self, retention: Duration) {
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut steadiness = Steadiness::new(self.clock.now());
        loop {
            ticks.tick().await;
            if !steadiness.is_steady(self.clock.now()) {
                SWEEPS.add([2], 1);
                continue;
            }
            match self.remove_over(retention).await {
                Err(Unswept::Clocks { ours, theirs }) => {
                    SWEEPS.add([2], 1);
                    tracing::warn!(ours, theirs, "nothing is removed until this machine's clock is that of the store");
                }
                Ok(removed) => {
                    SWEEPS.add([0], 1);
                    if removed > 0 {
                        tracing::info!(removed, "removed sessions that were over");
                    }
                }
                Err(Unswept::Store(error)) => {
                    SWEEPS.add([1], 1);
                    tracing::warn!(%error, "could not remove sessions that are over");
                }
            }
        }
    }

    /// Removes what has been over for that long, or much of it, and says how much.
    ///
    /// # Errors
    ///
    /// When the store fails, or its clock says another time.
    pub async fn remove_over(&self, retention: Duration) -> Result<usize, Unswept> {
        let now = self.clock.now();
        if let Some(theirs) = self.store.clock().await?
            && now.until(theirs).max(theirs.until(now)) > SKEW
        {
            let [ours, theirs] = [now, theirs].map(|time| humantime::format_rfc3339_seconds(time.into()).to_string());
            return Err(Unswept::Clocks { ours, theirs });
        }
        let mut removed = 0;
        for _ in 0..STEPS {
            match self.store.remove_over(now.minus(retention), BATCH).await? {
                0 => break,
                some => {
                    SESSIONS_REMOVED.add([], some as u64);
                    removed += some;
                }
            }
        }
        Ok(removed)
    }
}

/// Why nothing, or not all, was removed.
#[derive(Debug, thiserror::Error)]
pub enum Unswept {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// One of the two clocks is wrong.
    #[error("this machine's clock says {ours}, and that of the store {theirs}")]
    Clocks {
        /// The time by this machine.
        ours: String,
        /// The time by the store.
        theirs: String,
    },
}

/// Whether a clock goes on as fast as time does.
struct Steadiness {
    since: Instant,
    last: (Instant, Timestamp),
}

impl Steadiness {
    fn new(clock: Timestamp) -> Self {
        let now = Instant::now();
        Self { since: now, last: (now, clock) }
    }

    /// Whether it has done so for [`SETTLED`], now that it says `clock`.
    fn is_steady(&mut self, clock: Timestamp) -> bool {
        let now = Instant::now();
        let (then, said) = self.last;
        self.last = (now, clock);
        let expected = said.plus(now.duration_since(then));
        let jump = expected.until(clock).max(clock.until(expected));
        if jump > JUMP {
            tracing::warn!(?jump, "the clock of this machine jumped: nothing is removed for ten minutes");
            self.since = now;
        }
        now.duration_since(self.since) >= SETTLED
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        app::Clock,
        model::{Kind, MerchantId, Session, SessionId},
        redirect::Mode,
        store::{MemoryStore, Store},
    };
    use serde_json::Map;
    use std::{
        future::Future,
        pin::pin,
        sync::{
            Arc,
            atomic::{AtomicI64, Ordering},
        },
    };
    use tokio::time::timeout;
    use uuid::Uuid;

    const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    const NOW: Timestamp = Timestamp::from_micros(1_790_000_000_000_000);

    /// A store with a session that was over a year ago, and the machine's clock.
    async fn with_an_old_session() -> (App, Arc<MemoryStore>, Arc<AtomicI64>) {
        let store = Arc::new(MemoryStore::default());
        let over = NOW.minus(365 * DAY);
        let merchant = MerchantId::try_from(Box::from("m1")).unwrap();
        let id = SessionId::new(Kind::Payment, Uuid::now_v7());
        store.create(Session::open(id, merchant, &Map::new(), None, over, over).unwrap()).await.unwrap();
        let clock = Arc::new(AtomicI64::new(NOW.as_micros()));
        (App::new(store.clone(), Mode::Production, Clock::Manual(clock.clone())), store, clock)
    }

    /// Lets time go by for everybody, and says how many sessions are left.
    async fn left_after(
        minutes: u64,
        mut removing: impl Future<Output = ()> + Unpin,
        store: &MemoryStore,
        clock: &AtomicI64,
    ) -> Option<u64> {
        for _ in 0..minutes {
            clock.fetch_add(60_000_000, Ordering::SeqCst);
            timeout(Duration::from_secs(60), &mut removing).await.expect_err("it never ends");
        }
        store.figures().sessions
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_removed_before_the_clock_has_gone_on_steadily_for_some_time() {
        let (app, store, clock) = with_an_old_session().await;
        let mut removing = pin!(app.keep_removing(7 * DAY));
        assert_eq!(left_after(9, &mut removing, &store, &clock).await, Some(1));
        // It is corrected, by how much ever.
        clock.fetch_add(3_600_000_000, Ordering::SeqCst);
        assert_eq!(left_after(9, &mut removing, &store, &clock).await, Some(1));
        clock.fetch_sub(3_600_000_000, Ordering::SeqCst);
        assert_eq!(left_after(9, &mut removing, &store, &clock).await, Some(1));
        assert_eq!(left_after(3, &mut removing, &store, &clock).await, Some(0));
    }
}
