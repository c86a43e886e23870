//! Calls that wait for a lane: which of them has the next one, and what becomes of those for which there is none.

use super::Node;
use super::call::{Origin, Queued};
use super::functions::Registered;
use super::lanes::Making;
use super::rows::{Counts, Row};
use super::schedule::{MAKING_OF_AHEAD, TURN, TURN_OF_AHEAD, charge};
use crate::engine::Lane;
use crate::net::service::Io;
use crate::net::shares::AccountKey;
use madrpc_core::call::{CallError, ErrorKind};
use madrpc_core::limits::STUCK_TIMEOUT;
use std::time::{Duration, Instant};

/// Held calls that are looked at in one turn.
const HELD_PER_TURN: usize = 16;

/// Callers who cannot have a lane now, after which no others are looked at in this turn.
const BLOCKED_MAX: usize = 16;

/// A lane that is a call's, and the longest slice that the call has in it at first.
pub(super) struct Claimed {
    pub(super) lane: Box<Lane>,
    pub(super) slice: Duration,
}

impl Node {
    /// A lane for a call of this function by a caller who has so much, if it may run now and there is one.
    pub(super) fn claim_lane(
        &mut self,
        function: &Registered,
        row: Row,
        depth: u8,
        counts: Counts,
        is_ahead: bool,
    ) -> Option<Claimed> {
        let kind = (row == Row::Children, depth);
        let lane = self.lanes.claim(function.isolate, kind, counts, is_ahead)?;
        Some(Claimed {
            lane,
            slice: self.turns.slice_of(is_ahead),
        })
    }

    /// Starts calls of the queue where there is room for them. This has a time of its own: a slice may be longer than
    /// a turn, and would keep them out for as long as anything runs. Those of callers who are ahead of others come when the
    /// running calls do, unless the others have nothing to say.
    pub(super) fn start_queued(&mut self, io: &mut Io<'_, Self>) {
        self.turns.is_stuck = false;
        if self.calls.rows.queued() == 0 {
            return;
        }
        let begun = Instant::now();
        self.start_some(begun, begun + TURN, io, |is_ahead, now, io| {
            !is_ahead || now < io.now + TURN_OF_AHEAD && !io.callers.has_just_heard(io.now)
        });
    }

    /// Starts calls of those who are ahead of the others; says whether it came to anything.
    pub(super) fn start_those_ahead(&mut self, begun: Instant, io: &mut Io<'_, Self>) -> bool {
        self.start_some(begun, begun + TURN_OF_AHEAD, io, |is_ahead, _, _| is_ahead)
    }

