//! What a member has to do, and how fast it does it: for `least-loaded`.
//!
//! Prequal (NSDI 2024) goes by two signals of a replica, the requests it has in flight and the latency that it knows itself. Here
//! both come with the replies, for nothing: a bill says how long a call waited for a lane and had the core. Calls are of very
//! different cost, so what is in flight is counted in expected time, by the cost that each function has in the whole fleet; and
//! a member's latency as the multiple of that cost which its calls take.

use std::time::Instant;

/// How much of an average a new figure makes up.
const NEW: f32 = 1.0 / 16.0;

/// What a call costs beside what its bill says, in microseconds: differences far below it say nothing of a member.
const NOISE_US: f32 = 200.0;

/// The time, in seconds, after which a slowness of which nothing was heard counts for a third: then it is tried again.
const FADES_S: f32 = 5.0;

/// The unit of costs that are noted with calls, in microseconds.
const UNIT_US: f32 = 8.0;

/// The cost of a function's calls in the fleet.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Cost {
    us: f32,
}

/// What a call is expected to cost, in units of 8 µs, at the most half a second.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Units(u16);

impl Cost {
    pub(super) fn note(&mut self, us: f32) {
        self.us += (us - self.us) * NEW;
    }

    pub(super) fn units(self) -> Units {
        Units((self.us / UNIT_US) as u16)
    }
}

impl Units {
    fn us(self) -> f32 {
        f32::from(self.0) * UNIT_US + NOISE_US
    }
}

/// What one member has to do.
#[derive(Debug, Clone, Copy)]
pub(super) struct MemberLoad {
    /// Expected time of the calls that were put on it and have not ended, in microseconds.
    under_way_us: f32,
    calls: u32,
    /// How many times as long its calls take as those of others.
    slowness: f32,
    heard_at: Option<Instant>,
}

impl Default for MemberLoad {
    fn default() -> Self {
        Self {
            under_way_us: 0.0,
            calls: 0,
            slowness: 1.0,
            heard_at: None,
        }
    }
}

impl MemberLoad {
    /// When a further call would be through, in microseconds: the less, the better.
    pub(super) fn score(&self, units: Units, now: Instant) -> f32 {
        (self.under_way_us + units.us()) * self.slowness_at(now)
    }

    #[cfg(test)]
    pub(super) const fn calls(&self) -> u32 {
        self.calls
    }

    fn slowness_at(&self, now: Instant) -> f32 {
        let since = self
            .heard_at
            .map_or(0.0, |at| now.saturating_duration_since(at).as_secs_f32());
        1.0 + (self.slowness - 1.0) * (-since / FADES_S).exp()
    }

    pub(super) fn begin(&mut self, units: Units) {
        self.calls = self.calls.saturating_add(1);
        self.under_way_us += units.us();
    }

    pub(super) fn end(&mut self, units: Units) {
        self.calls = self.calls.saturating_sub(1);
        // Sums of fractions drift.
        self.under_way_us = match self.calls {
            0 => 0.0,
            _ => (self.under_way_us - units.us()).max(0.0),
        };
    }

    /// A call of a function that costs so much in the fleet took this member so long.
    pub(super) fn took(&mut self, us: f32, cost: Cost, now: Instant) {
        let ratio = ((us + NOISE_US) / (cost.us + NOISE_US)).clamp(0.01, 1000.0);
        let before = self.slowness_at(now);
        self.slowness = before + (ratio - before) * NEW;
        self.heard_at = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn what_is_slow_or_has_much_to_do_comes_later() {
        let now = Instant::now();
        let mut cost = Cost::default();
        (0..200).for_each(|_| cost.note(1000.0));
        let units = cost.units();
        let (mut idle, mut busy, mut slow) = <(MemberLoad, MemberLoad, MemberLoad)>::default();
        (0..3).for_each(|_| busy.begin(units));
        (0..100).for_each(|_| slow.took(30_000.0, cost, now));
        (0..100).for_each(|_| idle.took(1000.0, cost, now));
        let score = |load: &MemberLoad| load.score(units, now);
        assert!(score(&idle) < score(&busy) && score(&busy) < score(&slow));
        assert!(score(&slow) > 20.0 * score(&idle));
        (0..3).for_each(|_| busy.end(units));
        assert!((score(&busy) - score(&idle)).abs() < 1.0);
        // Nothing is slow for ever.
        let later = now + Duration::from_secs(60);
        assert!(slow.score(units, later) < 1.1 * idle.score(units, later));
    }

    #[test]
    fn the_cost_of_a_call_is_taken_back_as_it_was_noted() {
        let mut load = MemberLoad::default();
        let mut cost = Cost::default();
        let mut noted = Vec::new();
        for call in 0..1000 {
            cost.note((call * 7919 % 100_000) as f32);
            noted.push(cost.units());
            load.begin(cost.units());
        }
        noted.into_iter().for_each(|units| load.end(units));
        assert_eq!((load.calls, load.under_way_us), (0, 0.0));
    }
}
