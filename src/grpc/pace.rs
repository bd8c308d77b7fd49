//! When a stream stops answering for a moment, so that what it has answered is sent.
//!
//! Requests that were sent together are read together, and HTTP/2 sends what they are answered once none of them is left.
//! A caller with so many in flight sends more when it has its answers: it and the server would take turns, and each would
//! stand idle, and be woken, while the other works. Sent in two parts, the first is read while the second is made.

use std::ops::RangeInclusive;

/// So many requests that come together are answered in two parts. Fewer are not worth a part of their own, and of more
/// a turn's end ([tokio's budget](tokio::task::coop) of 128) sends a part in any case.
const PARTED: RangeInclusive<usize> = 48..=96;

/// What has to be polled without an answer: once to have what was answered in a frame, and once more to have it sent.
const POLLS: u8 = 2;

/// The requests of one stream, as they come.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// How many came together the last time; 0 once these are parted.
    together: usize,
    /// How many of the next ones have come by now.
    come: usize,
    /// Polls that are left of a pause.
    pause: u8,
}

impl Pace {
    /// A request came.
    pub(super) const fn came(&mut self) {
        self.come += 1;
    }

    /// No request is there.
    pub(super) const fn none_is_there(&mut self) {
        if self.come > 0 {
            (self.together, self.come) = (self.come, 0);
        }
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
