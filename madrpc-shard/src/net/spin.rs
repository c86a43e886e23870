//! Waiting awake: whether a thread that has nothing to do looks again at once or sleeps until the system wakes it.
//!
//! To sleep and be woken takes longer than a tiny call; to look all the time takes a core. So looking has to pay: a look
//! that finds something sooner than a sleep would have cost earns the difference, and one that takes longer, or finds
//! nothing, spends it. A thread that has spent its credit sleeps each time until the credit, which also grows slowly by
//! itself, is full again, and then tries anew: the other side of a closed loop, which has done the same, answers sooner
//! only once it is awake, so a few looks in a row must be tried and not one. Whatever comes, no more than [`CREDIT`] and
//! one part in [`REFILL`] of the time is looked in vain.
//!
//! One that serves calls close after each other answers at once; one that is idle, or has calls far apart, sleeps.

use std::time::{Duration, Instant};

/// How long to look for more before sleeping, where nothing else is said.
pub const DEFAULT_SPIN: Duration = Duration::from_micros(200);

/// What it costs to sleep and be woken, in time that the core is not there for anything else: twice 10 µs on bare
/// metal, some 50 µs where a hypervisor has to be asked for both.
const SLEEP_COST: Duration = Duration::from_micros(50);

/// The most that can be looked in vain at a stretch. The first calls of a closed loop through an orchestrator, with all
/// three asleep, are some 100 µs apart: enough for 20 of them.
const CREDIT: Duration = Duration::from_millis(2);

/// The time in which one unit of credit grows by itself, in units: the waste is one part in so many, and a rest takes
/// 100 ms.
const REFILL: u32 = 50;

/// A look at the system's scheduler that takes so long has let another thread run, which needs this core more.
const CONTENDED: Duration = Duration::from_micros(100);

/// Waits without a look after one that another thread needed the core in.
const WAITS_CONTENDED: u32 = 16;

/// Decides between a look and sleep.
pub(crate) struct Spin {
    longest: Duration,
    credit: Duration,
    /// Until when `credit` has been refilled.
    refilled: Option<Instant>,
    /// The credit was spent and is not full yet.
    is_resting: bool,
    /// The last thing to do came soon enough for a look at the next.
    is_near: bool,
    /// Waits that are yet to be slept because another thread needed the core.
    contended: u32,
    wait: Option<Wait>,
}

/// A wait for something to do.
#[derive(Clone, Copy)]
struct Wait {
    since: Instant,
    looks: bool,
}

impl Spin {
    /// One that looks for at most `longest`; zero sleeps at once.
    pub(crate) fn new(longest: Duration) -> Self {
        Self {
            longest,
            credit: CREDIT,
            refilled: None,
            is_resting: false,
            is_near: false,
            contended: 0,
            wait: None,
        }
    }

    /// There was something to do.
    pub(crate) fn on_work(&mut self, now: Instant) {
        let Some(wait) = self.wait.take() else {
            return;
        };
        let gap = now.duration_since(wait.since);
        // A sleep is over later than what it waited for has come.
        self.is_near = gap <= self.longest + SLEEP_COST;
        if wait.looks {
            self.credit = (self.credit + SLEEP_COST).min(CREDIT + gap);
            self.spend(gap);
        }
    }

    /// There was nothing to do: whether to look again at once. Any other thread that wants this core has had it before.
    pub(crate) fn looks_again(&mut self, now: Instant) -> bool {
        let looks = self.is_worth_a_look(now);
        if looks {
            let before = Instant::now();
            std::thread::yield_now();
            if before.elapsed() >= CONTENDED {
                self.contend();
            }
        }
        looks
    }

    fn is_worth_a_look(&mut self, now: Instant) -> bool {
        let mut wait = match self.wait {
            Some(wait) => wait,
            None => self.begin_wait(now),
        };
        if wait.looks && now.duration_since(wait.since) >= self.longest {
            wait.looks = false;
            self.spend(self.longest);
        }
        self.wait = Some(wait);
        wait.looks
    }

    fn begin_wait(&mut self, now: Instant) -> Wait {
        let refilled = self.refilled.replace(now).unwrap_or(now);
        let grown = self.credit + now.duration_since(refilled) / REFILL;
        self.credit = grown.min(CREDIT);
        self.is_resting &= self.credit < CREDIT;
        let is_contended = self.contended > 0;
        self.contended = self.contended.saturating_sub(1);
        Wait {
            since: now,
            looks: self.is_near && !self.is_resting && !is_contended,
        }
    }

    fn spend(&mut self, looked: Duration) {
        self.credit = self.credit.saturating_sub(looked);
        self.is_resting |= self.credit.is_zero();
    }

