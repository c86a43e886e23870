//! Calls that wait for a slot of their function (`maxConcurrent`), on one shard.
//!
//! They are in no queue for lanes, so they are in nobody's way: each function has lines of its own, one for each caller, and
//! callers take turns. A call that gets its slot goes to the end of the queue for lanes. Its deadline and its caller's cancel end it in the line
//! as they would in that queue.

use super::rows::Rows;
use super::slots::{Slot, Slots};
use crate::net::shares::AccountKey;
use foldhash::fast::RandomState;
use madrpc_core::lists::{ItemKey, ListKey};
use slab::Slab;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// Empty lines that may be kept beside those in which calls wait.
const LINES_KEPT: usize = 64;

/// Names a limit for as long as its function has it, or calls wait for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LimitKey(usize);

/// The limits of a shard's functions.
#[derive(Debug)]
pub(super) struct Limits {
    shard: usize,
    all: Slab<Limit>,
    by_name: HashMap<Box<str>, LimitKey, RandomState>,
    /// Those that calls wait for, or did when it was last looked.
    waited_for: Vec<LimitKey>,
}

#[derive(Debug)]
struct Limit {
    name: Box<str>,
    /// None where the present script has no limit for the function: then nobody has to wait any more.
    slots: Option<Arc<Slots>>,
    /// The lines of the callers, in the order of their turns; some may be empty by now.
    lines: VecDeque<(AccountKey, ListKey)>,
    by_caller: HashMap<AccountKey, ListKey, RandomState>,
    waiting: usize,
    /// Whether the shards were told that this one waits.
    has_asked: bool,
    is_waited_for: bool,
    /// The longest line, when one last got longer than it.
    longest: Option<ListKey>,
}

/// What a call in the next line may have.
pub(super) enum Turn {
    /// This slot.
    Slot(Slot),
    /// Whatever it wants: there is no limit any more.
    Free,
}

impl Limits {
    pub(super) fn new(shard: usize) -> Self {
        Self {
            shard,
            all: Slab::new(),
            by_name: HashMap::default(),
            waited_for: Vec::new(),
        }
    }

    /// From now on these are the functions with a limit.
    pub(super) fn replace(&mut self, limits: Vec<(&str, Arc<Slots>)>) {
        let shard = self.shard;
        for (_, limit) in &mut self.all {
            limit.give_up_slots(shard);
        }
        for (name, slots) in limits {
            let key = self.by_name.get(name).copied().unwrap_or_else(|| {
                let key = LimitKey(self.all.insert(Limit::new(name)));
                self.by_name.insert(name.into(), key);
                key
            });
            if let Some(limit) = self.all.get_mut(key.0) {
                limit.slots = Some(slots);
            }
        }
        let gone = |(_, limit): &(usize, &Limit)| limit.slots.is_none() && !limit.is_waited_for;
        let gone: Vec<usize> = self.all.iter().filter(gone).map(|(key, _)| key).collect();
        for key in gone {
            self.forget(LimitKey(key));
        }
    }

    fn forget(&mut self, key: LimitKey) {
        if let Some(limit) = self.all.try_remove(key.0) {
            self.by_name.remove(&limit.name);
        }
    }

    /// The limit of the function of this name.
    pub(super) fn find(&self, name: &str) -> Option<LimitKey> {
        self.by_name.get(name).copied()
    }

    /// Calls that wait for a slot here.
    pub(super) fn waiting(&self, key: LimitKey) -> usize {
        self.all.get(key.0).map_or(0, |limit| limit.waiting)
    }

    /// A slot for a call that comes now, unless others wait for one.
    pub(super) fn take(&self, key: LimitKey) -> Option<Slot> {
        let limit = self.all.get(key.0).filter(|limit| limit.waiting == 0)?;
        limit.slots.as_ref()?.take()
    }

    /// The last call of the longest line, where that is longer than this caller's would be with one more.
    pub(super) fn last_of_longest<T>(
        &self,
        key: LimitKey,
        caller: AccountKey,
        rows: &Rows<T>,
    ) -> Option<ItemKey> {
        let limit = self.all.get(key.0)?;
        let longest = limit.longest?;
        let own = limit.by_caller.get(&caller);
        let own = own.map_or(0, |line| rows.line_length(*line));
        let (_, last) = rows.line_ends(longest)?;
        (rows.line_length(longest) > own + 1).then_some(last)
    }

