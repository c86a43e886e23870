//! The bell of a shard: by it others say that they have put something into one of its rings.
//!
//! Many ring, one listens. The danger is a lost wake-up: something lies in a ring, and its reader sleeps. So who writes
//! writes first, says so, and wakes last; who reads asks to be woken first, and looks once more before sleeping.
//! `tests/bell` tries this file, as it stands here, with every order that the memory model allows.

use super::sync::{Arc, AtomicBool, AtomicWaker, Ordering};
use std::future::poll_fn;
use std::task::Poll;

/// What is rung.
#[derive(Debug, Default)]
pub(crate) struct Bell {
    rung: AtomicBool,
    sleeper: AtomicWaker,
}

impl Bell {
    /// Wakes the reader; call it when all is written.
    pub(crate) fn ring(&self) {
        // Before the waker, so that a shard about to park sees it. A store would end the chain (C11's release sequence) that
        // another shard's store had begun: who reads the later one need not see what the earlier has put, and sleeps on it.
        // With two that ring, that is a real fault by the memory model, though neither x86 nor ARMv8 shows it; with one it is
        // none, and loom's complaint there comes from its letting a store slip in between a swap and what the swap has read.
        // A swap goes on with the chain. One for each turn that has written something costs nothing beside a datagram.
        self.rung.swap(true, Ordering::AcqRel);
        self.sleeper.wake();
    }
}

/// The end of the one that reads.
#[derive(Debug, Default)]
pub(crate) struct Listener {
    bell: Arc<Bell>,
    /// The bell was rung, and the rings have not all been found empty since.
    has_mail: bool,
}

impl Listener {
    /// What the others ring.
    pub(crate) fn bell(&self) -> &Arc<Bell> {
        &self.bell
    }

    /// Looks into the rings, if something may be in them; `None` from `take` says that all are empty.
    pub(crate) fn receive<T>(&mut self, take: impl FnOnce() -> Option<T>) -> Option<T> {
        if !self.has_mail {
            self.has_mail = self.bell.rung.swap(false, Ordering::Acquire);
        }
        if !self.has_mail {
            return None;
        }
        let taken = take();
        self.has_mail = taken.is_some();
        taken
    }

    /// Waits until something may be in the rings.
    pub(crate) async fn readable(&self) {
        poll_fn(|context| {
            self.bell.sleeper.register(context.waker());
            // After the registration: what is rung from here on wakes.
            match self.has_mail || self.bell.rung.load(Ordering::Acquire) {
                true => Poll::Ready(()),
                false => Poll::Pending,
            }
        })
        .await;
    }
}
