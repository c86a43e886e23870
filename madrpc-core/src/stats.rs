//! What a shard counts, and the snapshot of it that `madrpc top` shows.
//!
//! ```text
//! counters (a shard's own, without atomics) ─ parts ─▶ sum (the control thread) ─▶ snapshot
//! ```
//!
//! Whatever callers do, all of it is bounded: the rows, the memory that each takes, what a shard does at a time for a
//! snapshot, and the snapshot itself.

mod cores;
mod counters;
mod latency;
mod snapshot;
mod sum;
mod upstream;

pub use cores::Core;
pub use counters::{
    Counter, Counters, GONE_NODES, OTHER_FUNCTIONS, Part, ROWS_MAX, Tally, UNKNOWN,
    UNKNOWN_FUNCTIONS,
};
pub use latency::Latency;
pub use snapshot::{Row, Snapshot, Traffic};
pub use sum::{DRAINED, Sum};
pub use upstream::Upstream;

/// The reserved function whose result is a [`Snapshot`].
pub const STATS: &str = "madrpc.stats";
