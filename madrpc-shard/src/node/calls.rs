//! The calls of a shard that are not over: those that wait for a lane, and those that have one.
//!
//! Each has a key for as long as it is here, and is in one row. To find it, to move it to another row and to take the
//! next of a row costs the same however many there are. A call that ends within its first slice never comes here.
//!
//! Those that wait for a lane or want the core are in rows of their caller, and callers with such rows take turns
//! ([`Rows`]): how many calls one of them has is no matter of the others'.

mod lines;

use super::call::{CallKey, Queued, Running, Ticket};
use super::limited::Limits;
use super::rows::{Row, Rows};
use crate::net::budget::{Budget, Held};
use crate::net::shares::AccountKey;
use bytes::Bytes;
use madrpc_core::lists::ItemKey;
use madrpc_core::wheel::{TimerKey, Wheel};
use std::rc::Rc;
use std::time::{Duration, Instant};

/// What a call in the queue costs beside its arguments, roughly.
const QUEUED_COST_BYTES: usize = 512;

/// Time on the core after which a call is behind those that have had less: what two slices usually are.
const YOUNG_MAX: Duration = Duration::from_millis(1);

/// Calls of calls that have a lane before another call of their caller.
const CHILDREN_IN_A_ROW: u32 = 4;

/// A call, in one of the rows.
pub(super) struct Entry {
    timer: TimerKey,
    state: State,
}

enum State {
    Queued(Queued),
    /// Few calls are set aside: those that end in their first slice shall not be carried about in the room that these take.
    Running(Box<Running>),
    /// Lent out, to be put back.
    Away,
}

/// A call whose time has come.
pub(super) enum Due {
    /// It has waited for a lane until its deadline, and is over.
    Overdue(Queued),
    /// It may go on, or has to end: it is in the row for that.
    Moved,
}

/// The calls that are not over.
pub(super) struct Calls {
    pub(super) rows: Rows<Entry>,
    pub(super) limits: Limits,
    /// Calls that wait for a lane; those of callers beyond it are refused.
    pub(super) queue_max: usize,
    /// Whether some that wait for slots may have them, and did not in this turn.
    pub(super) has_slots_left: bool,
    /// Who had most in the queue, and of calls of calls, when it last got longer.
    longest: [Option<AccountKey>; 2],
    /// Calls of calls that have had a lane since another call had one.
    children_in_a_row: u32,
    budget: Rc<Budget>,
    timers: Wheel<CallKey>,
}

/// Getters.
impl Calls {
    pub(super) fn next_timer(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// Whose call that is.
    pub(super) fn caller_of(&self, key: CallKey) -> Option<AccountKey> {
        self.rows.caller_of(key.0)
    }

    /// Where the next call of this caller waits for a lane, if one may have it: of each kind so many are young at a time. Calls of
    /// calls come first, as lanes wait for them; but they may be very many.
    pub(super) fn next_row(&self, caller: AccountKey, pool: usize) -> Option<Row> {
        let counts = self.rows.of(caller);
        let may = |row: &Row| counts.waiting(*row) > 0 && counts.young_of(*row) < pool;
        let rows = match self.children_in_a_row < CHILDREN_IN_A_ROW {
            true => [Row::Children, Row::Queue],
            false => [Row::Queue, Row::Children],
        };
        rows.into_iter().find(may)
    }

    /// The first call in this row of a caller, which waits for a lane.
    pub(super) fn first_queued(&self, row: Row, caller: AccountKey) -> Option<&Ticket> {
        let (_, entry) = self.rows.front(row, caller)?;
        match &entry.state {
            State::Queued(queued) => Some(&queued.ticket),
            State::Running(_) | State::Away => None,
        }
    }
}

/// Handlers.
impl Calls {
    pub(super) fn new(budget: &Rc<Budget>, shard: u16, queue_max: usize, now: Instant) -> Self {
        Self {
            rows: Rows::new(),
            limits: Limits::new(shard.into()),
            queue_max,
            has_slots_left: false,
            longest: [None; 2],
            children_in_a_row: 0,
            budget: Rc::clone(budget),
            timers: Wheel::new(now),
        }
    }

