//! What a shard does with calls: a node runs them, an orchestrator passes them on. Nothing else differs.

use crate::catalog::Catalog;
use crate::endpoint::{Endpoint, SessionKey};
#[cfg(feature = "engine")]
use crate::engine::Script;
#[cfg(feature = "engine")]
use crate::node::{Node, Prepared};
use crate::orchestrator::Orchestrator;
use crate::shard::Seat;
use crate::upstream::Request;
use madrpc_core::session::Outbox;
use madrpc_core::stats::Counters;
use std::collections::HashMap;
use std::time::Instant;

/// A call that has come in.
pub(crate) struct Incoming<'a> {
    pub(crate) session: SessionKey,
    /// The caller's number for it.
    pub(crate) id: u64,
    pub(crate) request: Request<'a>,
    pub(crate) arrived: Instant,
}

/// The part of a shard that knows what a call means.
pub(crate) enum Handler {
    #[cfg(feature = "engine")]
    Node(Box<Node>),
    Orchestrator(Box<Orchestrator>),
}

impl Handler {
    /// A caller calls. The reply goes to `outbox`, now or later.
    pub(crate) fn on_call(&mut self, call: &Incoming<'_>, outbox: &mut Outbox) {
        match self {
            #[cfg(feature = "engine")]
            Self::Node(node) => node.on_call(call, outbox),
            Self::Orchestrator(orchestrator) => orchestrator.on_call(call, outbox),
        }
    }

    /// A caller asks what can be called; the reply goes to `outbox`, now or later.
    pub(crate) fn on_inquiry(&mut self, call: &Incoming<'_>, seat: &Seat, outbox: &mut Outbox) {
        let catalog = Catalog::new(seat.role, &seat.name);
        match self {
            #[cfg(feature = "engine")]
            Self::Node(node) => {
                let mut catalog = catalog;
                catalog.add(&seat.name, node.registered());
                catalog.reply(call.id, outbox);
            }
            Self::Orchestrator(orchestrator) => orchestrator.on_inquiry(call, catalog, outbox),
        }
    }

    /// Begins to load a script beside the one that runs.
    #[cfg(feature = "engine")]
    pub(crate) fn prepare(&mut self, script: Script, prepared: Prepared) {
        if let Self::Node(node) = self {
            node.prepare(script, prepared);
        }
    }

    /// Goes over to the script that is loaded.
    #[cfg(feature = "engine")]
    pub(crate) fn adopt(&mut self, now: Instant, callers: &mut Endpoint) {
        if let Self::Node(node) = self {
            node.adopt(now, callers);
        }
    }

    /// Forgets the script that is loaded.
    #[cfg(feature = "engine")]
    pub(crate) fn discard(&mut self) {
        if let Self::Node(node) = self {
            node.discard();
        }
    }

    /// The functions by their numbers in the counters.
    pub(crate) fn function_names(&self) -> HashMap<usize, String> {
        match self {
            #[cfg(feature = "engine")]
            Self::Node(node) => node.function_names(),
            Self::Orchestrator(_) => HashMap::new(),
        }
    }

    /// A caller gives a call up.
    pub(crate) fn on_cancel(&mut self, session: SessionKey, id: u64) {
        match self {
            #[cfg(feature = "engine")]
            Self::Node(node) => node.on_cancel(session, id),
            Self::Orchestrator(orchestrator) => orchestrator.on_cancel(session, id),
        }
    }

    /// A caller is gone.
    pub(crate) fn on_session_ended(&mut self, session: SessionKey) {
        match self {
            #[cfg(feature = "engine")]
            Self::Node(node) => node.on_session_ended(session),
            Self::Orchestrator(orchestrator) => orchestrator.on_session_ended(session),
        }
    }

    /// Does what takes no longer than a tiny call or a few; gives the datagrams received on the way.
    pub(crate) fn turn(&mut self, now: Instant, callers: &mut Endpoint) -> usize {
        match self {
            #[cfg(feature = "engine")]
            Self::Node(node) => node.turn(now, callers),
            Self::Orchestrator(orchestrator) => orchestrator.turn(now, callers),
        }
    }

    /// Sends what there is to say to others than the callers.
    pub(crate) fn flush(&mut self, now: Instant) {
        match self {
            #[cfg(feature = "engine")]
            Self::Node(node) => node.flush(now),
            Self::Orchestrator(orchestrator) => orchestrator.flush(now),
        }
    }

    /// Ends the sessions with others than the callers.
    pub(crate) fn close(&mut self, reason: &str) {
        match self {
            #[cfg(feature = "engine")]
            Self::Node(node) => node.close(reason),
            Self::Orchestrator(orchestrator) => orchestrator.close(reason),
        }
    }

    /// Whether the next turn has something to do without anything new from outside.
    pub(crate) fn has_work(&self) -> bool {
        match self {
            #[cfg(feature = "engine")]
            Self::Node(node) => node.has_work(),
            Self::Orchestrator(orchestrator) => orchestrator.endpoint().has_work(),
        }
    }

    /// Does what may hold the core for as long as a slice.
    #[cfg(feature = "engine")]
    pub(crate) fn work(&mut self, callers: &mut Endpoint) {
        if let Self::Node(node) = self {
            node.work(callers);
        }
    }

    /// Whether [`Handler::work`] may hold the core.
    #[cfg(feature = "engine")]
    pub(crate) fn may_hold_core(&self) -> bool {
        match self {
            Self::Node(node) => node.may_hold_core(),
            Self::Orchestrator(_) => false,
        }
    }

    /// Whether no call is under way.
    pub(crate) fn is_idle(&self) -> bool {
        match self {
            #[cfg(feature = "engine")]
            Self::Node(node) => node.is_idle(),
            Self::Orchestrator(orchestrator) => orchestrator.is_idle(),
        }
    }

    /// When to take the next turn at the latest.
    pub(crate) fn next_timer(&self) -> Option<Instant> {
        match self {
            #[cfg(feature = "engine")]
            Self::Node(node) => node.next_timer(),
            Self::Orchestrator(orchestrator) => orchestrator.next_timer(),
        }
    }

    /// The endpoint to wait on beside the callers'.
    pub(crate) fn upstream(&self) -> Option<&Endpoint> {
        match self {
            #[cfg(feature = "engine")]
            Self::Node(node) => node.endpoint(),
            Self::Orchestrator(orchestrator) => Some(orchestrator.endpoint()),
        }
    }

    /// The endpoint of the sessions that it opens.
    pub(crate) fn upstream_mut(&mut self) -> Option<&mut Endpoint> {
        match self {
            #[cfg(feature = "engine")]
            Self::Node(node) => node.endpoint_mut(),
            Self::Orchestrator(orchestrator) => Some(orchestrator.endpoint_mut()),
        }
    }

    /// What was counted, for a snapshot.
    pub(crate) fn counters(&self) -> &Counters {
        match self {
            #[cfg(feature = "engine")]
            Self::Node(node) => node.counters(),
            Self::Orchestrator(orchestrator) => orchestrator.counters(),
        }
    }

    /// The upstreams, each with 1 where this shard has a session to it, else 0.
    pub(crate) fn links(&self) -> Vec<(String, u16)> {
        match self {
            #[cfg(feature = "engine")]
            Self::Node(_) => Vec::new(),
            Self::Orchestrator(orchestrator) => orchestrator.links(),
        }
    }
}
