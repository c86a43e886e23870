//! Who gets the core, turn by turn; the rules are in the module above.

use super::lanes::Making;
use super::reply::ReplyTo;
use super::ticket::{Queued, Registered, Running, Ticket};
use super::{LANES_MAX, Node, TURN};
use crate::endpoint::Endpoint;
use crate::engine::{Lane, Progress};
use madrpc_core::error::{CallError, ErrorKind};
use std::time::{Duration, Instant};
use tracing::error;

/// How long the running calls stay back for further new ones, for each that has come since their last slice, and at the
/// most. Callers that are many come back soon, but were asleep during the slice; for one alone it is not worth waiting.
const STAY_BACK_PER_CALL: Duration = Duration::from_micros(25);
const STAY_BACK_MAX: Duration = Duration::from_micros(250);

/// For how many slices' time new calls that come without a pause have the core before a running one has it again.
const SHARE_OF_NEW_CALLS: u32 = 2;

/// Slices after which a call is behind those that have used fewer.
const FEW_SLICES: u32 = 8;

/// Every so many slices the longest waiting call goes on, whoever else is there.
const TURN_OF_THE_OLDEST: u64 = 4;

/// How often the queue is searched for calls whose deadline has passed.
const SEARCH_INTERVAL: Duration = Duration::from_millis(5);

impl Node {
    /// Takes in answers, wakes what is due, ends what is overdue, and starts waiting calls while the turn lasts; gives
    /// the datagrams received.
    pub(crate) fn turn(&mut self, now: Instant, callers: &mut Endpoint) -> usize {
        let received = self.take_answers(now);
        while let Some(serial) = self.timers.expire(now) {
            self.wake(serial);
        }
        if now >= self.next_search {
            self.next_search = now + SEARCH_INTERVAL;
            self.expire_queue(now, callers);
        }
        self.end_overdue(callers);
        self.start_queued(callers);
        self.lanes.give_back(now);
        received
    }

    /// Gives a running call a slice where it is its turn, and makes lanes where there is time for it.
    pub(crate) fn work(&mut self, callers: &mut Endpoint) {
        let now = Instant::now();
        let stay_back = (STAY_BACK_PER_CALL * self.new_calls).min(STAY_BACK_MAX);
        let is_quiet = now >= self.last_call + stay_back;
        if now >= self.next_slice || is_quiet {
            self.give_slice(callers);
        }
        self.make_lanes(is_quiet);
    }

    /// Resumes the running calls whose deadline has passed or that were given up, so that they end.
    fn end_overdue(&mut self, callers: &mut Endpoint) {
        let begun = Instant::now();
        let mut now = begun;
        let has_to_end =
            |running: &Running, now| running.is_given_up || running.ticket.deadline <= now;
        while now < begun + TURN
            && let Some(at) = self
                .running
                .iter()
                .position(|running| has_to_end(running, now))
            && let Some(running) = self.running.remove(at)
        {
            self.go_on(running, now, callers);
            now = Instant::now();
        }
    }

    /// A lane for a call of this function, if it may run now and there is one.
    pub(super) fn claim_lane(&mut self, function: &Registered) -> Option<Box<Lane>> {
        if self.running.len() >= self.pool {
            return None;
        }
        self.lanes.take(function.isolate)
    }

    /// Starts calls of the queue where there is room for them. This has a time of its own: a slice may be longer than
    /// a turn, and would keep them out for as long as anything runs.
    fn start_queued(&mut self, callers: &mut Endpoint) {
        let end = Instant::now() + TURN;
        while let Some(first) = self.queue.front() {
            let begun = Instant::now();
            if begun >= end || self.running.len() >= self.pool {
                break;
            }
            let function = first.ticket.function;
            if let Some(lane) = self.claim_lane(&function) {
                if let Some(Queued { ticket, body }) = self.queue.pop_front() {
                    self.start(ticket, begun, lane, &body, callers);
                }
            } else if let Some(error) = self.make_lane(begun) {
                // Whoever runs will make room; nobody else would.
                if !self.running.is_empty() {
                    break;
                }
                if let Some(Queued { ticket, .. }) = self.queue.pop_front() {
                    self.fail(&ticket, begun, callers, error);
                }
            }
        }
    }

