//! Calls that stream: what they have yielded is sent as far as their readers, and the sessions, take it.

use super::Node;
use super::call::{CallKey, Origin, Parent};
use super::children::Child;
use crate::engine::Order;
use crate::net::dial::{CallId, Item};
use crate::net::service::Io;
use madrpc_core::call::frame::{Header, Part};
use madrpc_core::call::{Body, CallError};
use madrpc_core::limits::STREAM_BACKLOG_BYTES;
use madrpc_core::session::Outbox;
use std::collections::VecDeque;

/// Streams that are looked at in one turn for room on their sessions.
const LOOKS_PER_TURN: usize = 64;

/// Bytes that are handed from one call to another at a time: they are copied, and an item may have 64 MiB.
const HANDED_OVER_MAX_BYTES: usize = 64 << 10;

/// Streams that have more than could be sent, in the order in which they are looked at again.
#[derive(Default)]
pub(super) struct Blocked {
    streams: VecDeque<CallKey>,
    /// Whether one of them waits for nothing but its turn.
    pub(super) is_any_ready: bool,
}

impl Blocked {
    pub(super) fn is_empty(&self) -> bool {
        self.streams.is_empty()
    }
}

impl Node {
    /// Sends of what a call has yielded, which is set aside under this key, as much as can be; says whether it has what it waits for.
    pub(super) fn send_items(&mut self, key: CallKey, io: &mut Io<'_, Self>) -> bool {
        let is_ready = self.send_what_is_taken(key, io);
        if let Some(running) = self.calls.running_mut(key) {
            running.set_busy_for_family();
        }
        is_ready
    }

    fn send_what_is_taken(&mut self, key: CallKey, io: &mut Io<'_, Self>) -> bool {
        let Some(running) = self.calls.running_mut(key) else {
            return false;
        };
        let stream = running.lane.stream();
        if !stream.has_begun() {
            return false;
        }
        let (session, id) = match running.ticket.origin {
            Origin::Session { session, id } => (session, id),
            Origin::Parent(parent) => {
                self.hand_over(key, parent, io);
                let running = self.calls.running_mut(key);
                return running.is_some_and(|running| running.lane.stream().is_ready());
            }
        };
        // Where its session is over, it is given up soon.
        if let Some(outbox) = io.callers.outbox(session) {
            let room =
                |outbox: &Outbox| STREAM_BACKLOG_BYTES.saturating_sub(outbox.waiting_small_bytes());
            while room(outbox) > 0
                && stream.send_one(|number, part, piece| {
                    outbox.send(&Header::Item { id, number, part }, piece);
                })
            {}
            if !stream.has_room(room(outbox)) && !stream.set_blocked(true) {
                self.blocked.streams.push_back(key);
            }
        }
        stream.is_ready()
    }

    /// Hands of what a call has yielded to the one on this shard that has made it as much as may be at a time.
    fn hand_over(&mut self, key: CallKey, parent: Parent, io: &mut Io<'_, Self>) {
        let mut bytes = 0;
        while bytes < HANDED_OVER_MAX_BYTES {
            let mut frame = None;
            if let Some(running) = self.calls.running_mut(key) {
                running.lane.stream().send_one(|number, part, piece| {
                    frame = Some((number, part, piece.to_vec()));
                });
            }
            let Some((number, part, piece)) = frame else {
                return;
            };
            bytes += piece.len();
            let frames = match self.take_item(parent, (number, part, (&piece).into())) {
                Ok(frames) => frames,
                Err(error) => {
                    self.answer(parent, Err(error));
                    return self.give_up(key, io);
                }
            };
            if let Some(running) = self.calls.running_mut(key) {
                running.lane.stream().grant(frames);
            }
        }
        if let Some(running) = self.calls.running_mut(key)
            && !running.lane.stream().set_blocked(true)
        {
            self.blocked.streams.push_back(key);
        }
        self.blocked.is_any_ready = true;
    }

    /// A frame of an item has come for a call that has made another; gives how many more are to be granted at once.
    ///
    /// # Errors
    /// The stream cannot go on.
    fn take_item(
        &mut self,
        Parent { call, token }: Parent,
        frame: (u64, Part, Body<'_>),
    ) -> Result<u32, CallError> {
        let Some(running) = self.calls.running_mut(call) else {
            return Ok(0);
        };
        let Some(asked) = &mut running.asked else {
            return Ok(0);
        };
        let bytes = frame.2.len();
        let (frames, is_news) = running.lane.take_item(token, frame)?;
        // Until the lane has seen it.
        asked.answers.set(asked.answers.bytes() + bytes);
        running.hold_for_family();
        if is_news {
            self.calls.wake(call);
        }
        Ok(frames)
    }

    /// The same, of a call that was sent through the orchestrator.
    pub(super) fn take_sent_item(&mut self, sent: CallId, item: Item<'_>, io: &mut Io<'_, Self>) {
        let Some(upstreams) = &mut io.upstreams else {
            return;
        };
        let Some(&mut parent) = upstreams.tag_mut(sent) else {
            return;
        };
        match self.take_item(parent, (item.number, item.part, item.body)) {
            Ok(0) => {}
            Ok(frames) => upstreams.grant(sent, frames),
            Err(error) => {
                upstreams.cancel(sent);
                self.answer(parent, Err(error));
            }
        }
    }

    /// Does what a call, which is set aside under this key, has to say of those that it has made.
    pub(super) fn obey(&mut self, call: CallKey, io: &mut Io<'_, Self>) {
        let Some(running) = self.calls.running_mut(call) else {
            return;
        };
        for (token, order) in running.lane.take_orders() {
            let Some(asked) = self
                .calls
                .running_mut(call)
                .and_then(|running| running.asked.as_mut())
            else {
                return;
            };
            let child = match order {
                Order::Grant(_) => asked.children.get(&token).copied(),
                Order::GiveUp => asked.children.remove(&token),
            };
            match (child, order) {
                (Some(Child::Here(child)), Order::Grant(frames)) => self.grant(child, frames, io),
                (Some(Child::Here(child)), Order::GiveUp) => self.give_up(child, io),
                (Some(Child::Sent(sent, _)), order) => {
                    if let Some(upstreams) = &mut io.upstreams {
                        match order {
                            Order::Grant(frames) => upstreams.grant(sent, frames),
                            Order::GiveUp => drop(upstreams.cancel(sent)),
                        }
                    }
                }
                // It has just ended.
                (None, _) => {}
            }
        }
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
        self.blocked.is_any_ready = false;
        for _ in 0..LOOKS_PER_TURN.min(self.blocked.streams.len()) {
            let Some(key) = self.blocked.streams.pop_front() else {
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
