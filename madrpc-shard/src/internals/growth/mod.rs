//! What the growth bench sets up, of any size, and the single things that it does to it.
//!
//! Sessions are opened to a socket that never answers, so that nothing happens but what the bench does. Where very many are
//! needed, it is what finds them that is filled.

mod calls;
#[cfg(feature = "engine")]
mod node;
mod orchestrator;
mod sessions;
mod upstreams;

pub use calls::{Abandoned, Callers, Peers};
#[cfg(feature = "engine")]
pub use node::{Idle, Queue};
pub use orchestrator::Forwarded;
pub use sessions::Sessions;
pub use upstreams::{Pending, Targets};

use crate::net::address::Addresses;
use crate::net::bell::Listener;
use crate::net::budget::Budget;
use crate::net::dial::{self, Keep, Request, Upstreams};
use crate::net::endpoint::{Endpoint, SessionKey};
use crate::net::seat::Seat;
use crate::net::steer::Steering;
use crate::net::transport::dialing_endpoint;
use glommio::{LocalExecutorBuilder, Placement};
use madrpc_core::call::{Body, Fields};
use madrpc_core::identity::{Authority, Role, SERVER_NAME_ANY};
use madrpc_core::limits::CLIENT_IDLE_TIMEOUT;
use madrpc_core::session::Outbox;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Why something cannot be set up.
pub type Failure = Box<dyn std::error::Error>;

/// Longer than any bench runs.
const FOR_LONG: Duration = Duration::from_secs(60 * 60);

/// Runs something that has sockets.
///
/// # Errors
/// Where the system gives no executor, and its own.
pub fn on_executor(run: impl FnOnce() -> Result<(), Failure>) -> Result<(), Failure> {
    let executor = LocalExecutorBuilder::new(Placement::Unbound).make();
    let executor = executor.map_err(|error| error.to_string())?;
    executor.run(async { run() })
}

/// A server that never answers.
struct Silent(UdpSocket);

impl Silent {
    fn new() -> Result<Self, Failure> {
        Ok(Self(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?))
    }

    fn address(&self) -> Result<SocketAddr, Failure> {
        Ok(self.0.local_addr()?)
    }

    /// An endpoint to open sessions to it.
    fn endpoint(&self, now: Instant) -> Result<Endpoint, Failure> {
        let identity = Authority::create("growth")?.issue(Role::Client)?;
        let (targets, budget) = ([self.address()?], Budget::unlimited());
        let idle = CLIENT_IDLE_TIMEOUT;
        Ok(dialing_endpoint(&identity, &targets, idle, &budget, now)?)
    }

    /// A session to it, for which nobody calls.
    fn session(&self, endpoint: &mut Endpoint, now: Instant) -> Result<SessionKey, Failure> {
        Ok(endpoint.connect(self.address()?, SERVER_NAME_ANY, 0, now)?)
    }

    /// So many targets that are all this one, with so many links each, for calls that nobody begins by himself.
    fn upstreams<T>(
        &self,
        targets: usize,
        links: usize,
        now: Instant,
    ) -> Result<Upstreams<T>, Failure> {
        let sessions = (dial::Sessions::Fixed(links), 0);
        self.upstreams_with(targets, sessions, now)
    }

    fn upstreams_with<T>(
        &self,
        targets: usize,
        sessions: (dial::Sessions, u16),
        now: Instant,
    ) -> Result<Upstreams<T>, Failure> {
        let targets = vec![Addresses::from(self.address()?); targets];
        let (endpoint, name, keep) = (self.endpoint(now)?, SERVER_NAME_ANY, Keep::WhileCalling);
        Ok(Upstreams::new(
            endpoint, &targets, sessions, name, keep, now,
        ))
    }
}

/// The session of the first link that was dialled.
const FIRST: SessionKey = SessionKey {
    index: 0,
    generation: 1,
};

/// A call that ends long after the bench does.
fn request(now: Instant) -> Request<'static> {
    Request {
        function: "echo",
        body: Body::EMPTY,
        deadline: now + FOR_LONG,
        depth: 0,
        account: None,
        fields: Fields::NONE,
    }
}

/// The network has taken what this session had to say.
fn sent(endpoint: &mut Endpoint, session: SessionKey) {
    endpoint.set_outbox(session, Outbox::default());
}

/// The only shard of a server.
fn seat(role: &'static str, now: Instant) -> Result<Seat, Failure> {
    Ok(Seat {
        shard: 0,
        shards: 1,
        steering: Steering::Single,
        role,
        name: "127.0.0.1:1".into(),
        started: now,
        beacon: Default::default(),
        bell: Arc::clone(Listener::new()?.bell()),
    })
}
