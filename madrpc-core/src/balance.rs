//! Which upstream a call goes to, and when one that failed is tried again.
//!
//! Selection and back-off are apart: neither knows addresses, sessions or the clock.

use std::time::Duration;

/// Takes the upstreams in turn, passing over those that cannot be used.
#[derive(Debug, Default)]
pub struct RoundRobin {
    next: usize,
}

impl RoundRobin {
    /// The next of `count` upstreams that `usable` accepts, or `None` where it accepts none.
    pub fn pick(&mut self, count: usize, mut usable: impl FnMut(usize) -> bool) -> Option<usize> {
        for step in 0..count {
            let index = (self.next + step) % count;
            if usable(index) {
                self.next = (index + 1) % count;
                return Some(index);
            }
        }
        None
    }
}

/// Takes the session with the fewest calls in flight; among equals, in turn.
#[derive(Debug, Default)]
pub struct FewestInFlight {
    next: usize,
}

impl FewestInFlight {
    /// The one of `count` with the fewest calls; `in_flight` gives `None` for one that cannot be used.
    pub fn pick(
        &mut self,
        count: usize,
        mut in_flight: impl FnMut(usize) -> Option<usize>,
    ) -> Option<usize> {
        let turn = (0..count).map(|step| (self.next + step) % count);
        let loads = turn.filter_map(|index| Some((in_flight(index)?, index)));
        // The first of the smallest.
        let (_, index) = loads.min_by_key(|(calls, _)| *calls)?;
        self.next = (index + 1) % count;
        Some(index)
    }
}

/// How long to wait before an upstream that failed is tried again: 100 ms, doubled by each failure, at most 5 s.
#[derive(Debug, Default)]
pub struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The wait after the first failure.
    pub const FIRST: Duration = Duration::from_millis(100);
    /// The longest wait.
    pub const LONGEST: Duration = Duration::from_secs(5);

    /// Notes a failure and gives the wait before the next try.
    ///
    /// `jitter`, between 0 and 1, takes up to half of it away, so that callers who failed together come back apart.
    pub fn failed(&mut self, jitter: f64) -> Duration {
        let wait = Self::FIRST
            .saturating_mul(1 << self.failures.min(16))
            .min(Self::LONGEST);
        self.failures = self.failures.saturating_add(1);
        wait.mul_f64(1.0 - jitter.clamp(0.0, 1.0) / 2.0)
    }

    /// Notes a success: the next failure is a first one again.
    pub fn succeeded(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upstreams_take_turns() {
        let mut balance = RoundRobin::default();
        let picks: Vec<_> = (0..6).filter_map(|_| balance.pick(3, |_| true)).collect();
        assert_eq!(picks, [0, 1, 2, 0, 1, 2]);
    }

    #[test]
    fn an_unusable_upstream_is_passed_over_and_taken_up_again() {
        let mut balance = RoundRobin::default();
        let picks: Vec<_> = (0..4)
            .filter_map(|_| balance.pick(3, |index| index != 1))
            .collect();
        assert_eq!(picks, [0, 2, 0, 2]);
        assert_eq!(balance.pick(3, |_| true), Some(0));
        assert_eq!(balance.pick(3, |_| true), Some(1));
        assert_eq!(balance.pick(3, |_| false), None);
        assert_eq!(balance.pick(0, |_| true), None);
    }

    #[test]
    fn the_fewest_in_flight_is_next_and_equals_take_turns() {
        let mut balance = FewestInFlight::default();
        let picks: Vec<_> = (0..4)
            .filter_map(|_| balance.pick(3, |_| Some(7)))
            .collect();
        assert_eq!(picks, [0, 1, 2, 0]);
        let loads = [Some(3), None, Some(2), Some(9)];
        for _ in 0..3 {
            assert_eq!(balance.pick(4, |index| loads[index]), Some(2));
        }
        assert_eq!(balance.pick(4, |_| None), None);
        assert_eq!(balance.pick(0, |_| Some(0)), None);
    }

    #[test]
    fn waits_double_up_to_the_longest_and_start_over_after_a_success() {
        let mut backoff = Backoff::default();
        let waits: Vec<_> = (0..8).map(|_| backoff.failed(0.0).as_millis()).collect();
        assert_eq!(waits, [100, 200, 400, 800, 1600, 3200, 5000, 5000]);
        backoff.succeeded();
        assert_eq!(backoff.failed(1.0).as_millis(), 50);
    }
}
