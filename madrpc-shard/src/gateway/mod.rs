//! HTTP beside the calls: whether a server is well, what it has counted, and calls from whoever has no QUIC.
//!
//! Owns a thread with a runtime of its own (tokio), which runs at a lower priority than the shards and touches nothing of
//! theirs: it asks the control thread for what they have counted, and calls as any client does, by sessions to the server's
//! own address. So whatever HTTP clients do, a shard sees calls of one more caller, with that one's bounds and its part of the
//! core.
//!
//! ```text
//!  TCP ─▶ connections   how many, for how long; TLS
//!           ▼
//!         requests      who it is (access, tokens), how many (under_way), the body, within bounds of time and memory (room, bulk)
//!           ▼
//!         routes        health · metrics · call (events) · rpc · openapi · page · status
//! ```
//!
//! HTTP/1.1 only: every client speaks it, and one connection has one request at a time, which is what bounds it.
#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

mod accept;
mod access;
mod bulk;
mod call;
mod connections;
mod events;
mod failure;
mod functions;
mod health;
mod metrics;
mod openapi;
mod page;
mod patient;
mod requests;
mod room;
mod routes;
mod rpc;
mod sending;
mod status;
mod tls;
mod tokens;
mod under_way;

pub use tokens::TokensFile;

use crate::runtime::priority;
use crate::server::Server;
use access::Access;
use madrpc_core::identity::{Identity, IdentityError};
use madrpc_core::numbers::later;
use routes::Served;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// How long a port in use is waited for, and how often it is tried meanwhile: a process that was killed holds it a moment longer.
const FREED_WITHIN: Duration = Duration::from_secs(2);
const FREED_LOOK: Duration = Duration::from_millis(10);

/// How long answers may be on their way once the server has ended.
const LEAVING: Duration = Duration::from_secs(1);

/// How often the file of tokens is looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);

/// How much lower than the shards' the priority of the thread is (nice(2)). Where all want the core, it has a tenth of it.
const NICENESS: i32 = 10;

/// Why HTTP cannot be served; each is one line that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// Someone else is there.
    #[error(
        "HTTP address {0}: in use by another process; stop that one (`ss -ltnp` shows it) or choose another port (--http)"
    )]
    InUse(SocketAddr),
    /// The operating system refuses it.
    #[error(
        "HTTP address {address}: cannot be bound ({reason}): choose an address of this machine, or a port alone for 127.0.0.1 (--http)"
    )]
    Refused {
        /// The address.
        address: SocketAddr,
        /// The operating system's word.
        reason: io::Error,
    },
    /// Others than this machine could come, and nobody would be asked who he is.
    #[error(
        "HTTP address {0}: others than this machine can come there, and calls would be anybody's: give a file of tokens (--http-tokens), or a port alone for 127.0.0.1"
    )]
    Open(SocketAddr),
    /// The certificate cannot be used for TLS.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The system lacks something.
    #[error("HTTP: {0}")]
    System(#[from] io::Error),
}

/// A TCP port that is listened at, before anybody is let in.
///
/// It is bound before the process gives up TCP, so that no right to bind has to be kept for it.
#[derive(Debug)]
pub struct Door {
    listener: TcpListener,
    address: SocketAddr,
}

