//! A shard's place among those of its server.

use super::bell::Bell;
use super::dial::Sessions;
use super::steer::Steering;
use crate::runtime::beacon::Beacon;
use std::sync::Arc;
use std::time::Instant;

/// A shard's place among those of its server.
#[derive(Debug, Clone)]
pub(crate) struct Seat {
    pub(crate) shard: u16,
    pub(crate) shards: u16,
    pub(crate) steering: Steering,
    /// `node` or `orchestrator`.
    pub(crate) role: &'static str,
    /// The server's name.
    pub(crate) name: String,
    pub(crate) started: Instant,
    /// Where it shows who has its core.
    pub(crate) beacon: Arc<Beacon>,
    /// What wakes it.
    #[cfg_attr(
        not(feature = "engine"),
        expect(dead_code, reason = "only those of a node wait for each other")
    )]
    pub(crate) bell: Arc<Bell>,
}

impl Seat {
    /// The sessions that it opens to another server, and where the first of them lands there: the shards of both servers
    /// share them evenly.
    pub(crate) fn sessions(&self) -> (Sessions, u16) {
        let callers = self.shards;
        (Sessions::PerShard { callers }, self.shard)
    }
}