    /// Puts a call of this caller, which is in the rows, at the end of his line. It has no other place where the limit is not known.
    pub(super) fn join<T>(
        &mut self,
        limit: LimitKey,
        caller: AccountKey,
        call: ItemKey,
        rows: &mut Rows<T>,
    ) {
        let Some(joined) = self.all.get_mut(limit.0) else {
            return;
        };
        joined.waiting += 1;
        if !std::mem::replace(&mut joined.is_waited_for, true) {
            self.waited_for.push(limit);
        }
        let line = *joined.by_caller.entry(caller).or_insert_with(|| {
            let line = rows.add_line();
            joined.lines.push_back((caller, line));
            line
        });
        rows.enter_line(call, line);
        let length = |line: ListKey| rows.line_length(line);
        if joined
            .longest
            .is_none_or(|longest| length(line) > length(longest))
        {
            joined.longest = Some(line);
        }
    }

    /// A call has left its line, whatever became of it.
    pub(super) fn leave(&mut self, key: LimitKey) {
        if let Some(limit) = self.all.get_mut(key.0) {
            limit.waiting -= 1;
        }
    }

    /// One of the limits that calls wait for, or did.
    pub(super) fn waited_for(&self, at: usize) -> Option<LimitKey> {
        self.waited_for.get(at).copied()
    }

    /// What the next call in line may have. A shard that finds no slot free says to the others that it waits for one.
    pub(super) fn next_turn(&mut self, key: LimitKey) -> Option<Turn> {
        let shard = self.shard;
        let limit = self.all.get_mut(key.0)?;
        if limit.waiting == 0 {
            return None;
        }
        let Some(slots) = &limit.slots else {
            return Some(Turn::Free);
        };
        if let Some(slot) = slots.given(shard) {
            limit.has_asked = false;
            return Some(Turn::Slot(slot));
        }
        if limit.has_asked {
            return None;
        }
        slots.want(shard);
        let slot = slots.take();
        limit.has_asked = slot.is_none();
        slot.map(Turn::Slot)
    }

    /// The first call in the line whose turn it is.
    pub(super) fn next_call<T>(&mut self, key: LimitKey, rows: &mut Rows<T>) -> Option<ItemKey> {
        let limit = self.all.get_mut(key.0)?;
        while let Some((caller, line)) = limit.lines.pop_front() {
            if let Some((first, _)) = rows.line_ends(line) {
                limit.lines.push_back((caller, line));
                return Some(first);
            }
            limit.drop_line(caller, line, rows);
        }
        None
    }

    /// Tidies up after those who have left their lines: callers who come and go shall not leave more behind than wait. Says whether
    /// the limit is still waited for, and else has taken it out of its place.
    pub(super) fn tidy<T>(&mut self, at: usize, rows: &mut Rows<T>) -> bool {
        let Some(key) = self.waited_for(at) else {
            return false;
        };
        let Some(limit) = self.all.get_mut(key.0) else {
            self.waited_for.swap_remove(at);
            return false;
        };
        let is_over = limit.waiting == 0;
        if is_over || limit.lines.len() > 2 * limit.waiting + LINES_KEPT {
            for (caller, line) in std::mem::take(&mut limit.lines) {
                match rows.line_length(line) {
                    0 => limit.drop_line(caller, line, rows),
                    _ => limit.lines.push_back((caller, line)),
                }
            }
        }
        if is_over {
            if let Some(slots) = &limit.slots {
                slots.withdraw(self.shard);
            }
            limit.has_asked = false;
            limit.is_waited_for = false;
            let is_gone = limit.slots.is_none();
            self.waited_for.swap_remove(at);
            if is_gone {
                self.forget(key);
            }
        }
        !is_over
    }
}

impl Limit {
    fn new(name: &str) -> Self {
        Self {
            name: name.into(),
            slots: None,
            lines: VecDeque::new(),
            by_caller: HashMap::default(),
            waiting: 0,
            has_asked: false,
            is_waited_for: false,
            longest: None,
        }
    }

    /// It has no slots from now on; what the shard has asked for goes to others.
    fn give_up_slots(&mut self, shard: usize) {
        self.has_asked = false;
        if let Some(slots) = self.slots.take() {
            slots.withdraw(shard);
        }
    }

    fn drop_line<T>(&mut self, caller: AccountKey, line: ListKey, rows: &mut Rows<T>) {
        self.by_caller.remove(&caller);
        // Its name may be given to another.
        self.longest.take_if(|longest| *longest == line);
        rows.drop_line(line);
    }
}
