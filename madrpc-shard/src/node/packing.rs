//! Calls that wait for long: what their lanes hold is compressed until they go on.

use super::Node;
use super::call::CallKey;
use super::rows::Row;
use crate::net::service::Io;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How long a call waits before its lane is packed: packing and unpacking take half a millisecond.
const PACK_AFTER: Duration = Duration::from_millis(250);

/// Lanes for each of the pool, up to which none is packed.
const UNPACKED_PER_LANE: usize = 8;

/// Calls that are looked at in one turn, of which one is packed.
const LOOKS_PER_TURN: usize = 256;

/// Calls that are noted, for each lane of a call: most of them are over by then where many wait for a moment only.
const NOTED_PER_LANE: usize = 4;

/// Calls that wait, in the order in which they began to.
#[derive(Default)]
pub(super) struct Packing {
    waiting: VecDeque<(Instant, CallKey)>,
}

impl Packing {
    /// When it is to be looked next.
    pub(super) fn next(&self) -> Option<Instant> {
        let (since, _) = self.waiting.front()?;
        Some(*since + PACK_AFTER)
    }
}

impl Node {
    /// This call waits from now on.
    pub(super) fn note_waiting(&mut self, key: CallKey, now: Instant) {
        let lanes = self.lanes.in_use();
        if lanes <= UNPACKED_PER_LANE * self.pool
            || self.packing.waiting.len() >= NOTED_PER_LANE * lanes
        {
            return;
        }
        if let Some(running) = self.calls.running_mut(key)
            && !std::mem::replace(&mut running.is_noted_waiting, true)
        {
            self.packing.waiting.push_back((now, key));
        }
    }

    /// Packs the lane of a call that has waited for long, if there is one.
    pub(super) fn pack_one(&mut self, io: &mut Io<'_, Self>) {
        for _ in 0..LOOKS_PER_TURN {
            if self.packing.next().is_none_or(|at| at > io.now) {
                return;
            }
            let Some((_, key)) = self.packing.waiting.pop_front() else {
                return;
            };
            let waits = self.calls.rows.row_of(key.0) == Some(Row::Waiting);
            let Some(running) = self.calls.running_mut(key) else {
                continue;
            };
            running.is_noted_waiting = false;
            if !waits {
                continue;
            }
            let since = running.waits_since;
            if io.now < since + PACK_AFTER {
                running.is_noted_waiting = true;
                self.packing.waiting.push_back((since, key));
                continue;
            }
            let (begun, caller) = (Instant::now(), running.ticket.caller);
            if running.lane.pack().is_some() {
                let (before, now) = running.count_memory(&mut self.lanes);
                self.calls.rows.note_memory(caller, before, now);
                io.callers.charge(caller, begun.elapsed(), io.now);
                return;
            }
        }
    }
}
