//! Calls in line for a slot of their function, as they come, go on to the queue, and make room.

use super::{Calls, Entry, State, queue_of};
use crate::net::shares::AccountKey;
use crate::node::call::{CallKey, Queued, Ticket};
use crate::node::functions::Registered;
use crate::node::limited::{LimitKey, Turn};
use crate::node::rows::Row;
use crate::node::slots::Slot;
use madrpc_core::limits::ENDINGS_PER_TURN;
use std::rc::Rc;

impl Calls {
    /// Puts a call that waits in the line of its caller for a slot of its function.
    pub(super) fn stand_in_line(
        &mut self,
        CallKey(key): CallKey,
        limit: LimitKey,
        caller: AccountKey,
    ) {
        self.limits.join(limit, caller, key, &mut self.rows);
    }

    /// Gives the first call that a caller has in this row of the queue a slot of its function.
    pub(in crate::node) fn give_slot(&mut self, row: Row, caller: AccountKey, slot: Slot) {
        if let Some((key, _)) = self.rows.front(row, caller)
            && let Some(Entry {
                state: State::Queued(queued),
                ..
            }) = self.rows.get_mut(key)
        {
            queued.ticket.slot = Some(slot);
        }
    }

    /// The first call that a caller has in this row of the queue is of a function, by now, that it needs a slot of.
    pub(in crate::node) fn limit_first(
        &mut self,
        row: Row,
        caller: AccountKey,
        function: &Rc<Registered>,
    ) {
        let Some((key, mut queued)) = self.dequeue(row, caller) else {
            return;
        };
        queued.ticket.function = Rc::clone(function);
        self.note_queued(&queued, true);
        let limit = queued.ticket.lacks_slot_of();
        self.put_back(key, queued);
        match limit {
            Some(limit) => self.stand_in_line(key, limit, caller),
            None => self.release(key),
        }
    }

    fn put_back(&mut self, CallKey(key): CallKey, queued: Queued) {
        if let Some(entry) = self.rows.get_mut(key) {
            entry.state = State::Queued(queued);
        }
    }

    /// Lets calls that wait for slots go on to the queue, where there are slots: a bounded number of each function.
    pub(in crate::node) fn give_slots(&mut self) {
        let (mut at, mut is_left) = (0, false);
        while let Some(limit) = self.limits.waited_for(at) {
            let mut left = ENDINGS_PER_TURN;
            while left > 0
                && let Some(turn) = self.limits.next_turn(limit)
                && let Some(key) = self.limits.next_call(limit, &mut self.rows)
            {
                left -= 1;
                self.limits.leave(limit);
                if let Some(Entry {
                    state: State::Queued(queued),
                    ..
                }) = self.rows.get_mut(key)
                {
                    queued.ticket.slot = match turn {
                        Turn::Slot(slot) => Some(slot),
                        Turn::Free => None,
                    };
                    let row = queue_of(&queued.ticket);
                    self.rows.enter(key, row);
                }
            }
            is_left |= left == 0;
            at += usize::from(self.limits.tidy(at, &mut self.rows));
        }
        self.has_slots_left = is_left;
    }

    /// Makes room for this call in the lines of its function, by the last one of the longest of them, where that is not its
    /// caller's own.
    pub(in crate::node) fn make_room_in_line(
        &mut self,
        limit: LimitKey,
        ticket: &Ticket,
    ) -> Option<Queued> {
        let last = self
            .limits
            .last_of_longest(limit, ticket.caller, &self.rows)?;
        self.take_queued(CallKey(last))
    }
}
