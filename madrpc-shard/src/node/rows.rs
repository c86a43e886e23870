//! Calls in rows, by what they wait for: some rows each caller has for himself, so that callers can take turns.

use super::ring::Ring;
use crate::net::shares::AccountKey;
use madrpc_core::lists::{ItemKey, ListKey, Lists};

/// What a call waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Row {
    /// A lane.
    Queue,
    /// The same, as the call of a call.
    Children,
    /// The core, after few slices.
    Young,
    /// The same, as the call of a call, or as one that has made some.
    YoungChildren,
    /// The core, after many slices.
    Old,
    /// Its caller, to read the replies that it has got, or its family, to hold less; and then a lane.
    Held,
    /// An answer or a timer.
    Waiting,
    /// The core, to end: its deadline has passed, or nobody waits for it.
    Ending,
    /// Memory for its lane, as its caller has more than its part.
    Starved,
    /// A slot of its function, in a line that is not kept here.
    Limited,
}

/// The rows of which each caller has its own, from the first of [`Row`] on; all others have one for all.
const OWN_ROWS: usize = 5;

const ROWS: usize = 10;

impl Row {
    /// Whether a call in it wants the core now, or a lane to have it.
    fn wants_core(self) -> bool {
        match self {
            Self::Queue | Self::Children | Self::Young | Self::YoungChildren | Self::Old => true,
            Self::Held | Self::Waiting | Self::Ending | Self::Starved | Self::Limited => false,
        }
    }
}

/// What one caller has, but for calls in their first slice, which are in no row.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Counts {
    /// Calls in each row.
    in_row: [u32; ROWS],
    /// Bytes that its lanes take.
    pub(super) memory: usize,
    /// Bytes of calls of calls that wait for a lane.
    pub(super) children_bytes: usize,
    /// What those calls are expected to cost that want the core, in microseconds of it.
    pub(super) expected_us: u64,
}

/// What the calls are expected to cost that want the core, in microseconds of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Load {
    /// Those of all callers.
    pub(super) all_us: u64,
    /// Those of one.
    pub(super) own_us: u64,
    /// Callers who have any, with this one.
    pub(super) callers: usize,
}

impl Counts {
    /// Calls in this row.
    #[inline]
    pub(super) fn in_row(&self, row: Row) -> usize {
        self.in_row[row as usize] as usize
    }

    /// Calls that have a lane and want the core.
    #[inline]
    pub(super) fn running(&self) -> usize {
        let running = [Row::Young, Row::YoungChildren, Row::Old, Row::Ending];
        running.into_iter().map(|row| self.in_row(row)).sum()
    }

    /// Calls that have a lane.
    #[inline]
    pub(super) fn lanes(&self) -> usize {
        self.running() + self.in_row(Row::Waiting) + self.in_row(Row::Starved)
    }

    /// Calls of this row's kind that have a lane and have had the core for few slices.
    #[inline]
    pub(super) fn young_of(&self, row: Row) -> usize {
        self.in_row(match row {
            Row::Children => Row::YoungChildren,
            _ => Row::Young,
        })
    }

    /// Calls in the queue, or calls of calls.
    #[inline]
    pub(super) fn waiting(&self, row: Row) -> usize {
        match row {
            Row::Queue | Row::Children => self.in_row(row),
            _ => 0,
        }
    }
}

/// What is in the rows of one caller, by the place of its account. Calls of a former one at the place may end late.
struct Caller {
    /// The present account.
    account: AccountKey,
    own: [ListKey; OWN_ROWS],
    counts: Counts,
}

struct Item<T> {
    row: Row,
    caller: AccountKey,
    expected_us: u32,
    value: T,
}

/// The rows of a shard.
pub(super) struct Rows<T> {
    items: Lists<Item<T>>,
    callers: Vec<Caller>,
    common: [ListKey; ROWS - OWN_ROWS],
    lengths: [usize; ROWS],
    /// What the calls that want the core are expected to cost, and the callers who have any of it.
    expected_us: u64,
    expected_of: usize,
    /// Callers with calls in the queue.
    pub(super) queues: Ring,
    /// Callers with calls that want the core.
    pub(super) runners: Ring,
}

/// Getters.
impl<T> Rows<T> {
    /// Calls in the rows of this kind.
    pub(super) fn length(&self, row: Row) -> usize {
        self.lengths[row as usize]
    }

    /// Calls that have a lane and want the core.
    pub(super) fn running(&self) -> usize {
        let running = [Row::Young, Row::YoungChildren, Row::Old, Row::Ending];
        running.into_iter().map(|row| self.length(row)).sum()
    }

    /// What the calls that want the core are expected to cost, in microseconds of it.
    pub(super) fn expected_us(&self) -> u64 {
        self.expected_us
    }

