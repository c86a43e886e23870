//! Who gets the core, turn by turn; the rules are in the module above.

use super::Node;
use super::call::{CallKey, Origin, Queued, Running, Ticket};
use super::calls::Due;
use super::lanes::Making;
use super::rows::Row;
use super::starting::Claimed;
use super::turns::Slice;
use crate::engine::Progress;
use crate::net::service::Io;
use crate::net::shares::AccountKey;
use crate::net::traces::Context;
use madrpc_core::call::{Body, CallError, ErrorKind};
use madrpc_core::limits::ENDINGS_PER_TURN;
use std::hint::cold_path;
use std::time::{Duration, Instant};
use tracing::error;

/// How long calls may be started in one turn before the network has its own.
pub(super) const TURN: Duration = Duration::from_millis(1);

/// For how many slices' time new calls that come without a pause have the core before a running one has it again, and what
/// others have before one of a caller who is ahead.
const SHARE_OF_NEW_CALLS: u32 = 2;
const SHARE_OF_OTHERS: u32 = 1;

/// How long a turn may do anything for callers who are ahead of the others, but for a slice, before the network has its own:
/// whatever the others say meanwhile waits for that.
pub(super) const TURN_OF_AHEAD: Duration = Duration::from_micros(150);

/// The slice of a lane that is made for one of them; the longest step of it takes four times as long.
pub(super) const MAKING_OF_AHEAD: Duration = Duration::from_micros(50);

/// Every so many slices the longest waiting call goes on, however many slices it has had.
const TURN_OF_THE_OLDEST: u64 = 4;

/// Charges a caller for what has been done for it since then; gives the present time.
pub(super) fn charge(caller: AccountKey, since: Instant, io: &mut Io<'_, Node>) -> Instant {
    let now = Instant::now();
    io.callers
        .charge(caller, now.saturating_duration_since(since), now);
    now
}

impl Node {
    /// Ends calls that have waited for a lane until their deadline, and wakes those whose time has come; a bounded number.
    pub(super) fn take_due(&mut self, io: &mut Io<'_, Self>) {
        for _ in 0..ENDINGS_PER_TURN {
            match self.calls.next_due(io.now) {
                Some(Due::Overdue(Queued { ticket, .. })) => {
                    let waited = io.now.saturating_duration_since(ticket.arrived).as_millis();
                    let error = match ticket.lacks_slot_of() {
                        Some(_) => format!(
                            "the call waited {waited} ms for others of `{}` to end, until its deadline (maxConcurrent at register)",
                            ticket.function.name
                        ),
                        None => {
                            format!("the call waited {waited} ms for a lane, until its deadline")
                        }
                    };
                    let error = CallError::not_run(ErrorKind::DeadlineExceeded, error);
                    self.fail(&ticket, io.now, error, io);
                }
                Some(Due::Moved) => {}
                None => break,
            }
        }
    }

    /// Resumes the calls whose deadline has passed or that were given up, so that they end: one in each turn at the least.
    pub(super) fn end_overdue(&mut self, io: &mut Io<'_, Self>) {
        if self.calls.rows.length(Row::Ending) == 0 {
            return;
        }
        let mut now = Instant::now();
        let end = now + TURN;
        while now < end
            && let Some(running) = self.calls.lend_ending()
        {
            let (caller, begun) = (running.ticket.caller, now);
            self.go_on(running, now, self.turns.slice, io);
            now = charge(caller, begun, io);
            if now >= io.now + TURN_OF_AHEAD && io.callers.is_ahead(caller) {
                break;
            }
        }
    }