    /// Goes on making the lane that the first call in the queue waits for; gives its error where there can be none.
    fn make_lane(&mut self, now: Instant) -> Option<CallError> {
        self.beacon.begin_loading();
        self.lanes.drop_retired();
        let making = self.lanes.make(now, self.slice.min(TURN));
        self.beacon.end();
        match making {
            Making::Ready | Making::Going => None,
            // Where all lanes are of calls that wait for each other, one has to go, so that the others get on.
            Making::Full => Some(CallError::not_run(
                ErrorKind::Overloaded,
                format!(
                    "{LANES_MAX} calls of shard {} of {} wait for others",
                    self.shard, self.name
                ),
            )),
            Making::Failed(error) => Some(CallError::not_run(
                ErrorKind::Internal,
                format!("there is no lane for the call: {error}"),
            )),
        }
    }

    /// Makes the lanes that are missing, and loads the script that is to come, for one slice; where calls come without
    /// a pause, in a tenth of the time.
    fn make_lanes(&mut self, is_quiet: bool) {
        let begun = Instant::now();
        let is_preparing = self.is_preparing();
        if !(is_preparing || self.lanes.wants()) || !is_quiet && begun < self.next_making {
            return;
        }
        self.beacon.begin_loading();
        let slice = self.slice.min(TURN);
        if self.lanes.drop_retired() {
            // What it held is there for the next one.
        } else if is_preparing {
            self.go_on_preparing(begun, slice);
        } else if let Making::Failed(error) = self.lanes.make(begun, slice) {
            error!("a lane cannot be made, and is missing until a call needs it: {error}");
        }
        self.beacon.end();
        let now = Instant::now();
        self.next_making = now + now.duration_since(begun) * 9;
    }

    /// Lets one of the running calls go on.
    fn give_slice(&mut self, callers: &mut Endpoint) {
        self.slices_given += 1;
        self.new_calls = 0;
        let few = |running: &Running| running.slices < FEW_SLICES;
        let at = match self.slices_given % TURN_OF_THE_OLDEST {
            0 => 0,
            _ => self.running.iter().position(few).unwrap_or(0),
        };
        let Some(running) = self.running.remove(at) else {
            return;
        };
        let begun = Instant::now();
        self.go_on(running, begun, callers);
        let now = Instant::now();
        self.next_slice = now + now.duration_since(begun) * SHARE_OF_NEW_CALLS;
    }

    /// Runs a call in this lane for its first slice.
    pub(super) fn start(
        &mut self,
        ticket: Ticket,
        now: Instant,
        mut lane: Box<Lane>,
        body: &[u8],
        reply: &mut impl ReplyTo,
    ) {
        lane.assign(ticket.function.place, body, ticket.deadline);
        self.last_serial += 1;
        lane.set_call_number(self.last_serial);
        let running = Running {
            ticket,
            lane,
            serial: self.last_serial,
            started: now,
            cpu: Duration::ZERO,
            slices: 0,
            children: 0,
            is_given_up: false,
        };
        self.go_on(running, now, reply);
    }

    /// Gives a call one slice, and its reply where it is over.
    fn go_on(&mut self, mut running: Running, begun: Instant, reply: &mut impl ReplyTo) {
        self.beacon.begin(running.ticket.function.counter);
        let progress = running.lane.resume(begun, self.slice);
        self.beacon.end();
        let now = Instant::now();
        self.last_end = now;
        running.cpu += now.duration_since(begun);
        running.slices += 1;
        match progress {
            Progress::Running => self.running.push_back(running),
            Progress::Waiting(until) => {
                if self.run_errands(&mut running, now) {
                    self.running.push_back(running);
                } else {
                    self.park(running, until);
                }
            }
            Progress::Done(result) => {
                let result = result.map_err(|error| running.explain(error));
                self.reply(&running, now, reply, result);
                if running.children > 0 {
                    self.cancel_children(running.serial);
                }
                self.lanes.put_back(running.lane);
            }
        }
    }

    fn expire_queue(&mut self, now: Instant, callers: &mut Endpoint) {
        let is_late = |queued: &Queued| queued.ticket.deadline <= now;
        while let Some(at) = self.queue.iter().position(is_late) {
            let Some(Queued { ticket, .. }) = self.queue.remove(at) else {
                break;
            };
            let waited = now.duration_since(ticket.arrived).as_millis();
            let error = format!("the call waited {waited} ms for a lane, until its deadline");
            let error = CallError::not_run(ErrorKind::DeadlineExceeded, error);
            self.fail(&ticket, now, callers, error);
        }
    }
}
