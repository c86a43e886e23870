//! Everything of madrpc that runs: the shards of nodes and orchestrators, and the client.
//!
//! A **shard** is one core: a pinned thread with a glommio executor, a UDP socket, the QUIC sessions that landed there
//! and, on a node, its lanes of QuickJS. Nothing is shared between shards, and no call is handed from one to another.
//!
//! # The rooms
//!
//! They stand on each other: each uses those below it, and none above or beside it. `make tidy` holds that.
//!
//! | | |
//! |---|---|
//! | [`gateway`] · [`traces`] | HTTP beside the calls; spans of calls, on their way to who collects them |
//! | [`server`] | starts, watches and stops shards; the loop of a shard |
//! | [`node`] · `orchestrator` · [`client`] | what a call means: it is run, passed on, made |
//! | [`engine`] | JavaScript |
//! | [`net`] | datagrams, sessions, and the calls on sessions that we open |
//! | [`runtime`] | threads, cores, and what must be true of the machine |
//!
//! What a call, a frame, a session and a value are is in [`madrpc_core`].
//!
//! # The way of a call
//!
//! To a node, directly:
//!
//! ```text
//!  kernel            net::steer          the filter picks the shard by the connection ID
//!    │ batch         net::socket
//!    ▼
//!  server::shard     Shard::run          one turn of the loop
//!    │ datagrams     net::endpoint       Endpoint::receive: finds the session, or lets one in
//!    │ frames        core::session       Endpoint::next_frame: one after the other
//!    ▼
//!  server::shard     Shard::take_calls   refuses what nobody could run
//!    │
//!    ▼
//!  node              Node::on_call       a lane, or the queue
//!    │               node::schedule      Node::start, Node::go_on: a slice
//!    │ arguments     engine::lane        Lane::assign, Lane::resume: JavaScript, on a stack of its own
//!    ▼
//!  node::reply       Node::finish        the bill; the result goes to the session's outbox
//!    │
//!    ▼
//!  server::shard     Shard::flush        Endpoint::flush: packets, gathered into batches
//! ```
//!
//! Through an orchestrator the middle is another:
//!
//! ```text
//!  server::shard     Shard::take_calls
//!    ▼
//!  orchestrator      Orchestrator::on_call      picks nothing itself
//!    ▼
//!  net::dial         Upstreams::call_known      a number and a deadline; the frame is put in a link's outbox
//!    │               core::fleet                Router::pick: which target gets it
//!    ┊               …the node…
//!  server::shard     Shard::take_outcomes       the other endpoint, driven by the same loop
//!    ▼
//!  net::dial         Upstreams::on_frame        whose call it is: only the session that was asked may answer
//!    ▼
//!  orchestrator      Orchestrator::on_outcome   the reply, with the caller's number, to the caller's outbox
//! ```
//!
//! A client's call is the lower half of that: `client::pool` has an `Upstreams` of its own, driven by `client::thread`.
//!
//! Start a [`Server`](server::Server), or call one with a [`Client`](client::Client). Servers need Linux with io_uring. The
//! client needs neither: with `default-features = false` this crate is made for macOS and Windows, and has the client alone there.

#[cfg(all(
    not(target_os = "linux"),
    any(
        feature = "discovery",
        feature = "engine",
        feature = "gateway",
        feature = "internals",
        feature = "traces"
    )
))]
compile_error!("servers run on Linux only: for the client, turn off the default features");

pub mod client;
#[cfg(feature = "discovery")]
pub mod discovery;
#[cfg(feature = "engine")]
pub mod engine;
#[cfg(feature = "gateway")]
pub mod gateway;
#[cfg(feature = "internals")]
pub mod internals;
pub mod net;
#[cfg(feature = "engine")]
pub mod node;
#[cfg(target_os = "linux")]
mod orchestrator;
pub mod runtime;
#[cfg(target_os = "linux")]
pub mod server;
#[cfg(feature = "traces")]
pub mod traces;

/// The features of this crate that are compiled in.
pub const FEATURES: &[&str] = &[
    #[cfg(feature = "discovery")]
    "discovery",
    #[cfg(feature = "engine")]
    "engine",
    #[cfg(feature = "gateway")]
    "gateway",
    #[cfg(feature = "traces")]
    "traces",
];
