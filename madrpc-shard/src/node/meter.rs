//! Calls in a second: of a function (`rate` at register), and of a caller (`--caller-rate`), on all shards of a node together.
//!
//! GCRA, as the crate `governor` has it: one number, the time at which all that was let in would have come had it come evenly. It
//! is not that crate, as what it has for many keys takes locks, and a shard takes none; and a meter is told the time that
//! the shard knows already.

use super::Node;
use super::call::Ticket;
use super::shard_id::ShardId;
use super::shared::Shared;
use crate::net::service::Io;
use madrpc_core::call::{CallError, ErrorKind};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

const SECOND_NS: u64 = 1_000_000_000;

/// How often calls may come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rate {
    pub(super) per_second: u32,
    /// As many may come at once where none came before.
    pub(super) burst: u32,
}

impl Rate {
    /// At the least one in a second, and as many at once as in a second where nothing else is said.
    pub(super) fn new(per_second: usize, burst: Option<usize>) -> Self {
        let within = |calls: usize| u32::try_from(calls).unwrap_or(u32::MAX).max(1);
        Self {
            per_second: within(per_second),
            burst: within(burst.unwrap_or(per_second)),
        }
    }
}

/// What has come, in nanoseconds of a clock that all shards share.
#[derive(Debug, Default)]
pub(crate) struct Meter(AtomicU64);

impl Meter {
    /// Lets a call in, or says after how long one will be.
    pub(super) fn take(&self, rate: Rate, now_ns: u64) -> Result<(), Duration> {
        let each = SECOND_NS / u64::from(rate.per_second);
        let most = each.saturating_mul(rate.burst.into());
        // Never more than the burst is owed: a script that is loaded anew may have a smaller one.
        let after = |even: u64| {
            let owed = even.clamp(now_ns, now_ns.saturating_add(most));
            owed.saturating_add(each)
        };
        let taken = self.0.fetch_update(Relaxed, Relaxed, |even| {
            let even = after(even);
            (even - now_ns <= most).then_some(even)
        });
        match taken {
            Ok(_) => Ok(()),
            Err(even) => Err(Duration::from_nanos(
                after(even).saturating_sub(now_ns.saturating_add(most)),
            )),
        }
    }

    /// Whether it is as one that has never been used.
    fn is_even(&self, now_ns: u64) -> bool {
        self.0.load(Relaxed) <= now_ns
    }
}

/// Callers that are metered at a time; those beyond share meters.
const CALLERS: usize = 16_384;

/// Places that are looked at for a caller.
const LOOKS: usize = 16;

/// The meters of callers, by their certificates: 256 KiB, whoever comes.
///
/// A place is taken by one compare-and-swap, and is free again as soon as its caller might have his whole burst: then nothing of him has to be
/// remembered. Two shards that meet there may count a call for the wrong one.
#[derive(Debug)]
pub(crate) struct CallerMeters(Box<[(AtomicU64, Meter)]>);

impl CallerMeters {
    pub(crate) fn new() -> Self {
        Self((0..CALLERS).map(|_| Default::default()).collect())
    }

    pub(super) fn take(&self, certificate: u32, rate: Rate, now_ns: u64) -> Result<(), Duration> {
        // No caller has the number of a place that was never used.
        let key = u64::from(certificate) + 1;
        let at = |look: usize| &self.0[(certificate as usize).wrapping_add(look) % CALLERS];
        let known = (0..LOOKS).map(at).find(|(of, _)| of.load(Relaxed) == key);
        if let Some((_, meter)) = known {
            return meter.take(rate, now_ns);
        }
        let free = (0..LOOKS).map(at).find(|(of, meter)| {
            let before = of.load(Relaxed);
            meter.is_even(now_ns) && of.compare_exchange(before, key, Relaxed, Relaxed).is_ok()
        });
        free.unwrap_or_else(|| at(0)).1.take(rate, now_ns)
    }
}

