//! A timing wheel: very many timers, most of which are removed before they fire.
//!
//! A deadline per call is set and removed a million times a second, so both cost O(1): a timer is a link in the list
//! of its slot. A slot is a millisecond; a timer further away than one revolution is passed over until its turn.

use slab::Slab;
use std::time::{Duration, Instant};

/// Slots of the wheel; a revolution takes as many milliseconds.
const SLOTS: usize = 1024;
const NONE: usize = usize::MAX;

/// Names a timer until it fires or is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimerKey(usize);

#[derive(Debug)]
struct Timer<T> {
    /// Milliseconds after the wheel's epoch.
    at: u64,
    previous: usize,
    next: usize,
    value: T,
}

/// Timers with a value each. A timer never fires early, and at most a millisecond late if the wheel is turned in time.
#[derive(Debug)]
pub struct Wheel<T> {
    timers: Slab<Timer<T>>,
    heads: Box<[usize; SLOTS]>,
    /// A bit for each slot that has timers.
    occupied: [u64; SLOTS / 64],
    epoch: Instant,
    /// All milliseconds up to this one have fired.
    fired: u64,
}

impl<T> Wheel<T> {
    /// A wheel without timers, which has fired everything up to `now`.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self {
            timers: Slab::new(),
            heads: Box::new([NONE; SLOTS]),
            occupied: [0; SLOTS / 64],
            epoch: now,
            fired: 0,
        }
    }

    /// Timers that have not fired.
    #[must_use]
    pub fn len(&self) -> usize {
        self.timers.len()
    }

    /// Whether there is no timer.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.timers.is_empty()
    }

    /// Sets a timer. One that lies in the past fires at the next turn.
    pub fn insert(&mut self, at: Instant, value: T) -> TimerKey {
        let at = self.millisecond_from(at).max(self.fired + 1);
        let slot = slot_of(at);
        let next = self.heads[slot];
        let key = self.timers.insert(Timer {
            at,
            previous: NONE,
            next,
            value,
        });
        if let Some(timer) = self.timers.get_mut(next) {
            timer.previous = key;
        }
        self.heads[slot] = key;
        self.occupied[slot / 64] |= 1 << (slot % 64);
        TimerKey(key)
    }

    /// Removes a timer that has not fired, and gives back its value.
    pub fn remove(&mut self, key: TimerKey) -> Option<T> {
        let Timer {
            at,
            previous,
            next,
            value,
        } = self.timers.try_remove(key.0)?;
        if let Some(timer) = self.timers.get_mut(next) {
            timer.previous = previous;
        }
        match self.timers.get_mut(previous) {
            Some(timer) => timer.next = next,
            None => {
                let slot = slot_of(at);
                self.heads[slot] = next;
                if next == NONE {
                    self.occupied[slot / 64] &= !(1 << (slot % 64));
                }
            }
        }
        Some(value)
    }

    /// Removes a timer that is due at `now` and gives its value; call it until it gives `None`.
    pub fn expire(&mut self, now: Instant) -> Option<T> {
        let now = now.saturating_duration_since(self.epoch).as_millis() as u64;
        while self.fired < now {
            let at = self.fired + 1;
            let mut key = self.heads[slot_of(at)];
            while let Some(timer) = self.timers.get(key) {
                if timer.at <= at {
                    return self.remove(TimerKey(key));
                }
                key = timer.next;
            }
            self.fired = match self.next_occupied(at) {
                Some(next) => (next - 1).min(now),
                None => now,
            };
        }
        None
    }

    /// When to turn the wheel next; it may then find only timers of a later revolution.
    #[must_use]
    pub fn next(&self) -> Option<Instant> {
        let at = self.next_occupied(self.fired)?;
        Some(self.epoch + Duration::from_millis(at))
    }

    /// The first millisecond after `after`, within one revolution, whose slot has timers.
    fn next_occupied(&self, after: u64) -> Option<u64> {
        let start = slot_of(after + 1);
        let words = SLOTS / 64;
        // The first word is visited twice: its upper bits at first, its lower bits after the revolution.
        for step in 0..=words {
            let word = (start / 64 + step) % words;
            let mask = match step {
                0 => u64::MAX << (start % 64),
                _ if step == words => !(u64::MAX << (start % 64)),
                _ => u64::MAX,
            };
            let bits = self.occupied[word] & mask;
            if bits != 0 {
                let slot = word * 64 + bits.trailing_zeros() as usize;
                let ahead = (slot + SLOTS - start) % SLOTS;
                return Some(after + 1 + ahead as u64);
            }
        }
        None
    }

    /// Rounded up, so that no timer fires early.
    fn millisecond_from(&self, at: Instant) -> u64 {
        let since = at.saturating_duration_since(self.epoch);
        since.as_nanos().div_ceil(1_000_000) as u64
    }
}

