//! What came of the calls, counted while they are made.

use super::schedule::Schedule;
use hdrhistogram::Histogram;
use std::{collections::BTreeMap, time::Instant};
use tonic::Status;
use tonic_types::StatusExt;

/// The counts of one run.
#[derive(Debug)]
pub struct Tally {
    /// Microseconds of the calls that went well, and of those that were missed until the run was over.
    pub latencies: Histogram<u64>,
    /// Calls that were begun.
    begun: u64,
    /// Calls that went well.
    pub answered: u64,
    /// Calls that failed, by reason.
    pub failed: BTreeMap<String, u64>,
    /// Calls whose moment came while all places were taken, until the run was over.
    pub missed: u64,
    /// Answers so far, the warm-up's too, for those who watch.
    pub seen: u64,
    /// The first error, to be told if there is nothing else.
    pub first_error: Option<Status>,
}

/// The longest latency that is told apart from longer ones: no run is longer.
const MAX_MICROS: u64 = 24 * 60 * 60 * 1_000_000;

impl Tally {
    /// Nothing was counted.
    pub fn new() -> Self {
        Self {
            latencies: Histogram::new_with_bounds(1, MAX_MICROS, 3).expect("these bounds are valid"),
            begun: 0,
            answered: 0,
            failed: BTreeMap::new(),
            missed: 0,
            seen: 0,
            first_error: None,
        }
    }

    /// Counts the call of that moment, which begins now.
    pub fn begun(&mut self, schedule: &Schedule, moment: Instant) {
        self.begun += u64::from(schedule.measures(moment));
    }

    /// Counts what was begun and has not ended as failed: nobody waits for it any longer.
    pub fn give_up(&mut self) {
        let left = self.begun.saturating_sub(self.answered + self.failed.values().sum::<u64>());
        if left > 0 {
            self.failed.insert("NO_ANSWER".into(), left);
        }
    }

    /// Counts the call of that moment, which has just ended.
    pub fn ended(&mut self, schedule: &Schedule, moment: Instant, result: Result<(), Status>) {
        self.seen += 1;
        match result {
            Err(status) => self.failed(schedule, moment, status),
            Ok(()) if schedule.measures(moment) => {
                self.answered += 1;
                self.record(moment);
            }
            Ok(()) => {}
        }
    }

    /// Counts the call of that moment, which was never begun.
    pub fn missed(&mut self, schedule: &Schedule, moment: Instant) {
        if schedule.measures(moment) {
            self.missed += 1;
            // It would have taken at least that long.
            self.record(moment);
        }
    }

    fn failed(&mut self, schedule: &Schedule, moment: Instant, status: Status) {
        if schedule.measures(moment) {
            let reason = status.get_details_error_info().map(|info| info.reason);
            *self.failed.entry(reason.unwrap_or_else(|| format!("{:?}", status.code()))).or_default() += 1;
        }
        self.first_error.get_or_insert(status);
    }

    fn record(&mut self, moment: Instant) {
        self.latencies.saturating_record(u64::try_from(moment.elapsed().as_micros()).unwrap_or(u64::MAX).max(1));
    }
}
