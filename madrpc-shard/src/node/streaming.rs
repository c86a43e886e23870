//! Calls that stream: what they have yielded is sent as far as their readers, and the sessions, take it.

use super::Node;
use super::call::{CallKey, Origin};
use crate::net::service::Io;
use std::collections::VecDeque;

/// Streams that are looked at in one turn for room on their sessions.
const LOOKS_PER_TURN: usize = 64;

/// Streams whose sessions had no room for more, in the order in which they are looked at again.
#[derive(Default)]
pub(super) struct Blocked(VecDeque<CallKey>);

impl Blocked {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Node {
    /// Sends of what a call has yielded, which is set aside under this key, as much as can be; says whether it has what it waits for.
    pub(super) fn send_items(&mut self, key: CallKey, io: &mut Io<'_, Self>) -> bool {
        let Some(running) = self.calls.running_mut(key) else {
            return false;
        };
        let stream = running.lane.stream();
        if !stream.has_begun() {
            return false;
        }
        let Origin::Session { session, id } = running.ticket.origin else {
            return false;
        };
        // Where its session is over, it is given up soon.
        if let Some(outbox) = io.callers.outbox(session)
            && stream.send(id, outbox)
            && !stream.set_blocked(true)
        {
            self.blocked.0.push_back(key);
        }
        stream.is_ready()
    }

    /// The reader of a call that streams takes so many more frames.
    pub(super) fn grant(&mut self, key: CallKey, frames: u32, io: &mut Io<'_, Self>) {
        if let Some(running) = self.calls.running_mut(key) {
            running.lane.stream().grant(frames);
        }
        if self.send_items(key, io) {
            self.calls.wake(key);
        }
    }

    /// Looks for room on the sessions of some streams that had none.
    pub(super) fn look_after_blocked(&mut self, io: &mut Io<'_, Self>) {
        for _ in 0..LOOKS_PER_TURN.min(self.blocked.0.len()) {
            let Some(key) = self.blocked.0.pop_front() else {
                return;
            };
            // It may be over.
            let Some(running) = self.calls.running_mut(key) else {
                continue;
            };
            running.lane.stream().set_blocked(false);
            if self.send_items(key, io) {
                self.calls.wake(key);
            }
        }
    }
}
