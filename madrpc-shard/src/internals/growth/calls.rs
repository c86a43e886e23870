//! What finds calls and sessions, without any session.

use super::{FOR_LONG, Failure, Silent};
use crate::client::ReplyTo;
use crate::client::pool::{Command, Pool};
use crate::net::endpoint::SessionKey;
use crate::net::endpoint::peers::PeerIndex;
use crate::net::incoming::CallsOfCallers;
use crate::net::socket::Datagram;
use bytes::Bytes;
use futures_channel::oneshot;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// The calls of callers that are under way.
pub struct Callers {
    calls: CallsOfCallers<u64>,
    now: Instant,
}

/// The session at this place, after so many others there.
fn session(place: usize, others: u64) -> SessionKey {
    SessionKey {
        index: place,
        generation: others,
    }
}

impl Callers {
    /// So many callers, with so many calls each.
    #[must_use]
    pub fn new(callers: usize, calls: u64) -> Self {
        let now = Instant::now();
        let mut made = Self {
            calls: CallsOfCallers::new(now),
            now,
        };
        for place in 0..callers {
            (0..calls).for_each(|id| made.call(place, 0, id));
        }
        made
    }

    /// A call comes, of the caller at this place, of which it is not the first.
    pub fn call(&mut self, place: usize, others: u64, id: u64) {
        let session = session(place, others);
        let _ = self.calls.insert(session, id, id, self.now);
    }

    /// A call of the first caller at this place is over.
    pub fn answer(&mut self, place: usize, id: u64) {
        self.calls.remove(session(place, 0), id);
    }

    /// A caller is gone.
    pub fn end(&mut self, place: usize, others: u64) {
        self.calls.end(session(place, others));
    }

    /// A call of one that is gone; says whether there is one.
    pub fn next_orphan(&mut self) -> bool {
        self.calls.next_orphan().is_some()
    }

    /// Time passes.
    pub fn wait(&mut self, time: Duration) {
        self.now += time;
    }

    /// A caller that is to be looked at; says whether there is one.
    pub fn next_watched(&mut self) -> bool {
        self.calls.next_watched(self.now).is_some()
    }
}

/// Sessions that were opened, by what their servers would say.
pub struct Peers {
    index: PeerIndex,
    servers: usize,
}

impl Peers {
    /// So many sessions, to so many servers.
    #[must_use]
    pub fn new(sessions: usize, servers: usize) -> Self {
        let index = PeerIndex::default();
        let mut peers = Self { index, servers };
        (0..sessions).for_each(|session| peers.open(session));
        peers
    }

    /// A session is opened.
    pub fn open(&mut self, session: usize) {
        self.index.opened(session, self.server(session));
        self.index.established(session, Some(token(session)));
    }

    /// A session is gone.
    pub fn end(&mut self, session: usize) {
        let server = self.server(session);
        self.index.gone(session, server, Some(token(session)));
    }

    /// A datagram comes that ends this session; says whether it is there.
    pub fn reset(&self, session: usize) -> bool {
        let mut bytes = [0x40; 40];
        if let Some(end) = bytes.last_chunk_mut() {
            *end = token(session).to_be_bytes();
        }
        let datagram = Datagram {
            bytes: &mut bytes,
            from: self.server(session),
            to: None,
        };
        self.index.reset_by(&datagram) == Some(session)
    }

    fn server(&self, session: usize) -> SocketAddr {
        let number = (session % self.servers) as u32;
        SocketAddr::from((number.to_be_bytes(), 1))
    }
}

/// The token of a session's server.
fn token(session: usize) -> u128 {
    (session as u128 + 1) * 0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835
}

/// The calls of a client that may be given up.
pub struct Abandoned {
    pool: Pool,
    calls: u64,
    now: Instant,
    _server: Silent,
}

impl Abandoned {
    /// So many calls under way.
    ///
    /// # Errors
    /// Where there can be no session.
    pub fn new(calls: u64) -> Result<Self, Failure> {
        let (server, now) = (Silent::new()?, Instant::now());
        let upstreams = server.upstreams(1, 1, now)?;
        let mut made = Self {
            pool: Pool::new(upstreams),
            calls: 0,
            now,
            _server: server,
        };
        (0..calls).for_each(|_| made.call());
        Ok(made)
    }

    /// One more call.
    pub fn call(&mut self) {
        // Who waits is told nothing in here.
        let (reply, _) = oneshot::channel();
        let reply = ReplyTo::One(reply);
        let call = Command::Call {
            number: self.calls,
            function: "echo".into(),
            body: Bytes::new(),
            fields: Vec::new(),
            deadline: self.now + FOR_LONG,
            reply,
        };
        self.pool.on_command(call, self.now);
        self.calls += 1;
    }

    /// Nobody waits for this call any more.
    pub fn give_up(&mut self, call: u64) {
        self.pool.on_command(Command::Cancel(call), self.now);
    }
}
