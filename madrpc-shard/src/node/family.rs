//! Families: a call with its calls of calls, which have together, on each shard, what the first of them may have alone.
//!
//! So a call that forks has no more of a shard's core than one that loops. Its calls of calls hold no more arguments than it might
//! have heap, and none of them is begun while the others hold more; those that have begun have limits of their own. Shards count
//! for themselves: who spreads work over a fleet uses all of it.

use super::Node;
use super::call::Running;
use super::losses::{Called, Losses};
use crate::engine::CHILDREN_MAX;
use foldhash::fast::RandomState;
use madrpc_core::call::frame::{Account, Root};
use madrpc_core::call::{CallError, ErrorKind, NodesAbove};
use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::hash::BuildHasher;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// Families whose first call is elsewhere that are known; beyond those the call counts for itself.
const FAMILIES_MAX: usize = 8192;

/// How long one of which nothing runs here is remembered: its first call may send further ones.
const MEMORY: Duration = Duration::from_secs(10);

/// Families that are looked at in one turn for whether they can be forgotten.
const LOOKS: usize = 4;

/// What calls of one family have together on this shard.
struct Family {
    root: Root,
    /// Those that are not over, with the first one where that is here.
    calls: Cell<usize>,
    cpu: Cell<Duration>,
    /// Those that have a lane and do not wait for calls of their own.
    busy: Cell<usize>,
    /// What they hold: arguments that wait, memory of their lanes, and answers that are not seen.
    bytes: Cell<usize>,
    last: Cell<Instant>,
    /// By calls that these have made.
    losses: RefCell<Losses>,
}

/// That a call is of a family, for as long as it is not over.
pub(super) struct Member {
    family: Rc<Family>,
    is_busy: Cell<bool>,
    bytes: Cell<usize>,
    /// How many nodes were lost that it, or a call above it, was on before.
    nodes_lost: u8,
    /// The nodes that calls above it are on, see [`NodesAbove`].
    above: Vec<u8>,
}

impl Member {
    fn new(family: &Rc<Family>, now: Instant) -> Self {
        family.calls.set(family.calls.get() + 1);
        family.last.set(now);
        Self {
            family: Rc::clone(family),
            is_busy: Cell::new(false),
            bytes: Cell::new(0),
            nodes_lost: 0,
            above: Vec::new(),
        }
    }

    /// The first call of a family, that may have so much and has had the core for so long.
    pub(super) fn first(root: Root, cpu: Duration, now: Instant) -> Self {
        let family = Rc::new(Family {
            root,
            calls: Cell::new(0),
            cpu: Cell::new(cpu),
            busy: Cell::new(0),
            bytes: Cell::new(0),
            last: Cell::new(now),
            losses: RefCell::default(),
        });
        Self::new(&family, now)
    }

    /// One more call of the family, that it has made.
    ///
    /// # Errors
    /// `Overloaded` or `CpuLimit` where it has all that it may have.
    pub(super) fn another(&self, body_bytes: usize, now: Instant) -> Result<Self, CallError> {
        let mut member = Self::join(&self.family, body_bytes, now)?;
        member.comes_with(NodesAbove(&self.above), self.nodes_lost);
        Ok(member)
    }

    fn join(family: &Rc<Family>, body_bytes: usize, now: Instant) -> Result<Self, CallError> {
        // The first one is no call of a call.
        if family.calls.get() > CHILDREN_MAX {
            let error = format!(
                "a call and its calls of calls have {CHILDREN_MAX} under way on this shard already"
            );
            return Err(CallError::not_run(ErrorKind::Overloaded, error));
        }
        let max = family.memory_max();
        if body_bytes > max.saturating_sub(family.bytes.get()) && body_bytes > 0 {
            let error = format!(
                "a call and its calls of calls hold {} KiB of {} KiB on this shard, and this one wants {body_bytes} bytes more \
                 (--memory-limit, or memoryMb at register, of the first)",
                family.bytes.get() >> 10,
                max >> 10
            );
            return Err(CallError::not_run(ErrorKind::Overloaded, error));
        }
        if family.is_out_of_time() {
            return Err(CallError::not_run(
                ErrorKind::CpuLimit,
                family.out_of_time(),
            ));
        }
        let member = Self::new(family, now);
        member.hold(body_bytes);
        Ok(member)
    }