    /// Makes the lanes that are missing, and loads the script that is to come, for one slice; where calls come without
    /// a pause, or others go on, in a tenth of the time. Those pay whose calls took the lanes.
    pub(super) fn make_lanes(&mut self, slice: Slice, io: &mut Io<'_, Self>) {
        let begun = Instant::now();
        let is_loading = self.reload.wants();
        let is_quiet = slice == Slice::Nobody && !io.callers.has_just_heard(io.now);
        let is_time = is_quiet || begun >= self.turns.next_making;
        if !(is_loading || self.lanes.wants()) || !is_time {
            return;
        }
        self.beacon.begin_loading();
        let slice = if is_quiet { TURN } else { MAKING_OF_AHEAD };
        let slice = self.turns.slice.min(slice);
        let caller = if let Some(caller) = self.lanes.look_after_retired() {
            caller
        } else if is_loading {
            self.reload.go_on(begun, slice);
            None
        } else {
            if let Making::Failed(error) | Making::NoMemory(error) = self.lanes.make(begun, slice) {
                error!("a lane cannot be made, and is missing until a call needs it: {error}");
            }
            self.lanes.spoiler()
        };
        self.beacon.end();
        let now = match caller {
            Some(caller) => charge(caller, begun, io),
            None => Instant::now(),
        };
        self.turns.next_making = now + now.duration_since(begun) * 9;
    }

    /// Lets one of the running calls go on, where it is their turn.
    pub(super) fn give_slice(&mut self, io: &mut Io<'_, Self>) -> Slice {
        let now = Instant::now();
        let next = self.calls.rows.next_runner(|key| io.callers.is_ahead(key));
        let is_ahead = next.is_none_or(|(_, is_ahead)| is_ahead);
        if now < self.turns.next_slice && !self.turns.is_quiet(now, is_ahead) {
            return Slice::Later;
        }
        let is_long = now >= io.now + TURN_OF_AHEAD;
        if is_long && is_ahead && !self.turns.is_put_off {
            self.turns.is_put_off = true;
            return Slice::Later;
        }
        self.turns.is_put_off = false;
        self.turns.slices_given += 1;
        self.turns.new_calls = 0;
        // New calls of those who are ahead, and running ones, in turns.
        let has_begun =
            !self.turns.slices_given.is_multiple_of(2) && self.start_those_ahead(now, io);
        if has_begun || self.resume_next(now, io) || self.start_those_ahead(now, io) {
            let end = Instant::now();
            let share = match is_ahead {
                true => SHARE_OF_OTHERS,
                false => SHARE_OF_NEW_CALLS,
            };
            self.turns.next_slice = end + end.duration_since(now) * share;
            return Slice::Given;
        }
        Slice::Nobody
    }

    /// Lets a call go on of the caller whose turn it is; says whether there was one.
    fn resume_next(&mut self, begun: Instant, io: &mut Io<'_, Self>) -> bool {
        let next = self.calls.rows.next_runner(|key| io.callers.is_ahead(key));
        let Some((caller, is_ahead)) = next else {
            return false;
        };
        self.calls.rows.runners.turn(is_ahead);
        if self.reclaim_memory(io) {
            return true;
        }
        let oldest = self.turns.slices_given.is_multiple_of(TURN_OF_THE_OLDEST);
        let Some(mut running) = self.calls.lend_next(caller, oldest) else {
            return false;
        };
        if running.waits_for_family() {
            (running.is_starved, running.waits_since) = (true, begun);
            self.calls.set_aside(running, None);
            return true;
        }
        running.bound_for_family();
        self.go_on(running, begun, self.turns.slice_of(is_ahead), io);
        charge(caller, begun, io);
        true
    }

