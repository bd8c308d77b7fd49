//! Removes what is over: sessions and, with them, their idempotency keys (SPEC 9).

use super::App;
use crate::telemetry::metrics::{SESSIONS_REMOVED, SWEEPS};
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval};

/// How often it is looked for something to remove.
const EVERY: Duration = Duration::from_secs(60);
/// Sessions removed in one step: a step must not hold up those who write.
const BATCH: usize = 500;
/// Steps in one go, after which the next one waits for its turn.
const STEPS: usize = 100;

impl App {
    /// Removes sessions `retention` after they are over, for as long as it is polled. A store that fails is asked again
    /// next time.
    pub async fn keep_removing(&self, retention: Duration) {
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            for _ in 0..STEPS {
                match self.store.remove_over(self.clock.now().minus(retention), BATCH).await {
                    Ok(0) => {
                        SWEEPS.add([0], 1);
                        break;
                    }
                    Ok(removed) => {
                        SESSIONS_REMOVED.add([], removed as u64);
                        tracing::info!(removed, "removed sessions that were over");
                    }
                    Err(error) => {
                        SWEEPS.add([1], 1);
                        tracing::warn!(%error, "could not remove sessions that are over");
                        break;
                    }
                }
            }
        }
    }
}
