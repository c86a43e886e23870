//! A call on its way through the members, and how it ends there.

use crate::call::ErrorKind;
use crate::fleet::functions::FunctionNumber;
use crate::fleet::load::Units;

/// Members that a call is put on, one after the other: with every one that it was put on, it gets less likely that the next
/// will do.
pub(super) const TRIES_MAX: usize = 3;

/// Members that a call is put on in vain, as their sessions never come about: that is not to go on until its deadline.
const UNSENT_MAX: u8 = 8;

/// The number of no function.
const UNKNOWN: u32 = u32::MAX;

/// Its caller says that it may run twice.
const MAY_REPEAT: u8 = 1;
/// The member that it is on had registered its function so when it was put there.
const IDEMPOTENT: u8 = 2;
/// Its next time is when a second member is asked as well.
const AWAITS_HEDGE: u8 = 4;
/// The member that it is on was never sent it.
const UNSENT: u8 = 8;
/// Every member answers it, whatever functions it has.
const FOR_ANY: u8 = 16;
/// One node that was lost before, of at most seven that are counted.
const LOST: u8 = 32;
const LOST_SHIFT: u32 = LOST.trailing_zeros();

/// Members that a call was on and that may have run it, and how many of them were lost under it: four bits each, as very many
/// calls are kept, each with this.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Runs(u8);

impl Runs {
    const BITS: u32 = 4;
    const MAX: u8 = (1 << Self::BITS) - 1;

    const fn all(self) -> u8 {
        self.0 & Self::MAX
    }

    const fn lost(self) -> u8 {
        self.0 >> Self::BITS
    }

    fn add(&mut self) {
        self.0 += u8::from(self.all() < Self::MAX);
    }

    fn add_lost(&mut self) {
        self.0 += u8::from(self.lost() < Self::MAX) << Self::BITS;
    }
}

/// What a call has gone through.
#[derive(Debug, Clone, Copy)]
pub struct Attempt {
    /// The function's number, or [`UNKNOWN`].
    pub(super) function: u32,
    /// Those that it was put on before the last try there may be.
    tried: [u32; TRIES_MAX - 1],
    pub(super) tries: u8,
    /// How many of them may have run it.
    runs: Runs,
    /// How many were never sent it, which are not among the tries.
    unsent: u8,
    /// Some of [`MAY_REPEAT`], [`IDEMPOTENT`], [`AWAITS_HEDGE`], [`UNSENT`] and [`FOR_ANY`], and above them the number of nodes
    /// that were lost before: very many calls are kept, each with this.
    marks: u8,
    pub(super) is_probe: bool,
    /// Whether it counts at the member that it is on.
    pub(super) is_counted: bool,
    /// What it counts for at the member that it is on.
    pub(super) units: Units,
}

/// How a call has ended, as far as it tells something about the member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// With a result.
    Worked,
    /// With an error that is the call's or the function's own, as far as can be seen: the member works. One whose calls end so
    /// more often than elsewhere gets fewer of them (`least-loaded`).
    Erred,
    /// By a fault of the member.
    Failed,
    /// It could not take the call: it has too much to do, or is stopping.
    Refused,
    /// It says nothing: the caller gave it up, its session was lost, or it has another script.
    Neutral,
}

impl Ending {
    /// Of a call that a member has answered with an error of this kind. `has_run` where its bill says that it had the core.
    #[must_use]
    pub fn of_failure(kind: ErrorKind, has_run: bool) -> Self {
        match kind {
            // A call that has run and ends so may do so everywhere: callers must not be able to have members left out.
            ErrorKind::Internal if has_run => Self::Neutral,
            ErrorKind::Internal | ErrorKind::Protocol => Self::Failed,
            ErrorKind::Overloaded | ErrorKind::Unavailable => Self::Refused,
            ErrorKind::NoSuchFunction => Self::Neutral,
            // Given up by its caller.
            ErrorKind::Cancelled => Self::Worked,
            _ => Self::Erred,
        }
    }
}

/// Whether an error of this kind says that a member cannot run a call now, and not that the call cannot be run.
#[must_use]
pub fn is_passing(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::NoSuchFunction | ErrorKind::Overloaded | ErrorKind::Unavailable
    )
}

/// Whether a small call of this number on its session, the first being 1, was sent after so many: a member that leaves says how
/// many it has taken. A large call has the number 0.
#[must_use]
pub fn was_sent_after(sequence: u32, count: u64) -> bool {
    sequence != 0 && sequence.wrapping_sub(count as u32).cast_signed() > 0
}

