//! What a node can be told beside what every server is told.

use std::time::Duration;

/// Lanes of each shard of a node that is not told how many.
pub const LANES_PER_SHARD: usize = 4;

/// How long a call holds the core, where a node is not told.
pub const DEFAULT_SLICE: Duration = Duration::from_micros(500);

/// A node's settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeConfig {
    /// Lanes of the node, spread over its shards. Default: [`LANES_PER_SHARD`] for each shard.
    pub pool_size: Option<usize>,
    /// How long a call holds the core before the network and the other calls have their turn; `None`: until it is
    /// over. Default: [`DEFAULT_SLICE`]. The engine looks at the clock about each 0.3 ms.
    pub slice: Option<Duration>,
}

impl Default for NodeConfig {
    fn default() -> Self {
        Self {
            pool_size: None,
            slice: Some(DEFAULT_SLICE),
        }
    }
}