    pub(super) fn root(&self) -> Root {
        self.family.root
    }

    /// It comes with this: calls above it are on these nodes, and so many were lost.
    pub(super) fn comes_with(&mut self, above: NodesAbove<'_>, nodes_lost: u8) {
        let nodes = above.0.as_chunks::<4>().0.iter().take(NodesAbove::MAX);
        self.above = nodes.flatten().copied().collect();
        self.nodes_lost = nodes_lost;
    }

    /// How many nodes were lost that it, or a call above it, was on before.
    pub(super) fn nodes_lost(&self) -> u8 {
        self.nodes_lost
    }

    /// How many a call that it makes is to count.
    pub(super) fn nodes_lost_by(&self, called: Called) -> u8 {
        let lost = self.family.losses.borrow().of(called);
        lost.max(self.nodes_lost)
    }

    /// A call that one of the family has made has ended so, as far as that tells anything of its function.
    pub(super) fn learns(&self, called: Called, result: Result<(), &CallError>) {
        let mut losses = self.family.losses.borrow_mut();
        match result {
            Ok(()) => losses.has_result(called),
            Err(error) => losses.has_lost(called, error.nodes_lost),
        }
    }

    /// The nodes that calls above one which it makes are on, this one, `instance`, the first.
    pub(super) fn nodes_with(&self, instance: u64) -> Vec<u8> {
        let own = NodesAbove::bytes_of(instance);
        let above = self.above.as_chunks::<4>().0;
        let others = above.iter().filter(|node| **node != own);
        let all = std::iter::once(&own).chain(others).take(NodesAbove::MAX);
        all.flatten().copied().collect()
    }

    /// The call holds so many bytes by now.
    pub(super) fn hold(&self, bytes: usize) {
        let all = &self.family.bytes;
        all.set(all.get() - self.bytes.replace(bytes) + bytes);
    }

    /// It has had the core for so long; says whether the family has had it for longer than it may.
    pub(super) fn has_used(&self, time: Duration, now: Instant) -> bool {
        self.family.last.set(now);
        let cpu = &self.family.cpu;
        cpu.set(cpu.get().saturating_add(time));
        self.family.is_out_of_time()
    }

    /// Why there is no more time for it, where there is none.
    pub(super) fn out_of_time(&self) -> Option<String> {
        let family = &self.family;
        family.is_out_of_time().then(|| family.out_of_time())
    }

    /// Whether the call has a lane and does not wait for calls of its own.
    pub(super) fn set_busy(&self, is_busy: bool) {
        let (busy, was_busy) = (&self.family.busy, self.is_busy.replace(is_busy));
        busy.set(busy.get() + usize::from(is_busy) - usize::from(was_busy));
    }

    /// Whether a call more has to wait until others hold less; where all wait for their own, it may be the one that they wait
    /// for.
    pub(super) fn is_full(&self) -> bool {
        self.family.bytes.get() > self.family.memory_max() && self.family.busy.get() > 0
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.hold(0);
        self.set_busy(false);
        self.family.calls.set(self.family.calls.get() - 1);
    }
}

impl Family {
    fn memory_max(&self) -> usize {
        (self.root.memory_kib as usize) << 10
    }

    fn cpu_max(&self) -> Duration {
        Duration::from_millis(self.root.cpu_ms.into())
    }

    fn is_out_of_time(&self) -> bool {
        self.cpu.get() >= self.cpu_max()
    }

    fn out_of_time(&self) -> String {
        format!(
            "the call and its calls of calls used {} ms of CPU time on this shard; their limit is {} ms together (--cpu-limit, \
             or cpuMs at register, of the first)",
            self.cpu.get().as_millis(),
            self.root.cpu_ms
        )
    }
}

/// Those that calls from elsewhere may be of.
pub(super) struct Families {
    by_root: HashMap<Account, Rc<Family>, RandomState>,
    /// In the order in which it is to be looked whether they can be forgotten.
    looks: VecDeque<Account>,
    next_id: u64,
}

