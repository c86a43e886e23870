//! The budget of a shard: the bytes that it holds for others, and what each of them may have of it.
//!
//! Counted are bodies that arrive, calls that wait with their arguments, answers that wait for the calls that asked, and
//! what sessions have to say and the network has not taken. What the lanes take is counted by [`crate::node::lanes`], up to half
//! as much.
//!
//! What one session may hold follows from what is free, and not from who else is there: half of that. So a greedy one
//! alone gets a third of all, two get a quarter each, and however many there are, something is left for those that hold
//! little. (Dynamic thresholds, as switches share their buffers: Choudhury and Hahne, 1998.)

use madrpc_core::session::Room;
use std::cell::Cell;
use std::rc::Rc;

/// What each may hold however much others do: some calls and their results.
pub(crate) const EVERYBODYS_BYTES: usize = 64 * 1024;

/// What a shard holds for others.
#[derive(Debug)]
pub(crate) struct Budget {
    limit: usize,
    used: Cell<usize>,
    /// The most that was used since it was last asked for.
    peak: Cell<usize>,
}

impl Budget {
    pub(crate) fn new(limit: usize) -> Rc<Self> {
        Rc::new(Self {
            limit,
            used: Cell::new(0),
            peak: Cell::new(0),
        })
    }

    /// That of a process whose bounds are its own affair.
    pub(crate) fn unlimited() -> Rc<Self> {
        // Half of the numbers, so that no sum of them overflows.
        Self::new(usize::MAX / 2)
    }

    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    pub(crate) fn used(&self) -> usize {
        self.used.get()
    }

    /// What one more holder may hold.
    pub(crate) fn share(&self) -> usize {
        self.limit.saturating_sub(self.used.get()) / 2
    }

    /// What one who holds so much may take at once: alone all that is free, further bodies so much that it holds no more than
    /// its share after them.
    pub(crate) fn room(&self, own: usize) -> Room {
        // own + more = (limit - used - more) / 2.
        let free = self.limit.saturating_sub(self.used.get());
        Room {
            first: free,
            more: free.saturating_sub(own.saturating_mul(2)) / 3,
        }
    }

    /// The most that was used since the last time.
    pub(crate) fn take_peak(&self) -> usize {
        self.peak.replace(self.used.get())
    }

    fn change(&self, before: usize, now: usize) {
        let used = self.used.get() - before + now;
        self.used.set(used);
        self.peak.set(self.peak.get().max(used));
    }
}

/// Bytes that are held, and counted for as long as this lives.
#[derive(Debug)]
pub(crate) struct Held {
    budget: Rc<Budget>,
    bytes: usize,
}

impl Held {
    pub(crate) fn new(budget: &Rc<Budget>, bytes: usize) -> Self {
        budget.change(0, bytes);
        Self {
            budget: Rc::clone(budget),
            bytes,
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// It is so many bytes by now.
    pub(crate) fn set(&mut self, bytes: usize) {
        if bytes != self.bytes {
            self.budget.change(self.bytes, bytes);
            self.bytes = bytes;
        }
    }

    /// See [`Budget::room`].
    pub(crate) fn room(&self, own: usize) -> Room {
        self.budget.room(own)
    }

    /// Whether this holds more than its part. A little is everybody's, whatever others hold.
    pub(crate) fn is_over(&self, own: usize) -> bool {
        own > self.budget.share().max(EVERYBODYS_BYTES)
    }

    /// Whether all hold so much together that the rest is for those who hold little.
    pub(crate) fn is_full(&self) -> bool {
        let limit = self.budget.limit;
        self.budget.used.get() > limit - limit / 4
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.budget.change(self.bytes, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_is_counted_until_it_is_gone() {
        let budget = Budget::new(1000);
        let mut one = Held::new(&budget, 100);
        let two = Held::new(&budget, 50);
        one.set(300);
        assert_eq!((budget.used(), budget.share()), (350, 325));
        one.set(10);
        drop(two);
        assert_eq!(budget.used(), 10);
        assert_eq!((budget.take_peak(), budget.take_peak()), (350, 10));
        // 90 of 990 are held by one, which takes what it may.
        one.set(90);
        let Room { first, more } = budget.room(90);
        assert_eq!(first, budget.limit() - budget.used());
        one.set(90 + more);
        assert!(one.bytes().abs_diff(budget.share()) <= 1, "{more}");
        one.set(5000);
        assert_eq!((budget.share(), budget.room(5000).more), (0, 0));
        drop(one);
        assert_eq!((budget.used(), budget.share()), (0, 500));
    }

    /// Each takes what it may, again and again.
    fn greedy(count: usize) -> (usize, usize) {
        let budget = Budget::new(1_000_000);
        let mut all: Vec<Held> = (0..count).map(|_| Held::new(&budget, 0)).collect();
        for _ in 0..100 {
            for held in &mut all {
                if !held.is_over(held.bytes()) {
                    held.set(held.bytes() + 1000);
                }
            }
        }
        let fewest = all.iter().map(Held::bytes).min().unwrap_or_default();
        (fewest, budget.limit() - budget.used())
    }

    #[test]
    fn the_greedy_share_evenly_and_leave_something() {
        for count in [1, 2, 10] {
            let (fewest, left) = greedy(count);
            let fair = 1_000_000 / (count + 2);
            assert!(
                fewest.abs_diff(fair.min(100_000)) <= 2000,
                "{count}: {fewest}"
            );
            assert!(left >= fair, "{count}: {left} left");
        }
    }
}
