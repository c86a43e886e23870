//! The bill of a call: what it cost, and where.

use serde::{Deserialize, Serialize};

/// What a call cost, and where. `N` holds the node's name: a `&str` in a frame, a `String` to keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Bill<N> {
    /// Time between the call's arrival at the node and its start, in microseconds.
    pub queue_us: u64,
    /// Time the function held the core, in microseconds.
    pub cpu_us: u64,
    /// How often it was given the core.
    pub slices: u32,
    /// The most heap that its lane held while it ran, with what the script holds, in bytes; 0 where it did not run.
    pub heap_peak_bytes: u64,
    /// The shard that ran it.
    pub shard: u16,
    /// The name of the node that ran it; empty where no node did.
    pub node: N,
}

impl Bill<&str> {
    /// The bill, to keep.
    #[must_use]
    pub fn to_owned_bill(&self) -> Bill<String> {
        Bill {
            queue_us: self.queue_us,
            cpu_us: self.cpu_us,
            slices: self.slices,
            heap_peak_bytes: self.heap_peak_bytes,
            shard: self.shard,
            node: self.node.to_owned(),
        }
    }
}
