//! Nodes that calls have left for another without an answer: they may be well, or be lost for all that is known later.
//!
//! A node that is gone without a word is mostly seen to say nothing first, and what may run twice leaves it then. Whether it was
//! lost with the call is seen when that is to be told, by the session that the call was on.

use super::Upstreams;
use super::links::Place;
use madrpc_core::call::CallError;
use madrpc_core::fleet::{Attempt, Ending};
use madrpc_core::lists::ItemKey;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::time::Instant;

/// The links that calls have left, with their epochs: of each call one, as it runs on two members at the most.
#[derive(Default)]
pub(super) struct Left(HashMap<ItemKey, (Place, u32)>);

impl Left {
    /// A call leaves a link; says whether it had left none.
    fn note(&mut self, key: ItemKey, place: Place, epoch: u32) -> bool {
        let entry = self.0.entry(key);
        let is_first = matches!(entry, Entry::Vacant(_));
        entry.or_insert((place, epoch));
        is_first
    }

    /// The link that a call has left, with its epoch.
    fn of(&self, key: ItemKey) -> Option<(Place, u32)> {
        self.0.get(&key).copied()
    }

    /// A call is over.
    #[inline]
    pub(super) fn drop(&mut self, key: ItemKey) {
        if !self.0.is_empty() {
            self.0.remove(&key);
        }
    }
}

impl<T> Upstreams<T> {
    /// Puts a call on another target, in the place of the link that has not answered it; says whether it was.
    pub(super) fn try_instead(
        &mut self,
        key: ItemKey,
        (place, epoch): (Place, u32),
        error: &CallError,
        now: Instant,
    ) -> bool {
        let is_node = self.targets[place.target()].is_node;
        let is_noted = is_node && self.retries.left.note(key, place, epoch);
        let is_moved = self.try_another(key, error, Ending::Neutral, now);
        if is_moved {
            self.tell_gone(place, epoch, key);
        } else if is_noted {
            self.retries.left.drop(key);
        }
        is_moved
    }

    /// How many nodes were lost that a call was on.
    pub(super) fn nodes_lost(&self, key: ItemKey, attempt: &Attempt) -> u8 {
        let left = self.retries.left.of(key);
        let is_lost = left.is_some_and(|(place, epoch)| {
            let target = self.targets.get(place.target());
            target.is_none_or(|target| {
                let link = target.links.get(place.link());
                // Its session has ended since, or the whole node says nothing.
                link.is_none_or(|link| link.epoch != epoch) || target.is_silent()
            })
        });
        attempt.lost().saturating_add(is_lost.into())
    }

    /// A call may have run on this target, of which its session has ended: where that is a node, it counts as lost. What becomes of
    /// a call behind an orchestrator that is lost is not known.
    pub(super) fn note_lost_node(&mut self, key: ItemKey, target: usize) {
        if self.targets.get(target).is_some_and(|one| one.is_node)
            && let Some(pending) = self.calls.get_mut(key)
        {
            pending.attempt.loses_node();
        }
    }
}
