//! What is told of the targets: how each is, since when and why.

use super::Upstreams;
use super::links::{State, Target};
use madrpc_core::call::Load;
use madrpc_core::stats::{Snapshot, Upstream};
use std::time::{Duration, Instant};

/// How long it is told of a shard what it has said that it has to do.
const LOAD_SHOWN: Duration = Duration::from_secs(1);

/// Targets that are told of at once, each of which takes some tenths of a microsecond: the shard's calls wait meanwhile.
const REPORTED_AT_ONCE: usize = 64;

/// How a target is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Condition {
    Up,
    Draining,
    Silent,
    Connecting,
    Down,
}

impl Condition {
    const fn name(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Draining => "draining",
            Self::Silent => "silent",
            Self::Connecting => "connecting",
            Self::Down => "down",
        }
    }
}

impl Target {
    pub(super) fn condition(&self) -> Condition {
        let is_leaving = || {
            let mut links = self.links.iter();
            links.any(|link| matches!(link.state, State::Leaving(_)))
        };
        match () {
            () if !self.open.is_empty() && self.is_draining() => Condition::Draining,
            () if !self.open.is_empty() && self.is_silent() => Condition::Silent,
            () if !self.open.is_empty() => Condition::Up,
            () if is_leaving() => Condition::Draining,
            () if !self.connecting.is_empty() => Condition::Connecting,
            () => Condition::Down,
        }
    }

    /// What the busiest of its shards has to do, of those that we have sessions to and that have just said it.
    fn busiest(&self, now: Instant) -> Option<Load> {
        let loads = self.links.iter().filter_map(|link| link.load);
        let is_new = |at| now.saturating_duration_since(at) < LOAD_SHOWN;
        let new = loads.filter_map(|(load, at)| is_new(at).then_some(load));
        new.max_by_key(Load::work)
    }

    /// In words, what is wrong.
    fn why(&self, condition: Condition) -> String {
        match condition {
            Condition::Up => String::new(),
            Condition::Draining => "it takes no new calls".into(),
            Condition::Silent => "it says nothing".into(),
            Condition::Connecting => "no session yet".into(),
            Condition::Down => self.reasons().next().unwrap_or_default().to_owned(),
        }
    }
}

impl<T> Upstreams<T> {
    /// Adds what was counted on the way to the targets.
    pub(crate) fn count(&self, snapshot: &mut Snapshot) {
        self.wires.endpoint.count(snapshot);
        snapshot.call_retries += self.retries.count;
        snapshot.call_hedges += self.early.hedged;
        snapshot.ejections += self.targets.ejections;
    }

    /// What there is to tell of some targets, from this number on, and the number to go on with.
    pub(crate) fn report(&self, from: usize, now: Instant) -> (Vec<Upstream>, Option<usize>) {
        let all = self.targets.all().skip(from).take(REPORTED_AT_ONCE);
        let there = all.filter(|(_, target)| !target.is_gone);
        let one = |(number, target): (usize, &Target)| {
            let (condition, since) = target.seen;
            let mut state = condition.name();
            let mut reason = target.why(condition);
            let mut since = now.saturating_duration_since(since);
            if self.targets.is_double(number) {
                state = "double";
                reason = "it is there by another address".into();
            } else if condition == Condition::Up
                && let Some((ejected_at, why)) = self.router.why_ejected(number)
            {
                state = "ejected";
                reason = format!("it {}", why.what());
                since = now.saturating_duration_since(ejected_at);
            }
            let (functions, script) = self.router.has(number).unwrap_or_default();
            let calls = target
                .links
                .iter()
                .map(|link| self.calls.length(link.calls) as u64);
            Upstream {
                node: target.name(),
                connected_shards: u16::from(!target.open.is_empty()),
                states: vec![(state.to_owned(), 1)],
                reason,
                since_ms: since.as_millis() as u64,
                functions: functions as u64,
                script,
                under_way: calls.sum(),
                busiest: target.busiest(now),
            }
        };
        let is_shown = |(number, _): &(usize, &Target)| !self.targets.has_name_of_first(*number);
        let next = from.saturating_add(REPORTED_AT_ONCE);
        let is_more = next < self.numbers();
        (
            there.filter(is_shown).map(one).collect(),
            is_more.then_some(next),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::super::links::Link;
    use super::*;
    use madrpc_core::lists::Lists;
    use std::net::SocketAddr;

    #[test]
    fn the_busiest_shard_is_not_the_one_that_spoke_last() {
        let address = SocketAddr::from(([127, 0, 0, 1], 1));
        let mut lists = Lists::<()>::default();
        let mut target = Target::new(address.into(), 0);
        let begun = Instant::now();
        let at = |ms| begun + Duration::from_millis(ms);
        for (expected_us, said_at) in [(9, at(0)), (7, at(500)), (1, at(900))] {
            let mut link = Link::new(address, 0, lists.add_list());
            let load = Load {
                expected_us,
                ..Load::default()
            };
            link.load = Some((load, said_at));
            target.add(link);
        }
        let busiest = |ms| target.busiest(at(ms)).map(|load| load.expected_us);
        assert_eq!(
            [900, 1100, 1600, 1900].map(busiest),
            [Some(9), Some(7), Some(1), None]
        );
    }
}
