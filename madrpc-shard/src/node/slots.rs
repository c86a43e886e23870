//! How many calls of a function may be under way on a node (`maxConcurrent`): slots that its shards share.
//!
//! The one thing of a call that shards have in common, and only of functions with such a limit. There is no lock: a slot is taken
//! by one compare-and-swap, and a shard never waits for another.
//!
//! **Who gets a slot that is given back.** Where shards wait for one, it is handed over to the next of them in turn and is never
//! free in between: so a shard that gives slots back does not take them all again, and each that waits gets one after at most
//! as many others as there are shards. A shard without a call that wants it hands it on.
//!
//! The danger is a slot that is free while a shard waits. A shard says that it wants one *before* it looks whether one is free,
//! and who sets one free looks *afterwards* whether any shard wants one. All of it is sequentially consistent, so one of the two
//! sees the other.

use crate::net::bell::Bell;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicU8, AtomicUsize};
use std::sync::{Arc, OnceLock};

/// The shard wants no slot.
const CONTENT: u8 = 0;
/// It waits for one.
const WANTS: u8 = 1;
/// It has been given one, which it has not taken yet.
const GIVEN: u8 = 2;

/// What wakes the shards of a node; each puts its own in.
#[derive(Debug)]
pub(crate) struct Bells(Box<[OnceLock<Arc<Bell>>]>);

impl Bells {
    pub(crate) fn new(shards: usize) -> Arc<Self> {
        Arc::new(Self((0..shards.max(1)).map(|_| OnceLock::new()).collect()))
    }

    /// This shard is woken by that from now on.
    pub(crate) fn set(&self, shard: usize, bell: &Arc<Bell>) {
        if let Some(place) = self.0.get(shard) {
            let _ = place.set(Arc::clone(bell));
        }
    }

    fn ring(&self, shard: usize) {
        if let Some(bell) = self.0.get(shard).and_then(OnceLock::get) {
            bell.ring();
        }
    }
}

/// The slots of one function.
#[derive(Debug)]
pub(crate) struct Slots {
    max: AtomicUsize,
    taken: AtomicUsize,
    /// The shard whose turn it is.
    next: AtomicUsize,
    shards: Box<[AtomicU8]>,
    bells: Arc<Bells>,
}

/// A slot, for as long as a call has it.
#[derive(Debug)]
pub(crate) struct Slot(Arc<Slots>);

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.give_back();
    }
}

impl Slots {
    pub(crate) fn new(max: usize, bells: &Arc<Bells>) -> Arc<Self> {
        Arc::new(Self {
            max: AtomicUsize::new(max),
            taken: AtomicUsize::new(0),
            next: AtomicUsize::new(0),
            shards: bells.0.iter().map(|_| AtomicU8::new(CONTENT)).collect(),
            bells: Arc::clone(bells),
        })
    }

    /// A slot, where one is free.
    pub(crate) fn take(self: &Arc<Self>) -> Option<Slot> {
        self.take_one().then(|| Slot(Arc::clone(self)))
    }

    /// This shard waits for a slot from now on. It has to try [`Slots::take`] once more after that.
    pub(crate) fn want(&self, shard: usize) {
        if let Some(state) = self.shards.get(shard) {
            // One that it has been given in the meantime stays.
            let _ = state.compare_exchange(CONTENT, WANTS, SeqCst, SeqCst);
        }
    }

    /// The slot that this shard has been given, after which it does not wait any more.
    pub(crate) fn given(self: &Arc<Self>, shard: usize) -> Option<Slot> {
        let state = self.shards.get(shard)?;
        let given = state.compare_exchange(GIVEN, CONTENT, SeqCst, SeqCst);
        given.is_ok().then(|| Slot(Arc::clone(self)))
    }

    /// This shard does not wait any more; a slot that it was given goes to the next.
    pub(crate) fn withdraw(self: &Arc<Self>, shard: usize) {
        if let Some(state) = self.shards.get(shard)
            && state
                .compare_exchange(WANTS, CONTENT, SeqCst, SeqCst)
                .is_err()
        {
            drop(self.given(shard));
        }
    }

    /// There are so many from now on. Those that are taken beyond it stay so until they are given back.
    pub(crate) fn set_max(&self, max: usize) {
        self.max.store(max, SeqCst);
        self.hand_out();
    }

    /// Whether calls have any of them.
    pub(super) fn are_any_taken(&self) -> bool {
        self.taken.load(SeqCst) > 0
    }

