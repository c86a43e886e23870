//! Large arguments of calls that are under way, to be sent again. They are shared and not copied, and count for as long as they
//! are kept: where callers hold much already, a call is sent once.

use crate::net::budget::{Budget, Held};
use bytes::Bytes;
use madrpc_core::call::Body;
use madrpc_core::lists::ItemKey;
use std::collections::HashMap;
use std::rc::Rc;

/// By the calls' numbers.
#[derive(Default)]
pub(super) struct LargeBodies {
    kept: HashMap<ItemKey, (Bytes, Held)>,
}

impl LargeBodies {
    /// Keeps the arguments of a call, where the half of the budget has room for them; says whether it does.
    pub(super) fn keep(&mut self, call: ItemKey, body: Body<'_>, budget: &Rc<Budget>) -> bool {
        if budget.used().saturating_add(body.len()) > budget.limit() / 2 {
            return false;
        }
        let held = Held::new(budget, body.len());
        self.kept.insert(call, (body.to_bytes(), held));
        true
    }

    pub(super) fn get(&self, call: ItemKey) -> Option<Bytes> {
        // This is asked for each call that is tried again.
        self.kept.get(&call).map(|(body, _)| body.clone())
    }

    /// A call is over.
    #[inline]
    pub(super) fn drop(&mut self, call: ItemKey) {
        if !self.kept.is_empty() {
            self.kept.remove(&call);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use madrpc_core::lists::Lists;

    #[test]
    fn they_are_kept_within_half_of_the_budget_and_counted_until_they_are_dropped() {
        let budget = Budget::new(1000);
        let mut calls = Lists::default();
        let list = calls.add_list();
        let mut bodies = LargeBodies::default();
        let [one, other] = [1, 2].map(|call| calls.push_back(list, call));
        assert!(bodies.keep(one, (&[7; 300]).into(), &budget));
        assert!(!bodies.keep(other, (&[7; 300]).into(), &budget));
        assert_eq!(budget.used(), 300);
        assert_eq!(bodies.get(one).unwrap(), [7; 300].as_slice());
        assert_eq!(bodies.get(other), None);
        bodies.drop(other);
        bodies.drop(one);
        assert_eq!((budget.used(), bodies.get(one)), (0, None));
        assert!(bodies.keep(other, (&[7; 300]).into(), &budget));
    }
}