    /// Calls that wait for a lane.
    pub(super) fn queued(&self) -> usize {
        self.length(Row::Queue) + self.length(Row::Children)
    }

    /// What this caller has.
    #[inline]
    pub(super) fn of(&self, caller: AccountKey) -> Counts {
        let caller = self.callers.get(caller.place());
        caller.map_or_else(Counts::default, |caller| caller.counts)
    }

    /// What there is to do beside a call of this caller.
    #[inline]
    pub(super) fn load(&self, caller: AccountKey) -> Load {
        if self.expected_us == 0 {
            return Load {
                all_us: 0,
                own_us: 0,
                callers: 1,
            };
        }
        let own_us = self.of(caller).expected_us;
        Load {
            all_us: self.expected_us,
            own_us,
            callers: self.expected_of + usize::from(own_us == 0),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// The key that the next call gets.
    pub(super) fn next_key(&self) -> ItemKey {
        self.items.next_key()
    }

    pub(super) fn get(&self, key: ItemKey) -> Option<&T> {
        Some(&self.items.get(key)?.value)
    }

    pub(super) fn get_mut(&mut self, key: ItemKey) -> Option<&mut T> {
        Some(&mut self.items.get_mut(key)?.value)
    }

    /// The row that a call is in.
    pub(super) fn row_of(&self, key: ItemKey) -> Option<Row> {
        Some(self.items.get(key)?.row)
    }

    /// Whose call that is.
    pub(super) fn caller_of(&self, key: ItemKey) -> Option<AccountKey> {
        Some(self.items.get(key)?.caller)
    }

    /// The first call of the row, of this caller where each has his own.
    pub(super) fn front(&self, row: Row, caller: AccountKey) -> Option<(ItemKey, &T)> {
        let (key, item) = self.items.front(self.list(row, caller)?)?;
        Some((key, &item.value))
    }

    /// The last one.
    pub(super) fn back(&self, row: Row, caller: AccountKey) -> Option<(ItemKey, &T)> {
        let (key, item) = self.items.back(self.list(row, caller)?)?;
        Some((key, &item.value))
    }

    /// The first call of a row that all have together.
    pub(super) fn front_of_all(&self, row: Row) -> Option<(ItemKey, &T)> {
        let list = *self.common.get((row as usize).checked_sub(OWN_ROWS)?)?;
        let (key, item) = self.items.front(list)?;
        Some((key, &item.value))
    }

    /// Calls in a list of [`Row::Limited`].
    pub(super) fn line_length(&self, line: ListKey) -> usize {
        self.items.length(line)
    }

    /// The first and the last call of such a list.
    pub(super) fn line_ends(&self, line: ListKey) -> Option<(ItemKey, ItemKey)> {
        let ((first, _), (last, _)) = (self.items.front(line)?, self.items.back(line)?);
        Some((first, last))
    }

    fn list(&self, row: Row, caller: AccountKey) -> Option<ListKey> {
        match (row as usize).checked_sub(OWN_ROWS) {
            Some(common) => self.common.get(common).copied(),
            None => Some(self.callers.get(caller.place())?.own[row as usize]),
        }
    }
}

/// Handlers.
impl<T> Rows<T> {
    pub(super) fn new() -> Self {
        let mut items = Lists::default();
        let common = std::array::from_fn(|_| items.add_list());
        Self {
            items,
            callers: Vec::new(),
            common,
            lengths: [0; ROWS],
            expected_us: 0,
            expected_of: 0,
            queues: Ring::default(),
            runners: Ring::default(),
        }
    }

    /// Puts a call of this caller at the end of the row, which is expected to cost so much.
    pub(super) fn push(
        &mut self,
        row: Row,
        caller: AccountKey,
        expected_us: u32,
        value: T,
    ) -> ItemKey {
        let list = self.note_in(row, caller, expected_us);
        let item = Item {
            row,
            caller,
            expected_us,
            value,
        };
        self.items.push_back(list, item)
    }

    /// Puts a call at the end of another row; it keeps its key.
    pub(super) fn enter(&mut self, key: ItemKey, row: Row) {
        if let Some(item) = self.items.get_mut(key) {
            let (before, caller) = (std::mem::replace(&mut item.row, row), item.caller);
            let expected_us = item.expected_us;
            self.note_out(before, caller, expected_us);
            let list = self.note_in(row, caller, expected_us);
            self.items.move_to(key, list);
        }
    }

    /// A list for [`Row::Limited`], which has to be empty when it is dropped again.
    pub(super) fn add_line(&mut self) -> ListKey {
        self.items.add_list()
    }

    pub(super) fn drop_line(&mut self, line: ListKey) {
        self.items.drop_list(line);
    }

    /// Puts a call at the end of such a list; it keeps its key.
    pub(super) fn enter_line(&mut self, key: ItemKey, line: ListKey) {
        self.enter(key, Row::Limited);
        self.items.move_to(key, line);
    }

    /// Takes a call out of its row.
    pub(super) fn remove(&mut self, key: ItemKey) -> Option<T> {
        let item = self.items.remove(key)?;
        self.note_out(item.row, item.caller, item.expected_us);
        Some(item.value)
    }

    /// Forgets a call after a last look at it, and gives what was seen.
    pub(super) fn forget<R>(&mut self, key: ItemKey, look: impl FnOnce(&T) -> R) -> Option<R> {
        let (row, caller, expected_us, seen) = self.items.forget(key, |item| {
            (item.row, item.caller, item.expected_us, look(&item.value))
        })?;
        self.note_out(row, caller, expected_us);
        Some(seen)
    }

    /// The lane of one of this caller's calls held so much before, and holds so much now.
    pub(super) fn note_memory(&mut self, caller: AccountKey, before: usize, now: usize) {
        if before != now {
            let memory = &mut self.caller(caller).counts.memory;
            *memory = *memory - before + now;
        }
    }

    /// The same of calls of calls that wait.
    pub(super) fn note_children_bytes(&mut self, caller: AccountKey, before: usize, now: usize) {
        let bytes = &mut self.caller(caller).counts.children_bytes;
        *bytes = *bytes - before + now;
    }

    fn caller(&mut self, account: AccountKey) -> &mut Caller {
        let place = account.place();
        while self.callers.len() <= place {
            let own = std::array::from_fn(|_| self.items.add_list());
            self.callers.push(Caller {
                account,
                own,
                counts: Counts::default(),
            });
        }
        let caller = &mut self.callers[place];
        let known = caller.account;
        // Made for another place's sake, or a former one's.
        if known.place() != place || account.is_later(known) {
            caller.account = account;
        }
        caller
    }

    fn note_in(&mut self, row: Row, account: AccountKey, expected_us: u32) -> ListKey {
        self.lengths[row as usize] += 1;
        let caller = self.caller(account);
        caller.counts.in_row[row as usize] += 1;
        if row.wants_core() && expected_us > 0 {
            let expected = &mut caller.counts.expected_us;
            let is_first = *expected == 0;
            *expected += u64::from(expected_us);
            self.expected_us += u64::from(expected_us);
            self.expected_of += usize::from(is_first);
        }
        match row {
            Row::Queue | Row::Children => self.queues.add(account.place()),
            Row::Young | Row::YoungChildren | Row::Old => self.runners.add(account.place()),
            Row::Held | Row::Waiting | Row::Ending | Row::Starved | Row::Limited => {}
        }
        match (row as usize).checked_sub(OWN_ROWS) {
            Some(common) => self.common[common],
            None => self.callers[account.place()].own[row as usize],
        }
    }

    fn note_out(&mut self, row: Row, account: AccountKey, expected_us: u32) {
        self.lengths[row as usize] -= 1;
        let counts = &mut self.caller(account).counts;
        counts.in_row[row as usize] -= 1;
        if row.wants_core() && expected_us > 0 {
            counts.expected_us -= u64::from(expected_us);
            let is_last = counts.expected_us == 0;
            self.expected_us -= u64::from(expected_us);
            self.expected_of -= usize::from(is_last);
        }
    }
}

/// Pollers.
impl<T> Rows<T> {
    /// The caller with calls in the queue whose turn it is: one who is not ahead of the others, if there is one. Says
    /// whether it is ahead.
    pub(super) fn next_queue(
        &mut self,
        is_ahead: impl Fn(AccountKey) -> bool,
    ) -> Option<(AccountKey, bool)> {
        let callers = &self.callers;
        let next = self.queues.next(
            |place| {
                let counts = &callers[place].counts;
                counts.in_row(Row::Queue) + counts.in_row(Row::Children) > 0
            },
            |place| is_ahead(callers[place].account),
        );
        next.map(|(place, is_ahead)| (callers[place].account, is_ahead))
    }

    /// The same of callers with calls that want the core.
    pub(super) fn next_runner(
        &mut self,
        is_ahead: impl Fn(AccountKey) -> bool,
    ) -> Option<(AccountKey, bool)> {
        let (items, callers) = (&self.items, &self.callers);
        let length = |place: usize, row: Row| items.length(callers[place].own[row as usize]);
        let next = self.runners.next(
            |place| {
                let rows = [Row::Young, Row::YoungChildren, Row::Old];
                rows.into_iter().any(|row| length(place, row) > 0)
            },
            |place| is_ahead(callers[place].account),
        );
        next.map(|(place, is_ahead)| (callers[place].account, is_ahead))
    }
}

#[cfg(test)]
mod tests;
