//! Callers who take turns.

use std::collections::VecDeque;

/// Callers that are looked at in one go for whether they are ahead of the others, or are so no longer.
const LOOKS: usize = 8;

/// Callers that want something, by the places of their accounts. Whoever wants nothing any more is found out when it is his
/// turn, and who is ahead when he is looked at.
#[derive(Default)]
pub(super) struct Ring {
    /// Those who are not ahead of the others, as far as is known, in the order of their turns.
    first: VecDeque<usize>,
    /// Those who are: apart, so that however many they are nobody has to be looked for among them.
    ahead: VecDeque<usize>,
    /// Where in those it is looked next whether one is ahead no longer.
    next_look: usize,
    /// Whether the one at a place is among them.
    is_in: Vec<bool>,
}

impl Ring {
    /// How many there are, at the most.
    pub(super) fn len(&self) -> usize {
        self.first.len() + self.ahead.len()
    }

    /// The caller at this place wants something.
    pub(super) fn add(&mut self, place: usize) {
        if place >= self.is_in.len() {
            self.is_in.resize(place + 1, false);
        }
        if !std::mem::replace(&mut self.is_in[place], true) {
            self.first.push_back(place);
        }
    }

    /// Whose turn it is, and whether he is ahead of the others: one who is not comes first. It is his until
    /// [`Ring::turn`].
    pub(super) fn next(
        &mut self,
        wants: impl Fn(usize) -> bool,
        is_ahead: impl Fn(usize) -> bool,
    ) -> Option<(usize, bool)> {
        for _ in 0..LOOKS.min(self.ahead.len()) {
            self.next_look = (self.next_look + 1) % self.ahead.len().max(1);
            if let Some(&place) = self.ahead.get(self.next_look)
                && !is_ahead(place)
            {
                self.ahead.swap_remove_back(self.next_look);
                self.first.push_back(place);
            }
        }
        let mut looks = 0;
        while let Some(&place) = self.first.front()
            && looks < LOOKS
        {
            if !wants(place) {
                self.first.pop_front();
                self.is_in[place] = false;
            } else if is_ahead(place) {
                looks += 1;
                self.first.pop_front();
                self.ahead.push_back(place);
            } else {
                return Some((place, false));
            }
        }
        while let Some(&place) = self.ahead.front() {
            if wants(place) {
                return Some((place, true));
            }
            self.ahead.pop_front();
            self.is_in[place] = false;
        }
        None
    }

    /// The turn of the one that [`Ring::next`] gave last is over.
    pub(super) fn turn(&mut self, is_ahead: bool) {
        let turns = match is_ahead {
            true => &mut self.ahead,
            false => &mut self.first,
        };
        if turns.len() > 1 {
            turns.rotate_left(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whose turn it is, so many times.
    fn turns(
        ring: &mut Ring,
        count: usize,
        wants: impl Fn(usize) -> bool,
        is_ahead: impl Fn(usize) -> bool,
    ) -> Vec<(usize, bool)> {
        let turn = |_| {
            let next = ring.next(&wants, &is_ahead).unwrap();
            ring.turn(next.1);
            next
        };
        (0..count).map(turn).collect()
    }

    #[test]
    fn all_have_their_turns_and_who_wants_nothing_is_forgotten() {
        let mut ring = Ring::default();
        for place in [3, 1, 2, 1, 3] {
            ring.add(place);
        }
        let places = |turns: Vec<(usize, bool)>| turns.into_iter().map(|turn| turn.0);
        let all = places(turns(&mut ring, 4, |_| true, |_| false));
        assert!(all.eq([3, 1, 2, 3]));
        let some = places(turns(&mut ring, 3, |place| place != 1, |_| false));
        assert!(some.eq([2, 3, 2]));
        assert_eq!(ring.next(|_| false, |_| false), None);
        ring.add(1);
        assert_eq!(ring.next(|_| true, |_| false), Some((1, false)));
    }

    #[test]
    fn who_is_ahead_comes_after_the_others() {
        let mut ring = Ring::default();
        (0..4).for_each(|place| ring.add(place));
        let even = |place: usize| place.is_multiple_of(2);
        let others = turns(&mut ring, 4, |_| true, even);
        assert_eq!(others, [(1, false), (3, false), (1, false), (3, false)]);
        let rest = turns(&mut ring, 4, even, even);
        assert_eq!(rest, [(0, true), (2, true), (0, true), (2, true)]);
    }

    #[test]
    fn all_who_are_ahead_have_as_many_turns_however_many_they_are() {
        for count in 1..40 {
            let mut ring = Ring::default();
            (0..count).for_each(|place| ring.add(place));
            // The first ones are told apart by and by.
            turns(&mut ring, count, |_| true, |_| true);
            let mut had = vec![0; count];
            for (place, is_ahead) in turns(&mut ring, 5 * count, |_| true, |_| true) {
                had[place] += 1;
                assert!(is_ahead);
            }
            assert!(had.iter().all(|had| *had == 5), "{count}: {had:?}");
        }
    }

    #[test]
    fn one_who_is_not_ahead_is_found_among_very_many_who_are() {
        let mut ring = Ring::default();
        (0..1000).for_each(|place| ring.add(place));
        turns(&mut ring, 1000, |_| true, |_| true);
        ring.add(1000);
        let newcomer = |place: usize| place != 1000;
        assert_eq!(ring.next(|_| true, newcomer), Some((1000, false)));
        // Another who was ahead with them, and is not any more.
        let other = |place: usize| place != 500;
        let wants = |place: usize| place != 1000;
        let until = turns(&mut ring, 1000 / LOOKS + 1, wants, other);
        assert_eq!(until.last(), Some(&(500, false)));
    }
}
