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
use bytes::Bytes;
use futures_channel::{mpsc, oneshot};
use futures_lite::future::block_on;
use madrpc_core::call::{Bill, CallError, CallFields, ErrorKind, Trace};
use madrpc_core::identity::{Identity, IdentityError, Role, SERVER_NAME_ANY};
use madrpc_core::limits::{DEFAULT_TIMEOUT, KEY_MAX_BYTES, STREAM_WINDOW, TIMEOUT_MAX};
use madrpc_core::numbers::later;
use madrpc_core::value::Value;
use pool::Command;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use stream::Receiving;
use thread::{ThreadEnded, ToPool};
use values::{decoded, from_result, to_args};

pub use crate::net::dial::SESSIONS_MAX;
pub(crate) use calls::ReplyTo;
pub use calls::{Calls, Ended};
pub(crate) use stream::Incoming;
pub use stream::{EncodedItems, ItemStream};
#[cfg(feature = "gateway")]
pub(crate) use stream::{End, Event};
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
}

/// The number of the next call of this process. A call is sent to the client's thread anyway, beside which this is nothing.
static NEXT_NUMBER: AtomicU64 = AtomicU64::new(0);

/// A call about to be made.
#[derive(Debug, Clone)]
#[must_use = "nothing is sent before `send`"]
pub struct Call<'a> {
    client: &'a Client,
    function: &'a str,
    timeout: Duration,
    key: Option<&'a [u8]>,
    trace: Option<Trace>,
    may_repeat: bool,
    nodes_lost: u8,
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
        })
    }

    /// Calls a function and waits for its result.
    ///
    /// Arguments and result are any serde types; [`Value`] is one of them. A future that is dropped cancels the call.
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

    /// Says goodbye to the server, and waits until that is sent. Calls of clones that are under way are lost.
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
        Call {
            client: self,
            function,
            timeout: self.timeout,
            key: None,
            trace: None,
            may_repeat: false,
            nodes_lost: 0,
        }
    }
}

impl<'a> Call<'a> {
    /// Calls of the same key go to the same node, where the orchestrator balances by keys (`--balance hash`). At most
    /// [`KEY_MAX_BYTES`].
    pub fn key(mut self, key: &'a [u8]) -> Self {
        self.key = Some(key);
        self
    }

    /// The trace that the call belongs to, and the span that it is made from: of a `traceparent` (W3C Trace Context), by
    /// [`Trace::from_str`](std::str::FromStr).
    pub fn trace(mut self, trace: Trace) -> Self {
        self.trace = Some(trace);
        self
    }

    /// The call may run twice, whatever its function was registered as: where a server that has it is lost, another is asked.
    pub fn idempotent(mut self, is_idempotent: bool) -> Self {
        self.may_repeat = is_idempotent;
        self
    }

    /// It was made before, and nodes were lost that it was on ([`CallError::nodes_lost`]): they count, so that a call which ends
    /// the nodes that run it ends two of them at the most, however often it is made again.
    pub fn nodes_lost(mut self, nodes: u8) -> Self {
        self.nodes_lost = nodes;
        self
    }

