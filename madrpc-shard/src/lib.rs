//! Everything of madrpc that runs: the shards of nodes and orchestrators, and the client.
//!
//! ```text
//!  caller ──QUIC──▶ orchestrator ──QUIC──▶ node ──▶ JavaScript function
//! ```
//!
//! A **shard** is one core: a pinned thread with a glommio executor, a UDP socket, the QUIC sessions that landed there
//! and, on a node, its lanes of QuickJS. Nothing is shared between shards, and no call is handed from one to another.
//!
//! | way of a call | module |
//! |---|---|
//! | the kernel picks the shard | [`steer`] |
//! | a datagram at the wrong shard | `relay` |
//! | datagrams in and out | `socket`, `endpoint` |
//! | calls on a session | [`madrpc_core::session`] |
//! | what a call means here | `handler`: `node` or `orchestrator` |
//! | JavaScript | [`engine`] |
//! | calls that we make | `upstream`, [`client`] |
//!
//! Start a [`Server`](server::Server), or call one with a [`Client`](client::Client).

pub mod address;
mod beacon;
pub mod catalog;
pub mod client;
#[cfg(feature = "engine")]
pub mod cluster;
mod control;
pub mod cpus;
mod endpoint;
#[cfg(feature = "engine")]
pub mod engine;
mod group;
mod handler;
pub mod health;
pub mod load;
#[cfg(feature = "engine")]
pub mod node;
mod orchestrator;
pub mod preflight;
mod relay;
pub mod server;
mod shard;
mod socket;
mod spin;
pub mod steer;
mod throttle;
mod transport;
mod upstream;
mod wake;
#[cfg(feature = "engine")]
pub mod watch;

/// The features of this crate that are compiled in.
pub const FEATURES: &[&str] = if cfg!(feature = "engine") {
    &["engine"]
} else {
    &[]
};

pub use madrpc_core as core;
pub use shard::STATS;
pub use spin::DEFAULT_SPIN;
