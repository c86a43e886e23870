//! Nodes that were lost under the calls which a call makes: what is made again after that is told of it.
//!
//! A call that ends every node which runs it has to end two of them at the most, and a script may make it again and again. But in a
//! large fleet nodes are lost for reasons of their own, and a call that runs for hours and makes many others meets several of those:
//! what has lost nodes counts for the same call again, and for others of its function until one of those has a result.

use foldhash::fast::FixedState;
use std::collections::VecDeque;
use std::hash::BuildHasher;

/// Calls and functions that are known by what they have lost, of one family: those that have lost a node last.
const KNOWN_MAX: usize = 64;

/// How many bytes of its arguments tell a call from others, beside their number: to look at the largest takes milliseconds.
const ARGUMENTS_MAX_BYTES: usize = 64 << 10;

/// Which call it is that a call makes: its function, and that with its arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Called {
    function: u64,
    call: u64,
}

impl Called {
    pub(super) fn new(function: &str, arguments: &[u8]) -> Self {
        let digest = FixedState::default();
        let first = &arguments[..arguments.len().min(ARGUMENTS_MAX_BYTES)];
        Self {
            function: digest.hash_one(function),
            call: digest.hash_one((function, arguments.len(), first)),
        }
    }
}

/// How many nodes were lost by which calls and functions.
#[derive(Debug, Default)]
pub(super) struct Losses(VecDeque<(u64, u8)>);

impl Losses {
    /// How many nodes this call is to count as lost.
    pub(super) fn of(&self, called: Called) -> u8 {
        let of_it = |(what, _): &&(u64, u8)| *what == called.function || *what == called.call;
        let known = self.0.iter().filter(of_it);
        known.map(|(_, nodes)| *nodes).max().unwrap_or_default()
    }

    /// It has ended with an error that says so.
    pub(super) fn has_lost(&mut self, called: Called, nodes: u8) {
        for what in [called.function, called.call] {
            match self.0.iter_mut().find(|(known, _)| *known == what) {
                Some((_, lost)) => *lost = nodes.max(*lost),
                None if nodes > 0 => {
                    if self.0.len() >= KNOWN_MAX {
                        self.0.pop_front();
                    }
                    self.0.push_back((what, nodes));
                }
                None => {}
            }
        }
    }

    /// It has ended with a result: its function does not end every node.
    pub(super) fn has_result(&mut self, called: Called) {
        if !self.0.is_empty() {
            let is_of_it = |what: u64| what == called.function || what == called.call;
            self.0.retain(|(what, _)| !is_of_it(*what));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_lost_nodes_counts_for_the_same_again_and_for_no_other_function() {
        let mut losses = Losses::default();
        let (hang, ok) = (Called::new("hang", b"1"), Called::new("ok", b"1"));
        losses.has_lost(hang, 1);
        losses.has_lost(ok, 0);
        assert_eq!((losses.of(hang), losses.of(ok)), (1, 0));
        let other = Called::new("hang", b"2");
        assert_eq!(losses.of(other), 1);
        losses.has_lost(other, 2);
        assert_eq!((losses.of(hang), losses.of(ok)), (2, 0));
        // Of two that are lost together each may have told of one.
        losses.has_lost(other, 1);
        assert_eq!(losses.of(other), 2);
    }

    #[test]
    fn a_function_that_has_results_is_not_held_for_what_ends_nodes_but_a_call_of_it_is() {
        let mut losses = Losses::default();
        let [poison, well, next] = [b"0", b"1", b"2"].map(|one| Called::new("work", one));
        losses.has_lost(poison, 1);
        losses.has_result(well);
        assert_eq!((losses.of(next), losses.of(poison)), (0, 1));
        // Another node is lost much later, under another.
        losses.has_lost(next, 1);
        assert_eq!((losses.of(well), losses.of(poison)), (1, 1));
        losses.has_lost(poison, 2);
        losses.has_result(well);
        assert_eq!((losses.of(well), losses.of(poison)), (0, 2));
        losses.has_result(poison);
        assert_eq!(losses.of(poison), 0);
    }

    #[test]
    fn of_very_many_the_last_are_known() {
        let mut losses = Losses::default();
        let called = |number: usize| Called::new(&number.to_string(), b"");
        for number in 0..1000 {
            losses.has_lost(called(number), 1);
        }
        assert_eq!(losses.0.len(), KNOWN_MAX);
        assert_eq!((losses.of(called(0)), losses.of(called(999))), (0, 1));
    }
}
