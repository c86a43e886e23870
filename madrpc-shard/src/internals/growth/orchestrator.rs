//! Calls that an orchestrator has passed on.

use super::{FIRST, Failure, Silent, request, seat, sent};
use crate::net::address::Addresses;
use crate::net::dial::{Outcome, Upstreams};
use crate::net::endpoint::{Endpoint, SessionKey};
use crate::net::incoming::{CallsOfCallers, Incoming};
use crate::net::service::{Io, Service};
use crate::orchestrator::{Call, Orchestrator, Tag};
use madrpc_core::call::frame::{Frame, Header};
use madrpc_core::call::{Bill, Body, ErrorKind, Fields};
use madrpc_core::fleet::Routing;
use madrpc_core::session::Event;
use std::time::Instant;

/// An orchestrator with one caller and one node.
pub struct Forwarded {
    orchestrator: Orchestrator,
    callers: Endpoint,
    calls: CallsOfCallers<Call>,
    upstreams: Upstreams<Tag>,
    caller: SessionKey,
    now: Instant,
    _peer: Silent,
}

impl Forwarded {
    /// So many calls, without an outcome.
    ///
    /// # Errors
    /// Where there can be no session.
    pub fn new(calls: u64) -> Result<Self, Failure> {
        let (peer, now) = (Silent::new()?, Instant::now());
        let mut callers = peer.endpoint(now)?;
        let caller = peer.session(&mut callers, now)?;
        let (seat, node) = (seat("orchestrator", now)?, Addresses::from(peer.address()?));
        let endpoint = peer.endpoint(now)?;
        let (orchestrator, upstreams) =
            Orchestrator::new(&seat, endpoint, &[node], Routing::default(), now);
        let mut made = Self {
            orchestrator,
            callers,
            calls: CallsOfCallers::new(now),
            upstreams,
            caller,
            now,
            _peer: peer,
        };
        (0..calls).for_each(|id| made.call(id));
        sent(&mut made.upstreams.wires.endpoint, FIRST);
        Ok(made)
    }

    fn split(&mut self) -> (&mut Orchestrator, Io<'_, Orchestrator>) {
        let io = Io {
            now: self.now,
            callers: &mut self.callers,
            calls: &mut self.calls,
            upstreams: Some(&mut self.upstreams),
        };
        (&mut self.orchestrator, io)
    }

    /// A call of the caller's comes.
    pub fn call(&mut self, id: u64) {
        let call = Incoming {
            session: self.caller,
            id,
            request: request(self.now),
            arrived: self.now,
        };
        let (orchestrator, mut io) = self.split();
        orchestrator.on_call(&call, &mut io);
    }

    /// The caller gives a call up; says whether it was under way.
    pub fn cancel(&mut self, id: u64) -> bool {
        let caller = self.caller;
        let (orchestrator, mut io) = self.split();
        let call = io.calls.get(caller, id);
        if let Some(call) = call {
            orchestrator.on_cancel(call, &mut io);
        }
        call.is_some()
    }

    /// The node answers a call; says whether it was under way.
    pub fn answer(&mut self, id: u64) -> bool {
        let Some(Call::PassedOn(sent)) = self.calls.get(self.caller, id) else {
            return false;
        };
        let (id, bill) = (sent.0.to_number(), Bill::default());
        let header = Header::Failure {
            id,
            kind: ErrorKind::JavaScript,
            bill,
        };
        let event = Event::Frame(Frame {
            fields: Fields::NONE,
            header,
            body: Body::EMPTY,
        });
        let outcome: Option<(Tag, usize, Outcome<'_>)> =
            self.upstreams.on_frame(FIRST, &event, self.now);
        let Some((tag, node, outcome)) = outcome else {
            return false;
        };
        let (orchestrator, mut io) = self.split();
        orchestrator.on_outcome(tag, node, outcome, &mut io);
        true
    }

    /// The caller is gone.
    pub fn end(&mut self) {
        self.calls.end(self.caller);
    }

    /// Gives up a call whose caller is gone; says whether there was one.
    pub fn end_next(&mut self) -> bool {
        let (orchestrator, mut io) = self.split();
        let call = io.calls.next_orphan();
        if let Some(call) = call {
            orchestrator.on_cancel(call, &mut io);
        }
        call.is_some()
    }
}
