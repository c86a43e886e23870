//! The end of a call: it is counted, and its caller or its parent is told.

use super::Node;
use super::call::{Origin, Queued, Running, Ticket};
use super::calls::queue_of;
use super::ended::Ended;
use super::limited::LimitKey;
use super::rows::Row;
use crate::engine::Outcome;
use crate::net::endpoint::SessionKey;
use crate::net::incoming::not_taken;
use crate::net::service::Io;
use madrpc_core::call::frame::Header;
use madrpc_core::call::{Bill, CallError, ErrorKind, Fields};
use madrpc_core::limits::INLINE_BODY_MAX_BYTES;
use std::hint::cold_path;
use std::time::{Duration, Instant};

impl Node {
    /// Ends a call: counts it, tells its caller or its parent, gives its lane back, and gives up what it has asked for.
    pub(super) fn finish(
        &mut self,
        mut running: Running,
        now: Instant,
        result: Outcome,
        io: &mut Io<'_, Self>,
    ) {
        let result = result.map_err(|error| {
            cold_path();
            running.explain(error)
        });
        if result.is_err()
            && let Some(fault) = running.lane.take_fault()
            && let Some(count) = self.telemetry.note_fault(now)
        {
            cold_path();
            let context = running.ticket.context.as_deref();
            tracing::error!(
                trace = context.map(|context| display(context.id())),
                "a call of {:?} panicked at {fault}; it and its lane are given up, and nothing else ({count} such calls)",
                running.ticket.function.name
            );
        }
        if let Some(asked) = running.asked.take() {
            cold_path();
            self.orphans.adopt(asked.children);
        }
        let key = running.key;
        if let Some(key) = key {
            self.calls.remove(key);
            // Of one that was stopped something may be left, which no idle lane is to keep.
            running.lane.stream().prepare(0);
        }
        let caller = running.ticket.caller;
        self.calls.rows.note_memory(caller, running.memory, 0);
        let Running {
            ticket,
            lane,
            started,
            cpu,
            slices,
            ..
        } = &running;
        let kind = result.as_ref().err().map(|error| error.kind);
        let mut cost = ticket.function.cost.get();
        match kind {
            None | Some(ErrorKind::JavaScript) => cost.note(*cpu),
            Some(ErrorKind::DeadlineExceeded) => cost.note_at_least(*cpu),
            Some(_) => {}
        }
        ticket.function.cost.set(cost);
        let queued = started.saturating_duration_since(ticket.arrived);
        // To subtract a time from another takes longer than to ask for it.
        let ran = match slices {
            1 => *cpu,
            _ => now.saturating_duration_since(*started),
        };
        let took = queued + ran;
        let ended = Ended {
            at: now,
            took,
            queued,
            cpu: *cpu,
            slices: *slices,
            error: kind,
        };
        self.telemetry.note_run(ticket, &ended, &self.id, io);
        let bytes = lane.output_bytes();
        if result.is_ok() {
            let mut size = ticket.function.result_size.get();
            size.note(bytes);
            ticket.function.result_size.set(size);
        }
        match ticket.origin {
            Origin::Session { session, id } => {
                if key.is_some() {
                    io.calls.remove(session, id);
                }
                let result = match io.callers.has_room(session, bytes) {
                    true => result,
                    false => Err(not_taken().into()),
                };
                let bill = self.id.bill(queued, *cpu, *slices, lane.heap_peak_bytes());
                let load = self.told.number;
                match result {
                    Ok(()) => {
                        if let Some((outbox, is_to_hear)) =
                            io.callers.outbox_for_answer(session, load)
                        {
                            let header = Header::Reply { id, bill };
                            let mut said = Vec::new();
                            if is_to_hear {
                                self.say_load(&mut said);
                            }
                            let fields = Fields(&said);
                            match bytes > INLINE_BODY_MAX_BYTES {
                                true => {
                                    cold_path();
                                    outbox.send_owned(&header, fields, lane.take_output());
                                }
                                false => {
                                    lane.with_output(|body| {
                                        outbox.send_with(&header, fields, body);
                                    });
                                }
                            }
                        }
                    }
                    Err(error) => self.tell_failure(session, id, bill, &error, io),
                }
            }
            Origin::Parent(parent) => {
                cold_path();
                // It is what takes the answer that holds it from here on.
                if let Some(member) = &ticket.member {
                    member.hold(0);
                }
                let answer = result.map(|()| lane.take_output().into());
                let answer = answer.map_err(|error| *error);
                self.answer(parent, answer);
            }
        }
        self.lanes.put_back(running.lane, caller);
    }