    /// Starts calls of the queue until then, as long as those whose turn it is `may` have it; says whether it came to
    /// anything.
    fn start_some(
        &mut self,
        mut now: Instant,
        end: Instant,
        io: &mut Io<'_, Self>,
        may: impl Fn(bool, Instant, &Io<'_, Self>) -> bool,
    ) -> bool {
        // Callers whose first call has to wait for a lane.
        let mut blocked = 0;
        let mut has_begun = false;
        while now < end
            && let Some((caller, is_ahead)) =
                self.calls.rows.next_queue(|key| io.callers.is_ahead(key))
            && may(is_ahead, now, io)
            && blocked <= BLOCKED_MAX
        {
            let has_gone_on = self.start_first(caller, is_ahead, now, io);
            has_begun |= has_gone_on;
            blocked = match has_gone_on {
                true => 0,
                false => blocked + 1,
            };
            self.calls.rows.queues.turn(is_ahead);
            now = charge(caller, now, io);
        }
        // All have been looked at, and nothing will change before something comes, or a timer.
        let are_all_blocked = blocked > BLOCKED_MAX && self.calls.rows.queues.len() <= BLOCKED_MAX;
        self.turns.is_stuck = are_all_blocked && self.calls.rows.running() == 0;
        has_begun
    }

    /// Starts the first call that this caller has in the queue, or does something towards that; says whether there was
    /// anything to do.
    fn start_first(
        &mut self,
        caller: AccountKey,
        is_ahead: bool,
        begun: Instant,
        io: &mut Io<'_, Self>,
    ) -> bool {
        let Some(row) = self.calls.next_row(caller, self.lanes.pool) else {
            return false;
        };
        let Some(first) = self.calls.first_queued(row, caller) else {
            return false;
        };
        let counts = self.calls.rows.of(caller);
        let (arrived, depth, lacks_slot) = (first.arrived, first.depth, first.slot.is_none());
        // An orchestrator's session is many callers': small results go on beside large ones that are not taken.
        if let Origin::Session { session, .. } = first.origin
            && io
                .callers
                .is_behind(session, first.function.result_size.get().is_large())
        {
            self.calls.hold_first(row, caller);
            return true;
        }
        if let Some(member) = &first.member {
            if let Some(error) = member.out_of_time() {
                let error = CallError::not_run(ErrorKind::CpuLimit, error);
                self.fail_first(row, caller, error, begun, io);
                return true;
            }
            if member.is_full() {
                self.calls.hold_first(row, caller);
                return true;
            }
        }
        // The script may be another by now.
        let function = match self.functions.present(&first.function) {
            Ok(function) => function,
            Err(error) => {
                self.fail_first(row, caller, error, begun, io);
                return true;
            }
        };
        if let Some(limit) = function.limit.filter(|_| lacks_slot) {
            // Of a call that came under another script, or that was put aside meanwhile.
            match self.calls.limits.take(limit) {
                Some(slot) => self.calls.give_slot(row, caller, slot),
                None => {
                    self.calls.limit_first(row, caller, &function);
                    return true;
                }
            }
        }
        if let Some(claimed) = self.claim_lane(&function, row, depth, counts, is_ahead) {
            if let Some((
                key,
                Queued {
                    mut ticket, body, ..
                },
            )) = self.calls.dequeue(row, caller)
            {
                ticket.deadline = function.deadline(ticket.arrived, ticket.deadline);
                ticket.function = function;
                self.start(ticket, Some(key), begun, claimed, (&body).into(), io);
            }
            return true;
        }
        // The one that is being made waits itself.
        if !self.lanes.has_retired() && self.lanes.wakes_at().is_some_and(|at| begun < at) {
            self.calls.pass_turn(row);
            return false;
        }
        let error = match self.lanes.has_retired() || self.lanes.has_part(counts, depth) {
            true => self.make_lane(begun, is_ahead, counts),
            false => Some(self.too_many_wait(counts)),
        };
        match error {
            None => true,
            // It waits until those that wait take less, as long as it takes.
            Some(error) if error.kind == ErrorKind::Overloaded && self.give_memory_back(io) => true,
            // A running call will end and make room; where none runs, nothing may.
            Some(_) if self.may_get_room(row, counts, arrived, begun) => {
                self.calls.pass_turn(row);
                false
            }
            Some(error) => {
                self.fail_first(row, caller, error, begun, io);
                true
            }
        }
    }

    /// Puts calls back in the queue whose callers read their replies again, or whose families hold less; one whose caller has not
    /// done so for too long is refused. A bounded number in each turn.
    pub(super) fn look_after_held(&mut self, io: &mut Io<'_, Self>) {
        for _ in 0..HELD_PER_TURN.min(self.calls.rows.length(Row::Held)) {
            let Some((key, ticket)) = self.calls.first_held() else {
                return;
            };
            let since = ticket.arrived;
            let is_behind = match ticket.origin {
                Origin::Session { session, .. } => io.callers.is_behind(session, true),
                Origin::Parent(_) => false,
            };
            let is_full = ticket
                .member
                .as_ref()
                .is_some_and(|member| member.is_full());
            if !is_behind && !is_full {
                self.calls.release(key);
            } else if !is_behind || io.now.saturating_duration_since(since) < STUCK_TIMEOUT {
                self.calls.hold(key);
            } else if let Some(queued) = self.calls.take_queued(key) {
                let seconds = STUCK_TIMEOUT.as_secs();
                let error = format!(
                    "the call waited {seconds} s because its caller does not read the replies that it has got"
                );
                let error = CallError::not_run(ErrorKind::Overloaded, error);
                self.fail(&queued.ticket, io.now, error, io);
            }
        }
    }

    #[cold]
    fn fail_first(
        &mut self,
        row: Row,
        caller: AccountKey,
        error: CallError,
        now: Instant,
        io: &mut Io<'_, Self>,
    ) {
        if let Some((key, Queued { ticket, .. })) = self.calls.dequeue(row, caller) {
            self.calls.remove(key);
            self.fail(&ticket, now, error, io);
        }
    }

    /// Why a call cannot have a lane where all are of calls that wait for each other: one has to go, so that the others get
    /// on.
    fn too_many_wait(&self, counts: Counts) -> CallError {
        let error = format!(
            "{} calls of this caller wait in lanes of {}, which hold {} MiB; it has no part left of the memory for \
             lanes (half of the shard's part of --memory-max)",
            counts.lanes(),
            self.id,
            counts.memory >> 20
        );
        CallError::not_run(ErrorKind::Overloaded, error)
    }

    /// Why there is no lane for a call of a caller who has a part left.
    fn all_have_calls(&self, counts: Counts) -> CallError {
        if counts.lanes() > 0 {
            return self.too_many_wait(counts);
        }
        let error = format!(
            "the {} lanes of {} have calls of others that wait, and there is no memory for another (half of the shard's \
             part of --memory-max)",
            self.lanes.in_use(),
            self.id
        );
        CallError::not_run(ErrorKind::Overloaded, error)
    }

    /// Goes on making the lane that the first call in the queue waits for; gives its error where there can be none.
    fn make_lane(&mut self, now: Instant, is_ahead: bool, counts: Counts) -> Option<CallError> {
        self.beacon.begin_loading();
        let slice = if is_ahead { MAKING_OF_AHEAD } else { TURN };
        let making = match self.lanes.look_after_retired() {
            Some(_) => Making::Going,
            None => self.lanes.make(now, self.turns.slice.min(slice)),
        };
        self.beacon.end();
        match making {
            Making::Ready | Making::Going => None,
            Making::Full => Some(self.all_have_calls(counts)),
            Making::NoMemory(error) => {
                Some(CallError::not_run(ErrorKind::Overloaded, error.to_string()))
            }
            Making::Failed(error) => Some(CallError::not_run(
                ErrorKind::Internal,
                format!("there is no lane for the call: {error}"),
            )),
        }
    }
}