/// Why no member can be given a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoMember {
    /// All that can be reached have said what they have, and none has it.
    NoSuchFunction,
    /// None can be reached that might have it, or all that can be were tried or cannot take more.
    Unavailable,
}

impl Attempt {
    /// Of a call that was not put on a member yet. `may_repeat` where it may run twice whatever its function was registered as.
    #[must_use]
    pub fn new(function: Option<FunctionNumber>, may_repeat: bool) -> Self {
        Self {
            function: number_of(function),
            tried: [u32::MAX; TRIES_MAX - 1],
            tries: 0,
            runs: Runs::default(),
            unsent: 0,
            marks: if may_repeat { MAY_REPEAT } else { 0 },
            is_probe: false,
            is_counted: false,
            units: Units::default(),
        }
    }

    /// Every member answers it, whatever functions it has.
    pub fn is_for_any(&mut self) {
        self.marks |= FOR_ANY;
    }

    /// So many nodes were lost before that it, or a call that it is a part of, was on.
    pub fn has_lost(&mut self, nodes: u8) {
        let lost = self.lost_before().max(nodes.min(u8::MAX >> LOST_SHIFT));
        self.marks = self.marks & (LOST - 1) | lost << LOST_SHIFT;
    }

    /// How many those are.
    #[must_use]
    #[inline]
    pub const fn lost_before(&self) -> u8 {
        self.marks >> LOST_SHIFT
    }

    /// The member that it is on, or the second one that was asked, is a node that was lost under it. One that it has left for another
    /// is none by that: it may be well, and to count it would refuse calls for losses that never were.
    pub fn loses_node(&mut self) {
        self.runs.add_lost();
    }

    /// How many nodes were lost that it was on, those before among them.
    #[must_use]
    pub const fn lost(&self) -> u8 {
        self.lost_before().saturating_add(self.runs.lost())
    }

    /// A member more may have run it; gives how many those are, with the nodes that were lost before.
    pub(super) fn may_have_been_run(&mut self) -> u8 {
        self.runs.add();
        self.lost_before().saturating_add(self.runs.all())
    }

    /// Whether it is the first try of a call that has lost no node.
    #[must_use]
    #[inline]
    pub const fn is_new(&self) -> bool {
        self.tries == 0 && self.marks < LOST
    }

    #[inline]
    pub(super) const fn asks_any(&self) -> bool {
        self.marks & FOR_ANY != 0
    }

    /// The function's number now: that of a function which nobody has any more is given to another.
    pub fn set_function(&mut self, function: Option<FunctionNumber>) {
        self.function = number_of(function);
    }

    /// Whether it may run twice, on the member that it is on.
    #[must_use]
    #[inline]
    pub const fn may_run_twice(&self) -> bool {
        self.marks & (MAY_REPEAT | IDEMPOTENT) != 0
    }

    /// Whether the member that it is on had registered its function as one that may run twice.
    #[inline]
    pub(super) fn set_idempotent(&mut self, is_idempotent: bool) {
        self.marks = self.marks & !IDEMPOTENT | if is_idempotent { IDEMPOTENT } else { 0 };
    }

    /// A second member is asked as well at its next time.
    pub fn will_be_hedged(&mut self) {
        self.marks |= AWAITS_HEDGE;
    }

    /// Whether that is so.
    #[must_use]
    pub const fn awaits_hedge(&self) -> bool {
        self.marks & AWAITS_HEDGE != 0
    }

    /// That time has come.
    pub fn hedge_is_over(&mut self) {
        self.marks &= !AWAITS_HEDGE;
    }

    /// Whether it was put on one member only.
    #[must_use]
    pub const fn is_first(&self) -> bool {
        self.tries == 1
    }

    /// It was put on a second member as well, by `second`.
    pub fn has_second(&mut self, second: &Self) {
        self.tried = second.tried;
        self.tries = second.tries;
        self.runs = second.runs;
    }

    /// It stands for `first`, beside which it was put on a second member: nodes that were lost since count.
    pub fn stands_for(&mut self, first: &Self) {
        self.runs = first.runs;
    }

    /// Which try the next is, beginning with 0.
    #[must_use]
    pub const fn number(&self) -> u8 {
        self.tries
    }

    /// Whether a member before the one that it is on may have run it.
    #[must_use]
    pub const fn may_have_run(&self) -> bool {
        self.runs.all() > 0
    }

    pub(super) fn put_on(&mut self, member: usize, is_probe: bool) {
        if let Some(place) = self.tried.get_mut(usize::from(self.tries)) {
            *place = member as u32;
        }
        self.tries = self.tries.saturating_add(1);
        self.is_probe = is_probe;
        self.marks &= !UNSENT;
    }

