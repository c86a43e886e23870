//! The peers: other ways to call the same functions over a network.

pub(crate) mod ancestor;
mod closed_loop;
pub(crate) mod grpc;
pub(crate) mod node;
mod pool;

use crate::outcome::Outcome;
use tokio::runtime::{Builder, Runtime};

/// A runtime for a server on one core, and the threads that `spawn_blocking` starts. Each peer has the builder with
/// which it was faster: one worker thread, or none beside the main one.
fn server_runtime(mut builder: Builder) -> Outcome<Runtime> {
    Ok(builder
        .worker_threads(1)
        .max_blocking_threads(pool::SIZE)
        .enable_all()
        .build()?)
}
