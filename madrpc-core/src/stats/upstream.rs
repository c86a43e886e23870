//! What an orchestrator says of one of its nodes.

use crate::call::Load;
use serde::{Deserialize, Serialize};

/// A node, as the shards of an orchestrator see it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Upstream {
    /// Its address.
    pub node: String,
    /// The shards that have a session to it.
    pub connected_shards: u16,
    /// By its state, the shards that see it so: `up`, `draining`, `ejected`, `silent`, `connecting`, `down`.
    pub states: Vec<(String, u16)>,
    /// Why one of them does not see it `up`; empty where all do.
    pub reason: String,
    /// How long it has been so, for the shard that has last seen a change.
    pub since_ms: u64,
    /// Functions that it has said it has.
    pub functions: u64,
    /// What tells its script from others: the first eight bytes of its SHA-256; 0 where it has not said.
    pub script: u64,
    /// Calls that were sent to it and have no outcome.
    pub under_way: u64,
    /// What the busiest of its shards that are called has to do, for all of its callers, of those that have said so in the last second.
    pub busiest: Option<Load>,
}

impl Upstream {
    /// How most of the shards see it: each does so for itself, and most of them are right.
    #[must_use]
    pub fn state(&self) -> Option<&str> {
        let most = self.states.iter().max_by_key(|(_, shards)| *shards);
        most.map(|(state, _)| state.as_str())
    }

    /// Adds what another shard says of the same node.
    pub(super) fn add(&mut self, other: Self) {
        self.connected_shards = self.connected_shards.saturating_add(other.connected_shards);
        for (state, shards) in other.states {
            match self.states.iter_mut().find(|(known, _)| *known == state) {
                Some((_, sum)) => *sum = sum.saturating_add(shards),
                None => self.states.push((state, shards)),
            }
        }
        if self.reason.is_empty() {
            self.reason = other.reason;
        }
        self.since_ms = self.since_ms.min(other.since_ms);
        if self.functions == 0 {
            (self.functions, self.script) = (other.functions, other.script);
        }
        self.under_way = self.under_way.saturating_add(other.under_way);
        let busy = |load: Option<Load>| load.map(|load| load.work());
        if busy(other.busiest) > busy(self.busiest) {
            self.busiest = other.busiest;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_shards_say_of_a_node_is_laid_together() {
        let seen = |state: &str, reason: &str, since_ms| Upstream {
            node: "a:1".into(),
            connected_shards: u16::from(state == "up"),
            states: vec![(state.into(), 1)],
            reason: reason.into(),
            since_ms,
            functions: u64::from(state == "up") * 7,
            script: 9,
            under_way: 2,
            busiest: (state == "up").then_some(Load {
                expected_us: since_ms,
                ..Load::default()
            }),
        };
        let mut sum = seen("down", "refused", 500);
        sum.add(seen("up", "", 9000));
        sum.add(seen("up", "", 100));
        let expected = Upstream {
            connected_shards: 2,
            states: vec![("down".into(), 1), ("up".into(), 2)],
            since_ms: 100,
            functions: 7,
            under_way: 6,
            busiest: seen("up", "", 9000).busiest,
            ..seen("down", "refused", 0)
        };
        assert_eq!(sum, expected);
    }
}
