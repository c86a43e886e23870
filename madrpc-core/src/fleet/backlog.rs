//! Members that have far more to do than the others: in turn they get what they can run, and no more.
//!
//! In turn every member gets as many calls, whether it can run them or not, and one that cannot makes every caller wait whose turn
//! comes to it. It says itself what it has to do and for how many calls. Once that was far more than the others have, what it
//! has is reckoned with between its words too: each call adds what one takes there, time takes it away, and while it has far more
//! than the others it is passed over. Members that are about as busy as each other get as many calls each, as ever. Those that
//! are slow are left out besides (`outliers`), but to know them takes seconds. One of three that is 30 times slower makes the p99
//! of four shards' callers 0.5 s so, and 2 s without (`tests/simulator/fleets.rs`).

use crate::numbers::later;
use foldhash::fast::RandomState;
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// How many times as much as the others a member has to do where that is far more.
const FAR: f32 = 8.0;

/// And so much more, in microseconds: below it nobody waits for long, and turns are fair.
const WAIT_MIN_US: f32 = 20_000.0;

/// The calls that make up a backlog: a few long ones share the core with what comes.
const CALLS_MIN: u32 = 8;

/// For how long it is reckoned with after it was far more.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(60);

/// Those that are reckoned with, mostly none.
#[derive(Debug, Default)]
pub(super) struct Backlogs(HashMap<usize, Backlog, RandomState>);

#[derive(Debug)]
struct Backlog {
    /// When it is through with what it has.
    done_at: Instant,
    /// What one more call takes.
    each: Duration,
    /// What it may have and still gets calls.
    allowed: Duration,
    forgotten_at: Instant,
}

impl Backlogs {
    /// Whether there is any.
    #[inline]
    pub(super) fn is_any(&self) -> bool {
        !self.0.is_empty()
    }

    /// Whether a member gets calls in its turn.
    pub(super) fn takes(&self, member: usize, now: Instant) -> bool {
        let backlog = self.0.get(&member);
        backlog.is_none_or(|backlog| {
            // One that gets no calls says nothing more, whatever it has said.
            let is_forgotten = now >= backlog.forgotten_at;
            is_forgotten || backlog.done_at <= later(now, backlog.allowed)
        })
    }

    /// It was given one.
    #[cold]
    pub(super) fn put_on(&mut self, member: usize, now: Instant) {
        if let Some(backlog) = self.0.get_mut(&member) {
            backlog.done_at = later(backlog.done_at.max(now), backlog.each);
        }
    }

    /// It says that it has so many calls, which take so long in all; `others_us` is asked for what the others have, where there
    /// are any.
    pub(super) fn says(
        &mut self,
        member: usize,
        calls: u32,
        us: f32,
        now: Instant,
        others_us: impl FnOnce() -> Option<f32>,
    ) {
        let has_many = calls >= CALLS_MIN && us > WAIT_MIN_US;
        if !has_many && self.0.is_empty() {
            return;
        }
        let time = |us: f32| Duration::from_micros(us as u64);
        let allowed_us = has_many.then(others_us).flatten();
        let allowed_us = allowed_us.map(|others_us| others_us * FAR + WAIT_MIN_US);
        let is_far = allowed_us.is_some_and(|allowed_us| us > allowed_us);
        if is_far {
            let backlog = Backlog {
                done_at: now,
                each: Duration::ZERO,
                allowed: time(WAIT_MIN_US),
                forgotten_at: now,
            };
            self.0.entry(member).or_insert(backlog).forgotten_at = later(now, FORGOTTEN_AFTER);
        }
        let Some(backlog) = self.0.get_mut(&member) else {
            return;
        };
        if now >= backlog.forgotten_at {
            return self.forget(member);
        }
        backlog.done_at = later(now, time(us));
        if calls > 0 {
            backlog.each = time(us / calls as f32);
        }
        backlog.allowed = time(allowed_us.unwrap_or(WAIT_MIN_US));
    }

    /// It is reckoned with no more.
    pub(super) fn forget(&mut self, member: usize) {
        self.0.remove(&member);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_that_has_far_more_gets_what_it_can_run() {
        let begun = Instant::now();
        let ms = |ms| begun + Duration::from_millis(ms);
        let mut all = Backlogs::default();
        // Neither a few long calls, nor a backlog as the others have it.
        all.says(0, 7, 1e6, begun, || Some(0.0));
        all.says(0, 100, 100_000.0, begun, || Some(10_000.0));
        all.says(0, 100, 100_000.0, begun, || None);
        assert!(!all.is_any() && all.takes(0, begun));
        all.says(0, 10, 300_000.0, begun, || Some(1_000.0));
        assert!(all.is_any() && all.takes(1, begun));
        let mut given = 0;
        for at in 0..3_000 {
            if all.takes(0, ms(at)) {
                all.put_on(0, ms(at));
                given += 1;
            }
        }
        // One each 30 ms, once it is nearly through with those that it had.
        assert!((88..=94).contains(&given), "{given}");
        // It has little to do: it is as quick as the others by now.
        all.says(0, 0, 0.0, ms(3_000), || Some(1_000.0));
        all.says(0, 2, 200.0, ms(3_000), || Some(1_000.0));
        assert!((0..100).all(|_| {
            all.put_on(0, ms(3_000));
            all.takes(0, ms(3_000))
        }));
        all.says(0, 0, 0.0, ms(100_000), || Some(1_000.0));
        assert!(!all.is_any());
        // One that gets no calls has no occasion to take its word back.
        all.says(0, 10, 500e6, begun, || Some(1_000.0));
        assert!(!all.takes(0, begun + FORGOTTEN_AFTER / 2));
        assert!(all.takes(0, begun + FORGOTTEN_AFTER));
    }
}
