//! How long a call would wait for the core: refused at once is better than begun in vain.
//!
//! What a function's calls cost is learnt from those that end. The sum over the calls that want the core or a lane, each with its
//! whole cost until it is over, is the time that a further one will take: by Little's law, whatever the order is in which
//! they have the core. Of several callers each has an equal part, so one whose calls are few does not wait for those who have many.
//!
//! Without this, calls that come faster than they can be run share the core until their deadlines, and hardly any of them ends before.
//!
//! Calls of calls are never refused for it: what their parents have done would be lost.

use super::call::Ticket;
use super::rows::Load;
use super::shard_id::ShardId;
use madrpc_core::call::{CallError, ErrorKind};
use std::time::{Duration, Instant};

/// How much of an average a new figure makes up.
const NEW: f32 = 1.0 / 16.0;

/// A call that costs more than so many others counts for so many: one of another kind shall not make all others look like it,
/// and ten of them do.
const OUTLIER: f32 = 8.0;

/// What is added to a cost before it is told from an outlier: that of the smallest calls is chance.
const NOISE_US: f32 = 20.0;

/// A wait that is shorter is not refused: what it would be is chance.
const WAIT_MIN: Duration = Duration::from_millis(10);

const MICROSECOND: Duration = Duration::from_micros(1);

/// How long the core is watched for what calls have of it.
const WINDOW: Duration = Duration::from_millis(20);

/// How much of the core calls are taken to have at the least.
const RATE_MIN: f32 = 0.05;

/// What the calls of a function cost, in microseconds of the core; nothing as long as none has ended.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Cost(f32);

impl Cost {
    /// A call has cost so much.
    #[inline]
    pub(super) fn note(&mut self, cpu: Duration) {
        // Whole microseconds count: most calls take none.
        if self.0 < 1.0 && cpu < MICROSECOND {
            return;
        }
        let us = us_of(cpu);
        self.0 = match self.0 {
            0.0 => us,
            cost => cost + (us.min((cost + NOISE_US) * OUTLIER) - cost) * NEW,
        };
    }

    /// A call was cut off that would have cost more than this.
    pub(super) fn note_at_least(&mut self, cpu: Duration) {
        if us_of(cpu) > self.0 {
            self.note(cpu);
        }
    }

    #[inline]
    pub(super) fn us(self) -> u32 {
        self.0 as u32
    }
}

/// In microseconds. A conversion of all its nanoseconds, 128 bits, is a call of the library, and that of seconds a division.
fn us_of(time: Duration) -> f32 {
    time.as_secs() as f32 * 1e6 + time.subsec_nanos() as f32 * 1e-3
}

/// How much of the time calls have the core, while there are some that want it.
#[derive(Debug)]
pub(super) struct Rate {
    rate: f32,
    since: Instant,
    had: Duration,
}

impl Rate {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            rate: 1.0,
            since: now,
            had: Duration::ZERO,
        }
    }

    /// A call had the core for so long.
    #[inline]
    pub(super) fn note(&mut self, time: Duration) {
        self.had = self.had.saturating_add(time);
    }

    /// Once in a turn: whether there are calls that want the core.
    #[inline]
    pub(super) fn look(&mut self, are_some: bool, now: Instant) {
        let passed = now.saturating_duration_since(self.since);
        if are_some && passed < WINDOW {
            return;
        }
        if are_some {
            let rate = self.had.as_secs_f32() / passed.as_secs_f32();
            self.rate += (rate.clamp(RATE_MIN, 1.0) - self.rate) * 0.25;
        }
        (self.since, self.had) = (now, Duration::ZERO);
    }

    /// How long it takes until calls have had so much of the core.
    fn time_for(&self, us: f32) -> Duration {
        Duration::from_micros((us / self.rate) as u64)
    }
}

/// When a call of this cost would be over, in microseconds of the core, beside those that there are.
fn over_after(load: Load, cost: Cost) -> f32 {
    let (all, own) = (load.all_us as f32 + cost.0, load.own_us as f32 + cost.0);
    let callers = load.callers.max(1) as f32;
    all.min(own * callers)
}

