//! What a member has to do, and how fast it does it: for `least-loaded`.
//!
//! Prequal (NSDI 2024) goes by two signals of a replica, the requests it has in flight and the latency that it knows itself. Here
//! both come with the replies, for nothing: a bill says how long a call waited for a lane and had the core, and once in a
//! millisecond at the most a reply says what its shard has to do in all. Calls are of very different cost, so what is in flight is
//! counted in expected time: by the cost that each function has in the whole fleet for the calls that we have put on a member, and
//! as the member says for those of others. A member's latency is the multiple of that cost which its calls take.
//!
//! p99 in milliseconds of calls that take 1 ms, in the simulator (`cargo bench -p madrpc-benches --bench balance`, eight shards
//! where nothing else is said; in turn without what `backlog` does since):
//!
//! | fleet | round-robin | two choices | least in flight | in flight × latency | this, by its own calls alone | this |
//! |---|---:|---:|---:|---:|---:|---:|
//! | 10 equals, load 0.7 | 15.8 | 14.3 | 13.0 | 12.4 | 12.4 | 9.4 |
//! | 3, one 30 times slower | 2,193 | 2,229 | 309 | 13.3 | 13.7 | 14.0 |
//! | 10, half 2 times slower | 189 | 37 | 31 | 24.9 | 22.1 | 13.6 |
//! | mixed: 99 % of 0.1 ms, 1 % of 100 ms (p99.9) | 392 | 333 | 332 | 704 | 378 | 181 |
//! | 10,000 members, 100 shards with 20 each | 87 | 13.6 | 7.3 | 7.4 | 7.5 | 6.6 |
//! | 10 equals, 100 shards | 20.6 | 20.1 | 20.6 | 19.5 | 21.2 | 18.0 |
//! | 10, half 2 times slower, 100 shards | 184 | 89 | 156 | 28.6 | 28.6 | 23.9 |
//!
//! The product of calls and latency loses where calls are mixed: one long call makes a member look slow. What others have put on
//! a member fades towards the mean of all, not towards nothing: else many shards run to whoever has said nothing for a while, or
//! has just come (p99.9 where nodes are restarted in turn 75 ms, and 26 so).
//!
//! There is no slow start. Counting a member that has just come as twice or four times as slow was tried, with nodes that are
//! restarted in turn and whose first calls take 20 ms longer: p99 20 and 32 ms, and 16 without, as the others miss it and its
//! lanes are made later. In turn a new member gets its part and no more, so nothing floods it.

use crate::call::Load;
use crate::limits::LOAD_INTERVAL;
use std::time::Instant;

/// How much of an average a new figure makes up.
const NEW: f32 = 1.0 / 16.0;

/// The same of the time on the core: whoever is slow ends few calls.
const NEW_PACE: f32 = 1.0 / 4.0;

/// What a call costs beside what its bill says, in microseconds: differences far below it say nothing of a member.
const NOISE_US: f32 = 200.0;

/// A call that fails counts as one that took so many times as long as usual.
const FAILURE: f32 = 100.0;

/// The time, in seconds, after which a slowness of which nothing was heard counts for a third: then it is tried again.
const FADES_S: f32 = 5.0;

/// The age at which half of what a member has said of its load counts, and half of what all say.
const REPORT_HALVES_S: f32 = 0.02;

/// More than this nobody has to do, in microseconds, whatever he says.
pub(super) const REPORT_MAX_US: u64 = 60_000_000;

/// How much of the mean over the members a new figure makes up.
const NEW_OF_ALL: f32 = 1.0 / 64.0;

/// A figure counts there for no more than so many times the mean, and some microseconds: the word of one member does not decide
/// what all the others are taken for.
const MEANS_MAX: f32 = 4.0;
const MEAN_MIN_US: f32 = 1000.0;

/// The unit of costs that are noted with calls, in microseconds.
const UNIT_US: f32 = 8.0;

/// What a call took at a member, by its bill.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Took {
    /// The time that it waited for a lane, in microseconds.
    pub queue_us: u64,
    /// The time that it had the core.
    pub cpu_us: u64,
}

/// The cost of a function's calls in the fleet: waiting included, and on the core alone.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Cost {
    us: f32,
    cpu_us: f32,
}

/// What a call is expected to cost, in units of 8 µs, at the most half a second.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Units(u16);

impl Cost {
    pub(super) fn note(&mut self, took: Took) {
        self.us += (took.us() - self.us) * NEW;
        self.cpu_us += (took.cpu_us as f32 - self.cpu_us) * NEW;
    }

    /// How many times as long as elsewhere a call had the core.
    pub(super) fn pace(self, took: Took) -> f32 {
        ratio(took.cpu_us as f32, self.cpu_us)
    }

    pub(super) fn units(self) -> Units {
        Units((self.us / UNIT_US) as u16)
    }
}

impl Took {
    fn us(self) -> f32 {
        self.queue_us.saturating_add(self.cpu_us) as f32
    }
}

