//! Calls that wait for long: what their lanes hold is compressed until they go on; sooner where another call has no room for a lane.

use super::Node;
use super::call::CallKey;
use super::rows::Row;
use crate::net::service::Io;
use crate::net::shares::AccountKey;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How long a call waits before its lane is packed: packing and unpacking take half a millisecond.
const PACK_AFTER: Duration = Duration::from_millis(250);

/// Lanes for each of the pool, up to which none is packed, and the stack of each keeps its pages.
pub(super) const UNPACKED_PER_LANE: usize = 8;

/// Calls that are looked at in one turn, of which one is packed.
const LOOKS_PER_TURN: usize = 256;

/// Calls that are noted, for each lane of a call: most of them are over by then where many wait for a moment only.
const NOTED_PER_LANE: usize = 4;

/// One part in so many of the time is for packing, and where memory is short: calls that wait for each other and not for a timer
/// are unpacked soon, and more of the time would be spent so than on calls.
const SHARE_OF_TIME: u32 = 20;
const SHARE_WHERE_SHORT: u32 = 2;

/// Calls that wait, in the order in which they began to.
#[derive(Default)]
pub(super) struct Packing {
    waiting: VecDeque<(Instant, CallKey)>,
    /// When the next one is packed, at the earliest.
    not_before: Option<Instant>,
}

impl Packing {
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// When it is to be looked next.
    pub(super) fn next(&self) -> Option<Instant> {
        let (since, _) = self.waiting.front()?;
        Some((*since + PACK_AFTER).max(self.not_before.unwrap_or(*since)))
    }
}

impl Node {
    /// This call waits from now on.
    pub(super) fn note_waiting(&mut self, key: CallKey, now: Instant) {
        let lanes = self.lanes.in_use();
        if lanes <= UNPACKED_PER_LANE * self.lanes.pool
            || self.packing.waiting.len() >= NOTED_PER_LANE * lanes
        {
            return;
        }
        if let Some(running) = self.calls.running_mut(key) {
            running.lane.give_back_stack();
            if !std::mem::replace(&mut running.is_noted_waiting, true) {
                self.packing.waiting.push_back((now, key));
            }
        }
    }

    /// Packs the lane of a call that has waited for long, if there is one.
    pub(super) fn pack_one(&mut self, io: &mut Io<'_, Self>) {
        if self.packing.next().is_none_or(|at| at > io.now) {
            return;
        }
        let begun = Instant::now();
        let Some(caller) = self.pack_first(PACK_AFTER, io.now) else {
            return;
        };
        let took = begun.elapsed();
        io.callers.charge(caller, took, io.now);
        let share = match self.lanes.is_quarter_full() {
            true => SHARE_WHERE_SHORT,
            false => SHARE_OF_TIME,
        };
        self.packing.not_before = Some(io.now + took * share);
    }

    /// Packs the lane of the call that has waited longest, where that is so long; gives its caller.
    pub(super) fn pack_first(&mut self, waited: Duration, now: Instant) -> Option<AccountKey> {
        for _ in 0..LOOKS_PER_TURN {
            let (noted, key) = self.packing.waiting.pop_front()?;
            if now < noted + waited {
                self.packing.waiting.push_front((noted, key));
                return None;
            }
            let waits = self.calls.rows.row_of(key.0) == Some(Row::Waiting);
            let Some(running) = self.calls.running_mut(key) else {
                continue;
            };
            running.is_noted_waiting = false;
            if !waits {
                continue;
            }
            let since = running.waits_since;
            if now < since + waited {
                running.is_noted_waiting = true;
                self.packing.waiting.push_back((since, key));
                continue;
            }
            let caller = running.ticket.caller;
            if running.lane.pack().is_some() {
                let (before, now) = running.count_memory(&mut self.lanes);
                self.calls.rows.note_memory(caller, before, now);
                return Some(caller);
            }
        }
        None
    }
}