impl Families {
    pub(super) fn new() -> Self {
        Self {
            by_root: HashMap::default(),
            looks: VecDeque::new(),
            // Numbers of two shards that were the same would make two families of one caller one.
            next_id: std::hash::RandomState::new().hash_one(()),
        }
    }

    /// A new family's number and limits.
    pub(super) fn new_root(&mut self, cpu: Duration, memory_bytes: usize) -> Root {
        self.next_id = self.next_id.wrapping_add(1);
        Root {
            id: self.next_id,
            cpu_ms: u32::try_from(cpu.as_millis()).unwrap_or(u32::MAX).max(1),
            memory_kib: u32::try_from(memory_bytes >> 10).unwrap_or(u32::MAX),
        }
    }

    /// Calls of this one's family may come from elsewhere, as those of this caller.
    pub(super) fn announce(&mut self, caller: Account, member: &Member) {
        let root = Some(member.root());
        self.note(Account { root, ..caller }, &member.family);
    }

    fn note(&mut self, key: Account, family: &Rc<Family>) {
        if self.by_root.len() < FAMILIES_MAX {
            self.by_root.insert(key, Rc::clone(family));
            self.looks.push_back(key);
        }
    }

    /// A call that has come from elsewhere, of a caller with a root.
    ///
    /// # Errors
    /// See [`Member::another`].
    pub(super) fn join(
        &mut self,
        account: Account,
        root: Root,
        body_bytes: usize,
        now: Instant,
    ) -> Result<Member, CallError> {
        if let Some(family) = self.by_root.get(&account) {
            return Member::join(family, body_bytes, now);
        }
        let first = Member::first(root, Duration::ZERO, now);
        self.note(account, &first.family);
        first.another(body_bytes, now)
    }

    /// Forgets those of which nothing has been here for a while, a bounded number in a turn; earlier where they are many.
    pub(super) fn forget(&mut self, now: Instant) {
        for _ in 0..LOOKS.min(self.looks.len()) {
            let Some(key) = self.looks.pop_front() else {
                return;
            };
            let Some(family) = self.by_root.get(&key) else {
                continue;
            };
            let are_many = self.by_root.len() > FAMILIES_MAX / 2;
            let is_old = are_many || now.saturating_duration_since(family.last.get()) >= MEMORY;
            if family.calls.get() == 0 && is_old {
                self.by_root.remove(&key);
            } else {
                self.looks.push_back(key);
            }
        }
    }
}

impl Node {
    /// Makes a call that asks for another the first of a family, unless it is of one.
    pub(super) fn found_family(
        &mut self,
        running: &mut Running,
        cpu_before: Duration,
        now: Instant,
        sent_as: Option<Account>,
    ) {
        if running.ticket.member.is_some() {
            return;
        }
        let (cpu, memory_bytes) = running.lane.limits();
        let root = self.families.new_root(cpu, memory_bytes);
        // The slice that has just ended is still to be counted.
        let mut member = Member::first(root, cpu_before, now);
        member.comes_with(NodesAbove::default(), running.ticket.nodes_lost);
        if let Some(caller) = sent_as {
            self.families.announce(caller, &member);
        }
        member.set_busy(true);
        running.ticket.member = Some(Box::new(member));
        running.hold_for_family();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root() -> Root {
        Root {
            id: 1,
            cpu_ms: 10,
            memory_kib: 64,
        }
    }

    #[test]
    fn a_family_has_what_its_first_call_may_have() {
        let now = Instant::now();
        let first = Member::first(root(), Duration::from_millis(3), now);
        let second = first.another(60 << 10, now).unwrap();
        let error = first.another(5 << 10, now).map(|_| ()).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Overloaded, "{error}");
        second.set_busy(true);
        assert!(!second.is_full());
        second.hold(65 << 10);
        assert!(first.is_full());
        second.set_busy(false);
        assert!(!first.is_full());
        first.set_busy(true);
        assert!(first.is_full());
        drop(second);
        assert!(!first.is_full());
        assert!(!first.has_used(Duration::from_millis(6), now));
        let third = first.another(0, now).unwrap();
        assert!(third.has_used(Duration::from_millis(1), now));
        assert!(
            first
                .out_of_time()
                .is_some_and(|why| why.contains("10 ms together"))
        );
        let error = third.another(0, now).map(|_| ()).unwrap_err();
        assert_eq!(error.kind, ErrorKind::CpuLimit);
    }

