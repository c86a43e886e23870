//! What a shard does with calls. A node runs them, an orchestrator passes them on; nothing else differs.

use super::dial::{CallId, Item, Outcome, Upstreams};
use super::endpoint::{Endpoint, SessionKey};
use super::incoming::{CallsOfCallers, Incoming};
use bytes::Bytes;
use madrpc_core::stats::{Counters, Snapshot, Upstream};
use std::collections::HashMap;
use std::time::Instant;

/// What a service has to work with.
pub(crate) struct Io<'a, S: Service> {
    pub(crate) now: Instant,
    /// The sessions of the callers.
    pub(crate) callers: &'a mut Endpoint,
    /// The calls of callers that are under way.
    pub(crate) calls: &'a mut CallsOfCallers<S::Call>,
    /// The sessions that it opens itself, and the calls on them.
    pub(crate) upstreams: Option<&'a mut Upstreams<S::Tag>>,
}

/// The part of a shard that knows what a call means. The shard's loop asks it, each turn, in the order of the methods.
pub(crate) trait Service: Sized + 'static {
    /// Names a caller's call that is under way; see [`CallsOfCallers`].
    type Call: Copy;
    /// Whom the outcome of a call is for that was sent to an upstream.
    type Tag;

    /// Does what the process was asked for meanwhile, by channels of its own. Calls are taken in after that: who calls when the process
    /// has said that it is done finds it done.
    fn take_changes(&mut self) {}

    /// A caller calls. The reply goes to its outbox, now or later; a call that gets it later is noted among the
    /// [`Io::calls`] until then. A session whose caller has a call of that number under way is ended.
    fn on_call(&mut self, call: &Incoming<'_>, io: &mut Io<'_, Self>);

    /// A caller asks what can be called, by a call of a number that none of its calls under way has; the reply goes to its outbox,
    /// now or later.
    fn on_inquiry(&mut self, session: SessionKey, id: u64, io: &mut Io<'_, Self>);

    /// A caller that may have gone gives a call up, which is no longer among the [`Io::calls`].
    fn on_cancel(&mut self, call: Self::Call, io: &mut Io<'_, Self>);

    /// A call that was sent to the upstream with this number has ended.
    fn on_outcome(
        &mut self,
        tag: Self::Tag,
        target: usize,
        outcome: Outcome<'_>,
        io: &mut Io<'_, Self>,
    );

    /// The reader of a call that streams takes so many more frames of items.
    fn on_credit(&mut self, call: Self::Call, frames: u32, io: &mut Io<'_, Self>);

    /// A frame of an item has come for a call that was sent to an upstream.
    fn on_item(&mut self, _: CallId, _: Item<'_>, _: &mut Io<'_, Self>) {}

    /// There are further upstreams, with these numbers and names; some of those before may be gone.
    fn on_targets(&mut self, _: &[(usize, String)]) {}

    /// Does what takes no longer than a tiny call or a few.
    fn turn(&mut self, io: &mut Io<'_, Self>);

    /// Whether [`Service::hold_core`] has something to do.
    fn wants_core(&self) -> bool {
        false
    }

    /// Does what may hold the core for as long as a slice.
    fn hold_core(&mut self, _: &mut Io<'_, Self>) {}

    /// Whether the next turn has something to do without anything new from outside.
    fn has_work(&self) -> bool;

    /// When to take the next turn at the latest.
    fn next_timer(&self) -> Option<Instant>;

    /// Whether no call is under way.
    fn is_idle(&self) -> bool;

    /// The functions by the numbers by which the shard's beacon shows them, where they have changed since this was last
    /// asked.
    fn new_function_names(&mut self) -> Option<HashMap<usize, String>> {
        None
    }

    /// What can be called here, as callers are told of it at the beginning of their sessions, where it has changed since this was
    /// last asked: what tells the script from others, and the body.
    fn new_announcement(&mut self) -> Option<(u64, Bytes)> {
        None
    }

    /// What it has counted.
    fn counters(&self) -> &Counters;

    /// Adds what there is to say of it beside that.
    fn describe(&self, _: &mut Snapshot) {}

    /// The upstreams that a snapshot names, from this number on: some, and the number to go on with, if there are more.
    fn report(
        &self,
        _: &Upstreams<Self::Tag>,
        _: usize,
        _: Instant,
    ) -> (Vec<Upstream>, Option<usize>) {
        (Vec::new(), None)
    }
}
