//! Large arguments of calls that are under way, to be sent again: a convenience, for which nobody else is to have less. So the
//! budget does not count them. They take what is free of its half, and as what it counts needs that, they are given up, the
//! oldest first: a call without them is sent once.

use crate::net::budget::Budget;
use bytes::Bytes;
use madrpc_core::call::Body;
use madrpc_core::lists::ItemKey;
use std::collections::{BTreeMap, HashMap};

/// How many are given up in one turn.
const GIVEN_UP_PER_TURN: usize = 64;

/// By the calls' numbers, and in the order in which they came. They are shared with what is on its way out, and not copied.
#[derive(Default)]
pub(super) struct LargeBodies {
    places: HashMap<ItemKey, u64>,
    kept: BTreeMap<u64, (ItemKey, Bytes)>,
    bytes: usize,
    last: u64,
}

impl LargeBodies {
    /// Keeps the arguments of a call, where there is room for them; says whether it does.
    pub(super) fn keep(&mut self, call: ItemKey, body: Body<'_>, budget: &Budget) -> bool {
        if !self.fit(body.len(), budget) {
            return false;
        }
        self.last += 1;
        self.bytes += body.len();
        self.places.insert(call, self.last);
        self.kept.insert(self.last, (call, body.to_bytes()));
        true
    }

    fn fit(&self, more: usize, budget: &Budget) -> bool {
        let kept = self.bytes.saturating_add(more);
        budget.used().saturating_add(kept) <= budget.limit() / 2
    }

    pub(super) fn get(&self, call: ItemKey) -> Option<Bytes> {
        let (_, body) = self.kept.get(self.places.get(&call)?)?;
        Some(body.clone())
    }

    /// A call is over.
    #[inline]
    pub(super) fn drop(&mut self, call: ItemKey) {
        if !self.places.is_empty()
            && let Some(place) = self.places.remove(&call)
            && let Some((_, body)) = self.kept.remove(&place)
        {
            self.bytes -= body.len();
        }
    }

    /// Each turn: gives the oldest up, where the budget needs the room.
    #[inline]
    pub(super) fn make_room(&mut self, budget: &Budget) {
        if !self.places.is_empty() {
            self.give_up(budget);
        }
    }

    #[cold]
    fn give_up(&mut self, budget: &Budget) {
        for _ in 0..GIVEN_UP_PER_TURN {
            if self.fit(0, budget) {
                return;
            }
            if let Some((_, (call, body))) = self.kept.pop_first() {
                self.places.remove(&call);
                self.bytes -= body.len();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::budget::Held;
    use madrpc_core::lists::Lists;

    #[test]
    fn they_take_what_is_free_of_half_the_budget_and_give_it_back_to_those_who_need_it() {
        let budget = Budget::new(1000);
        let mut calls = Lists::default();
        let list = calls.add_list();
        let mut bodies = LargeBodies::default();
        let [one, two, other] = [1, 2, 3].map(|call| calls.push_back(list, call));
        assert!(bodies.keep(one, (&[1; 200]).into(), &budget));
        assert!(bodies.keep(two, (&[2; 300]).into(), &budget));
        assert!(!bodies.keep(other, (&[3; 1]).into(), &budget));
        // Nobody's share is less for it.
        assert_eq!((budget.used(), budget.share()), (0, 500));
        let mut held = Held::new(&budget, 1);
        bodies.make_room(&budget);
        assert_eq!(bodies.get(one), None);
        assert_eq!(bodies.get(two).unwrap(), [2; 300].as_slice());
        held.set(201);
        bodies.make_room(&budget);
        assert_eq!((bodies.get(two), bodies.bytes), (None, 0));
        bodies.drop(two);
        assert!(bodies.keep(other, (&[3; 299]).into(), &budget));
        bodies.drop(one);
        bodies.drop(other);
        assert_eq!((bodies.get(other), bodies.bytes), (None, 0));
        assert!(bodies.places.is_empty() && bodies.kept.is_empty());
    }
}
