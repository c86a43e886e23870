//! Which shard of which node this is, as callers are told with each answer.

use madrpc_core::call::Bill;
use std::fmt::{self, Display, Formatter};
use std::time::Duration;

pub(super) struct ShardId {
    pub(super) shard: u16,
    pub(super) node: String,
}

impl ShardId {
    /// What a call has cost that ran here.
    pub(super) fn bill(
        &self,
        queued: Duration,
        cpu: Duration,
        slices: u32,
        heap_peak_bytes: u64,
    ) -> Bill<&str> {
        Bill {
            queue_us: queued.as_micros() as u64,
            cpu_us: cpu.as_micros() as u64,
            slices,
            heap_peak_bytes,
            shard: self.shard,
            node: &self.node,
        }
    }
}

impl Display for ShardId {
    fn fmt(&self, to: &mut Formatter<'_>) -> fmt::Result {
        write!(to, "shard {} of {}", self.shard, self.node)
    }
}