    /// Sets the time until the deadline; at most a day.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sends the call and waits for its reply.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub async fn send(self, args: Value) -> Result<Reply<Value>, CallError> {
        decoded(self.send_encoded(encode_args(&args)?).await?)
    }

    /// As [`Call::send`], of an argument that is encoded already; the result is left as it has come.
    pub(crate) async fn send_encoded(self, args: Bytes) -> Result<Reply<Bytes>, CallError> {
        let (reply, replied) = oneshot::channel();
        let number = self.begin(args, self.fields(0)?, ReplyTo::One(reply))?;
        let waiting = Waiting {
            number,
            replied: Some(replied),
            pool: &self.client.pool,
        };
        waiting.await.unwrap_or_else(|_| Err(ThreadEnded.into()))
    }

    /// Sends the call of a function that streams, a generator, and gives what it yields, item by item, as a
    /// [`Stream`](futures_lite::Stream). Of any other function it gives none, and then its result, see [`ItemStream::reply`].
    ///
    /// The function goes on as its items are taken, and some 250 small ones before they are, of large ones 4 MiB: a
    /// reader that stops has it wait. The deadline is that of all of it. No item is lost while there is no error, and none
    /// comes twice: after the first the call is not sent again.
    ///
    /// # Errors
    /// Its last item, as of [`Client::call`].
    pub fn stream(self, args: Value) -> ItemStream<Value> {
        self.open(Ok(args), Ok)
    }

    fn open<T>(
        self,
        args: Result<Value, CallError>,
        read: fn(Value) -> Result<T, CallError>,
    ) -> ItemStream<T> {
        let args = args.and_then(|args| encode_args(&args));
        let incoming = self.incoming(args, STREAM_WINDOW);
        ItemStream::new(EncodedItems::new(incoming), read)
    }

    /// As [`Call::stream`], of an argument that is [encoded](madrpc_core::value::wire) already; so are the items.
    pub fn stream_encoded(self, args: Bytes) -> EncodedItems {
        EncodedItems::new(self.incoming(Ok(args), STREAM_WINDOW))
    }

    /// What comes of it, for a reader who says himself what he has room for: so many frames of items before he takes any.
    pub(crate) fn incoming(self, args: Result<Bytes, CallError>, window: u32) -> Incoming {
        let (to_reader, events) = mpsc::unbounded();
        let receiving = Box::new(Receiving::new(to_reader, window));
        let opened = args.and_then(|args| {
            let number = self.begin(args, self.fields(window)?, ReplyTo::Items(receiving))?;
            Ok((number, self.client.pool.clone()))
        });
        Incoming::new(opened, events, window)
    }

    /// What is said besides function and argument, encoded; with so many frames of items that are taken, where any are.
    fn fields(&self, credit: u32) -> Result<Vec<u8>, CallError> {
        if let Some(key) = self.key.filter(|key| key.len() > KEY_MAX_BYTES) {
            let bytes = key.len();
            let error =
                format!("the key has {bytes} bytes, and none has more than {KEY_MAX_BYTES}");
            return Err(CallError::not_run(ErrorKind::BadArguments, error));
        }
        let mut fields = Vec::new();
        let said = CallFields {
            key: self.key,
            trace: self.trace,
            credit,
            may_repeat: self.may_repeat,
            nodes_lost: self.nodes_lost,
            ..CallFields::default()
        };
        said.write(&mut fields);
        Ok(fields)
    }

    /// Hands it to the client's thread; gives its number, by which it can be cancelled.
    fn begin(&self, body: Bytes, fields: Vec<u8>, reply: ReplyTo) -> Result<u64, ThreadEnded> {
        let number = NEXT_NUMBER.fetch_add(1, Ordering::Relaxed);
        self.client.pool.send(Command::Call {
            number,
            function: self.function.to_owned(),
            body,
            fields,
            deadline: later(Instant::now(), self.timeout.min(TIMEOUT_MAX)),
            reply,
        })?;
        Ok(number)
    }

    /// As [`Call::send`], for threads without an async runtime.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub fn send_blocking(self, args: Value) -> Result<Reply<Value>, CallError> {
        block_on(self.send(args))
    }
}

/// A call's reply; dropped before it is there, it cancels the call.
struct Waiting<'a> {
    number: u64,
    replied: Option<oneshot::Receiver<Result<Reply<Bytes>, CallError>>>,
    pool: &'a ToPool,
}

impl Future for Waiting<'_> {
    type Output = Result<Result<Reply<Bytes>, CallError>, oneshot::Canceled>;

    fn poll(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Self::Output> {
        let Some(replied) = &mut self.replied else {
            return std::task::Poll::Ready(Err(oneshot::Canceled));
        };
        let polled = std::pin::Pin::new(replied).poll(context);
        if polled.is_ready() {
            self.replied = None;
        }
        polled
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let Some(replied) = self.replied.take() {
            drop(replied);
            // It fails where the client thread has ended, and the call with it.
            let _ = self.pool.send(Command::Cancel(self.number));
        }
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
