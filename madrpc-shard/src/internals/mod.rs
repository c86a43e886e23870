//! What lies behind the interface, for the benches and the fuzzing of this repository. No promise: it changes with any commit,
//! and no program needs it.

pub mod growth;

#[cfg(feature = "engine")]
mod node_shard;
#[cfg(feature = "engine")]
mod one_lane;

#[cfg(feature = "engine")]
pub use node_shard::NodeShard;
#[cfg(feature = "engine")]
pub use one_lane::{Ended, OneLane, load_for};
