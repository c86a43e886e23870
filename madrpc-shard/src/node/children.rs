//! Calls of calls: what a running call asks for, and how it waits.

use super::Node;
use super::ticket::{Origin, Parent, Queued, Running, Ticket};
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
        let timer = self.timers.insert(until, running.serial);
        self.waiting
            .insert(running.serial, Waiting { running, timer });
    }

    /// Puts a waiting call in the row of those that run.
    pub(super) fn wake(&mut self, serial: u64) {
        if let Some(Waiting { running, timer }) = self.waiting.remove(&serial) {
            self.timers.remove(timer);
            self.running.push_back(running);
        }
    }

    /// Sends the calls that a call has asked for; says whether it has an answer already.
    pub(super) fn run_errands(&mut self, running: &mut Running, now: Instant) -> bool {
        let mut is_answered = false;
        for errand in running.lane.take_errands() {
            running.children += 1;
            let parent = Parent {
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
                running.lane.answer(parent.token, Err(error));
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
        let Parent { serial, token } = parent;
        let waiting = self.waiting.get_mut(&serial);
        let waiting = waiting.map(|waiting| &mut waiting.running);
        let row = &mut self.running;
        let found = waiting.or_else(|| row.iter_mut().find(|running| running.serial == serial));
        if let Some(running) = found {
            running.children -= 1;
            running.lane.answer(token, answer);
            self.wake(serial);
        }
    }

    /// Gives up what a call that is over has asked for.
    pub(super) fn cancel_children(&mut self, serial: u64) {
        let is_theirs = |parent: &Parent| parent.serial == serial;
        if let Some(upstreams) = &mut self.upstreams {
            upstreams.cancel_abandoned(is_theirs);
        }
        self.give_up(|origin| matches!(origin, Origin::Parent(parent) if is_theirs(parent)));
    }
}
