//! Which upstream a call goes to, and when one that failed is tried again.
//!
//! Selection and back-off are apart: neither knows addresses, sessions or the clock.

use crate::numbers::seconds;
use std::time::Duration;

/// The most candidates that a choice looks at, so that it costs the same among many.
const LOOKS_MAX: usize = 32;

/// A set of small numbers, below 2³². To put one in or take it out costs the same however many there are.
#[derive(Debug, Default)]
pub struct Members {
    members: Vec<u32>,
    /// Where each number is among the members.
    places: Vec<u32>,
}

/// The place of a number that is not in the set.
const OUT: u32 = u32::MAX;

impl Members {
    /// Puts a number in the set, or takes it out.
    pub fn set(&mut self, number: usize, is_member: bool) {
        if number >= self.places.len() {
            if !is_member {
                return;
            }
            self.places.resize(number + 1, OUT);
        }
        match (self.places[number], is_member) {
            (OUT, true) => {
                self.places[number] = self.members.len() as u32;
                self.members.push(number as u32);
            }
            (OUT, false) | (_, true) => {}
            (place, false) => {
                self.places[number] = OUT;
                self.members.swap_remove(place as usize);
                if let Some(&moved) = self.members.get(place as usize) {
                    self.places[moved as usize] = place;
                }
            }
        }
    }

    /// Whether a number is in the set.
    #[must_use]
    pub fn contains(&self, number: usize) -> bool {
        self.places.get(number).is_some_and(|place| *place != OUT)
    }

    /// The numbers in the set.
    #[must_use]
    pub fn all(&self) -> impl ExactSizeIterator<Item = usize> {
        self.members.iter().map(|&number| number as usize)
    }

    /// The number at a place among them; the places change as numbers come and go.
    #[must_use]
    pub fn at(&self, place: usize) -> Option<usize> {
        self.members.get(place).map(|&number| number as usize)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }
}

/// A set of upstreams, by their numbers, that takes turns.
#[derive(Debug, Default)]
pub struct RoundRobin {
    upstreams: Members,
    next: usize,
}

impl RoundRobin {
    /// Puts an upstream in the set, or takes it out.
    pub fn set(&mut self, number: usize, is_member: bool) {
        self.upstreams.set(number, is_member);
    }

    /// Whether an upstream is in the set.
    #[must_use]
    pub fn contains(&self, number: usize) -> bool {
        self.upstreams.contains(number)
    }

    /// Upstreams in the set.
    #[must_use]
    pub fn len(&self) -> usize {
        self.upstreams.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.upstreams.is_empty()
    }

    /// All of them, in no order.
    pub fn all(&self) -> impl Iterator<Item = usize> {
        self.upstreams.all()
    }

    /// One of them.
    #[must_use]
    pub fn first(&self) -> Option<usize> {
        self.upstreams.at(0)
    }

    /// What `usable` makes of the next upstream that it accepts, or `None` where it accepts none of the next 32; then those
    /// after them come next.
    pub fn pick<P>(&mut self, mut usable: impl FnMut(usize) -> Option<P>) -> Option<(usize, P)> {
        let count = self.upstreams.len();
        for _ in 0..count.min(LOOKS_MAX) {
            let place = if self.next < count { self.next } else { 0 };
            self.next = place + 1;
            let number = self.upstreams.at(place)?;
            if let Some(picked) = usable(number) {
                return Some((number, picked));
            }
        }
        None
    }
}

impl RoundRobin {
    /// The one with the least of what `score` gives, of those for which it gives something, among the next 32; among equals the
    /// next.
    pub fn least(&mut self, mut score: impl FnMut(usize) -> Option<f32>) -> Option<usize> {
        let count = self.upstreams.len();
        let begin = if self.next < count { self.next } else { 0 };
        let mut least: Option<(f32, usize)> = None;
        for step in 0..count.min(LOOKS_MAX) {
            let number = self.upstreams.at((begin + step) % count)?;
            if let Some(score) = score(number)
                && least.is_none_or(|(before, _)| score < before)
            {
                least = Some((score, number));
            }
        }
        self.next = begin + 1;
        least.map(|(_, number)| number)
    }
}

