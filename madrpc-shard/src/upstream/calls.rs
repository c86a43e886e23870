//! The calls that wait for replies: their numbers, their deadlines, and the tags of those who wait.

use super::Outcome;
use super::links::{Place, Target};
use crate::endpoint::SessionKey;
use madrpc_core::wheel::{TimerKey, Wheel};
use slab::Slab;
use std::time::Instant;

/// Names a call until its outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct CallId(pub(super) u64);

/// Calls without an outcome.
pub(super) struct Calls<T> {
    pub(super) pending: Slab<Pending<T>>,
    pub(super) deadlines: Wheel<usize>,
    pub(super) generation: u32,
}

/// One of them.
pub(super) struct Pending<T> {
    pub(super) generation: u32,
    pub(super) place: Place,
    pub(super) session: SessionKey,
    pub(super) timer: TimerKey,
    pub(super) tag: T,
}

impl<T> Calls<T> {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            pending: Slab::new(),
            deadlines: Wheel::new(now),
            generation: 0,
        }
    }

    /// The number and the place that the next call gets.
    pub(super) fn reserve(&mut self) -> (CallId, usize) {
        self.generation = self.generation.wrapping_add(1);
        let slot = self.pending.vacant_key();
        (CallId(number(self.generation, slot)), slot)
    }

    pub(super) fn take(&mut self, id: u64) -> Option<Pending<T>> {
        let slot = (id & u64::from(u32::MAX)) as usize;
        let generation = (id >> 32) as u32;
        self.pending
            .get(slot)
            .filter(|pending| pending.generation == generation)?;
        let pending = self.pending.try_remove(slot)?;
        self.deadlines.remove(pending.timer);
        Some(pending)
    }

    /// Tells an outcome, unless the call has been given up.
    pub(super) fn end(
        &mut self,
        targets: &mut [Target],
        id: u64,
        outcome: Outcome<'_>,
        on_outcome: &mut impl FnMut(T, usize, Outcome<'_>),
    ) {
        if let Some(pending) = self.take(id) {
            let Place { target, link } = pending.place;
            targets[target].links[link].waiting -= 1;
            on_outcome(pending.tag, target, outcome);
        }
    }
}

/// A call's number on the wire: a place, and a generation that tells the place's calls apart.
pub(super) fn number(generation: u32, slot: usize) -> u64 {
    u64::from(generation) << 32 | slot as u64
}