fn ratio(us: f32, usual_us: f32) -> f32 {
    ((us + NOISE_US) / (usual_us + NOISE_US)).clamp(0.01, 1000.0)
}

impl Units {
    fn us(self) -> f32 {
        f32::from(self.0) * UNIT_US + NOISE_US
    }
}

/// What a member has to do for others than us, on average, in microseconds.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct OthersMean(f32);

impl OthersMean {
    pub(super) fn note(&mut self, us: f32) {
        let us = us.min(self.0 * MEANS_MAX + MEAN_MIN_US);
        self.0 += (us - self.0) * NEW_OF_ALL;
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
    /// The same of the time on the core alone, as a logarithm, by which one call that costs a multiple counts for little; and how
    /// many calls say so that were not asked for yet.
    pace_ln: f32,
    samples: u16,
    /// The part of one of its shards that we have sessions to: calls take turns on those.
    part: f32,
    /// What the shard of it that has spoken last has to do for others, when that was, and when it last went into the mean.
    others_us: f32,
    /// The same for all.
    said_us: f32,
    reported_at: Option<Instant>,
    in_mean_at: Option<Instant>,
}

impl Default for MemberLoad {
    fn default() -> Self {
        Self {
            under_way_us: 0.0,
            calls: 0,
            slowness: 1.0,
            heard_at: None,
            pace_ln: 0.0,
            samples: 0,
            part: 1.0,
            others_us: 0.0,
            said_us: 0.0,
            reported_at: None,
            in_mean_at: None,
        }
    }
}

impl MemberLoad {
    /// When a further call would be through, in microseconds: the less, the better.
    pub(super) fn score(&self, units: Units, mean: OthersMean, now: Instant) -> f32 {
        let own_us = self.under_way_us * self.part + units.us();
        own_us * self.slowness_at(now) + self.others_us_at(mean, now)
    }

    /// What it has to do for others: as it has said, and, the longer ago that is, as much as the others of the fleet.
    fn others_us_at(&self, OthersMean(mean): OthersMean, now: Instant) -> f32 {
        let Some(at) = self.reported_at else {
            return mean;
        };
        let age = now.saturating_duration_since(at).as_secs_f32();
        mean + (self.others_us - mean) * REPORT_HALVES_S / (REPORT_HALVES_S + age)
    }

    /// One of so many shards has said what it has to do.
    pub(super) fn report(&mut self, load: Load, shards: usize, now: Instant) {
        self.part = 1.0 / shards.clamp(1, usize::from(u16::MAX)) as f32;
        let expected_us = load.expected_us.min(REPORT_MAX_US) as f32;
        self.others_us = (expected_us - self.under_way_us * self.part).max(0.0);
        self.said_us = expected_us;
        self.reported_at = Some(now);
    }

    /// What it has to do, in microseconds, as it has said, if it has worked since.
    pub(super) fn said_us(&self, now: Instant) -> f32 {
        let since = |at| now.saturating_duration_since(at).as_micros() as f32;
        (self.said_us - self.reported_at.map_or(0.0, since)).max(0.0)
    }

