//! Keeps a peer from filling the log: the first event is told at once, those after it once in a while, counted.

use std::time::{Duration, Instant};

/// How long the log rests after a line of one kind.
const REST: Duration = Duration::from_secs(5);

/// Decides for one kind of event whether it is time for a line.
#[derive(Debug, Default)]
pub(crate) struct LogLimit {
    next: Option<Instant>,
    untold: u64,
}

impl LogLimit {
    /// Notes an event; gives how many there were since the last line where it is time for the next.
    pub(crate) fn tell(&mut self, now: Instant) -> Option<u64> {
        self.untold += 1;
        if self.next.is_some_and(|next| now < next) {
            return None;
        }
        self.next = Some(now + REST);
        Some(std::mem::take(&mut self.untold))
    }
}

/// Keeps what befalls many of a kind from filling the log: some lines of it are written in a while, those beyond are counted.
#[derive(Debug)]
pub(crate) struct LineBudget {
    lines: u32,
    time: Duration,
    left: u32,
    /// When there are as many again.
    full_at: Option<Instant>,
    untold: u64,
    /// Of the times before this one.
    untold_before: u64,
}

impl LineBudget {
    /// So many lines in so long.
    pub(crate) const fn new(lines: u32, time: Duration) -> Self {
        Self {
            lines,
            time,
            left: lines,
            full_at: None,
            untold: 0,
            untold_before: 0,
        }
    }

    /// Whether a line is to be written.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        if self.full_at.is_none_or(|at| now >= at) {
            self.full_at = Some(now + self.time);
            self.left = self.lines;
            self.untold_before += std::mem::take(&mut self.untold);
        }
        let is_told = self.left > 0;
        self.left = self.left.saturating_sub(1);
        self.untold += u64::from(!is_told);
        is_told
    }

    /// How many were not in times that are over, which is to be said now.
    pub(crate) fn take_untold(&mut self, now: Instant) -> Option<u64> {
        let mut untold = std::mem::take(&mut self.untold_before);
        if self.full_at.is_none_or(|at| now >= at) {
            untold += std::mem::take(&mut self.untold);
        }
        (untold > 0).then_some(untold)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_some_are_told_and_the_others_are_counted_once() {
        let start = Instant::now();
        let mut budget = LineBudget::new(3, REST);
        let told = |budget: &mut LineBudget, at| (0..10).filter(|_| budget.take(at)).count();
        assert_eq!(told(&mut budget, start), 3);
        assert_eq!(told(&mut budget, start + REST / 2), 0);
        assert_eq!(budget.take_untold(start + REST / 2), None);
        assert_eq!(budget.take_untold(start + REST), Some(17));
        assert_eq!(budget.take_untold(start + REST), None);
        assert_eq!(told(&mut budget, start + REST), 3);
        // Lines that keep coming are no reason never to say it.
        assert_eq!(told(&mut budget, start + 2 * REST), 3);
        assert_eq!(budget.take_untold(start + 2 * REST), Some(7));
        assert_eq!(budget.take_untold(start + 3 * REST), Some(7));
    }

    #[test]
    fn the_first_is_told_and_the_rest_are_counted() {
        let start = Instant::now();
        let mut throttle = LogLimit::default();
        assert_eq!(throttle.tell(start), Some(1));
        assert_eq!(throttle.tell(start), None);
        assert_eq!(throttle.tell(start + REST / 2), None);
        assert_eq!(throttle.tell(start + REST), Some(3));
    }
}