fn slot_of(millisecond: u64) -> usize {
    (millisecond % SLOTS as u64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fired(wheel: &mut Wheel<u64>, now: Instant) -> Vec<u64> {
        let mut values: Vec<u64> = std::iter::from_fn(|| wheel.expire(now)).collect();
        values.sort_unstable();
        values
    }

    #[test]
    fn timers_fire_in_their_millisecond_and_never_early() {
        let start = Instant::now();
        let mut wheel = Wheel::new(start);
        let delays_us = [
            0, 1, 999, 1000, 1001, 5000, 1_023_000, 1_024_000, 1_025_000, 70_000_000,
        ];
        for delay in delays_us {
            wheel.insert(start + Duration::from_micros(delay), delay);
        }
        let mut seen = Vec::new();
        for millisecond in 0..=70_000 {
            let now = start + Duration::from_millis(millisecond);
            for delay in fired(&mut wheel, now) {
                assert!(
                    delay <= millisecond * 1000,
                    "{delay} us fired at {millisecond} ms"
                );
                assert!(
                    delay + 2000 > millisecond * 1000,
                    "{delay} us fired at {millisecond} ms"
                );
                seen.push(delay);
            }
        }
        assert_eq!(seen, delays_us);
        assert!(wheel.is_empty());
    }

    #[test]
    fn the_next_turn_is_never_after_the_next_timer() {
        let start = Instant::now();
        let mut wheel = Wheel::new(start);
        assert_eq!(wheel.next(), None);
        for delay in [1, 63, 64, 65, 1000, 1024, 5000] {
            let at = start + Duration::from_millis(delay);
            let key = wheel.insert(at, delay);
            let mut turns = 0;
            let mut now = start;
            while wheel.expire(now).is_none() {
                now = wheel.next().unwrap();
                assert!(now <= at, "{delay} ms: woken after it was due");
                turns += 1;
                assert!(turns < 10, "{delay} ms: woken {turns} times");
            }
            assert_eq!(wheel.remove(key), None);
            wheel = Wheel::new(start);
        }
    }

    #[test]
    fn removed_timers_do_not_fire_and_leave_the_others() {
        let start = Instant::now();
        let mut wheel = Wheel::new(start);
        let at = start + Duration::from_millis(10);
        let keys: Vec<_> = (0..9).map(|value| wheel.insert(at, value)).collect();
        for index in [0, 4, 8] {
            assert_eq!(wheel.remove(keys[index]), Some(index as u64));
        }
        assert_eq!(fired(&mut wheel, at), [1, 2, 3, 5, 6, 7]);
        assert_eq!(wheel.next(), None);
    }

    #[test]
    fn a_wheel_that_was_not_turned_for_long_catches_up() {
        let start = Instant::now();
        let mut wheel = Wheel::new(start);
        for delay in [3, 900, 2000, 100_000] {
            wheel.insert(start + Duration::from_millis(delay), delay);
        }
        assert_eq!(
            fired(&mut wheel, start + Duration::from_secs(50)),
            [3, 900, 2000]
        );
        assert_eq!(wheel.len(), 1);
    }
}