    /// Ends a call that never ran, and is in no row.
    #[cold]
    pub(super) fn fail(
        &mut self,
        ticket: &Ticket,
        now: Instant,
        error: CallError,
        io: &mut Io<'_, Self>,
    ) {
        let took = now.saturating_duration_since(ticket.arrived);
        let ended = Ended {
            at: now,
            took,
            queued: took,
            cpu: Duration::ZERO,
            slices: 0,
            error: Some(error.kind),
        };
        self.telemetry.note_ended(ticket, &ended, &self.id, io);
        match ticket.origin {
            Origin::Session { session, id } => {
                io.calls.remove(session, id);
                let bill = self.id.bill(took, Duration::ZERO, 0, 0);
                self.tell_failure(session, id, bill, &error, io);
            }
            Origin::Parent(parent) => self.answer(parent, Err(error)),
        }
    }

    /// Tells a caller why its call has no result.
    #[cold]
    pub(super) fn tell_failure(
        &self,
        session: SessionKey,
        id: u64,
        bill: Bill<&str>,
        error: &CallError,
        io: &mut Io<'_, Self>,
    ) {
        let load = self.told.number;
        if let Some((outbox, is_to_hear)) = io.callers.outbox_for_answer(session, load) {
            outbox.fail_with(id, bill, error, is_to_hear.then(|| self.load()));
        }
    }

    /// Why this call cannot wait for a lane. Where the queue is full, one goes for it of a caller who does not read
    /// its replies, or who has most in it.
    pub(super) fn queue_full(
        &mut self,
        ticket: &Ticket,
        io: &mut Io<'_, Self>,
    ) -> Option<CallError> {
        let function = &ticket.function;
        let waiting = function.queued.get();
        if let Some(limit) = function.queue_max
            && waiting >= limit
        {
            let error = self.full("of its calls", waiting, limit, "queue at register");
            return Some(error.with_retry_after(self.retry_after(ticket)));
        }
        if let Some(limit) = ticket.lacks_slot_of() {
            return self.line_full(limit, ticket, io);
        }
        let rows = &self.calls.rows;
        let waiting = rows.length(queue_of(ticket)) + rows.length(Row::Held);
        if waiting < self.calls.queue_max {
            return None;
        }
        let error = self.full("calls", waiting, self.calls.queue_max, "--queue-limit");
        let error = error.with_retry_after(self.retry_after(ticket));
        match self.calls.make_room(ticket) {
            Some(Queued { ticket, .. }) => {
                self.fail(&ticket, io.now, error, io);
                None
            }
            None => Some(error),
        }
    }

    /// The same of one that waits for a slot of its function: it is in the way of no other function's.
    fn line_full(
        &mut self,
        limit: LimitKey,
        ticket: &Ticket,
        io: &mut Io<'_, Self>,
    ) -> Option<CallError> {
        let waiting = self.calls.limits.waiting(limit);
        if waiting < self.calls.queue_max {
            return None;
        }
        let of = "calls of a function that may have few at once";
        let error = self.full(of, waiting, self.calls.queue_max, "--queue-limit");
        match self.calls.make_room_in_line(limit, ticket) {
            Some(Queued { ticket, .. }) => {
                self.fail(&ticket, io.now, error, io);
                None
            }
            None => Some(error),
        }
    }

    /// When it is worth while for the caller to come back.
    fn retry_after(&self, ticket: &Ticket) -> Duration {
        let load = self.calls.rows.load(ticket.caller);
        self.backlog.retry_after(ticket, load)
    }

    fn full(&self, of: &str, waiting: usize, limit: usize, flag: &str) -> CallError {
        let error = format!(
            "{waiting} {of} wait on {}; the limit is {limit} ({flag})",
            self.id
        );
        CallError::not_run(ErrorKind::Overloaded, error)
    }
}

pub(super) fn body_too_large(bytes: usize, limit: usize) -> CallError {
    let error = format!(
        "the arguments take {bytes} bytes; the limit is {limit} (--body-limit, or bodyKb at register)"
    );
    CallError::not_run(ErrorKind::PayloadTooLarge, error)
}