    /// Counts bytes that are held for a call.
    pub(super) fn held(&self, bytes: usize) -> Held {
        Held::new(&self.budget, bytes)
    }

    /// Puts a call with these arguments at the end of the queue.
    pub(super) fn enqueue(&mut self, ticket: Ticket, body: Bytes) -> CallKey {
        let queued = Queued {
            held: self.held(body.len() + QUEUED_COST_BYTES),
            ticket,
            body,
        };
        let row = queue_of(&queued.ticket);
        let (deadline, caller) = (queued.ticket.deadline, queued.ticket.caller);
        self.note_queued(&queued, true);
        let limit = queued.ticket.lacks_slot_of();
        let key = self.insert(row, caller, deadline, State::Queued(queued));
        if let Some(limit) = limit {
            self.stand_in_line(key, limit, caller);
            return key;
        }
        let longest = &mut self.longest[usize::from(row == Row::Children)];
        let waiting = |caller| self.rows.of(caller).waiting(row);
        if waiting(caller) > longest.map_or(0, waiting) {
            *longest = Some(caller);
        }
        key
    }

    /// Counts a call that comes into the queue, or leaves it.
    fn note_queued(&mut self, queued: &Queued, comes: bool) {
        let Ticket {
            function, caller, ..
        } = &queued.ticket;
        let count = function.queued.get();
        function.queued.set(match comes {
            true => count + 1,
            false => count - 1,
        });
        if queue_of(&queued.ticket) == Row::Children {
            let bytes = queued.held.bytes();
            let (before, now) = if comes { (0, bytes) } else { (bytes, 0) };
            self.rows.note_children_bytes(*caller, before, now);
        }
    }

    /// Whether a call of a call of this caller may wait with so many bytes of arguments: what it has there is bounded as what a
    /// session holds is.
    pub(super) fn has_room_for_child(&self, caller: AccountKey, bytes: usize) -> bool {
        self.rows.of(caller).children_bytes + bytes <= self.budget.share()
    }

    /// Whatever the first call in this row of a caller waits for, the other row comes next.
    pub(super) fn pass_turn(&mut self, row: Row) {
        self.children_in_a_row = match row {
            Row::Children => CHILDREN_IN_A_ROW,
            _ => 0,
        };
    }

    /// Takes the first call of a caller out of this row of the queue; it keeps its key, and is put back by
    /// [`Calls::set_aside`] or forgotten by [`Calls::remove`].
    pub(super) fn dequeue(&mut self, row: Row, caller: AccountKey) -> Option<(CallKey, Queued)> {
        match row {
            Row::Children => self.children_in_a_row = self.children_in_a_row.saturating_add(1),
            _ => self.children_in_a_row = 0,
        }
        let (key, _) = self.rows.front(row, caller)?;
        // Where it is put back is its own affair; it is in no other's way.
        self.enter(CallKey(key), Row::Waiting);
        let entry = self.rows.get_mut(key)?;
        match std::mem::replace(&mut entry.state, State::Away) {
            State::Queued(queued) => {
                self.note_queued(&queued, false);
                Some((CallKey(key), queued))
            }
            State::Running(_) | State::Away => None,
        }
    }

    /// Sets a call aside that has a lane: it goes on when it gets the core again, or where it `waits`, at that time at
    /// the latest, or when it is woken; or where it is starved, when it is fed.
    pub(super) fn set_aside(
        &mut self,
        mut running: Running,
        waits: Option<Option<Instant>>,
    ) -> CallKey {
        let deadline = running.ticket.deadline;
        let row = match waits {
            Some(_) if !running.has_to_end => Row::Waiting,
            None if running.is_starved && !running.has_to_end => Row::Starved,
            _ => row_of(&running),
        };
        let until = waits
            .flatten()
            .map_or(deadline, |until| until.min(deadline));
        let Some(key) = running.key else {
            let promised = CallKey(self.rows.next_key());
            running.key = Some(promised);
            let caller = running.ticket.caller;
            return self.insert(row, caller, until, State::Running(Box::new(running)));
        };
        self.set_timer(key, until);
        self.enter(key, row);
        if let Some(entry) = self.rows.get_mut(key.0) {
            entry.state = State::Running(Box::new(running));
        }
        key
    }

