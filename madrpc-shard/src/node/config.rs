//! What a node can be told beside what every server is told.

use crate::engine::LaneConfig;
use crate::net::address::Addresses;
use std::time::Duration;

/// Lanes of each shard of a node that is not told how many.
pub const LANES_PER_SHARD: usize = 4;

/// How long a call holds the core, where a node is not told.
pub const DEFAULT_SLICE: Duration = Duration::from_micros(500);

/// Calls that wait for a lane of one shard, where a node is not told how many.
pub const DEFAULT_QUEUE_MAX: usize = 16_384;

/// A node's settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeConfig {
    /// Lanes of the node, spread over its shards: so many calls of each caller want the core at the same time, and more are
    /// made where that takes more. Default: [`LANES_PER_SHARD`] for each shard.
    pub pool_size: Option<usize>,
    /// How long a call holds the core before the network and the other calls have their turn; `None`: until it is
    /// over. Default: [`DEFAULT_SLICE`]. The engine looks at the clock about each 0.3 ms.
    pub slice: Option<Duration>,
    /// Calls that wait for a lane of one shard; those of callers beyond it are refused at once, the last of the caller who has
    /// most of them first. Default: [`DEFAULT_QUEUE_MAX`].
    pub queue_max: usize,
    /// The longest that a call may be expected to take, where others are before it; those beyond it are refused at once. One that
    /// is expected to pass its deadline is in any case. Default: no bound but the deadline.
    pub wait_max: Option<Duration>,
    /// Calls of one caller (a certificate) in a second, on all shards together, and as many at once. Default: no bound.
    pub caller_rate: Option<usize>,
    /// What each call may use, and when its lane is replaced.
    pub lane: LaneConfig,
    /// The orchestrators that the calls of calls go through, one or the other; default: they stay on the shard of their caller.
    pub orchestrators: Vec<Addresses>,
    /// Whether it announces itself to those, so that they pass calls on to it without having been told of it. Default: no.
    pub announces: bool,
}

impl Default for NodeConfig {
    fn default() -> Self {
        Self {
            pool_size: None,
            slice: Some(DEFAULT_SLICE),
            queue_max: DEFAULT_QUEUE_MAX,
            wait_max: None,
            caller_rate: None,
            lane: LaneConfig::default(),
            orchestrators: Vec::new(),
            announces: false,
        }
    }
}

impl NodeConfig {
    /// Refuses what no node can keep to.
    ///
    /// # Errors
    /// In words, the first setting that makes no sense.
    pub(crate) fn check(&self) -> Result<(), String> {
        if self.pool_size == Some(0) {
            return Err("a node needs a pool of at least 1 lane".into());
        }
        if self.queue_max == 0 {
            return Err("a node needs a queue for at least 1 call".into());
        }
        self.lane.check()
    }
}