    fn take_one(&self) -> bool {
        let max = self.max.load(SeqCst);
        let more = |taken: usize| (taken < max).then(|| taken + 1);
        self.taken.fetch_update(SeqCst, SeqCst, more).is_ok()
    }

    fn give_back(&self) {
        if self.taken.load(SeqCst) <= self.max.load(SeqCst) && self.hand_over() {
            return;
        }
        self.taken.fetch_sub(1, SeqCst);
        self.hand_out();
    }

    /// Gives free slots to those who wait.
    fn hand_out(&self) {
        while self.shards.iter().any(|state| state.load(SeqCst) == WANTS) && self.take_one() {
            if !self.hand_over() {
                self.taken.fetch_sub(1, SeqCst);
            }
        }
    }

    /// Gives a slot that is taken to the next shard that waits; says whether there is one.
    fn hand_over(&self) -> bool {
        let shards = self.shards.len();
        let first = self.next.load(SeqCst);
        for step in 0..shards {
            let shard = first.wrapping_add(step) % shards;
            let given = self.shards[shard].compare_exchange(WANTS, GIVEN, SeqCst, SeqCst);
            if given.is_ok() {
                self.next.store(shard + 1, SeqCst);
                self.bells.ring(shard);
                return true;
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_so_many_and_what_is_given_back_goes_to_those_who_wait_in_turn() {
        let slots = Slots::new(2, &Bells::new(3));
        let (one, two) = (slots.take().unwrap(), slots.take().unwrap());
        assert!(slots.take().is_none());
        for shard in [0, 2] {
            slots.want(shard);
            assert!(slots.take().is_none());
        }
        drop(one);
        // It is no more to be had, though nobody has it yet.
        assert!(slots.take().is_none());
        assert!(slots.given(1).is_none() && slots.given(2).is_none());
        let first = slots.given(0).unwrap();
        slots.want(0);
        drop(two);
        assert!(slots.given(0).is_none());
        let second = slots.given(2).unwrap();
        drop(second);
        assert!(slots.given(0).is_some());
        // Which is given back at once.
        drop(first);
        let all = (slots.take().unwrap(), slots.take().unwrap());
        assert!(slots.take().is_none());
        drop(all);
    }

    #[test]
    fn who_wants_none_any_more_passes_it_on() {
        let slots = Slots::new(1, &Bells::new(2));
        let only = slots.take().unwrap();
        slots.want(0);
        slots.want(1);
        drop(only);
        slots.withdraw(0);
        let only = slots.given(1).unwrap();
        slots.want(0);
        slots.withdraw(0);
        drop(only);
        assert!(slots.given(0).is_none() && slots.take().is_some());
    }

    #[test]
    fn their_number_can_change_while_they_are_taken() {
        let slots = Slots::new(3, &Bells::new(1));
        let mut taken: Vec<_> = (0..3).map(|_| slots.take().unwrap()).collect();
        slots.set_max(1);
        slots.want(0);
        taken.truncate(1);
        assert!(slots.take().is_none() && slots.given(0).is_none());
        slots.set_max(2);
        assert!(slots.given(0).is_some());
        taken.clear();
        assert_eq!(slots.taken.load(SeqCst), 0);
    }

    /// Shards that take, wait, give up and hand on at random: never more than there are, and none is lost.
    #[test]
    fn never_more_than_there_are_and_none_is_lost() {
        const SHARDS: usize = 4;
        const MAX: usize = 2;
        let slots = Slots::new(MAX, &Bells::new(SHARDS));
        let at_once = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for shard in 0..SHARDS {
                let (slots, at_once) = (&slots, &at_once);
                scope.spawn(move || {
                    let mut random = fastrand::Rng::with_seed(shard as u64);
                    let mut had = 0;
                    while had < 1_000 {
                        slots.want(shard);
                        let slot = slots.take().or_else(|| slots.given(shard));
                        if let Some(slot) = slot {
                            assert!(at_once.fetch_add(1, SeqCst) < MAX);
                            had += 1;
                            if random.bool() {
                                std::thread::yield_now();
                            }
                            at_once.fetch_sub(1, SeqCst);
                            drop(slot);
                        } else {
                            std::thread::yield_now();
                        }
                        if random.u8(..8) == 0 {
                            slots.withdraw(shard);
                        }
                    }
                    slots.withdraw(shard);
                });
            }
        });
        assert_eq!(slots.taken.load(SeqCst), 0);
        assert!(
            slots
                .shards
                .iter()
                .all(|state| state.load(SeqCst) == CONTENT)
        );
    }
}
