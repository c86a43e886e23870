//! Calls of calls: what a running call asks for, and how it waits.

use super::ticket::{Origin, Parent, Queued, Running, Ticket};
use super::{LANES_MAX, Node};
use crate::endpoint::Endpoint;
use crate::engine::Answer;
use crate::upstream::{Outcome, Request};
use madrpc_core::error::{CallError, ErrorKind};
use madrpc_core::limits::DEPTH_MAX;
use madrpc_core::wheel::TimerKey;
use std::time::Instant;

/// A call that waits, and when it goes on at the latest.
pub(super) struct Waiting {
    pub(super) running: Running,
    timer: TimerKey,
}

impl Node {
    /// Puts a call aside until it is woken.
    pub(super) fn park(&mut self, running: Running, until: Option<Instant>) {
        let deadline = running.ticket.deadline;
        let until = until.map_or(deadline, |until| until.min(deadline));
        let timer = self.timers.insert(until, running.lane);
        self.waiting
            .insert(running.lane, Waiting { running, timer });
    }

    /// Puts a waiting call in the row of those that run.
    pub(super) fn wake(&mut self, lane: usize) {
        if let Some(Waiting { running, timer }) = self.waiting.remove(&lane) {
            self.timers.remove(timer);
            self.running.push_back(running);
        }
    }

    /// Sends the calls that a call has asked for; says whether it has an answer already.
    pub(super) fn run_errands(&mut self, running: &mut Running, now: Instant) -> bool {
        let mut is_answered = false;
        for errand in self.lanes[running.lane].take_errands() {
            running.children += 1;
            let parent = Parent {
                lane: running.lane,
                serial: running.serial,
                token: errand.token,
            };
            let limit = running.ticket.deadline;
            let request = Request {
                function: &errand.function,
                body: &errand.body,
                deadline: errand
                    .timeout
                    .map_or(limit, |timeout| limit.min(now + timeout)),
                depth: running.ticket.depth.saturating_add(1),
            };
            if let Err(error) = self.send_child(&request, parent, now) {
                running.children -= 1;
                self.lanes[running.lane].answer(parent.token, Err(error));
                is_answered = true;
            }
        }
        is_answered
    }

    /// Sends the call of a call through the orchestrator, or puts it in the queue.
    fn send_child(
        &mut self,
        request: &Request<'_>,
        parent: Parent,
        now: Instant,
    ) -> Result<(), CallError> {
        if request.depth > DEPTH_MAX {
            let error = format!("calls of calls are {DEPTH_MAX} deep already");
            return Err(CallError::not_run(ErrorKind::Overloaded, error));
        }
        if let Some(upstreams) = &mut self.upstreams {
            let sent = upstreams.call(now, request, parent);
            return sent.map(drop).map_err(|(_, error)| error);
        }
        let Some(&function) = self.functions.get(request.function) else {
            return Err(self.no_such_function(request.function));
        };
        self.queue.push_back(Queued {
            ticket: Ticket {
                origin: Origin::Parent(parent),
                function,
                arrived: now,
                deadline: function.deadline(now, request.deadline),
                depth: request.depth,
            },
            body: request.body.to_vec(),
        });
        Ok(())
    }

    /// Takes in what the orchestrator answers.
    pub(super) fn take_answers(&mut self, now: Instant) -> usize {
        let Some(upstreams) = &mut self.upstreams else {
            return 0;
        };
        let mut answers = Vec::new();
        let received = upstreams.turn(now, |parent, _, outcome| {
            let answer = match outcome {
                Outcome::Reply { body, .. } => Ok(body.to_vec()),
                Outcome::Failure { body, .. } => Err(CallError::from_body(body)),
                Outcome::Lost(error) => Err(error),
            };
            answers.push((parent, answer));
        });
        for (parent, answer) in answers {
            self.answer(parent, answer);
        }
        received
    }

    /// Brings an answer to the call that waits for it, unless that is over.
    pub(super) fn answer(&mut self, parent: Parent, answer: Answer) {
        let Parent {
            lane,
            serial,
            token,
        } = parent;
        let waiting = self
            .waiting
            .get_mut(&lane)
            .map(|waiting| &mut waiting.running);
        let found = waiting.filter(|running| running.serial == serial);
        let row = &mut self.running;
        let found = found.or_else(|| row.iter_mut().find(|running| running.serial == serial));
        if let Some(running) = found {
            running.children -= 1;
            self.lanes[lane].answer(token, answer);
            self.wake(lane);
        }
    }

    /// Gives up what a call that is over has asked for.
    pub(super) fn cancel_children(&mut self, lane: usize, serial: u64) {
        let is_theirs = |parent: &Parent| parent.lane == lane && parent.serial == serial;
        if let Some(upstreams) = &mut self.upstreams {
            upstreams.cancel_abandoned(is_theirs);
        }
        self.give_up(|origin| matches!(origin, Origin::Parent(parent) if is_theirs(parent)));
    }

    /// Where all lanes are of calls that wait for each other, refuses one, so that the others get on.
    pub(super) fn break_deadlock(&mut self, now: Instant, callers: &mut Endpoint) {
        if self.running.is_empty()
            && let Some(Queued { ticket, .. }) = self.queue.pop_front()
        {
            let error = format!(
                "{LANES_MAX} calls of shard {} of {} wait for others",
                self.shard, self.name
            );
            self.fail(
                &ticket,
                now,
                callers,
                CallError::not_run(ErrorKind::Overloaded, error),
            );
        }
    }
}