    fn insert(&mut self, row: Row, caller: AccountKey, until: Instant, state: State) -> CallKey {
        let timer = self.timers.insert(until, CallKey(self.rows.next_key()));
        let ticket = match &state {
            State::Queued(queued) => Some(&queued.ticket),
            State::Running(running) => Some(&running.ticket),
            State::Away => None,
        };
        let expected_us = ticket.map_or(0, |ticket| ticket.function.cost.get().us());
        let entry = Entry { timer, state };
        CallKey(self.rows.push(row, caller, expected_us, entry))
    }

    fn enter(&mut self, key: CallKey, row: Row) {
        self.rows.enter(key.0, row);
    }

    fn set_timer(&mut self, key: CallKey, until: Instant) {
        if let Some(entry) = self.rows.get_mut(key.0) {
            self.timers.remove(entry.timer);
            entry.timer = self.timers.insert(until, key);
        }
    }

    /// Puts the next call that a caller has in the queue aside. What it waits for may take long: others have its slot meanwhile.
    pub(super) fn hold_first(&mut self, row: Row, caller: AccountKey) {
        if let Some((key, _)) = self.rows.front(row, caller) {
            self.hold(CallKey(key));
            if let Some(Entry {
                state: State::Queued(queued),
                ..
            }) = self.rows.get_mut(key)
            {
                queued.ticket.slot = None;
            }
        }
    }

    /// Puts a call at the end of those that are set aside.
    pub(super) fn hold(&mut self, key: CallKey) {
        self.enter(key, Row::Held);
    }

    /// Puts a call back in the queue.
    pub(super) fn release(&mut self, key: CallKey) {
        if let Some(Entry {
            state: State::Queued(queued),
            ..
        }) = self.rows.get(key.0)
        {
            self.enter(key, queue_of(&queued.ticket));
        }
    }

    /// The first call that is set aside until replies are read, or its family holds less.
    pub(super) fn first_held(&self) -> Option<(CallKey, &Ticket)> {
        let (key, entry) = self.rows.front_of_all(Row::Held)?;
        match &entry.state {
            State::Queued(queued) => Some((CallKey(key), &queued.ticket)),
            State::Running(_) | State::Away => None,
        }
    }

    /// Forgets a call that is over.
    pub(super) fn remove(&mut self, key: CallKey) {
        if let Some(timer) = self.rows.forget(key.0, |entry| entry.timer) {
            self.timers.remove(timer);
        }
    }

    /// Takes a call out of the queue, wherever it is in it; `None` where it is not there.
    pub(super) fn take_queued(&mut self, key: CallKey) -> Option<Queued> {
        let entry = self.rows.get(key.0)?;
        if !matches!(entry.state, State::Queued(_)) {
            return None;
        }
        let is_in_line = self.rows.row_of(key.0) == Some(Row::Limited);
        let entry = self.rows.remove(key.0)?;
        self.timers.remove(entry.timer);
        match entry.state {
            State::Queued(queued) => {
                if let Some(limit) = queued.ticket.function.limit.filter(|_| is_in_line) {
                    self.limits.leave(limit);
                }
                self.note_queued(&queued, false);
                Some(queued)
            }
            State::Running(_) | State::Away => None,
        }
    }

    /// Makes room for this call in a queue that is full: takes out one whose caller does not read, or the last of the caller who has
    /// most in the queue, where that is more than this one has.
    pub(super) fn make_room(&mut self, ticket: &Ticket) -> Option<Queued> {
        let (row, caller) = (queue_of(ticket), ticket.caller);
        if let Some((key, held)) = self.first_held()
            && held.caller != caller
            && !held.member.as_ref().is_some_and(|member| member.is_full())
        {
            return self.take_queued(key);
        }
        let longest = self.longest[usize::from(row == Row::Children)]?;
        let own = self.rows.of(caller);
        if self.rows.of(longest).waiting(row) <= own.waiting(row) + own.in_row(Row::Held) + 1 {
            return None;
        }
        let (key, _) = self.rows.back(row, longest)?;
        self.take_queued(CallKey(key))
    }

