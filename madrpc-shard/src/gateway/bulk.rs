//! Work on bodies and results: what is small is done at once, what is large on the thread beside, one after the other, so that
//! nobody waits for another's.
//!
//! What is made on the way, values above all, takes many times the room of its text, and is there for one job at a time. A job that
//! has not begun is its request's, and goes with it.

use std::sync::Arc;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

/// What is worked on at once: a fraction of a millisecond.
const AT_ONCE_BYTES: usize = 64 * 1024;

/// Whose turn it is on the thread beside.
#[derive(Debug, Clone)]
pub(super) struct Bulk(Arc<Semaphore>);

impl Bulk {
    pub(super) fn new() -> Self {
        Self(Arc::new(Semaphore::new(1)))
    }

    /// Does something about so many bytes, here or beside; nothing comes of it where the process ends.
    ///
    /// What it works on, and the room for that, belongs into `work`: once begun it goes on where its request has gone.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        bytes: usize,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        if bytes <= AT_ONCE_BYTES {
            return Some(work());
        }
        let turn = Arc::clone(&self.0).acquire_owned().await.ok()?;
        let work = move || {
            let done = work();
            drop(turn);
            done
        };
        spawn_blocking(work).await.ok()
    }
}