    #[test]
    fn what_is_above_one_of_a_family_and_was_lost_there_is_not_so_for_the_others() {
        let now = Instant::now();
        let mut families = Families::new();
        let account = Account {
            certificate: 1,
            session: 1,
            root: Some(root()),
        };
        let mut join = |above: &[u8], nodes_lost| {
            let mut member = families.join(account, root(), 0, now).unwrap();
            member.comes_with(NodesAbove(above), nodes_lost);
            member
        };
        let (one, other) = (join(&[1, 0, 0, 0, 2, 0, 0, 0], 1), join(&[3, 0, 0, 0], 0));
        assert_eq!(one.nodes_with(2), [2, 0, 0, 0, 1, 0, 0, 0]);
        assert_eq!(other.nodes_with(4), [4, 0, 0, 0, 3, 0, 0, 0]);
        let child = one.another(0, now).unwrap();
        assert_eq!(child.nodes_with(9), one.nodes_with(9));
        let (hang, ok) = (Called::new("hang", b""), Called::new("ok", b""));
        assert_eq!(child.nodes_lost_by(ok), 1);
        assert_eq!(other.nodes_lost_by(hang), 0);
        let lost = CallError {
            nodes_lost: 2,
            ..CallError::may_have_run(ErrorKind::Unavailable, "gone")
        };
        one.learns(hang, Err(&lost));
        assert_eq!(other.nodes_lost_by(hang), 2);
        assert_eq!((one.nodes_lost_by(ok), other.nodes_lost_by(ok)), (1, 0));
        other.learns(hang, Ok(()));
        assert_eq!((one.nodes_lost_by(hang), other.nodes_lost_by(hang)), (1, 0));
        // No more are kept than are told.
        let many = join(&[7; 400], 0);
        assert_eq!(many.above.len(), 4 * NodesAbove::MAX);
    }

    #[test]
    fn a_family_has_so_many_calls_at_a_time() {
        let now = Instant::now();
        let first = Member::first(root(), Duration::ZERO, now);
        let mut all: Vec<_> = (0..CHILDREN_MAX)
            .map(|_| first.another(0, now).unwrap())
            .collect();
        assert!(first.another(0, now).is_err());
        all.pop();
        assert!(first.another(0, now).is_ok());
    }

    #[test]
    fn calls_from_elsewhere_find_their_family_until_it_is_forgotten() {
        let mut now = Instant::now();
        let mut families = Families::new();
        let caller = |session: u32| Account {
            certificate: 1,
            session,
            root: Some(root()),
        };
        let one = families.join(caller(1), root(), 10, now).unwrap();
        one.has_used(Duration::from_millis(9), now);
        drop(one);
        now += MEMORY / 2;
        families.forget(now);
        let two = families.join(caller(1), root(), 10, now).unwrap();
        assert!(two.has_used(Duration::from_millis(1), now));
        // Another caller's is another one.
        assert!(families.join(caller(2), root(), 10, now).is_ok());
        assert!(families.join(caller(1), root(), 10, now).is_err());
        drop(two);
        now += MEMORY;
        families.forget(now);
        assert!(families.join(caller(1), root(), 10, now).is_ok());
        assert_eq!(families.by_root.len(), families.looks.len());
    }

    #[test]
    fn very_many_families_are_not_all_known() {
        let now = Instant::now();
        let mut families = Families::new();
        for id in 0..2 * FAMILIES_MAX as u64 {
            let root = Root { id, ..root() };
            let account = Account {
                certificate: 1,
                session: 1,
                root: Some(root),
            };
            drop(families.join(account, root, 10, now).unwrap());
        }
        assert_eq!(families.by_root.len(), FAMILIES_MAX);
        for _ in 0..FAMILIES_MAX {
            families.forget(now);
        }
        assert_eq!(families.by_root.len(), FAMILIES_MAX / 2);
    }
}
