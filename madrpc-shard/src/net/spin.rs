//! Waiting awake: whether a thread that has nothing to do looks again at once or sleeps until the system wakes it.
//!
//! To sleep and be woken takes some 20 to 50 µs each time, and as much of a core; to look all the time costs the whole. So a
//! thread stays awake while things to do come closer after each other than the longest look, on average, and no longer than
//! that after the last. One that answers a single caller all the time does so at once; one whose calls come every 200 µs
//! sleeps in between, as looking would cost more than that.

use std::time::{Duration, Instant};

/// How long a shard looks for more before sleeping, where nothing else is said.
#[cfg(target_os = "linux")]
pub const DEFAULT_SPIN: Duration = Duration::from_micros(50);

/// How long who waits for a reply looks for it before sleeping.
pub(crate) const REPLY_SPIN: Duration = Duration::from_micros(200);

/// A look at the system's scheduler that takes so long has let another thread run, which needs this core more.
const CONTENDED: Duration = Duration::from_micros(100);

/// How much of the average the latest gap is.
const WEIGHT: u32 = 8;

/// Decides between a look and sleep.
pub(crate) struct Spin {
    longest: Duration,
    /// Average of the gaps between things to do, none counted as more than a few times the longest look.
    gap: Duration,
    idle_since: Option<Instant>,
    /// When the look was begun that goes on.
    look: Option<Instant>,
    spent: Duration,
}

impl Spin {
    /// One that looks for at most `longest`; zero sleeps at once.
    pub(crate) fn new(longest: Duration) -> Self {
        Self {
            longest,
            gap: longest,
            idle_since: None,
            look: None,
            spent: Duration::ZERO,
        }
    }

    /// A turn begins, and if there was a look, that is over: what the turn does is work, whatever has woken it.
    #[inline]
    pub(crate) fn on_turn(&mut self, now: Instant) {
        if let Some(begun) = self.look.take() {
            let took = now.saturating_duration_since(begun);
            self.spent = self.spent.saturating_add(took.min(self.longest));
        }
    }

    /// There was something to do.
    pub(crate) fn on_work(&mut self, now: Instant) {
        if let Some(since) = self.idle_since.take() {
            let gap = now.duration_since(since).min(self.longest * WEIGHT);
            self.gap = (self.gap * (WEIGHT - 1) + gap) / WEIGHT;
        }
    }

    /// Whether things to do come so close after each other that there is no sleeping in between.
    pub(crate) fn is_busy(&self) -> bool {
        self.gap < self.longest
    }

    /// There was nothing to do: whether to look again at once. Whoever else wants this core has had it before.
    pub(crate) fn looks_again(&mut self, now: Instant) -> bool {
        let looks = self.is_worth_a_look(now);
        if looks {
            let before = Instant::now();
            std::thread::yield_now();
            self.begin_look(now, before.elapsed());
        }
        looks
    }

    /// The turn that began at `now` had nothing to do; then the core was away for so long.
    fn begin_look(&mut self, now: Instant, away: Duration) {
        let is_contended = away >= CONTENDED;
        if is_contended {
            self.gap = self.longest * WEIGHT;
        }
        self.look = (!is_contended).then_some(now);
    }

    /// How long it has looked without finding anything, in all.
    pub(crate) const fn spent(&self) -> Duration {
        self.spent
    }

    fn is_worth_a_look(&mut self, now: Instant) -> bool {
        let since = *self.idle_since.get_or_insert(now);
        self.is_busy() && now.duration_since(since) < self.longest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONGEST: Duration = Duration::from_micros(200);

    /// Things to do, each so long after the last; gives how often there was a look and no sleep in between.
    fn looks(spin: &mut Spin, now: &mut Instant, gap: Duration, times: u32) -> u32 {
        let mut looks = 0;
        for _ in 0..times {
            looks += u32::from(spin.is_worth_a_look(*now));
            *now += gap;
            spin.on_work(*now);
        }
        looks
    }

    #[test]
    fn only_a_busy_thread_stays_awake() {
        let mut now = Instant::now();
        let mut spin = Spin::new(LONGEST);
        // Far apart: it sleeps each time.
        assert_eq!(looks(&mut spin, &mut now, LONGEST * 2, 50), 0);
        // Close together: it stays awake once that is the rule.
        assert!(looks(&mut spin, &mut now, LONGEST / 4, 100) > 80);
        // Nothing more: it looks for as long as the longest, and sleeps.
        let last = now;
        while spin.is_worth_a_look(now) {
            now += Duration::from_micros(10);
            assert!(now <= last + LONGEST);
        }
        // A second later, and again: it has forgotten that it was busy.
        looks(&mut spin, &mut now, Duration::from_secs(1), 3);
        assert!(!spin.is_worth_a_look(now));
    }

    #[test]
    fn none_is_none() {
        let mut now = Instant::now();
        let mut spin = Spin::new(Duration::ZERO);
        assert_eq!(looks(&mut spin, &mut now, Duration::from_nanos(1), 100), 0);
    }

    #[test]
    fn time_is_spent_looking_and_not_asleep() {
        let mut spin = Spin::new(LONGEST);
        let mut now = Instant::now();
        spin.gap = Duration::ZERO;
        // On a busy machine the first look ends the looking.
        let begun = now;
        while spin.looks_again(now) {
            spin.begin_look(now, Duration::ZERO);
            now += LONGEST / 4;
            spin.on_turn(now);
        }
        let spent = now - begun;
        assert!(!spent.is_zero() && spin.spent() == spent);
        spin.on_turn(now + LONGEST);
        assert_eq!(spin.spent(), spent);
    }

    #[test]
    fn a_look_ends_where_a_turn_begins_and_is_none_while_another_has_the_core() {
        let mut spin = Spin::new(LONGEST);
        let mut now = Instant::now();
        spin.begin_look(now, Duration::ZERO);
        now += LONGEST / 2;
        spin.on_turn(now);
        // A timer or a bell has woken it, and a message comes after much work for that.
        now += LONGEST * 10;
        spin.on_turn(now);
        spin.on_work(now);
        assert_eq!(spin.spent(), LONGEST / 2);
        spin.begin_look(now, CONTENDED);
        spin.on_turn(now + LONGEST);
        assert_eq!(spin.spent(), LONGEST / 2);
        // The system has not let it run again for long.
        spin.begin_look(now, Duration::ZERO);
        spin.on_turn(now + LONGEST * 50);
        assert_eq!(spin.spent(), LONGEST / 2 + LONGEST);
    }
}