    fn contend(&mut self) {
        self.contended = WAITS_CONTENDED;
        // What has been looked so far found nothing, but not for want of something to do.
        if let Some(wait) = &mut self.wait {
            wait.looks = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONGEST: Duration = Duration::from_micros(200);

    /// A thread whose clock is the test's.
    struct Thread {
        spin: Spin,
        started: Instant,
        now: Instant,
        looked: Duration,
        sleeps: u32,
    }

    impl Thread {
        fn new() -> Self {
            let now = Instant::now();
            Self {
                spin: Spin::new(LONGEST),
                started: now,
                now,
                looked: Duration::ZERO,
                sleeps: 0,
            }
        }

        /// Waits for something that comes so much later.
        fn wait(&mut self, gap: Duration) {
            let (look, since) = (Duration::from_micros(1), self.now);
            while self.now < since + gap {
                if !self.spin.is_worth_a_look(self.now) {
                    self.sleeps += 1;
                    self.now = since + gap;
                    break;
                }
                self.now += look;
                self.looked += look;
            }
            self.spin.on_work(self.now);
        }

        /// Gives how often it slept, and which part of the time it looked, in so many waits, the gaps in turn.
        fn waits(&mut self, gaps_us: &[u64], times: usize) -> (u32, f64) {
            let (started, looked, sleeps) = (self.now, self.looked, self.sleeps);
            for gap in gaps_us.iter().cycle().take(times) {
                self.wait(Duration::from_micros(*gap));
            }
            let part = (self.looked - looked).as_secs_f64() / (self.now - started).as_secs_f64();
            (self.sleeps - sleeps, part)
        }
    }

    #[test]
    fn a_closed_loop_stays_awake() {
        let mut thread = Thread::new();
        let (sleeps, _) = thread.waits(&[13], 10_000);
        assert_eq!(sleeps, 1, "before anything was known");
        // As an orchestrator sees it: the node's reply, then the caller's next call.
        let (sleeps, _) = thread.waits(&[30, 10], 10_000);
        assert_eq!(sleeps, 0);
        // A rare delay costs one sleep, and one that is short of it none.
        let (sleeps, _) = thread.waits(&[1_000], 1);
        assert_eq!(sleeps, 1);
        let (sleeps, _) = thread.waits(&[13], 100);
        assert_eq!(sleeps, 1);
        let (sleeps, _) = thread.waits(&[13, 13, 13, 13, 13, 13, 13, 13, 13, 150], 10_000);
        assert_eq!(sleeps, 0);
    }

    #[test]
    fn a_closed_loop_wakes_up() {
        // Both sides asleep at first; from the tenth wait on each finds the other awake.
        let mut thread = Thread::new();
        let (sleeps, _) = thread.waits(&[110], 10);
        assert_eq!(sleeps, 1);
        let (sleeps, _) = thread.waits(&[13], 1_000);
        assert_eq!(sleeps, 0);
        // After any rest it is tried again.
        thread.waits(&[60, 140], 20_000);
        let (sleeps, _) = thread.waits(&[13], 50_000);
        assert!(sleeps < 10_000, "{sleeps}");
        assert_eq!(thread.waits(&[13], 1_000).0, 0);
    }

    #[test]
    fn calls_far_apart_are_slept_for() {
        for gaps in [
            &[200][..],
            &[60, 140],
            &[100],
            &[190],
            &[250],
            &[10_000],
            &[1_000_000],
        ] {
            let mut thread = Thread::new();
            thread.waits(gaps, 1_000);
            let (_, part) = thread.waits(gaps, 20_000);
            assert!(part <= 0.05, "{gaps:?}: {part}");
        }
    }

    #[test]
    fn nothing_is_not_looked_for() {
        let mut thread = Thread::new();
        thread.waits(&[13], 1_000);
        thread.looked = Duration::ZERO;
        thread.wait(Duration::from_secs(1));
        assert!(thread.looked <= LONGEST);
        thread.looked = Duration::ZERO;
        thread.waits(&[1_000_000], 100);
        assert!(thread.looked.is_zero());
    }

    #[test]
    fn whatever_comes_the_waste_is_bounded() {
        let mut random = fastrand::Rng::with_seed(1);
        for _ in 0..200 {
            let mut thread = Thread::new();
            let kinds = [1, 40, 60, 199, 201, 1_000, 20_000];
            while thread.now < thread.started + Duration::from_secs(1) {
                let (kind, times) = (kinds[random.usize(..kinds.len())], random.usize(1..50));
                let gap = random.u64(kind / 2..=kind);
                let before = thread.looked;
                thread.waits(&[gap], times);
                // What a look saves is no waste.
                let saved = SLEEP_COST * times as u32;
                thread.looked = before + (thread.looked - before).saturating_sub(saved);
            }
            let most = CREDIT + LONGEST + (thread.now - thread.started) / REFILL;
            assert!(thread.looked <= most, "{:?} > {most:?}", thread.looked);
        }
    }

    #[test]
    fn a_stretch_of_one_and_then_of_the_other() {
        let mut thread = Thread::new();
        for _ in 0..20 {
            thread.waits(&[13], 20_000);
            assert_eq!(thread.waits(&[13], 1_000).0, 0);
            thread.waits(&[200], 200);
            let (_, part) = thread.waits(&[200], 5_000);
            assert!(part <= 0.05, "{part}");
        }
    }

    #[test]
    fn a_burst_is_met_awake() {
        let mut thread = Thread::new();
        // Twenty calls close together each 10 ms: a look after the first of them, and one in vain after the last.
        let burst: Vec<u64> = (0..20)
            .map(|at| if at == 0 { 10_000 } else { 10 })
            .collect();
        let (sleeps, _) = thread.waits(&burst, 20 * 100);
        assert_eq!(sleeps, 200);
    }

    #[test]
    fn another_thread_has_the_core() {
        let mut thread = Thread::new();
        thread.waits(&[13], 100);
        assert!(thread.spin.is_worth_a_look(thread.now));
        thread.spin.contend();
        assert!(!thread.spin.is_worth_a_look(thread.now));
        thread.spin.on_work(thread.now);
        let (sleeps, _) = thread.waits(&[13], 100);
        assert_eq!(sleeps, WAITS_CONTENDED);
    }

    #[test]
    fn none_is_none() {
        let mut thread = Thread::new();
        thread.spin = Spin::new(Duration::ZERO);
        thread.waits(&[1], 1_000);
        assert!(thread.looked.is_zero());
    }
}
