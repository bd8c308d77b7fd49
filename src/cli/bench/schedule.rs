//! When calls are to begin.
//!
//! At a fixed rate a call belongs to a moment, and its latency counts from there, however late it began: a server that
//! stands still for a second is charged with every call of that second, not with the few that were in progress.

use std::{
    cell::Cell,
    time::{Duration, Instant},
};
use tokio::{task::yield_now, time::sleep_until};

/// The moments of one run, shared by everything that makes calls.
#[derive(Debug)]
pub struct Schedule {
    begin: Instant,
    measured_from: Instant,
    end: Instant,
    pace: Pace,
    /// How many moments were given out.
    given: Cell<u64>,
}

/// How calls follow each other.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Pace {
    /// The next one when one is answered.
    Closed,
    /// So many a second, whatever is answered.
    Rate(u32),
}

/// The moment of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// Begin now; the call belongs to that moment, which may be long past.
    Begin(Instant),
    /// The run is over, and this call of that moment was never begun.
    Missed(Instant),
    /// There are no more.
    Over,
}

/// Before a moment, the time for which the timer, which is exact to a millisecond, is not trusted.
const TIMER: Duration = Duration::from_millis(1);

impl Schedule {
    /// Begins now: first what is not measured, then what is.
    pub fn begin(pace: Pace, warm_up: Duration, measured: Duration) -> Self {
        let begin = Instant::now();
        let measured_from = begin + warm_up;
        Self { begin, measured_from, end: measured_from + measured, pace, given: Cell::new(0) }
    }

    /// When the last call may begin.
    pub const fn end(&self) -> Instant {
        self.end
    }

    /// Whether a call of that moment is measured.
    pub fn measures(&self, moment: Instant) -> bool {
        moment >= self.measured_from
    }

    /// The next moment, without waiting for it.
    pub fn take(&self) -> Turn {
        let now = Instant::now();
        let moment = match self.pace {
            Pace::Closed if now < self.end => return Turn::Begin(now),
            Pace::Closed => return Turn::Over,
            Pace::Rate(rate) => self.begin + Duration::from_nanos(nanos(self.given.get(), rate)),
        };
        if moment >= self.end {
            return Turn::Over;
        }
        self.given.set(self.given.get() + 1);
        if now >= self.end { Turn::Missed(moment) } else { Turn::Begin(moment) }
    }

    /// Returns at that moment.
    pub async fn wait(&self, moment: Instant) {
        if let Some(early) = moment.checked_sub(TIMER)
            && Instant::now() < early
        {
            sleep_until(early.into()).await;
        }
        while Instant::now() < moment {
            yield_now().await;
        }
    }
}

/// When the call of that number begins, after the first.
fn nanos(number: u64, rate: u32) -> u64 {
    let nanos = u128::from(number) * 1_000_000_000 / u128::from(rate);
    u64::try_from(nanos).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_gives_every_moment_once_and_tells_those_that_nobody_came_to() {
        let schedule = Schedule::begin(Pace::Rate(1_000), Duration::ZERO, Duration::from_millis(50));
        let Turn::Begin(first) = schedule.take() else { panic!("begun") };
        let Turn::Begin(second) = schedule.take() else { panic!("begun") };
        assert_eq!(second - first, Duration::from_millis(1));
        // Everything stands still until the run is over.
        while Instant::now() < schedule.end() {}
        let missed: Vec<_> =
            std::iter::repeat_with(|| schedule.take()).take_while(|turn| *turn != Turn::Over).collect();
        assert_eq!(missed.len(), 48);
        assert_eq!(missed[0], Turn::Missed(first + Duration::from_millis(2)));
        assert_eq!(schedule.take(), Turn::Over);
    }

    #[test]
    fn moments_are_spread_evenly_at_any_rate() {
        assert_eq!(nanos(3, 3), 1_000_000_000);
        assert_eq!(nanos(1, 3), 333_333_333);
        assert_eq!(nanos(1_000_000 * 3_600, 1_000_000), 3_600 * 1_000_000_000);
    }
}
