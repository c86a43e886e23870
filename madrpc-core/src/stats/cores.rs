//! What a shard's core was busy with.

use serde::{Deserialize, Serialize};

/// A shard, and where the time of its thread went since it began. What is left of the time is idle: the thread slept, or
/// another had the core.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Core {
    /// The shard's number.
    pub shard: u16,
    /// Time that the thread had a core, in microseconds.
    pub cpu_us: u64,
    /// Time that JavaScript had it, in microseconds; an orchestrator runs none.
    pub calls_us: u64,
    /// Time in which it looked for something to do and found nothing, in microseconds.
    pub spinning_us: u64,
    /// Sessions open with callers.
    pub sessions: u64,
    /// Calls of callers that are under way.
    pub under_way: u64,
    /// Calls that wait for a lane.
    pub queued: u64,
}

impl Core {
    /// Its times since `earlier`, of the same shard, and all else as it is now.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Self {
        Self {
            cpu_us: self.cpu_us.saturating_sub(earlier.cpu_us),
            calls_us: self.calls_us.saturating_sub(earlier.calls_us),
            spinning_us: self.spinning_us.saturating_sub(earlier.spinning_us),
            ..self
        }
    }
}
