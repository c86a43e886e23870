//! How many calls may be under way: as many as were asked for, and fewer where servers refuse some (additive increase,
//! multiplicative decrease, as TCP has it).

use std::time::{Duration, Instant};

/// What is left after a refusal.
const LEFT: f64 = 0.7;

/// Refusals within this time are of one cause.
const ONE_CAUSE: Duration = Duration::from_millis(50);

pub(super) struct Limit {
    most: f64,
    allowed: f64,
    lowered: Option<Instant>,
}

impl Limit {
    pub(super) fn new(most: usize) -> Self {
        Self {
            most: most as f64,
            allowed: most as f64,
            lowered: None,
        }
    }

    pub(super) fn allows(&self, in_flight: usize) -> bool {
        (in_flight as f64) < self.allowed
    }

    /// A call has a result.
    pub(super) fn on_result(&mut self) {
        self.allowed = (self.allowed + 1.0 / self.allowed).min(self.most);
    }

    /// A call was refused by a server that has too much to do, where so many were under way.
    pub(super) fn on_refusal(&mut self, in_flight: usize, now: Instant) {
        let is_known = self
            .lowered
            .is_some_and(|lowered| now.saturating_duration_since(lowered) < ONE_CAUSE);
        if !is_known {
            self.lowered = Some(now);
            self.allowed = (self.allowed.min(in_flight as f64) * LEFT).max(1.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_make_it_less_and_results_make_it_what_it_was() {
        let (mut limit, now) = (Limit::new(100), Instant::now());
        assert!(limit.allows(99) && !limit.allows(100));
        for _ in 0..50 {
            limit.on_refusal(80, now);
        }
        assert!(limit.allows(55) && !limit.allows(57));
        limit.on_refusal(1, now + ONE_CAUSE);
        assert!(limit.allows(0) && !limit.allows(1));
        for _ in 0..5000 {
            limit.on_result();
        }
        assert!(limit.allows(95) && !limit.allows(100));
        for _ in 0..1000 {
            limit.on_result();
        }
        assert!(limit.allows(99) && !limit.allows(100));
    }
}
