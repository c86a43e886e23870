//! The client: calls functions from any thread and any async runtime.
//!
//! ```no_run
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use madrpc_shard::client::Client;
//!
//! let client = Client::connect("127.0.0.1:8080")?;
//! let sum: f64 = client.call_blocking("add", &(1, 2))?;
//! # Ok(())
//! # }
//! ```
//!
//! A process has one client thread, which drives the sessions of all its clients; a [`Client`] only sends it messages. The
//! thread is started by the first client and lives as long as the process.
#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

mod call;
mod calls;
pub mod load;
pub(crate) mod pool;
mod sockets;
mod stream;
mod thread;
mod values;

use crate::net::address::AddressError;
use crate::net::dial::Sessions;
use crate::net::named::resolve_list;
use crate::net::transport::TransportError;
use futures_channel::oneshot;
use futures_lite::future::block_on;
use madrpc_core::call::{Bill, CallError};
use madrpc_core::identity::{Identity, IdentityError, Role, SERVER_NAME_ANY};
use madrpc_core::limits::DEFAULT_TIMEOUT;
use pool::Command;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::sync::Arc;
use std::time::Duration;
use thread::ToPool;
use values::{from_result, to_args};

pub use crate::net::dial::SESSIONS_MAX;
pub use crate::net::traces::CallRecorder;
pub use call::Call;
#[cfg(feature = "internals")]
pub(crate) use calls::ReplyTo;
pub use calls::{Calls, Ended};
pub use stream::{EncodedItems, ItemStream};
#[cfg(feature = "gateway")]
pub(crate) use stream::{End, Event, Incoming};
#[cfg(feature = "gateway")]
pub(crate) use thread::start_early;
pub use values::{decode_result, encode_args};

/// Sessions with each server, where their number is given. Some 300 MB of them, which the thread of all clients opens at once.
pub const CONNECTIONS_MAX: usize = 10_000;

/// Why a client cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The address cannot be used.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// The certificates cannot be used.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The number of sessions is out of bounds.
    #[error("client: connections: from 1 to {CONNECTIONS_MAX} with each server")]
    Connections,
    /// Sessions cannot be opened from this machine.
    #[error("client: {0}")]
    Transport(#[from] TransportError),
    /// The client thread cannot be made.
    #[error("client: {0}")]
    System(String),
}

/// Whom a client calls, and how.
#[derive(Debug, Clone)]
pub struct ClientConfig {
    /// The address of the orchestrator or node, `HOST:PORT`, or those of several, with commas in between. Each address of a name is
    /// a server; names are looked up again every 30 s while there are calls, and sooner where a session is lost.
    pub address: String,
    /// Who calls.
    pub identity: Identity,
    /// Sessions to open with each server, from 1 to [`CONNECTIONS_MAX`]; a call takes the one with the fewest calls in flight.
    /// Default: one to each of the server's shards, but at most [`SESSIONS_MAX`]; the first call opens one, and the rest once the
    /// server has told its shards.
    pub connections: Option<usize>,
    /// The deadline of calls that name none. Default: 30 s.
    pub timeout: Duration,
    /// Has the first of several servers that answers get all calls, until it goes; the others are there for that case. Default:
    /// calls are put on those that answer, one after the other.
    pub one_at_a_time: bool,
    /// What the server must be; default: a node or an orchestrator.
    pub expect: Option<Role>,
    /// What records spans of calls, which are sent by [`Exporter::of_clients`](crate::traces::Exporter::of_clients). Default: none are.
    pub recorder: Option<CallRecorder>,
}

impl ClientConfig {
    /// The defaults, as this user, whose authority is created where there is none yet.
    ///
    /// # Errors
    /// Where the user's authority cannot be used.
    pub fn new(address: &str) -> Result<Self, IdentityError> {
        Ok(Self::with_identity(
            address,
            Identity::of_this_user(Role::Client)?,
        ))
    }

    /// The defaults, as somebody else.
    #[must_use]
    pub fn with_identity(address: &str, identity: Identity) -> Self {
        Self {
            address: address.to_owned(),
            identity,
            connections: None,
            one_at_a_time: false,
            timeout: DEFAULT_TIMEOUT,
            expect: None,
            recorder: None,
        }
    }
}

/// What came back for a call.
#[derive(Debug, Clone, PartialEq)]
pub struct Reply<T> {
    /// What the function returned.
    pub result: T,
    /// What it cost, and where it ran.
    pub bill: Bill<String>,
}

