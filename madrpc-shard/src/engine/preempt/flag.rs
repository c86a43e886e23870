//! What kernels look at, at each turn of a loop: whether the lane has to be asked for the core.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

thread_local! {
    static OF_THREAD: Arc<Flag> = Arc::default();
}

/// One for each thread with lanes, of which one has the core at a time.
#[derive(Debug, Default)]
pub(in super::super) struct Flag {
    is_set: AtomicU32,
    /// Whether a lane with kernels has the core, where another thread sets the flag.
    runs: AtomicBool,
}

impl Flag {
    pub(super) fn of_thread() -> Arc<Self> {
        OF_THREAD.with(Arc::clone)
    }

    /// Where a kernel reads it: anything but 0 says that it is set.
    pub(in super::super) fn place(&self) -> *const AtomicU32 {
        &raw const self.is_set
    }

    pub(in super::super) fn clear(&self) {
        self.is_set.store(0, Ordering::Relaxed);
    }

    /// Safe in a signal handler.
    pub(super) fn set(&self) {
        self.is_set.store(1, Ordering::Relaxed);
    }

    /// In one order with what the ticker says of its sleep: it must not sleep while a lane runs.
    pub(super) fn runs(&self) -> bool {
        self.runs.load(Ordering::SeqCst)
    }

    pub(super) fn set_runs(&self, runs: bool) {
        self.runs.store(runs, Ordering::SeqCst);
    }
}