    /// What it has to do for others, in microseconds, to go into the mean: one with many shards counts for no more than another.
    pub(super) fn others_us_of_interval(&mut self, now: Instant) -> Option<f32> {
        let is_in = |at| now.saturating_duration_since(at) < LOAD_INTERVAL;
        if self.in_mean_at.is_some_and(is_in) {
            return None;
        }
        self.in_mean_at = Some(now);
        Some(self.others_us)
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
    pub(super) fn took(&mut self, took: Took, cost: Cost, now: Instant) {
        let before = self.slowness_at(now);
        self.slowness = before + (ratio(took.us(), cost.us) - before) * NEW;
        self.heard_at = Some(now);
        self.pace_ln += (cost.pace(took).ln() - self.pace_ln) * NEW_PACE;
        self.samples = self.samples.saturating_add(1);
    }

    /// It has failed a call, or refused it: as fast as that was, it does not draw further ones.
    pub(super) fn failed(&mut self, now: Instant) {
        let before = self.slowness_at(now);
        self.slowness = before + (FAILURE - before).max(0.0) * NEW;
        self.heard_at = Some(now);
    }

    /// How many times as long as elsewhere its calls have the core.
    pub(super) fn pace(&self) -> f32 {
        self.pace_ln.exp()
    }

    /// The same, where so many since it gave that last say so.
    pub(super) fn take_pace(&mut self, samples_min: u16) -> Option<f32> {
        if self.samples < samples_min {
            return None;
        }
        self.samples = 0;
        Some(self.pace())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const fn on_core(cpu_us: u64) -> Took {
        Took {
            queue_us: 0,
            cpu_us,
        }
    }

    #[test]
    fn what_is_slow_or_has_much_to_do_comes_later() {
        let now = Instant::now();
        let mut cost = Cost::default();
        (0..200).for_each(|_| cost.note(on_core(1000)));
        let units = cost.units();
        let (mut idle, mut busy, mut slow) = <(MemberLoad, MemberLoad, MemberLoad)>::default();
        (0..3).for_each(|_| busy.begin(units));
        (0..100).for_each(|_| slow.took(on_core(30_000), cost, now));
        (0..100).for_each(|_| idle.took(on_core(1000), cost, now));
        let score = |load: &MemberLoad| load.score(units, OthersMean::default(), now);
        assert!(score(&idle) < score(&busy) && score(&busy) < score(&slow));
        assert!(score(&slow) > 20.0 * score(&idle));
        (0..3).for_each(|_| busy.end(units));
        assert!((score(&busy) - score(&idle)).abs() < 1.0);
        // Nothing is slow for ever.
        let none = OthersMean::default();
        let later = now + Duration::from_secs(60);
        assert!(slow.score(units, none, later) < 1.1 * idle.score(units, none, later));
    }

    #[test]
    fn who_fails_fast_draws_no_calls() {
        let now = Instant::now();
        let (mut failing, mut busy) = <(MemberLoad, MemberLoad)>::default();
        let units = Cost::default().units();
        let none = OthersMean::default();
        (0..5).for_each(|_| failing.failed(now));
        (0..10).for_each(|_| busy.begin(units));
        assert!(failing.score(units, none, now) > busy.score(units, none, now));
        let later = now + Duration::from_secs(60);
        assert!(failing.score(units, none, later) < busy.score(units, none, later));
    }

    #[test]
    fn what_a_member_does_for_others_counts_and_less_the_longer_ago_it_was_said() {
        let now = Instant::now();
        let load = |expected_us| Load {
            expected_us,
            ..Load::default()
        };
        let (mut busy, mut idle, unheard) = <(MemberLoad, MemberLoad, MemberLoad)>::default();
        let units = Cost::default().units();
        let mut mean = OthersMean::default();
        // What is ours of it is known better.
        (0..4).for_each(|_| busy.begin(units));
        busy.report(load(5_800), 1, now);
        assert_eq!(busy.others_us, 5_000.0);
        (0..4).for_each(|_| busy.end(units));
        idle.report(load(0), 1, now);
        assert_eq!(idle.others_us, 0.0);
        (0..1000).for_each(|_| mean.note(2_500.0));
        let score = |load: &MemberLoad, at| load.score(units, mean, at);
        assert!(score(&idle, now) < score(&unheard, now));
        assert!(score(&unheard, now) < score(&busy, now));
        let later = now + Duration::from_secs(10);
        assert!((score(&idle, later) - score(&busy, later)).abs() < 20.0);
        // Of four shards each has a part of what we have put there.
        (0..4).for_each(|_| busy.begin(units));
        busy.report(load(1_200), 4, now);
        assert_eq!(busy.others_us, 1_000.0);
        busy.report(load(u64::MAX), 0, now);
        assert!(busy.others_us <= REPORT_MAX_US as f32);
    }

    #[test]
    fn one_member_that_says_anything_does_not_change_who_of_the_others_is_next() {
        let begun = Instant::now();
        let (mut mean, mut members) = (OthersMean::default(), [MemberLoad::default(); 10]);
        for millisecond in 0..1000 {
            let now = begun + Duration::from_millis(millisecond);
            for (number, member) in members.iter_mut().enumerate() {
                // Of the liar there are many shards.
                let (us, shards) = if number == 0 {
                    (u64::MAX, 64)
                } else {
                    (2_000, 1)
                };
                for _ in 0..shards {
                    let expected_us = us;
                    let load = Load {
                        expected_us,
                        ..Load::default()
                    };
                    member.report(load, shards, now);
                    if let Some(us) = member.others_us_of_interval(now) {
                        mean.note(us);
                    }
                }
            }
        }
        assert!((1_800.0..4_000.0).contains(&mean.0), "{}", mean.0);
        // Idle for half as long as its word counts half: it comes before those that are busy and have just said so.
        let now = begun + Duration::from_secs(1);
        let [busy, idle] = &mut members[1..3] else {
            return;
        };
        let load = Load::default();
        idle.report(load, 1, now);
        let later = now + Duration::from_millis(10);
        let load = Load {
            expected_us: 2_000,
            ..load
        };
        busy.report(load, 1, later);
        let units = Cost::default().units();
        assert!(idle.score(units, mean, later) < busy.score(units, mean, later));
    }

    #[test]
    fn the_cost_of_a_call_is_taken_back_as_it_was_noted() {
        let mut load = MemberLoad::default();
        let mut cost = Cost::default();
        let mut noted = Vec::new();
        for call in 0..1000 {
            cost.note(on_core(call * 7919 % 100_000));
            noted.push(cost.units());
            load.begin(cost.units());
        }
        noted.into_iter().for_each(|units| load.end(units));
        assert_eq!((load.calls, load.under_way_us), (0, 0.0));
    }
}
