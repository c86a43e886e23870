//! How long calls have waited for their first slice.

use madrpc_core::stats::{Latency, Snapshot};

#[derive(Debug, Default)]
pub(super) struct Waits {
    /// Calls that had it within the microsecond in which they came: most, where there is not much to do.
    at_once: u64,
    others: Latency,
    sum_us: u64,
}

impl Waits {
    /// A call that has run had waited for so many microseconds.
    #[inline]
    pub(super) fn note(&mut self, microseconds: u64) {
        match microseconds {
            0 => self.at_once += 1,
            _ => {
                self.others.record(microseconds);
                self.sum_us = self.sum_us.saturating_add(microseconds);
            }
        }
    }

    pub(super) fn tell(&self, snapshot: &mut Snapshot) {
        let mut all = self.others.clone();
        all.add_buckets(&[(1, self.at_once)]);
        snapshot.queue_wait_us = all.buckets();
        snapshot.queue_wait_sum_us = self.sum_us;
    }
}
