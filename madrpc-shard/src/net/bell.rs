//! The bell of a thread: by it others say that they have put something into one of its rings or channels.
//!
//! Many ring, one listens. The danger is a lost wake-up: something lies in a ring, and its reader sleeps. So who writes
//! writes first and rings then; who reads says that it goes to sleep, and does not where the bell was rung before.
//! `tests/bell` tries this file, as it stands here, with every order that the memory model allows.

use super::sync::{Arc, AtomicU8, Event, Ordering};
use std::io;

/// Nothing was put in since the listener has looked.
const QUIET: u8 = 0;
/// Something was.
const RUNG: u8 = 1;
/// Nothing was, and the listener sleeps, or is about to.
const ASLEEP: u8 = 2;

/// What is rung.
#[derive(Debug)]
pub(crate) struct Bell {
    state: AtomicU8,
    event: Event,
}

impl Bell {
    /// Wakes the listener; call it when all is written. It costs a system call only where the listener sleeps.
    pub(crate) fn ring(&self) {
        // A store would end the chain (C11's release sequence) that another thread's store had begun: who reads the later
        // one need not see what the earlier has put, and sleeps on it. With two that ring, that is a real fault by the
        // memory model, though neither x86 nor ARMv8 shows it. A swap goes on with the chain. One for each turn that has
        // written something costs nothing beside a datagram.
        if self.state.swap(RUNG, Ordering::AcqRel) == ASLEEP {
            self.event.signal();
        }
    }
}

/// The end of the one that sleeps.
#[derive(Debug)]
pub(crate) struct Listener(Arc<Bell>);

impl Listener {
    /// # Errors
    /// Where the process may not have another open file.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self(Arc::new(Bell {
            state: AtomicU8::new(QUIET),
            event: Event::new()?,
        })))
    }

    /// What the others ring.
    pub(crate) fn bell(&self) -> &Arc<Bell> {
        &self.0
    }

    /// Whether the bell was rung since this was asked last: then look into all that others write to.
    pub(crate) fn was_rung(&self) -> bool {
        let state = &self.0.state;
        // The load keeps the cache line shared while nobody rings. One that misses a ring is made up for before sleeping.
        state.load(Ordering::Relaxed) == RUNG && state.swap(QUIET, Ordering::Acquire) == RUNG
    }

    /// What ends a sleep.
    pub(crate) fn event(&self) -> &Event {
        &self.0.event
    }

    /// Sleeps in `wait`, which ends by the event at the latest and says whether that has come; not where the bell was rung.
    pub(crate) fn sleep(&self, wait: impl FnOnce() -> bool) {
        let Bell { state, event } = &*self.0;
        let change =
            |from, to| state.compare_exchange(from, to, Ordering::AcqRel, Ordering::Relaxed);
        if change(QUIET, ASLEEP).is_err() {
            return;
        }
        if wait() {
            event.clear();
        }
        // It fails where the bell was rung, which `was_rung` finds. A signal that comes only now ends the next sleep early.
        let _ = change(ASLEEP, QUIET);
    }
}
