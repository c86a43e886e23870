//! The lanes of a shard: which are free, and which have to be replaced.

use super::{LANES_MAX, Node};
use crate::engine::Lane;
use tracing::error;

impl Node {
    /// A lane for a call that may run now; one is made where all are in use by waiting calls.
    pub(super) fn claim_lane(&mut self) -> Option<usize> {
        if self.running.len() >= self.pool {
            return None;
        }
        if let Some(lane) = self.free.pop() {
            return Some(lane);
        }
        if !self.worn.is_empty() {
            return self.renew();
        }
        if self.lanes.len() >= LANES_MAX {
            return None;
        }
        match Lane::load(&self.script, &self.name, &self.lane_config) {
            Ok((lane, _)) => {
                self.lanes.push(lane);
                Some(self.lanes.len() - 1)
            }
            Err(error) => {
                error!("no further lane can be made: {error}");
                None
            }
        }
    }

    /// Takes back a lane whose call is over.
    pub(super) fn set_free(&mut self, lane: usize) {
        if self.lanes[lane].is_spoilt() {
            self.worn.push(lane);
        } else {
            self.free.push(lane);
        }
    }

    /// Puts a fresh lane in the place of a worn one.
    pub(super) fn renew(&mut self) -> Option<usize> {
        let lane = self.worn.pop()?;
        let loaded = Lane::load(&self.script, &self.name, &self.lane_config);
        self.cannot_load = loaded.is_err();
        match loaded {
            Ok((fresh, _)) => {
                self.lanes[lane] = fresh;
                Some(lane)
            }
            Err(error) => {
                error!("a lane cannot be replaced, and is not used until it can be: {error}");
                self.worn.push(lane);
                None
            }
        }
    }
}
