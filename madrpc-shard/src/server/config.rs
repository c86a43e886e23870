//! What a server is told, and why it cannot be started.

use crate::net::address::AddressError;
use crate::net::spin::DEFAULT_SPIN;
use crate::net::steer::{BindError, SteeringChoice};
use crate::net::transport::TransportError;
use crate::runtime::cpus::{CpuError, CpuSet};
use crate::runtime::preflight::PreflightError;
use crate::runtime::shard_group::GroupError;
use madrpc_core::fleet::Routing;
use madrpc_core::identity::{Identity, IdentityError, Permissions};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// Why a server cannot be started; each is one line that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address cannot be used.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// The cores asked for cannot be had.
    #[error(transparent)]
    Cpus(#[from] CpuError),
    /// The machine lacks something.
    #[error(transparent)]
    Preflight(#[from] PreflightError),
    /// The port cannot be had.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The certificates cannot be used.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The script cannot be used.
    #[cfg(feature = "engine")]
    #[error(transparent)]
    Script(#[from] crate::engine::ScriptError),
    /// A number makes no sense.
    #[error("{0}")]
    Settings(String),
    /// A session can be neither opened nor accepted.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// A shard did not come up.
    #[error(transparent)]
    Shard(#[from] GroupError),
    /// The system lacks something that a server needs beside its shards.
    #[error("{what}: {reason}")]
    System {
        /// What could not be had.
        what: &'static str,
        /// The operating system's word.
        reason: std::io::Error,
    },
}

/// What every server needs.
#[derive(Debug, Clone)]
pub struct ServerConfig {
    /// Where it listens; port 0 chooses a free one.
    pub bind: SocketAddr,
    /// How many shards; default: one for each core it may use.
    pub shards: Option<usize>,
    /// The cores it may use; default: those of the process' CPU mask.
    pub cpus: Option<CpuSet>,
    /// How datagrams shall find their shard; default: by the kernel where it can.
    pub steering: SteeringChoice,
    /// Who it is.
    pub identity: Identity,
    /// How long a shard that has calls all the time looks for more before it sleeps; zero: it sleeps at once. Default:
    /// [`DEFAULT_SPIN`]. An idle shard sleeps whatever this says.
    pub spin: Duration,
    /// Bytes that the server may hold for its callers and nodes, shared evenly by its shards. Default: half of what the
    /// machine or the control group grants.
    pub memory_max_bytes: Option<u64>,
    /// Who may call what. Default: every role may call every function.
    pub permissions: Arc<Permissions>,
    /// How an orchestrator chooses among its nodes; nothing to a node.
    pub routing: Routing,
    /// What its threads are called after, where there are several servers in the process. Default: nothing.
    pub label: Option<String>,
    /// Calls that take longer, from when they arrive until they end, are told of in the log. Default: none.
    pub slow: Option<Duration>,
    /// Of the calls that say nothing of a trace, the share that is recorded in spans, from 0 to 1, beside those that say that they
    /// are to be, and the same of calls by its HTTP; `None`: no spans. They are there for [`Exporter`](crate::traces::Exporter). Default: none.
    pub record: Option<f64>,
    /// Whether an orchestrator may get other nodes later, of any family of addresses; nothing to a node.
    pub others_come: bool,
}

impl ServerConfig {
    /// The defaults.
    #[must_use]
    pub fn new(bind: SocketAddr, identity: Identity) -> Self {
        Self {
            bind,
            shards: None,
            cpus: None,
            steering: SteeringChoice::Auto,
            identity,
            spin: DEFAULT_SPIN,
            memory_max_bytes: None,
            permissions: Arc::default(),
            routing: Routing::default(),
            label: None,
            slow: None,
            record: None,
            others_come: false,
        }
    }
}
