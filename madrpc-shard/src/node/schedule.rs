//! Who gets the core, turn by turn; the rules are in the module above.

use super::reply::ReplyTo;
use super::ticket::{Queued, Running, Ticket};
use super::{Node, TURN};
use crate::endpoint::Endpoint;
use crate::engine::{Lane, Progress};
use madrpc_core::error::{CallError, ErrorKind};
use std::time::{Duration, Instant};

/// How long no new call has come when the running ones go on.
const QUIET: Duration = Duration::from_micros(100);

/// Slices after which a call is behind those that have used fewer.
const FEW_SLICES: u32 = 8;

/// Every so many slices the longest waiting call goes on, whoever else is there.
const TURN_OF_THE_OLDEST: u64 = 4;

/// How often the queue is searched for calls whose deadline has passed.
const SEARCH_INTERVAL: Duration = Duration::from_millis(5);

impl Node {
    /// Takes in answers, wakes what is due, gives a running call a slice where it is its turn, and starts waiting ones
    /// while the turn lasts; gives the datagrams received.
    pub(crate) fn turn(&mut self, now: Instant, callers: &mut Endpoint) -> usize {
        let received = self.take_answers(now);
        while let Some(lane) = self.timers.expire(now) {
            self.wake(lane);
        }
        if now >= self.next_search {
            self.next_search = now + SEARCH_INTERVAL;
            self.expire_queue(now, callers);
        }
        self.end_overdue(callers);
        self.start_queued(callers);
        let now = Instant::now();
        let is_quiet = now >= self.last_call + QUIET;
        if now >= self.next_slice || is_quiet {
            self.give_slice(callers);
        }
        if is_quiet
            && !self.cannot_load
            && let Some(lane) = self.renew()
        {
            self.free.push(lane);
        }
        received
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

    /// Starts calls of the queue where there is room for them. This has a time of its own: a slice may be longer than
    /// a turn, and would keep them out for as long as anything runs.
    fn start_queued(&mut self, callers: &mut Endpoint) {
        let end = Instant::now() + TURN;
        while !self.queue.is_empty() {
            let begun = Instant::now();
            if begun >= end {
                break;
            }
            let Some(lane) = self.claim_lane() else {
                self.break_deadlock(begun, callers);
                break;
            };
            let Some(Queued { ticket, body }) = self.queue.pop_front() else {
                self.free.push(lane);
                break;
            };
            self.start(ticket, begun, lane, &body, callers);
        }
    }

    /// Lets one of the running calls go on.
    fn give_slice(&mut self, callers: &mut Endpoint) {
        self.slices_given += 1;
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
        self.next_slice = now + now.duration_since(begun);
    }

    /// Runs a call in this lane for its first slice.
    pub(super) fn start(
        &mut self,
        ticket: Ticket,
        now: Instant,
        lane: usize,
        body: &[u8],
        reply: &mut impl ReplyTo,
    ) {
        if ticket.function.isolate && !self.lanes[lane].is_fresh() {
            match Lane::load(&self.script, &self.name, &self.lane_config) {
                Ok((fresh, _)) => self.lanes[lane] = fresh,
                Err(error) => {
                    self.free.push(lane);
                    let error = CallError::not_run(
                        ErrorKind::Internal,
                        format!("no fresh context: {error}"),
                    );
                    return self.fail(&ticket, now, reply, error);
                }
            }
        }
        self.lanes[lane].assign(ticket.function.place, body, ticket.deadline);
        self.last_serial += 1;
        self.lanes[lane].set_call_number(self.last_serial);
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
        let progress = self.lanes[running.lane].resume(begun, self.slice);
        let now = Instant::now();
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
                    self.cancel_children(running.lane, running.serial);
                }
                self.set_free(running.lane);
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
