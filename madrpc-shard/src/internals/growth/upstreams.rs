//! Sessions that we have opened, and the calls on them.

use super::{FIRST, Failure, Silent, request, sent};
use crate::net::dial::{self, CallId, Place, State, Upstreams};
use crate::net::endpoint::SessionKey;
use madrpc_core::call::frame::{Frame, Header};
use madrpc_core::call::{Bill, Body, CallError, ErrorKind, Fields};
use madrpc_core::limits::HANDSHAKE_TIMEOUT;
use madrpc_core::session::Event;
use std::time::{Duration, Instant};

/// Servers, each with some links, which are all up: they share one session.
pub struct Targets {
    upstreams: Upstreams<()>,
    session: SessionKey,
    now: Instant,
    _server: Silent,
}

impl Targets {
    /// So many servers, with so many links each.
    ///
    /// # Errors
    /// Where there can be no session.
    pub fn new(targets: usize, links: usize) -> Result<Self, Failure> {
        let (server, now) = (Silent::new()?, Instant::now());
        let mut upstreams = server.upstreams(targets, links, now)?;
        let session = server.session(&mut upstreams.wires.endpoint, now)?;
        let mut made = Self {
            upstreams,
            session,
            now,
            _server: server,
        };
        for target in 0..targets {
            (0..links).for_each(|link| made.open(target, link));
        }
        // All that were due are up by now.
        made.call();
        Ok(made)
    }

    /// A link comes up.
    pub fn open(&mut self, target: usize, link: usize) {
        let place = Place::new(target, link);
        self.upstreams.enter(place, State::Open(self.session));
    }

    /// A link is lost.
    pub fn lose(&mut self, target: usize, link: usize) {
        let message = format!("10.0.0.1:{target}: link {link} was lost");
        let why = CallError::not_run(ErrorKind::Unavailable, message);
        let place = Place::new(target, link);
        self.upstreams.enter(place, State::Down { why });
    }

    /// Tells of some, from this number on; gives how many.
    #[must_use]
    pub fn report(&self, from: usize) -> usize {
        self.upstreams.report(from, self.now).0.len()
    }

    /// One is gone, with what is left of it.
    pub fn remove(&mut self, target: usize) {
        self.upstreams.remove(target);
    }

    /// Looks for a number that one more may have.
    pub fn take_free(&mut self) -> Option<usize> {
        self.upstreams.take_free()
    }

    /// Calls the next one; says whether there is one.
    pub fn call(&mut self) -> bool {
        let called = self.upstreams.call(self.now, &request(self.now), ());
        called.is_ok()
    }

    /// Calls this one; says whether it can be called.
    pub fn call_at(&mut self, target: usize) -> bool {
        let request = request(self.now);
        let called = self.upstreams.call_at(target, self.now, &request, ());
        called.is_ok()
    }
}

/// Calls on a session, without an outcome.
pub struct Pending {
    upstreams: Upstreams<usize>,
    calls: Vec<CallId>,
    now: Instant,
    _server: Silent,
}

impl Pending {
    /// So many calls on one session, of one of so many callers who share the server's shards.
    ///
    /// # Errors
    /// Where there can be no session.
    pub fn new(calls: usize, callers: u16) -> Result<Self, Failure> {
        let (server, now) = (Silent::new()?, Instant::now());
        let sessions = (dial::Sessions::PerShard { callers }, 0);
        let upstreams = server.upstreams_with(1, sessions, now)?;
        let mut made = Self {
            upstreams,
            calls: Vec::with_capacity(2 * calls),
            now,
            _server: server,
        };
        (0..calls).for_each(|_| made.call());
        made.upstreams.flush(now);
        sent(&mut made.upstreams.wires.endpoint, FIRST);
        Ok(made)
    }

    /// One more call.
    pub fn call(&mut self) {
        let tag = self.calls.len();
        let called = self.upstreams.call(self.now, &request(self.now), tag);
        self.calls.extend(called.ok());
    }

    /// One more call, which ends at its deadline.
    pub fn call_for(&mut self, timeout: Duration) {
        let mut request = request(self.now);
        request.deadline = self.now + timeout;
        let _ = self.upstreams.call(self.now, &request, 0);
    }

    /// Gives up the call with this number; says whether it was there.
    pub fn cancel(&mut self, call: usize) -> bool {
        self.upstreams.cancel(self.calls[call]).is_some()
    }

    /// The call with this number is answered; says whether it was there.
    pub fn answer(&mut self, call: usize) -> bool {
        let CallId(key) = self.calls[call];
        let (id, bill) = (key.to_number(), Bill::default());
        let header = Header::Reply { id, bill };
        self.hear(header)
    }

    /// The server says that it has so many shards.
    pub fn learn(&mut self, shards: u16) {
        self.hear(Header::Welcome {
            shards,
            instance: 1,
        });
    }

    fn hear(&mut self, header: Header<'_>) -> bool {
        let event = Event::Frame(Frame {
            header,
            fields: Fields::NONE,
            body: Body::EMPTY,
        });
        let outcome = self.upstreams.on_frame(FIRST, &event, self.now);
        outcome.is_some()
    }

    /// Time passes.
    pub fn wait(&mut self, time: Duration) {
        self.now += time;
    }

    /// The session is lost: the server has not answered in time.
    pub fn lose(&mut self) {
        self.now += HANDSHAKE_TIMEOUT;
        self.upstreams.receive(self.now);
    }

    /// The next call that is lost; says whether there is one.
    pub fn next_lost(&mut self) -> bool {
        self.upstreams.next_lost(self.now).is_some()
    }
}
