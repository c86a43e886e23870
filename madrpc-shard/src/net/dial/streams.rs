//! Calls that stream: their items come before their outcomes, and from the first of them on a call stays where it is.

use super::{CallId, Due, Upstreams};
use crate::net::endpoint::SessionKey;
use madrpc_core::call::frame::Header;
use madrpc_core::fleet::Copied;
use madrpc_core::limits::DEADLINE_GRACE;
use madrpc_core::lists::ItemKey;
use madrpc_core::numbers::later;
use std::time::Instant;

impl<T> Upstreams<T> {
    /// A frame of an item has come for the call of this number: [`Upstreams::take_item`] gives the call, if the session may
    /// answer it.
    #[cold]
    pub(super) fn on_item(&mut self, session: SessionKey, id: u64, now: Instant) {
        let key = ItemKey::from_number(id);
        let (Some(place), Some(pending)) = (self.wires.place(session), self.calls.get(key)) else {
            return;
        };
        let epoch = self.targets.link(place).epoch;
        if (pending.place, pending.epoch) != (place, epoch) {
            if !self.is_on_second(key, place, epoch) {
                return;
            }
            self.second_was_first(key, now);
        }
        self.drop_second(key, now);
        self.keep_there(key);
        self.item = Some(CallId(key));
    }

    /// Has a call never sent again: it has yielded something.
    fn keep_there(&mut self, key: ItemKey) {
        let Some(pending) = self.calls.get_mut(key) else {
            return;
        };
        let copy = std::mem::replace(&mut pending.copy, Copied::NONE);
        if copy == Copied::NONE {
            return;
        }
        // Its timer may be one of those before the deadline, which are for calls that may be sent again.
        if let Some(deadline) = self.retries.deadline(copy) {
            let deadline = later(deadline, DEADLINE_GRACE);
            self.timers.remove(pending.deadline);
            pending.deadline = self.timers.insert(deadline, Due::Deadline(key));
        }
        self.retries.drop_copy(copy);
    }

    /// The call of which an item was in the frame that [`Upstreams::on_frame`] has just had, and gave no outcome for.
    #[inline]
    pub(crate) fn take_item(&mut self) -> Option<CallId> {
        self.item.take()
    }

    /// The tag of a call without an outcome.
    pub(crate) fn tag_mut(&mut self, CallId(key): CallId) -> Option<&mut T> {
        self.calls.get_mut(key).map(|pending| &mut pending.tag)
    }

    /// Lets the server of a call send so many more frames of items.
    pub(crate) fn grant(&mut self, CallId(key): CallId, frames: u32) {
        let Some(pending) = self.calls.get(key) else {
            return;
        };
        let (place, epoch) = (pending.place, pending.epoch);
        let link = self.targets.link_mut(place);
        let session = link.session().filter(|_| link.epoch == epoch);
        if let Some(session) = session
            && let Some(outbox) = self.wires.outbox(session)
        {
            let id = key.to_number();
            outbox.send(&Header::Credit { id, frames }, &[]);
            self.crowding.on_sent(&mut link.on_their_way);
        }
    }
}
