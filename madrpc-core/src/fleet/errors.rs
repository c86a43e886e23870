//! Members whose calls of a function end with errors: for `least-loaded`.
//!
//! Who throws at once is idle, and would draw the calls of all. What counts is the time until a call has a result, so what a member
//! has to do counts as more, the fewer of its calls have one. Where a function throws everywhere, that is the same for all, and
//! changes nothing. Nobody is left out for it: whether an error is the function's own or its node's cannot be seen.
//!
//! Of nodes of which each runs a thousand calls in a second, in the simulator, at a load of 0.15 (`tests/simulator/fleets.rs`):
//! the share of the calls that have come to those that throw whatever is called.
//!
//! | | one of 3 | two of 3 | one of 10 | six of 10 |
//! |---|---:|---:|---:|---:|
//! | in turn | 0.33 | 0.67 | 0.10 | 0.60 |
//! | without this | 0.57 | 0.75 | 0.75 | 0.91 |
//! | with it | 0.05 | 0.13 | 0.02 | 0.10 |

use foldhash::fast::RandomState;
use std::collections::HashMap;
use std::time::Instant;

/// How much of a share a call makes up: whether it is an error says little.
const NEW: f32 = 1.0 / 64.0;

/// The share below which it is as if there were none: every function throws now and then.
const SHARE_MIN: f32 = 0.2;

/// Below this it is forgotten.
const SHARE_KEPT: f32 = 0.01;

/// The least share of calls with a result that a member is taken to have: it is tried again, however it has been.
const RESULTS_MIN: f32 = 0.01;

/// The time, in seconds, after which a share of which nothing was heard counts for a third.
const FADES_S: f32 = 5.0;

/// Those of one function that have had errors of late, mostly none.
#[derive(Debug, Default)]
pub(super) struct Errors(HashMap<usize, Share, RandomState>);

#[derive(Debug)]
struct Share {
    errors: f32,
    heard_at: Instant,
}

impl Share {
    fn at(&self, now: Instant) -> f32 {
        let since = now.saturating_duration_since(self.heard_at).as_secs_f32();
        self.errors * (-since / FADES_S).exp()
    }
}

impl Errors {
    /// A call has ended on a member with a result, or an error.
    pub(super) fn note(&mut self, member: usize, is_error: bool, now: Instant) {
        if !is_error && self.0.is_empty() {
            return;
        }
        let before = self.0.get(&member).map(|share| share.at(now));
        let (before, new) = (before.unwrap_or_default(), f32::from(u8::from(is_error)));
        let share = Share {
            errors: before + (new - before) * NEW,
            heard_at: now,
        };
        match share.errors < SHARE_KEPT {
            true => self.0.remove(&member),
            false => self.0.insert(member, share),
        };
    }

    /// A member has the function no more.
    pub(super) fn forget(&mut self, member: usize) {
        self.0.remove(&member);
    }

    /// How many times as much a member has to do for that: the square of what a call with a result takes, as it is better to wait
    /// for one than to have none.
    #[inline]
    pub(super) fn factor(&self, member: usize, now: Instant) -> f32 {
        if self.0.is_empty() {
            return 1.0;
        }
        let share = self.0.get(&member).map(|share| share.at(now));
        match share.filter(|share| *share > SHARE_MIN) {
            Some(share) => (1.0 - share).max(RESULTS_MIN).powi(-2),
            None => 1.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn who_errs_counts_as_busy_until_it_does_not() {
        let now = Instant::now();
        let mut errors = Errors::default();
        for _ in 0..10 {
            errors.note(0, true, now);
        }
        assert_eq!(errors.factor(0, now), 1.0, "as every function now and then");
        for _ in 0..1000 {
            errors.note(0, true, now);
            errors.note(1, false, now);
        }
        assert!(errors.factor(0, now) > 1000.0);
        assert_eq!(errors.factor(1, now), 1.0);
        let later = now + Duration::from_secs(10);
        assert_eq!(errors.factor(0, later), 1.0, "it is tried again");
        for _ in 0..500 {
            errors.note(0, false, now);
        }
        assert!(errors.0.is_empty());
        errors.note(0, true, now);
        errors.note(0, true, now);
        errors.forget(0);
        assert!(errors.0.is_empty());
    }
}
