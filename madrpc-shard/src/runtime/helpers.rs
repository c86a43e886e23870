//! Threads beside the shards that live as long as the process: a script that is loaded first of all may start them.

use std::sync::OnceLock;
use std::thread::{Builder, JoinHandle};

static FIRST: OnceLock<fn()> = OnceLock::new();

/// What each of them does first. For a process that gives up rights once its script is loaded (Landlock's are each thread's own,
/// and go to those that it starts later): they do not need them, and shall not keep them. What was said first holds.
pub fn on_start(first: fn()) {
    let _ = FIRST.set(first);
}

/// Starts one of them; `None` where the system gives no thread.
pub(crate) fn start(
    builder: Builder,
    work: impl FnOnce() + Send + 'static,
) -> Option<JoinHandle<()>> {
    let run = move || {
        if let Some(first) = FIRST.get() {
            first();
        }
        work();
    };
    builder.spawn(run).ok()
}