    /// Runs a call in this lane for its first slice; one that was in the queue has a key.
    pub(super) fn start(
        &mut self,
        ticket: Ticket,
        key: Option<CallKey>,
        now: Instant,
        claimed: Claimed,
        body: Body<'_>,
        io: &mut Io<'_, Self>,
    ) {
        let Claimed { mut lane, slice } = claimed;
        let lane_bytes = lane.noted_bytes();
        lane.assign(ticket.function.place, body, ticket.deadline);
        self.last_number += 1;
        let trace = ticket.context.as_deref().map(Context::below);
        lane.set_call(self.last_number, trace);
        lane.stream().prepare(ticket.credit);
        if let Some(member) = &ticket.member {
            member.hold(0);
            member.set_busy(true);
            let (_, own_max) = lane.limits();
            let (room, may_wait) = member.room(own_max);
            lane.bound_memory(room, may_wait);
        }
        let running = Running {
            ticket,
            lane,
            key,
            started: now,
            cpu: Duration::ZERO,
            slices: 0,
            asked: None,
            memory: 0,
            base: lane_bytes,
            grown: 0,
            is_starved: false,
            is_growing: false,
            has_waited: false,
            has_to_end: false,
            since_slice: 0,
            waits_since: now,
            is_noted_waiting: false,
        };
        self.go_on(running, now, slice, io);
    }

    /// Gives a call one slice, and its reply where it is over. Most are over: what the others need is laid out apart, so that the
    /// way of a tiny call stays in the core's cache for code, which it nearly fills.
    fn go_on(
        &mut self,
        mut running: Running,
        begun: Instant,
        slice: Duration,
        io: &mut Io<'_, Self>,
    ) {
        self.beacon.begin(running.ticket.function.counter);
        let progress = running.lane.resume(begun, slice);
        self.beacon.end();
        let ended_at = running.lane.take_end();
        let now = ended_at.unwrap_or_else(Instant::now);
        self.turns.last_end = now;
        if let Some(asked) = &mut running.asked {
            asked.answers.set(running.lane.unseen_bytes());
        }
        let time = now.duration_since(begun);
        self.turns.held += time;
        if running.key.is_some() || !matches!(progress, Progress::Done(_)) {
            self.backlog.rate.note(time);
        }
        running.cpu += time;
        running.slices += 1;
        running.since_slice = self.turns.slices_given;
        running.waits_since = now;
        if !matches!(progress, Progress::Done(_)) {
            cold_path();
            self.told.none_ended_for += time;
            let before = running.grown;
            self.note_memory(&mut running);
            let is_busy = matches!(progress, Progress::Running);
            running.is_growing = is_busy && running.grown > before;
            if running.lane.has_asked() {
                let before = running.cpu.saturating_sub(time);
                let is_sent = io.upstreams.is_some();
                let account = io.callers.passed_on_as(running.ticket.caller);
                self.found_family(&mut running, before, now, account.filter(|_| is_sent));
            }
        }
        if let Some(member) = &running.ticket.member
            && member.has_used(time, now)
        {
            cold_path();
            running.lane.stop(ErrorKind::CpuLimit);
            running.has_to_end = true;
        }
        match progress {
            Progress::Running => {
                cold_path();
                let origin = running.ticket.origin;
                let key = self.set_aside(running, None, io);
                if let Origin::Session { session, .. } = origin {
                    self.tell_load(session, now, io);
                }
                self.send_items(key, io);
            }
            Progress::Waiting => {
                cold_path();
                let until = running.lane.wakes_at();
                let key = self.set_aside(running, Some(until), io);
                let is_answered = self.send_child_calls(key, io);
                self.obey(key, io);
                match self.send_items(key, io) || is_answered {
                    true => self.calls.wake(key),
                    false => self.note_waiting(key, now),
                }
            }
            Progress::Done(result) => {
                self.told.none_ended_for = Duration::ZERO;
                self.finish(running, now, result, io);
            }
        }
    }

    fn set_aside(
        &mut self,
        running: Running,
        waits: Option<Option<Instant>>,
        io: &mut Io<'_, Self>,
    ) -> CallKey {
        let (origin, is_new) = (running.ticket.origin, running.key.is_none());
        let key = self.calls.set_aside(running, waits);
        if is_new && let Origin::Session { session, id } = origin {
            // It was not there when the call came, and no other frame of its caller has been read since.
            let _ = io.calls.insert(session, id, key, io.now);
        }
        key
    }
}
