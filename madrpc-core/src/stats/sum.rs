//! The counts of several shards of a process, added up.

use super::counters::{Counter, OTHER_FUNCTIONS, ROWS_MAX, Tally, UNKNOWN_FUNCTIONS};
use super::{Latency, Row, Snapshot, Upstream};
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// The state of a shard that takes no new calls and has none left.
pub const DRAINED: &str = "drained";

/// A snapshot as it is put together of the shards' parts. Each row is looked up once: a part costs the same, however many
/// rows there are already.
#[derive(Debug, Default)]
pub struct Sum {
    head: Option<Snapshot>,
    queue_wait: Latency,
    /// The places of the upstreams in the head.
    upstreams: HashMap<String, usize>,
    counters: HashMap<(Arc<str>, Arc<str>), Counter>,
}

impl Sum {
    /// Adds what a shard says of itself, without rows and upstreams.
    pub fn add(&mut self, head: Snapshot) {
        match &mut self.head {
            Some(sum) => {
                sum.sessions += head.sessions;
                sum.handshakes += head.handshakes;
                sum.misrouted += head.misrouted;
                sum.relayed += head.relayed;
                sum.relay_dropped += head.relay_dropped;
                sum.migrations += head.migrations;
                sum.retries += head.retries;
                sum.resets += head.resets;
                sum.spans_dropped += head.spans_dropped;
                sum.memory_used_bytes += head.memory_used_bytes;
                sum.memory_max_bytes += head.memory_max_bytes;
                sum.under_way += head.under_way;
                sum.queued += head.queued;
                sum.lanes_running += head.lanes_running;
                sum.lanes_waiting += head.lanes_waiting;
                sum.lanes_free += head.lanes_free;
                sum.queue_wait_sum_us += head.queue_wait_sum_us;
                self.queue_wait.add_buckets(&head.queue_wait_us);
                add_counts(&mut sum.refused, head.refused);
                sum.received.add(head.received);
                sum.sent.add(head.sent);
                sum.call_retries += head.call_retries;
                sum.call_hedges += head.call_hedges;
                sum.ejections += head.ejections;
                sum.cores.extend(head.cores);
                // Shards drain together; one that has calls left speaks for all.
                if sum.state == DRAINED {
                    sum.state = head.state;
                }
            }
            None => {
                self.queue_wait.add_buckets(&head.queue_wait_us);
                self.head = Some(head);
            }
        }
    }

    /// Adds what a shard says of some of its upstreams, which has said something of itself.
    pub fn add_upstreams(&mut self, upstreams: Vec<Upstream>) {
        let Some(sum) = &mut self.head else {
            return;
        };
        for upstream in upstreams {
            match self.upstreams.get(&upstream.node) {
                Some(&at) => sum.upstreams[at].add(upstream),
                None => {
                    self.upstreams
                        .insert(upstream.node.clone(), sum.upstreams.len());
                    sum.upstreams.push(upstream);
                }
            }
        }
    }

    /// Adds a row of a shard.
    pub fn count(&mut self, tally: Tally) {
        match self.counters.entry((tally.node, tally.function)) {
            Entry::Occupied(mut sum) => sum.get_mut().merge(&tally.counter),
            Entry::Vacant(place) => drop(place.insert(tally.counter)),
        }
    }

    /// The snapshot; nothing where no shard has said anything.
    ///
    /// It has at most [`ROWS_MAX`] rows of functions by name. Shards may have different ones: those beyond it, in their
    /// order, are added to the row [`OTHER_FUNCTIONS`] of their node.
    #[must_use]
    pub fn finish(self) -> Option<Snapshot> {
        let mut snapshot = self.head?;
        snapshot.cores.sort_unstable_by_key(|core| core.shard);
        snapshot.queue_wait_us = self.queue_wait.buckets();
        let mut counters: Vec<_> = self.counters.into_iter().collect();
        counters.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        let mut own = 0;
        let (mut kept, beyond): (Vec<_>, Vec<_>) = counters.into_iter().partition(|(key, _)| {
            let (_, function) = key;
            match &**function {
                UNKNOWN_FUNCTIONS => true,
                OTHER_FUNCTIONS => false,
                _ => {
                    own += 1;
                    own <= ROWS_MAX
                }
            }
        });
        let mut others: BTreeMap<Arc<str>, Counter> = BTreeMap::new();
        for ((node, _), counter) in beyond {
            others.entry(node).or_default().merge(&counter);
        }
        let name: Arc<str> = OTHER_FUNCTIONS.into();
        let others = others.into_iter();
        kept.extend(others.map(|(node, counter)| ((node, Arc::clone(&name)), counter)));
        kept.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        let rows = kept.iter();
        let rows = rows.map(|((node, function), counter)| Row::new(node, function, counter));
        snapshot.rows = rows.collect();
        Some(snapshot)
    }
}