    /// A call that has a lane.
    pub(super) fn running_mut(&mut self, key: CallKey) -> Option<&mut Running> {
        match &mut self.rows.get_mut(key.0)?.state {
            State::Running(running) => Some(running),
            State::Queued(_) | State::Away => None,
        }
    }

    /// Puts a waiting call in the row of those that want the core.
    pub(super) fn wake(&mut self, key: CallKey) {
        if self.rows.row_of(key.0) != Some(Row::Waiting) {
            return;
        }
        let Some(Entry {
            state: State::Running(running),
            ..
        }) = self.rows.get(key.0)
        else {
            return;
        };
        let (row, deadline) = (row_of(running), running.ticket.deadline);
        self.set_timer(key, deadline);
        self.enter(key, row);
    }

    /// The next to be looked at of those that are without the memory that they want.
    pub(super) fn first_starved(&self) -> Option<(CallKey, &Running)> {
        let (key, entry) = self.rows.front_of_all(Row::Starved)?;
        match &entry.state {
            State::Running(running) => Some((CallKey(key), running)),
            State::Queued(_) | State::Away => None,
        }
    }

    /// Puts a call at the end of those that are starved.
    pub(super) fn starve(&mut self, key: CallKey) {
        self.enter(key, Row::Starved);
    }

    /// Puts a call that is starved in the row of those that want the core, which `has_waited` for as long as it may.
    pub(super) fn feed(&mut self, key: CallKey, has_waited: bool) {
        if let Some(running) = self.running_mut(key) {
            running.is_starved = false;
            running.has_waited |= has_waited;
            let row = row_of(running);
            self.enter(key, row);
        }
    }

    /// Puts a call that has a lane in the row of those that have to end.
    pub(super) fn end(&mut self, key: CallKey) {
        if let Some(running) = self.running_mut(key) {
            running.has_to_end = true;
            self.enter(key, Row::Ending);
        }
    }
}

/// Pollers.
impl Calls {
    /// A call whose deadline, or whose waiting time, has come.
    pub(super) fn next_due(&mut self, now: Instant) -> Option<Due> {
        let key = self.timers.expire(now)?;
        if let Some(queued) = self.take_queued(key) {
            return Some(Due::Overdue(queued));
        }
        let deadline = self.running_mut(key).map(|running| running.ticket.deadline);
        match deadline {
            Some(deadline) if deadline <= now => self.end(key),
            _ => self.wake(key),
        }
        Some(Due::Moved)
    }

    /// Lends out the first call that has to end, which is put back by [`Calls::set_aside`] or forgotten by
    /// [`Calls::remove`].
    pub(super) fn lend_ending(&mut self) -> Option<Running> {
        let (key, _) = self.rows.front_of_all(Row::Ending)?;
        self.lend(key)
    }

    /// Lends out the call of this caller that wants the core for the longest time, where that is wished, else the first of
    /// those with few slices, if there are any.
    pub(super) fn lend_next(&mut self, caller: AccountKey, longest: bool) -> Option<Running> {
        let first = |row: Row| {
            let (key, entry) = self.rows.front(row, caller)?;
            match &entry.state {
                State::Running(running) => Some((key, running.since_slice)),
                State::Queued(_) | State::Away => None,
            }
        };
        let rows = [Row::Young, Row::YoungChildren, Row::Old];
        let mut firsts = rows.into_iter().filter_map(first);
        let (key, _) = match longest {
            true => firsts.min_by_key(|(_, since)| *since),
            false => firsts.next(),
        }?;
        self.lend(key)
    }

    fn lend(&mut self, key: ItemKey) -> Option<Running> {
        let entry = self.rows.get_mut(key)?;
        match std::mem::replace(&mut entry.state, State::Away) {
            State::Running(running) => Some(*running),
            State::Queued(_) | State::Away => None,
        }
    }
}

/// Where a call waits for a lane.
pub(super) fn queue_of(ticket: &Ticket) -> Row {
    match ticket.member.is_some() {
        true => Row::Children,
        false => Row::Queue,
    }
}

fn row_of(running: &Running) -> Row {
    match running.cpu < YOUNG_MAX {
        _ if running.has_to_end => Row::Ending,
        true if queue_of(&running.ticket) == Row::Children => Row::YoungChildren,
        true => Row::Young,
        false => Row::Old,
    }
}
