//! Families: a call with its calls of calls, which have together, on each shard, what the first of them may have alone.
//!
//! So a call that forks has no more of a shard's core than one that loops. All of them hold together what the first may have, or one
//! of them where that is more: none is begun while the others leave no room for one like the largest so far, one that grows beyond
//! waits for others to end, and if none does, it has what is left and no more. Shards count for themselves: who spreads work over a
//! fleet uses all of it.

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

/// What a call may add in any case: the smallest want something, and are what others wait for.
const LEFT_MIN_BYTES: usize = 2 << 20;

/// What calls of one family have together on this shard.
struct Family {
    root: Root,
    /// Those that are not over, with the first one where that is here.
    calls: Cell<usize>,
    cpu: Cell<Duration>,
    /// Those that have a lane and wait neither for calls of their own nor for who takes their items: of itself, one that waits so
    /// gives nothing back.
    busy: Cell<usize>,
    /// What they hold: arguments that wait, memory of their lanes, and answers that are not seen.
    bytes: Cell<usize>,
    /// The most that one of them has held, but for the first.
    largest: Cell<usize>,
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
            largest: Cell::new(0),
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

    /// One that is not the first holds so many bytes by now in its lane.
    pub(super) fn note_size(&self, bytes: usize) {
        let largest = &self.family.largest;
        largest.set(largest.get().max(bytes));
    }

    /// What others leave of what it may add, where it may have so much alone, and whether they may yet end, or give something back.
    pub(super) fn room(&self, own_max: usize) -> (usize, bool) {
        let max = self.family.memory_max().max(own_max);
        let left = max.saturating_sub(self.family.bytes.get());
        (left.max(LEFT_MIN_BYTES), self.are_others_busy())
    }

    /// Whether it has to wait for the others, where it wants so much, and may have so much alone.
    pub(super) fn waits_for(&self, wanted: usize, own_max: usize) -> bool {
        let max = self.family.memory_max().max(own_max);
        self.family.bytes.get() + wanted > max && self.are_others_busy()
    }

    fn are_others_busy(&self) -> bool {
        self.family.busy.get() > usize::from(self.is_busy.get())
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

    /// Whether the call has a lane, and waits for none of its family.
    pub(super) fn set_busy(&self, is_busy: bool) {
        let (busy, was_busy) = (&self.family.busy, self.is_busy.replace(is_busy));
        busy.set(busy.get() + usize::from(is_busy) - usize::from(was_busy));
    }

    /// Whether a call more has to wait until others hold less; where all wait for their own, it may be the one that they wait
    /// for.
    pub(super) fn is_full(&self) -> bool {
        let family = &self.family;
        // Those that hold more than that each are not kept from each other by it.
        let like_largest = family.largest.get().min(family.memory_max() / 2);
        let wanted = family.bytes.get() + like_largest;
        family.busy.get() > 0 && wanted > family.memory_max()
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
mod tests;
