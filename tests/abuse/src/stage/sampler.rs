//! Looks at servers again and again while they are attacked.

use crate::watched::Watched;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const EVERY: Duration = Duration::from_millis(20);

/// Tells what looks on to stop, whatever happens: a scope waits for its threads.
pub(crate) struct StopAtEnd<'a>(pub(crate) &'a AtomicBool);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The most memory that each was seen with, in bytes.
pub(crate) fn peaks(servers: &[Watched], stop: &AtomicBool) -> Vec<u64> {
    let mut peaks = vec![0; servers.len()];
    while !stop.load(Ordering::Relaxed) {
        for (peak, server) in peaks.iter_mut().zip(servers) {
            // One that is gone has no more.
            *peak = server.rss_bytes().unwrap_or(0).max(*peak);
        }
        std::thread::sleep(EVERY);
    }
    peaks
}
