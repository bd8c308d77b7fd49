//! How long a call goes on trying, and how long it waits in between.

use super::failure::{Failure, Prospect};
use std::{
    hash::{BuildHasher, RandomState},
    time::Duration,
};
use tokio::time::{Instant, sleep};

/// All attempts of one call: within the 5 s of a request, with time left to answer it.
const WHOLE_CALL: Duration = Duration::from_secs(4);
/// One attempt, so that a host that went silent leaves time for another.
const ONE_ATTEMPT: Duration = Duration::from_millis(2_500);
/// Attempts of one call. With the pauses below, a database that restarts is met again until the time runs out.
const ATTEMPTS: u32 = 16;
/// The first pause; each is up to twice the one before.
const PAUSE_FIRST: Duration = Duration::from_millis(5);
/// The longest pause: how late a database that came back is noticed.
const PAUSE_LAST: Duration = Duration::from_millis(500);

/// What is left of a call's attempts.
#[derive(Debug)]
pub(super) struct Patience {
    deadline: Instant,
    failed: u32,
}

impl Patience {
    pub(super) fn new() -> Self {
        Self { deadline: Instant::now() + WHOLE_CALL, failed: 0 }
    }

    /// When the attempt that begins now is given up.
    pub(super) fn attempt_ends(&self) -> Instant {
        self.deadline.min(Instant::now() + ONE_ATTEMPT)
    }

    /// Waits before the next attempt, or gives the failure back when there should be none.
    pub(super) async fn after(&mut self, failure: Failure) -> Result<(), Failure> {
        self.failed += 1;
        let pause = pause_before(self.failed);
        let spent = self.failed >= ATTEMPTS || Instant::now() + pause >= self.deadline;
        if spent || failure.prospect == Prospect::Lasting {
            return Err(failure);
        }
        tracing::debug!(error = failure.text, failed = self.failed, ?pause, "trying the database again");
        sleep(pause).await;
        Ok(())
    }
}

/// A random part of the bound, so that callers that failed together do not come back together.
fn pause_before(attempt: u32) -> Duration {
    let longest = PAUSE_FIRST.saturating_mul(1 << attempt.min(16)).min(PAUSE_LAST);
    // A fresh hasher is seeded at random, which is all the randomness that this needs.
    let random = RandomState::new().hash_one(attempt);
    longest.mul_f64(0.25 + 0.75 * (random as f64 / u64::MAX as f64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::postgres::failure::Effect;

    fn failure(prospect: Prospect) -> Failure {
        Failure { text: String::new(), effect: Effect::None, prospect }
    }

    #[test]
    fn pauses_grow_to_a_bound_and_differ() {
        for attempt in 1..40 {
            let pause = pause_before(attempt);
            assert!(pause <= PAUSE_LAST && pause >= PAUSE_FIRST / 4, "{attempt}: {pause:?}");
        }
        assert_ne!(pause_before(9), pause_before(9));
    }

    #[tokio::test]
    async fn what_does_not_pass_is_not_tried_again() {
        assert!(Patience::new().after(failure(Prospect::Lasting)).await.is_err());
        assert!(Patience::new().after(failure(Prospect::Conflict)).await.is_ok());
    }
}