/// How often callers may call, and what has come of them and of the functions.
pub(super) struct Metering {
    callers: Option<(Rate, Arc<CallerMeters>)>,
    /// What the meters' time counts from.
    started: Instant,
}

impl Metering {
    pub(super) fn new(caller_rate: Option<usize>, shared: &Shared, started: Instant) -> Self {
        let callers = caller_rate.map(|rate| (Rate::new(rate, None), shared.callers()));
        Self { callers, started }
    }

    /// Why this call is not taken, where its caller or its function has had too many.
    #[inline]
    pub(super) fn over_rate(
        &self,
        ticket: &Ticket,
        id: &ShardId,
        io: &Io<'_, Node>,
        now: Instant,
    ) -> Option<CallError> {
        let is_metered = self.callers.is_some() && ticket.depth == 0;
        match is_metered || ticket.function.rate.is_some() {
            true => self.meter((ticket, is_metered), id, io, now),
            false => None,
        }
    }

    #[inline(never)]
    fn meter(
        &self,
        (ticket, is_metered): (&Ticket, bool),
        id: &ShardId,
        io: &Io<'_, Node>,
        now: Instant,
    ) -> Option<CallError> {
        let now_ns = now.saturating_duration_since(self.started).as_nanos() as u64;
        if is_metered
            && let Some((rate, meters)) = &self.callers
            && let Some(account) = io.callers.passed_on_as(ticket.caller)
            && let Err(after) = meters.take(account.certificate, *rate, now_ns)
        {
            let per_second = rate.per_second;
            let error = format!(
                "the caller makes more than {per_second} calls a second at {} (--caller-rate)",
                id.node
            );
            let error = CallError::not_run(ErrorKind::Overloaded, error);
            return Some(CallError {
                of_caller: true,
                ..error.with_retry_after(after)
            });
        }
        let (rate, meter) = ticket.function.rate.as_ref()?;
        let after = meter.take(*rate, now_ns).err()?;
        let error = format!(
            "`{}` is called more than {} times a second at {} (rate at register)",
            ticket.function.name, rate.per_second, id.node
        );
        Some(CallError::not_run(ErrorKind::Overloaded, error).with_retry_after(after))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn a_burst_comes_at_once_and_then_so_many_in_a_second() {
        let (meter, rate) = (Meter::default(), Rate::new(100, Some(5)));
        let now = 7 * SECOND_NS;
        (0..5).for_each(|_| assert_eq!(meter.take(rate, now), Ok(())));
        assert_eq!(meter.take(rate, now), Err(Duration::from_millis(10)));
        // Who was refused has taken nothing.
        let later = now + 4 * MS;
        assert_eq!(meter.take(rate, later), Err(Duration::from_millis(6)));
        assert_eq!(meter.take(rate, now + 10 * MS), Ok(()));
        let mut taken = 0;
        for ms in 10..1010 {
            taken += u32::from(meter.take(rate, now + ms * MS).is_ok());
        }
        assert_eq!(taken, 99);
    }

    #[test]
    fn each_caller_has_a_meter_and_they_take_no_more_room_than_there_is() {
        let (meters, rate) = (CallerMeters::new(), Rate::new(1, None));
        for caller in 0..100 {
            assert_eq!(meters.take(caller, rate, SECOND_NS), Ok(()));
        }
        assert!((0..100).all(|caller| meters.take(caller, rate, SECOND_NS).is_err()));
        // A crowd in one corner: they share, and are not remembered when their time is over.
        let crowd = |number: usize| (number * CALLERS) as u32;
        let taken = (0..200).filter(|number| {
            let later = 3 * SECOND_NS;
            meters.take(crowd(*number), rate, later).is_ok()
        });
        assert_eq!(taken.count(), LOOKS);
        assert_eq!(meters.take(crowd(300), rate, 5 * SECOND_NS), Ok(()));
    }
}
