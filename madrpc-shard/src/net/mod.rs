//! The network of a shard or a client: datagrams in and out, the sessions on them, and the calls we make on those.
//!
//! | way of a datagram | file |
//! |---|---|
//! | the kernel picks the shard | [`steer`] |
//! | a batch is read or written | `socket` |
//! | one that belongs to another shard goes there | `relay` |
//! | until one comes, the thread sleeps | `spin`, `sleep`; others wake it by its `bell` |
//! | its session is found, or opened | `endpoint` |
//! | our own sessions to others, and the calls on them | `dial`; `resolver` finds them again |
//! | what is told of single calls | `traces` |
//!
//! Nothing here knows what a call means, nor JavaScript.

#![cfg_attr(
    not(target_os = "linux"),
    allow(
        dead_code,
        reason = "much of it is for servers, which run on Linux only"
    )
)]

pub mod address;
#[cfg(target_os = "linux")]
pub mod steer;

#[cfg(target_os = "linux")]
pub(crate) mod askers;
pub(crate) mod bell;
pub(crate) mod budget;
pub(crate) mod dial;
pub(crate) mod endpoint;
mod event;
#[cfg(target_os = "linux")]
pub(crate) mod incoming;
pub(crate) mod log_limit;
pub(crate) mod named;
pub(crate) mod relay;
pub(crate) mod resolver;
pub(crate) mod result_size;
#[cfg(target_os = "linux")]
pub(crate) mod seat;
#[cfg(target_os = "linux")]
pub(crate) mod service;
pub(crate) mod shares;
#[cfg(target_os = "linux")]
pub(crate) mod sleep;
pub(crate) mod socket;
pub(crate) mod spin;
pub(crate) mod traces;
pub(crate) mod transport;

/// What `bell` stands on. The model in `tests/bell` puts loom's in its place.
mod sync {
    pub(super) use super::event::Event;
    pub(super) use std::sync::Arc;
    pub(super) use std::sync::atomic::{AtomicU8, Ordering};
}