/// How long a call that comes would take, and may take.
pub(super) struct Backlog {
    pub(super) rate: Rate,
    /// The longest that a call may be expected to take where others are before it, whatever its deadline.
    wait_max: Option<Duration>,
}

impl Backlog {
    pub(super) fn new(wait_max: Option<Duration>, now: Instant) -> Self {
        let rate = Rate::new(now);
        Self { rate, wait_max }
    }

    /// Why this call, which has just come, is not taken, where it would be over too late beside so many.
    #[inline]
    pub(super) fn too_late(
        &self,
        ticket: &Ticket,
        load: Load,
        id: &ShardId,
        now: Instant,
    ) -> Option<CallError> {
        match load.all_us == 0 || ticket.depth > 0 || ticket.lacks_slot_of().is_some() {
            true => None,
            false => self.over_too_late(ticket, load, id, now),
        }
    }

    #[inline(never)]
    fn over_too_late(
        &self,
        ticket: &Ticket,
        load: Load,
        id: &ShardId,
        now: Instant,
    ) -> Option<CallError> {
        let us = over_after(load, ticket.function.cost.get());
        let over = self.rate.time_for(us);
        let left = ticket.deadline.saturating_duration_since(now);
        // What comes after it takes part of the core too.
        let by_deadline = left / 4 * 3;
        let wait_max = self.wait_max.filter(|wait_max| *wait_max < by_deadline);
        let may = wait_max.unwrap_or(by_deadline);
        if over <= may.max(WAIT_MIN) {
            return None;
        }
        let why = match wait_max {
            Some(wait_max) => format!("may take {} ms (--wait-limit)", wait_max.as_millis()),
            None => format!("has {} ms until its deadline", left.as_millis()),
        };
        let error = format!(
            "the calls that wait on {id} are so many that this one would take some {} ms, and it {why}",
            over.as_millis(),
        );
        let error = CallError::not_run(ErrorKind::Overloaded, error);
        Some(error.with_retry_after(over.saturating_sub(may)))
    }

    /// When it is worth while for a caller to come back who finds a queue full.
    pub(super) fn retry_after(&self, ticket: &Ticket, load: Load) -> Duration {
        self.rate
            .time_for(over_after(load, ticket.function.cost.get()) / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn one_call_of_another_kind_does_not_change_what_they_cost_and_ten_do() {
        let mut cost = Cost::default();
        (0..100).for_each(|_| cost.note(MS));
        assert_eq!(cost.us(), 1000);
        cost.note(1000 * MS);
        assert!((1000..1600).contains(&cost.us()), "{cost:?}");
        (0..10).for_each(|_| cost.note(100 * MS));
        assert!(cost.us() > 20_000, "{cost:?}");
        (0..200).for_each(|_| cost.note(MS));
        assert!(cost.us() < 1100, "{cost:?}");
        cost.note_at_least(MS / 2);
        assert!(cost.us() >= 1000);
        cost.note_at_least(10 * MS);
        assert!(cost.us() > 1400);
    }

    #[test]
    fn one_with_few_calls_does_not_wait_for_those_of_one_who_has_many() {
        let mut cost = Cost::default();
        cost.note(MS);
        let load = |own_us, callers| Load {
            all_us: 100_000,
            own_us,
            callers,
        };
        assert_eq!(over_after(load(0, 2), cost) as u32, 2_000);
        assert_eq!(over_after(load(99_000, 2), cost) as u32, 101_000);
        assert_eq!(over_after(load(10_000, 4), cost) as u32, 44_000);
    }

    #[test]
    fn what_else_takes_the_core_makes_it_later() {
        let begun = Instant::now();
        let mut rate = Rate::new(begun);
        assert_eq!(rate.time_for(1000.0), MS);
        let mut now = begun;
        for _ in 0..1000 {
            now += MS;
            rate.note(MS / 2);
            rate.look(true, now);
        }
        let time = rate.time_for(1000.0);
        assert!((19 * MS / 10..21 * MS / 10).contains(&time), "{time:?}");
        // Where there is nothing to do, nothing is learnt.
        now += 1000 * MS;
        rate.look(false, now);
        assert_eq!(rate.time_for(1000.0), time);
    }
}