/// Adds counts to those of the same name.
fn add_counts(to: &mut Vec<(String, u64)>, more: Vec<(String, u64)>) {
    for (name, count) in more {
        match to.iter_mut().find(|(known, _)| *known == name) {
            Some((_, sum)) => *sum += count,
            None => to.push((name, count)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Core, Counters, UNKNOWN, Upstream};
    use super::*;
    use crate::call::ErrorKind;

    fn upstream(node: &str, connected_shards: u16) -> Upstream {
        Upstream {
            node: node.into(),
            connected_shards,
            ..Upstream::default()
        }
    }

    #[test]
    fn one_shard_with_calls_left_makes_all_draining() {
        for states in [[DRAINED, "draining"], ["draining", DRAINED]] {
            let mut sum = Sum::default();
            for state in states {
                sum.add(Snapshot {
                    state: state.into(),
                    ..head()
                });
            }
            assert_eq!(sum.finish().unwrap().state, "draining");
        }
    }

    #[test]
    fn shards_are_told_apart_in_their_order() {
        let mut sum = Sum::default();
        let core = |shard| Core {
            shard,
            cpu_us: 10 + u64::from(shard),
            ..Core::default()
        };
        for shard in [2, 0, 1] {
            sum.add(Snapshot {
                cores: vec![core(shard)],
                ..head()
            });
        }
        assert_eq!(sum.finish().unwrap().cores, [0, 1, 2].map(core));
    }

    fn head() -> Snapshot {
        Snapshot {
            role: "node".into(),
            name: "n".into(),
            shards: 2,
            uptime_ms: 1,
            sessions: 1,
            steering: "kernel".into(),
            handshakes: 1,
            misrouted: 5,
            relayed: 3,
            relay_dropped: 2,
            migrations: 1,
            retries: 4,
            resets: 3,
            spans_dropped: 4,
            memory_used_bytes: 7,
            memory_max_bytes: 9,
            state: DRAINED.into(),
            under_way: 4,
            ..Snapshot::default()
        }
    }

    /// The snapshot of these shards.
    fn sum(shards: &[&Counters]) -> Snapshot {
        let mut sum = Sum::default();
        for shard in shards {
            sum.add(head());
            sum.add_upstreams(vec![upstream("a", 1), upstream("b", 0)]);
            let mut from = Some(0);
            while let Some(part) = from.map(|from| shard.part(from)) {
                part.tallies.into_iter().for_each(|tally| sum.count(tally));
                from = part.next;
            }
        }
        sum.finish().unwrap()
    }

    #[test]
    fn shards_add_up() {
        let [mut one, mut two] = [Counters::new(["n"]), Counters::new(["n"])];
        let add = one.number("add");
        one.record(add, 0, 100, None);
        one.record(add, 0, 200, Some(ErrorKind::JavaScript));
        let echo = two.number("echo");
        let add = two.number("add");
        two.record(echo, 0, 5, None);
        two.record(add, 0, 300, Some(ErrorKind::JavaScript));
        let sum = sum(&[&one, &two]);
        assert_eq!((sum.shards, sum.uptime_ms), (2, 1));
        assert_eq!((sum.sessions, sum.handshakes), (2, 2));
        assert_eq!((sum.misrouted, sum.relayed, sum.relay_dropped), (10, 6, 4));
        assert_eq!((sum.migrations, sum.retries, sum.resets), (2, 8, 6));
        assert_eq!(sum.spans_dropped, 8);
        assert_eq!((sum.memory_used_bytes, sum.memory_max_bytes), (14, 18));
        assert_eq!((sum.state.as_str(), sum.under_way), (DRAINED, 8));
        assert_eq!(sum.upstreams, [upstream("a", 2), upstream("b", 0)]);
        let names = sum
            .rows
            .iter()
            .map(|row| (row.function.as_str(), row.calls));
        assert!(names.eq([("add", 3), ("echo", 1)]));
        assert_eq!(sum.rows[0].errors, [("JavaScript".to_owned(), 2)]);
        let latency = sum.rows[0].latency();
        assert_eq!(latency.count(), 3);
        assert!((200..=212).contains(&latency.quantile_us(0.5)));
    }

    #[test]
    fn shards_without_a_word_are_no_snapshot() {
        assert_eq!(Sum::default().finish(), None);
    }

    #[test]
    #[cfg_attr(miri, ignore = "thousands of rows are minutes")]
    fn a_snapshot_is_bounded_where_each_shard_has_other_functions() {
        let shards: Vec<Counters> = (0..3)
            .map(|shard| {
                let mut counters = Counters::new(["m", "n"]);
                for number in 0..ROWS_MAX + 10 {
                    let function = counters.number(&format!("{shard} {number}"));
                    counters.record(function, number % 2, 1, None);
                }
                counters.record(UNKNOWN, 0, 1, Some(ErrorKind::NoSuchFunction));
                counters
            })
            .collect();
        let sum = sum(&shards.iter().collect::<Vec<_>>());
        assert_eq!(sum.rows.len(), ROWS_MAX + 3);
        let calls = sum.rows.iter().map(|row| row.calls);
        assert_eq!(calls.sum::<u64>(), 3 * (ROWS_MAX as u64 + 11));
        let key = |row: &Row| (row.node.clone(), row.function.clone());
        assert!(
            sum.rows
                .windows(2)
                .all(|pair| key(&pair[0]) < key(&pair[1]))
        );
    }
}
