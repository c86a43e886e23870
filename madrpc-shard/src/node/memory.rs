//! The memory of the lanes: who holds how much of it, and what becomes of calls that want more than there is.
//!
//! A call is bounded by its own limit, and what all lanes of a shard hold by half of the shard's memory. Of that a caller
//! has four times as much as is free (see [`crate::net::budget`]): alone four fifths, and something is left for those who come. A
//! call that grows beyond goes on when others have given back; it is ended where none of its caller's has the core for half a
//! second. One that its [family](super::family) leaves no room waits likewise, and goes on after that time with what there is.

use super::Node;
use super::call::Running;
use super::lanes::Lanes;
use super::rows::{Counts, Row};
use crate::net::service::Io;
use madrpc_core::call::ErrorKind;
use std::time::{Duration, Instant};

/// How long a call is without the memory that it wants, where no other call of its caller has the core, until it is ended:
/// those that wait may do so for this one. A call of a call has less time, as what asked for it holds a lane.
const STARVED_MAX: Duration = Duration::from_millis(500);
const STARVED_CHILD_MAX: Duration = Duration::from_millis(20);

/// Starved calls that are looked at in one turn, and how often at the least it is looked whether those that are set aside can
/// go on.
const LOOKS_PER_TURN: usize = 16;
const LOOK_INTERVAL: Duration = Duration::from_millis(10);

impl Running {
    /// Counts what its lane takes by now, for all and for its family; gives what was counted for it before, and is now.
    pub(super) fn count_memory(&mut self, lanes: &mut Lanes) -> (usize, usize) {
        let now = lanes.note(&mut self.lane);
        let before = std::mem::replace(&mut self.memory, now);
        self.grown = now.saturating_sub(self.base);
        self.hold_for_family();
        (before, now)
    }
}

impl Node {
    /// Counts what the lane of a call holds that is set aside. One that has grown beyond the part of its caller is starved, or has
    /// to end.
    pub(super) fn note_memory(&mut self, running: &mut Running) {
        running.is_starved = false;
        let (caller, grown) = (running.ticket.caller, running.grown);
        let (before, now) = running.count_memory(&mut self.lanes);
        self.calls.rows.note_memory(caller, before, now);
        if running.grown <= grown || !self.lanes.is_beyond_part(self.calls.rows.of(caller)) {
            return;
        }
        let is_some_left = self.lanes.has_retired() || !self.packing.is_empty();
        if self.lanes.is_overfull() && !is_some_left {
            running.lane.stop(ErrorKind::Overloaded);
            running.has_to_end = true;
        } else {
            running.is_starved = true;
        }
    }

    /// Gives memory back where there is no room for one more lane; says whether there was something to give.
    pub(super) fn reclaim_memory(&mut self, io: &mut Io<'_, Self>) -> bool {
        self.lanes.is_full() && self.give_memory_back(io)
    }

    /// Takes a step towards that: by lanes that go, those without a call, and what those hold whose calls wait, though they may not have
    /// waited for long. Says whether there was any.
    pub(super) fn give_memory_back(&mut self, io: &mut Io<'_, Self>) -> bool {
        let begun = Instant::now();
        let whose = match self.lanes.look_after_retired() {
            Some(caller) => caller,
            None if self.lanes.is_full() && self.lanes.retire_spare() => None,
            None => match self.pack_first(Duration::ZERO, begun) {
                Some(caller) => Some(caller),
                None => return false,
            },
        };
        if let Some(caller) = whose {
            io.callers.charge(caller, begun.elapsed(), begun);
        }
        true
    }

    /// Whether a call of this row of the queue may wait longer for a lane, whose caller has so much: until its own calls give
    /// something back, or those of others where it has a part left. One that a call waits for has less time, as that holds a lane.
    pub(super) fn may_get_room(
        &self,
        row: Row,
        counts: Counts,
        arrived: Instant,
        now: Instant,
    ) -> bool {
        let running = match self.lanes.has_part(counts, 0) {
            true => self.calls.rows.running(),
            false => counts.running(),
        };
        let wait = match row {
            Row::Children => STARVED_CHILD_MAX,
            _ => STARVED_MAX,
        };
        running > 0 || now < arrived + wait
    }

    /// Lets starved calls go on whose callers have a part left, and ends one for which there is no hope.
    pub(super) fn look_after_starved(&mut self, io: &mut Io<'_, Self>) {
        let count = self.calls.rows.length(Row::Starved);
        let is_some_back = count > 0 && self.reclaim_memory(io);
        for _ in 0..LOOKS_PER_TURN.min(count) {
            let Some((key, running)) = self.calls.first_starved() else {
                return;
            };
            let counts = self.calls.rows.of(running.ticket.caller);
            let is_hopeless = io.now >= running.waits_since + STARVED_MAX;
            if !self.lanes.is_beyond_part(counts) {
                match running.waits_for_family() && !is_hopeless {
                    true => self.calls.starve(key),
                    false => self.calls.feed(key, is_hopeless),
                }
                continue;
            }
            if !is_hopeless || counts.running() > 0 || is_some_back {
                // Behind it may be another caller's, who has a part left.
                self.calls.starve(key);
            } else if let Some(running) = self.calls.running_mut(key) {
                running.lane.stop(ErrorKind::Overloaded);
                self.calls.end(key);
            }
        }
    }

    /// When it is to be looked at those that are set aside, where there are any: what they wait for has no timer of theirs.
    pub(super) fn next_look(&self) -> Option<Instant> {
        let set_aside = [Row::Starved, Row::Held].map(|row| self.calls.rows.length(row));
        let is_any = set_aside != [0, 0] || self.turns.is_stuck || !self.blocked.is_empty();
        match self.blocked.is_any_ready {
            true => Some(self.turns.last_look),
            false => is_any.then(|| self.turns.last_look + LOOK_INTERVAL),
        }
    }
}
