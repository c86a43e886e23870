//! The end of a call: it is counted, and whoever waits for it is told.

use super::Node;
use super::ticket::{Origin, Queued, Registered, Running, Ticket};
use crate::endpoint::{Endpoint, SessionKey};
use madrpc_core::error::{CallError, ErrorKind};
use madrpc_core::frame::{Bill, Header};
use madrpc_core::session::Outbox;
use std::time::{Duration, Instant};

/// Where replies go: the outbox of the session at hand, or those of all sessions, of which some may be gone.
pub(super) trait ReplyTo {
    fn outbox(&mut self, session: SessionKey) -> Option<&mut Outbox>;
}

impl ReplyTo for Outbox {
    fn outbox(&mut self, _: SessionKey) -> Option<&mut Outbox> {
        Some(self)
    }
}

impl ReplyTo for Endpoint {
    fn outbox(&mut self, session: SessionKey) -> Option<&mut Outbox> {
        Endpoint::outbox(self, session)
    }
}

impl Node {
    /// Counts a call that is over, and tells whoever waits for it.
    pub(super) fn reply(
        &mut self,
        running: &Running,
        now: Instant,
        reply: &mut impl ReplyTo,
        result: Result<(), CallError>,
    ) {
        let Running {
            ticket,
            lane,
            started,
            cpu,
            slices,
            ..
        } = running;
        self.count(ticket, now, result.as_ref().err());
        match ticket.origin {
            Origin::Session { session, id } => {
                let Some(outbox) = reply.outbox(session) else {
                    return;
                };
                let heap = lane.heap_peak_bytes();
                let bill = self.bill(started.duration_since(ticket.arrived), *cpu, *slices, heap);
                match result {
                    Ok(()) => {
                        let header = Header::Reply { id, bill };
                        lane.with_output(|body| outbox.send(&header, body));
                    }
                    Err(error) => outbox.fail(id, bill, &error),
                }
            }
            Origin::Parent(parent) => {
                let answer = result.map(|()| lane.with_output(<[u8]>::to_vec));
                self.answer(parent, answer);
            }
        }
    }

    /// Ends a call that never ran.
    pub(super) fn fail(
        &mut self,
        ticket: &Ticket,
        now: Instant,
        reply: &mut impl ReplyTo,
        error: CallError,
    ) {
        self.count(ticket, now, Some(&error));
        match ticket.origin {
            Origin::Session { session, id } => {
                if let Some(outbox) = reply.outbox(session) {
                    let bill = self.bill(now.duration_since(ticket.arrived), Duration::ZERO, 0, 0);
                    outbox.fail(id, bill, &error);
                }
            }
            Origin::Parent(parent) => self.answer(parent, Err(error)),
        }
    }

    pub(super) fn count(&mut self, ticket: &Ticket, now: Instant, error: Option<&CallError>) {
        let latency = now.duration_since(ticket.arrived).as_micros() as u64;
        let kind = error.map(|error| error.kind);
        self.counters
            .record(ticket.function.counter, 0, latency, kind);
    }

    pub(super) fn bill(
        &self,
        queued: Duration,
        cpu: Duration,
        slices: u32,
        heap_peak_bytes: u64,
    ) -> Bill<&str> {
        Bill {
            queue_us: queued.as_micros() as u64,
            cpu_us: cpu.as_micros() as u64,
            slices,
            heap_peak_bytes,
            shard: self.shard,
            node: &self.name,
        }
    }

    /// Why no further call of the function can wait for a lane.
    pub(super) fn queue_full(&self, function: &Registered) -> Option<CallError> {
        let full = |of: &str, waiting: usize, limit: usize, flag: &str| {
            let error = format!(
                "{waiting} {of} wait on shard {} of {}; the limit is {limit} ({flag})",
                self.shard, self.name
            );
            Some(CallError::not_run(ErrorKind::Overloaded, error))
        };
        if self.queue.len() >= self.queue_max {
            return full("calls", self.queue.len(), self.queue_max, "--queue-limit");
        }
        let limit = function.queue_max?;
        let same = |queued: &&Queued| queued.ticket.function.place == function.place;
        match self.queue.iter().filter(same).count() {
            waiting if waiting < limit => None,
            waiting => full("of its calls", waiting, limit, "queue at register"),
        }
    }

    pub(super) fn no_such_function(&self, function: &str) -> CallError {
        let mut names: Vec<&str> = self.functions.keys().map(String::as_str).collect();
        names.sort_unstable();
        names.truncate(10);
        CallError::not_run(
            ErrorKind::NoSuchFunction,
            format!(
                "no function `{function}` is registered; there are: {}",
                names.join(", ")
            ),
        )
    }
}

pub(super) fn body_too_large(bytes: usize, limit: usize) -> CallError {
    let error = format!(
        "the arguments take {bytes} bytes; the limit is {limit} (--body-limit, or bodyKb at register)"
    );
    CallError::not_run(ErrorKind::PayloadTooLarge, error)
}