    /// This member, that it was put on, was never sent it: that was no try, and to put it on another costs no retry.
    pub fn was_not_sent(&mut self, member: usize) {
        let tried = self.tried.get_mut(..usize::from(self.tries));
        // The last of those that there may be stands nowhere.
        let tried = tried.unwrap_or_default();
        if let Some(at) = tried.iter().position(|one| *one == member as u32) {
            tried[at..].rotate_left(1);
        }
        self.tries = self.tries.saturating_sub(1);
        self.unsent = self.unsent.saturating_add(1);
        self.marks |= UNSENT;
    }

    /// Whether the member that it is on was never sent it.
    pub(super) const fn is_unsent(&self) -> bool {
        self.marks & UNSENT != 0
    }

    /// Whether it was put on too many such.
    pub(super) const fn is_unsent_too_often(&self) -> bool {
        self.unsent > UNSENT_MAX
    }

    #[inline]
    pub(super) fn function(&self) -> FunctionNumber {
        FunctionNumber(self.function)
    }

    #[inline]
    pub(super) fn was_put_on(&self, member: usize) -> bool {
        let count = usize::from(self.tries).min(self.tried.len());
        let tried = self.tried.get(..count).unwrap_or_default();
        tried.contains(&(member as u32))
    }
}

fn number_of(function: Option<FunctionNumber>) -> u32 {
    match function {
        Some(FunctionNumber(number)) => number,
        None => UNKNOWN,
    }
}

#[cfg(test)]
mod tests {
    use super::super::Router;
    use super::*;
    use std::time::Instant;

    #[test]
    fn a_node_counts_where_it_was_lost_and_a_run_wherever_a_call_was() {
        let now = Instant::now();
        let mut router = Router::new(now);
        let mut attempt = Attempt::new(None, true);
        // It was put on another in the place of one that may be well.
        assert!(router.may_retry(&mut attempt, false, now));
        assert!(attempt.may_have_run() && attempt.lost() == 0);
        // Of the two one is lost: it has been on two, whatever became of the first.
        attempt.loses_node();
        assert!(!router.may_retry(&mut attempt, false, now));
        assert_eq!(attempt.lost(), 1);
        // One was lost before, by another who made it.
        let mut attempt = Attempt::new(None, true);
        attempt.has_lost(1);
        assert!(!attempt.may_have_run() && attempt.lost() == 1);
        attempt.loses_node();
        assert_eq!((attempt.lost(), attempt.lost_before()), (2, 1));
        assert!(!router.may_retry(&mut attempt, false, now));
        // Asked as well, and the first is lost.
        let mut first = Attempt::new(None, true);
        let mut second = first;
        assert!(router.may_retry(&mut second, false, now));
        first.has_second(&second);
        first.loses_node();
        second.stands_for(&first);
        assert_eq!((second.lost(), second.may_have_run()), (1, true));
        assert!(!router.may_retry(&mut second, false, now));
        for _ in 0..1000 {
            second.loses_node();
            second.may_have_been_run();
        }
        assert_eq!(second.lost(), Runs::MAX);
    }

    #[test]
    fn a_member_that_was_never_sent_a_call_is_no_try_of_it_and_costs_no_retry() {
        let now = Instant::now();
        let mut router = Router::new(now);
        for member in 0..5 {
            router.add(member);
            router.set_reachable(member, true, false);
        }
        let pick = |router: &mut Router, attempt: &mut Attempt| {
            let picked = router.pick(attempt, now, || None, |_, _| Some(()));
            picked.unwrap().0
        };
        let mut attempt = Attempt::new(None, false);
        let first = pick(&mut router, &mut attempt);
        // A second is asked as well, and the first is the one that was not sent it.
        let mut second = attempt;
        let other = pick(&mut router, &mut second);
        attempt.has_second(&second);
        attempt.was_not_sent(first);
        assert!(attempt.was_put_on(other) && !attempt.was_put_on(first));
        // With nothing left of the budget.
        while router.budget.take(now) {}
        let mut moves = 0;
        while router.may_retry(&mut attempt, true, now) {
            let member = pick(&mut router, &mut attempt);
            assert_ne!(member, other);
            assert!(
                !router.may_retry(&mut attempt, true, now),
                "it was sent this one"
            );
            attempt.was_not_sent(member);
            moves += 1;
        }
        assert_eq!((moves, attempt.number()), (UNSENT_MAX, 1));
        // What was not taken is not given back.
        router.was_not_retried(&attempt);
        assert!(!router.budget.take(now));
    }
}
