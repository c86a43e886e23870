//! What the control thread tells a shard.

use crate::net::address::Addresses;
use crate::net::bell::Bell;
use crate::net::endpoint::SessionKey;
use bytes::Bytes;
use futures_channel::mpsc::UnboundedSender;
use madrpc_core::call::CallError;
use madrpc_core::fleet::Scripts;
use madrpc_core::identity::{Identity, Revoked};
use madrpc_core::stats::{Tally, Upstream};
use std::sync::Arc;

/// What the control thread tells a shard.
pub(crate) enum ToShard {
    /// Say what you have counted, from there on, as much as you send at a time.
    Count { round: u64, from: Cursor },
    /// The result of a reserved function, or why there is none.
    Answer(Caller, Result<Bytes, CallError>),
    /// Something has come for your service, by a way of its own.
    #[cfg_attr(
        not(feature = "engine"),
        expect(dead_code, reason = "only scripts come so")
    )]
    Wake,
    /// Open and accept sessions with this identity from now on.
    Identify(Identity),
    /// Pass calls on to these from now on.
    #[cfg_attr(
        not(feature = "discovery"),
        expect(dead_code, reason = "they are found by discovery")
    )]
    Targets(Arc<[Addresses]>),
    /// This is known of the nodes, by all shards.
    Scripts(Arc<Scripts>),
    /// Take no new calls for now, and go on; or take calls again.
    SetDraining(bool),
    /// The owners of these certificates are let in no more.
    Revoke(Arc<Revoked>),
    /// Take nothing new, and end when the calls under way have ended.
    Drain,
    /// End now.
    Stop,
}

/// How far a shard has told what it has counted: first the rows, then its upstreams, both by their numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cursor {
    Rows(usize),
    Upstreams(usize),
}

impl Cursor {
    pub(crate) const START: Self = Self::Rows(0);
}

/// Some of what a shard has counted.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) tallies: Vec<Tally>,
    pub(crate) upstreams: Vec<Upstream>,
    /// Where to go on; nothing after the last.
    pub(crate) next: Option<Cursor>,
}

/// The control thread's end of a shard.
#[derive(Debug, Clone)]
pub(crate) struct Inbox {
    messages: UnboundedSender<ToShard>,
    bell: Arc<Bell>,
}

/// The shard has ended.
#[derive(Debug)]
pub(crate) struct Ended;

impl Inbox {
    pub(crate) fn new(messages: UnboundedSender<ToShard>, bell: &Arc<Bell>) -> Self {
        Self {
            messages,
            bell: Arc::clone(bell),
        }
    }

    /// # Errors
    /// Where the shard has ended.
    pub(crate) fn send(&self, message: ToShard) -> Result<(), Ended> {
        self.messages.unbounded_send(message).map_err(|_| Ended)?;
        self.bell.ring();
        Ok(())
    }

    /// Whether the shard has ended.
    pub(crate) fn has_ended(&self) -> bool {
        self.messages.is_closed()
    }
}

/// Who called a reserved function.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Caller {
    pub(crate) shard: u16,
    pub(crate) session: SessionKey,
    /// The caller's number for the call.
    pub(crate) id: u64,
}
