//! How many calls may be tried again: a share of those that were made, so that retries never make an outage worse.

use std::time::{Duration, Instant};

/// Retries for each call that was made of late (Envoy's and Finagle's share).
const SHARE: f64 = 0.2;

/// What was made longer ago counts for little.
const RECENT: Duration = Duration::from_secs(10);

/// Retries in a second that there always are, so that a caller with few calls has some (Finagle's floor).
const FLOOR_PER_SECOND: f64 = 10.0;

/// As many of those at once.
const FLOOR_MAX: f64 = 100.0;

/// The budget of one router.
#[derive(Debug)]
pub struct RetryBudget {
    /// Calls since `counted_at`, and those before, each by how long ago it was made.
    calls: f64,
    /// Retries since then, likewise.
    retries: f64,
    floor: f64,
    counted_at: Instant,
}

impl RetryBudget {
    /// A budget with nothing spent.
    #[must_use]
    pub const fn new(now: Instant) -> Self {
        Self {
            calls: 0.0,
            retries: 0.0,
            floor: FLOOR_MAX,
            counted_at: now,
        }
    }

    /// A call is made.
    #[inline]
    pub fn on_call(&mut self) {
        self.calls += 1.0;
    }

    /// A retry that was taken did not come about.
    pub fn give_back(&mut self) {
        self.floor = (self.floor + 1.0).min(FLOOR_MAX);
    }

    /// Takes one retry, where there is one.
    pub fn take(&mut self, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.counted_at).as_secs_f64();
        // Not at each: what it changes in so short a time is nothing.
        if passed > 0.001 {
            let left = (-passed / RECENT.as_secs_f64()).exp();
            self.calls *= left;
            self.retries *= left;
            self.floor = (self.floor + passed * FLOOR_PER_SECOND).min(FLOOR_MAX);
            self.counted_at = now;
        }
        if self.retries + 1.0 <= self.calls * SHARE {
            self.retries += 1.0;
            return true;
        }
        let has_floor = self.floor >= 1.0;
        if has_floor {
            self.floor -= 1.0;
        }
        has_floor
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// So many calls and wishes to retry a second, for so long; gives the retries.
    fn run(budget: &mut RetryBudget, begun: Instant, seconds: u32, calls: u32, wishes: u32) -> u32 {
        let mut taken = 0;
        for millisecond in 0..seconds * 1000 {
            let now = begun + Duration::from_millis(millisecond.into());
            let due = |rate: u32| (millisecond + 1) * rate / 1000 - millisecond * rate / 1000;
            (0..due(calls)).for_each(|_| budget.on_call());
            taken += (0..due(wishes)).filter(|_| budget.take(now)).count() as u32;
        }
        taken
    }

    #[test]
    fn retries_are_a_share_of_the_calls_and_a_few_more() {
        let begun = Instant::now();
        let mut budget = RetryBudget::new(begun);
        let taken = run(&mut budget, begun, 60, 1000, 1000);
        let share = 60_000.0 * SHARE;
        let floor = FLOOR_MAX + 60.0 * FLOOR_PER_SECOND;
        let taken = f64::from(taken);
        assert!(
            taken >= share * 0.95 && taken <= share + floor + 1.0,
            "{taken}"
        );
    }

    #[test]
    fn a_caller_with_few_calls_has_the_floor_and_no_more() {
        let begun = Instant::now();
        let mut budget = RetryBudget::new(begun);
        let taken = f64::from(run(&mut budget, begun, 10, 1, 1000));
        let floor = FLOOR_MAX + 10.0 * FLOOR_PER_SECOND;
        assert!((floor * 0.95..=floor + 10.0).contains(&taken), "{taken}");
    }

    #[test]
    fn what_was_made_long_ago_does_not_count() {
        let begun = Instant::now();
        let mut budget = RetryBudget::new(begun);
        run(&mut budget, begun, 10, 10_000, 0);
        let later = begun + Duration::from_secs(200);
        let burst = (0..10_000).filter(|_| budget.take(later)).count();
        assert!(burst <= 101, "{burst}");
    }
}
