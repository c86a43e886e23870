//! The peers: other ways to call the same functions over a network.

pub(crate) mod ancestor;
mod closed_loop;
pub(crate) mod grpc;
pub(crate) mod node;
mod pool;

use crate::Outcome;
use tokio::runtime::{Builder, Runtime};

/// A runtime for a server on one core: one worker, and the threads that `spawn_blocking` starts.
fn server_runtime() -> Outcome<Runtime> {
    let mut builder = match std::env::var_os("SYSTEMS_MULTI") {
        Some(_) => Builder::new_multi_thread(),
        None => Builder::new_current_thread(),
    };
    Ok(builder
        .worker_threads(1)
        .max_blocking_threads(pool::size())
        .enable_all()
        .build()?)
}