impl Door {
    /// Listens; port 0 chooses a free one. A port in use is waited for, for at most 2 s.
    ///
    /// # Errors
    /// Where the address stays in use or is refused.
    pub fn bind(address: SocketAddr) -> Result<Self, GatewayError> {
        let end = later(Instant::now(), FREED_WITHIN);
        loop {
            match TcpListener::bind(address) {
                Ok(listener) => {
                    let address = listener.local_addr()?;
                    listener.set_nonblocking(true)?;
                    return Ok(Self { listener, address });
                }
                Err(reason) if reason.kind() != io::ErrorKind::AddrInUse => {
                    return Err(GatewayError::Refused { address, reason });
                }
                Err(_) if Instant::now() < end => std::thread::sleep(FREED_LOOK),
                Err(_) => return Err(GatewayError::InUse(address)),
            }
        }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whether only this machine can come.
    #[must_use]
    pub fn is_local(&self) -> bool {
        is_local(self.address.ip())
    }
}

/// Whether only this machine can reach an address.
#[must_use]
pub fn is_local(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

/// How far it has got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Serving,
    /// No new call is taken; all else is answered.
    Draining,
    /// Answers that are on their way are sent, and nothing else.
    Leaving,
}

/// HTTP of a running server. Dropping it ends it at once.
#[derive(Debug)]
pub struct Gateway {
    address: SocketAddr,
    stage: watch::Sender<Stage>,
    access: Arc<watch::Sender<Access>>,
    thread: Option<JoinHandle<()>>,
}

impl Gateway {
    /// Serves HTTP for a server from now on: for those who have a token, or, where there is no file of them, for this machine.
    ///
    /// # Errors
    /// Where others than this machine can come and there are no tokens, the certificate cannot be used, or the system gives no thread.
    pub fn start(
        door: Door,
        server: &Server,
        tokens: Option<TokensFile>,
    ) -> Result<Self, GatewayError> {
        let access = Access::new(&door, server, tokens.as_ref())?;
        let (stage, stages) = watch::channel(Stage::Serving);
        let access = Arc::new(watch::Sender::new(access));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .max_blocking_threads(1)
            .thread_name("http-bulk")
            .build()?;
        let address = door.address;
        let listener = door.listener;
        let served = Served::new(server.observer(), stages, access.subscribe());
        if let Some(tokens) = tokens {
            follow(tokens, Arc::clone(&access))?;
        }
        let run = move || {
            priority::lower(NICENESS);
            let local = tokio::task::LocalSet::new();
            local.block_on(&runtime, connections::serve(listener, served));
            // What is still being read or written on the other thread is for nobody.
            runtime.shutdown_background();
        };
        let thread = std::thread::Builder::new().name("http".into()).spawn(run)?;
        Ok(Self {
            address,
            stage,
            access,
            thread: Some(thread),
        })
    }

    /// Whether HTTP could be served there.
    ///
    /// # Errors
    /// Where others than this machine can come and there are no tokens.
    pub fn check(address: SocketAddr, tokens: Option<&TokensFile>) -> Result<(), GatewayError> {
        match !is_local(address.ip()) && tokens.is_none() {
            true => Err(GatewayError::Open(address)),
            false => Ok(()),
        }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Goes over to another identity, as the server does.
    ///
    /// # Errors
    /// Where it cannot be used. Nothing has changed then.
    pub fn set_identity(&self, identity: &Identity) -> Result<(), IdentityError> {
        let mut outcome = Ok(());
        self.access.send_modify(|access| {
            outcome = access.set_identity(identity.clone());
        });
        outcome
    }

    /// Takes no new calls from now on; all else is answered, so that others see how the server ends.
    pub fn drain(&self) {
        self.stage.send_replace(Stage::Draining);
    }

    /// Sends what is left to be sent, for a second at the most, and ends.
    pub fn close(mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.stage.send_replace(Stage::Leaving);
        if let Some(thread) = self.thread.take() {
            // A panic there has been told, and ends the process where panics do.
            let _ = thread.join();
        }
    }
}

/// Goes by what a file of tokens says, for as long as HTTP is served.
fn follow(TokensFile(mut file): TokensFile, access: Arc<watch::Sender<Access>>) -> io::Result<()> {
    let look = move || {
        while !access.is_closed() {
            if let Some(tokens) = file.look() {
                let tokens = Arc::clone(tokens);
                access.send_modify(|access| access.set_tokens(Some(tokens)));
            }
            std::thread::sleep(LOOK_INTERVAL);
        }
    };
    let thread = std::thread::Builder::new().name("http-tokens".into());
    thread.spawn(look).map(drop)
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.end();
    }
}
