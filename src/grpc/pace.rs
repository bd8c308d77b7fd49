//! When a stream stops answering for a moment, so that what it has answered is sent, and when it looks again for more.
//!
//! Requests that were sent together are read together, and HTTP/2 sends what they are answered once none of them is left.
//! A caller with so many in flight sends more when it has its answers: it and the server would take turns, and each would
//! stand idle, and be woken, while the other works. Sent in two parts, the first is read while the second is made.
//!
//! A worker with nothing to do is put to sleep, and to fall asleep and be woken costs more than a few requests. So a stream
//! whose caller answers answers at once, with many more requests, is looked at again before its worker sleeps.

use std::{ops::RangeInclusive, time::Duration};
use tokio::time::Instant;

/// So many requests that come together are answered in two parts. Fewer are not worth a part of their own, and of more
/// a turn's end ([tokio's budget](tokio::task::coop) of 128) sends a part in any case.
const PARTED: RangeInclusive<usize> = 48..=96;

/// What has to be polled without an answer: once to have what was answered in a frame, and once more to have it sent.
const POLLS: u8 = 2;

/// So many requests that come together are worth it to look for the next ones.
const MANY: usize = 16;

/// How soon requests must have come for the next ones to be looked for, and for how long those are: about the time that it
/// takes a worker to fall asleep and be woken.
const SOON: Duration = Duration::from_micros(50);

/// The requests of one stream, as they come.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// How many came together the last time; 0 once these are parted.
    together: usize,
    /// How many of the next ones have come by now.
    come: usize,
    /// Polls that are left of a pause.
    pause: u8,
    /// Since when no request is there, after many that came together.
    none_since: Option<Instant>,
    /// Whether the last ones came soon after those before.
    soon: bool,
}

impl Pace {
    /// A request came.
    pub(super) fn came(&mut self) {
        if self.come == 0 {
            self.soon = self.none_since.take().is_some_and(|since| since.elapsed() <= SOON);
        }
        self.come += 1;
    }

    /// No request is there.
    pub(super) fn none_is_there(&mut self) {
        if self.come > 0 {
            self.none_since = (self.come >= MANY).then(Instant::now);
            (self.together, self.come) = (self.come, 0);
        }
    }

    /// Whether the stream is to be looked at again though nothing has happened.
    pub(super) fn looks_again(&self) -> bool {
        self.soon && self.none_since.is_some_and(|since| since.elapsed() <= SOON)
    }

    /// Whether the stream is to be polled again before it answers. Requests come as the last ones did, mostly.
    pub(super) fn pauses(&mut self) -> bool {
        if PARTED.contains(&self.together) && self.come == self.together / 2 {
            (self.together, self.pause) = (0, POLLS);
        }
        let pauses = self.pause > 0;
        self.pause = self.pause.saturating_sub(1);
        pauses
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::advance;

    /// After how many of so many requests that come together the stream pauses, and for how many polls.
    fn pauses(pace: &mut Pace, together: usize) -> Vec<(usize, u8)> {
        let mut seen = Vec::new();
        for come in 1..=together {
            pace.came();
            let mut polls = 0;
            while pace.pauses() {
                polls += 1;
            }
            if polls > 0 {
                seen.push((come, polls));
            }
        }
        pace.none_is_there();
        // Polled in vain.
        pace.none_is_there();
        seen
    }

    #[test]
    fn as_many_as_came_together_before_are_answered_in_two_parts() {
        let mut pace = Pace::default();
        assert_eq!(pauses(&mut pace, 64), []);
        for _ in 0..3 {
            assert_eq!(pauses(&mut pace, 64), [(32, POLLS)]);
        }
        assert_eq!(pauses(&mut pace, 20), [], "they did not come to half of those before");
        assert_eq!(pauses(&mut pace, 64), [], "as few came together the last time");
    }

    #[tokio::test(start_paused = true)]
    async fn the_next_ones_are_looked_for_where_many_came_soon_and_no_longer_than_that() {
        let mut pace = Pace::default();
        let mut looks_after = async |together, pause: Duration| {
            (0..together).for_each(|_| pace.came());
            pace.none_is_there();
            let looks = pace.looks_again();
            advance(pause).await;
            (looks, pace.looks_again())
        };
        let longer = SOON + Duration::from_micros(1);
        assert_eq!(looks_after(64, SOON).await, (false, false), "the first ones");
        assert_eq!(looks_after(64, SOON).await, (true, true));
        assert_eq!(looks_after(MANY, longer).await, (true, false));
        assert_eq!(looks_after(64, SOON).await, (false, false), "they came late");
        assert_eq!(looks_after(MANY - 1, SOON).await, (false, false), "too few");
        assert_eq!(looks_after(64, SOON).await, (false, false), "nobody looked how soon they came");
        assert_eq!(looks_after(64, SOON).await, (true, true));
    }

    #[test]
    fn few_are_answered_together_and_many_are_parted_elsewhere() {
        for together in [1, 16, 47, 97, 256] {
            let mut pace = Pace::default();
            for _ in 0..3 {
                assert_eq!(pauses(&mut pace, together), [], "{together}");
            }
        }
    }
}