/// Calls functions. Clones share their sessions; the last one to go closes them.
#[derive(Debug, Clone)]
pub struct Client {
    pool: ToPool,
    timeout: Duration,
    recorder: Option<CallRecorder>,
    /// As it was given.
    address: Arc<str>,
}

impl Client {
    /// A client of the orchestrator or node at `address`, as this user. Several addresses have commas in between.
    ///
    /// With several, a call goes to the next of those that answer. One that stops gets no more; calls that it certainly has not
    /// begun go to another, and those that it may have begun too, where the function is known to be `idempotent` (nodes say so).
    /// One that is back gets its part again.
    ///
    /// The first call opens the sessions; whether anybody is there is not known before.
    ///
    /// # Errors
    /// Where the address, the user's authority or the machine will not do.
    pub fn connect(address: &str) -> Result<Self, ClientError> {
        Self::new(&ClientConfig::new(address)?)
    }

    /// A client as configured.
    ///
    /// # Errors
    /// As [`Client::connect`].
    pub fn new(config: &ClientConfig) -> Result<Self, ClientError> {
        let sessions = sessions(config.connections)?;
        let servers = resolve_list(&config.address)?;
        let server_name = config
            .expect
            .and_then(Role::server_name)
            .unwrap_or(SERVER_NAME_ANY);
        let pool = thread::open(pool::Target {
            servers,
            one_at_a_time: config.one_at_a_time,
            identity: config.identity.clone(),
            sessions,
            server_name,
        })?;
        Ok(Self {
            pool,
            timeout: config.timeout,
            recorder: config.recorder.clone(),
            address: config.address.as_str().into(),
        })
    }

    /// Calls a function and waits for its result.
    ///
    /// Arguments and result are any serde types; [`Value`](madrpc_core::value::Value) is one of them. A future that is dropped cancels the call.
    ///
    /// # Errors
    /// [`CallError::kind`] says why there is no result, [`CallError::may_have_run`] whether it can be sent again,
    /// [`CallError::bill`] what it cost nevertheless.
    pub async fn call<A, R>(&self, function: &str, args: &A) -> Result<R, CallError>
    where
        A: Serialize + ?Sized,
        R: DeserializeOwned,
    {
        let reply = self.prepare(function).send(to_args(args)?).await?;
        from_result(reply.result)
    }

    /// As [`Client::call`], for threads without an async runtime.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub fn call_blocking<A, R>(&self, function: &str, args: &A) -> Result<R, CallError>
    where
        A: Serialize + ?Sized,
        R: DeserializeOwned,
    {
        block_on(self.call(function, args))
    }

    /// Calls a function that streams, a generator, and gives what it yields, as a [`Stream`](futures_lite::Stream): see
    /// [`Call::stream`].
    pub fn stream<A, R>(&self, function: &str, args: &A) -> ItemStream<R>
    where
        A: Serialize + ?Sized,
        R: DeserializeOwned,
    {
        self.prepare(function).open(to_args(args), from_result)
    }

    /// Says goodbye to the server, and waits until that is sent. Calls of clones that are under way
    /// end, `Cancelled`.
    ///
    /// For a process that is about to end: without it the server holds the sessions until they time out.
    pub fn close_blocking(self) {
        let (closed, done) = oneshot::channel();
        if self.pool.send(Command::Close(closed)).is_ok() {
            // A client thread that has ended holds no sessions.
            let _ = block_on(done);
        }
    }

    /// Many calls whose replies come to one place.
    #[must_use]
    pub fn calls(&self) -> Calls {
        Calls::new(self.clone())
    }

    /// A call with a deadline of its own, untyped, or whose bill is wanted.
    pub fn prepare<'a>(&'a self, function: &'a str) -> Call<'a> {
        Call::new(self, function)
    }
}

fn sessions(connections: Option<usize>) -> Result<Sessions, ClientError> {
    match connections {
        None => Ok(Sessions::PerShard { callers: 1 }),
        Some(given @ 1..=CONNECTIONS_MAX) => Ok(Sessions::Fixed(given)),
        Some(_) => Err(ClientError::Connections),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "that is how a test fails")]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_connections_has_bounds() {
        for given in [0, CONNECTIONS_MAX + 1, usize::MAX] {
            assert!(sessions(Some(given)).is_err(), "{given}");
        }
        for given in [1, CONNECTIONS_MAX] {
            assert_eq!(sessions(Some(given)).unwrap(), Sessions::Fixed(given));
        }
    }
}