/// Takes the session with the fewest calls in flight; among equals, in turn.
#[derive(Debug, Default)]
pub struct FewestInFlight {
    next: usize,
}

impl FewestInFlight {
    /// The one of `count` with the fewest calls, among the next 32 where there are more; `in_flight` gives `None` for one
    /// that cannot be used. Where none of the 32 can, there is none, and those after them come next.
    pub fn pick(
        &mut self,
        count: usize,
        mut in_flight: impl FnMut(usize) -> Option<usize>,
    ) -> Option<usize> {
        if count == 1 {
            return in_flight(0).map(|_| 0);
        }
        let mut best: Option<(usize, usize)> = None;
        let looks = count.min(LOOKS_MAX);
        for step in 0..looks {
            let index = (self.next + step) % count;
            if let Some(calls) = in_flight(index)
                && best.is_none_or(|(fewest, _)| calls < fewest)
            {
                best = Some((calls, index));
            }
        }
        let best = best.map(|(_, index)| index);
        self.next = best.map_or(self.next + looks, |index| index + 1) % count.max(1);
        best
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
        seconds(wait.as_secs_f64() * (1.0 - jitter.clamp(0.0, 1.0) / 2.0)).min(wait)
    }

    /// Notes a success: the next failure is a first one again.
    pub fn succeeded(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fewer under Miri, which takes a thousand times as long.
    const MANY: usize = if cfg!(miri) { 300 } else { 100_000 };

    fn picks(balance: &mut RoundRobin, count: usize, unusable: usize) -> Vec<usize> {
        let mut pick = || balance.pick(|number| (number != unusable).then_some(()));
        let picks = (0..count).filter_map(|_| pick());
        picks.map(|(number, ())| number).collect()
    }

    #[test]
    fn upstreams_take_turns() {
        let mut balance = RoundRobin::default();
        assert!(picks(&mut balance, 1, 9).is_empty());
        for number in [0, 1, 2, 1] {
            balance.set(number, true);
        }
        assert_eq!(picks(&mut balance, 6, 9), [0, 1, 2, 0, 1, 2]);
        assert_eq!(picks(&mut balance, 4, 1), [0, 2, 0, 2]);
    }

    #[test]
    fn who_has_left_the_set_has_no_turn_and_all_others_have() {
        let mut balance = RoundRobin::default();
        for number in 0..5 {
            balance.set(number, true);
        }
        for gone in [1, 4, 1] {
            balance.set(gone, false);
        }
        let mut seen = picks(&mut balance, 3, 9);
        seen.sort_unstable();
        assert_eq!(seen, [0, 2, 3]);
        balance.set(1, true);
        assert_eq!((balance.len(), balance.is_empty()), (4, false));
        let mut seen = picks(&mut balance, 4, 9);
        seen.sort_unstable();
        assert_eq!(seen, [0, 1, 2, 3]);
    }

    #[test]
    fn a_choice_among_many_looks_at_few() {
        let mut looks = 0;
        let mut fewest = FewestInFlight::default();
        for _ in 0..100 {
            fewest.pick(MANY, |_| {
                looks += 1;
                Some(1)
            });
        }
        let mut turns = RoundRobin::default();
        for number in 0..MANY {
            turns.set(number, true);
        }
        for _ in 0..100 {
            turns.pick(|_| {
                looks += 1;
                None::<()>
            });
        }
        assert_eq!(looks, 2 * 100 * LOOKS_MAX);
    }

    #[test]
    fn the_only_usable_one_of_many_is_found_in_a_few_picks() {
        let usable = 100;
        let mut turns = RoundRobin::default();
        (0..=usable).for_each(|number| turns.set(number, true));
        let mut fewest = FewestInFlight::default();
        let mut picked = [0; 2];
        for _ in 0..2 * usable / LOOKS_MAX {
            let turn = turns.pick(|number| (number == usable).then_some(()));
            picked[0] += usize::from(turn.is_some());
            let pick = fewest.pick(usable + 1, |index| (index == usable).then_some(1));
            picked[1] += usize::from(pick.is_some());
        }
        assert!(picked.iter().all(|&count| count > 0), "{picked:?}");
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
