//! Callers who take turns.

use std::collections::VecDeque;

/// Callers that are looked at for one who is not ahead of the others.
const LOOKS: usize = 8;

/// Callers that want something, in the order of their turns. Whoever wants nothing any more is found out when it is his turn.
#[derive(Default)]
pub(super) struct Ring {
    /// By the places of their sessions.
    turns: VecDeque<usize>,
    /// Whether the one at a place is among them.
    is_in: Vec<bool>,
}

impl Ring {
    /// The caller at this place wants something.
    pub(super) fn add(&mut self, place: usize) {
        if place >= self.is_in.len() {
            self.is_in.resize(place + 1, false);
        }
        if !std::mem::replace(&mut self.is_in[place], true) {
            self.turns.push_back(place);
        }
    }

    /// Whose turn it is, and whether he is ahead of the others: one who is not comes first. He stays the first until
    /// [`Ring::turn`].
    pub(super) fn next(
        &mut self,
        wants: impl Fn(usize) -> bool,
        is_ahead: impl Fn(usize) -> bool,
    ) -> Option<(usize, bool)> {
        let mut looks = 0;
        loop {
            let first = *self.turns.front()?;
            if !wants(first) {
                self.turns.pop_front();
                self.is_in[first] = false;
                continue;
            }
            if !is_ahead(first) {
                return Some((first, false));
            }
            looks += 1;
            if looks > LOOKS.min(self.turns.len()) {
                return Some((first, true));
            }
            self.turn();
        }
    }

    /// The first one's turn is over.
    pub(super) fn turn(&mut self) {
        if self.turns.len() > 1 {
            self.turns.rotate_left(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_have_their_turns_and_who_wants_nothing_is_forgotten() {
        let mut ring = Ring::default();
        for place in [3, 1, 2, 1, 3] {
            ring.add(place);
        }
        let mut turns = Vec::new();
        for round in 0..7 {
            let wants = |place: usize| round < 4 || place != 1;
            let (next, is_ahead) = ring.next(wants, |_| false).unwrap();
            turns.push(next);
            assert!(!is_ahead);
            ring.turn();
        }
        assert_eq!(turns, [3, 1, 2, 3, 2, 3, 2]);
        assert_eq!(ring.next(|_| false, |_| false), None);
        ring.add(1);
        assert_eq!(ring.next(|_| true, |_| false), Some((1, false)));
    }

    #[test]
    fn who_is_ahead_comes_after_the_others_and_has_turns_all_the_same() {
        let mut ring = Ring::default();
        for place in 0..4 {
            ring.add(place);
        }
        let even = |place: usize| place.is_multiple_of(2);
        let mut turns = Vec::new();
        for _ in 0..4 {
            let (next, is_ahead) = ring.next(|_| true, even).unwrap();
            turns.push((next, is_ahead));
            ring.turn();
        }
        assert_eq!(turns, [(1, false), (3, false), (1, false), (3, false)]);
        let mut turns = Vec::new();
        for _ in 0..4 {
            let (next, is_ahead) = ring.next(even, even).unwrap();
            turns.push((next, is_ahead));
            ring.turn();
        }
        turns.sort_unstable();
        assert_eq!(turns, [(0, true), (0, true), (2, true), (2, true)]);
    }
}
