//! What is counted and told of a call that has ended, beside its reply: a line of the log where it was slow, and its span.

use super::Node;
use super::call::{Origin, Ticket};
use super::shard_id::ShardId;
use super::waits::Waits;
use crate::net::log_limit::LogLimit;
use crate::net::service::Io;
use crate::net::traces::{Context, Observing, Work};
use madrpc_core::call::ErrorKind;
use madrpc_core::stats::{Counters, Snapshot};
use std::time::{Duration, Instant};
use tracing::warn;

/// What a call has come to.
pub(super) struct Ended {
    /// When, and how long after it arrived.
    pub(super) at: Instant,
    pub(super) took: Duration,
    /// Until it had a lane, or was over without one.
    pub(super) queued: Duration,
    pub(super) cpu: Duration,
    pub(super) slices: u32,
    pub(super) error: Option<ErrorKind>,
}

/// What is counted and told of calls.
pub(super) struct Telemetry {
    pub(super) counters: Counters,
    waits: Waits,
    /// Calls that have panicked.
    faults: LogLimit,
    pub(super) observing: Observing,
}

impl Telemetry {
    pub(super) fn new(counters: Counters) -> Self {
        Self {
            counters,
            waits: Waits::default(),
            faults: LogLimit::default(),
            observing: Observing::default(),
        }
    }

    /// A call has ended that had a lane.
    #[inline]
    pub(super) fn note_run(
        &mut self,
        ticket: &Ticket,
        ended: &Ended,
        id: &ShardId,
        io: &Io<'_, Node>,
    ) {
        self.waits.note(ended.queued.as_micros() as u64);
        self.note_ended(ticket, ended, id, io);
    }

    /// Counts a call that has ended, and tells of it, where there is anything to tell: of nearly none.
    #[inline]
    pub(super) fn note_ended(
        &mut self,
        ticket: &Ticket,
        ended: &Ended,
        id: &ShardId,
        io: &Io<'_, Node>,
    ) {
        let [latency, cpu] = [ended.took, ended.cpu].map(|time| time.as_micros() as u64);
        let function = ticket.function.counter;
        self.counters
            .record_run(function, 0, (latency, cpu), ended.error);
        if self.observing.slow.is_slow(ended.took) {
            self.tell_slow(ticket, ended, id, io);
        }
        if let Some(context) = &ticket.context {
            self.record(context, ticket, ended, id);
        }
    }

    #[cold]
    fn record(&mut self, context: &Context, ticket: &Ticket, ended: &Ended, id: &ShardId) {
        let Some(recorder) = &mut self.observing.recorder else {
            return;
        };
        if !context.is_recorded() {
            return;
        }
        let work = Work::Run {
            queue_us: ended.queued.as_micros() as u64,
            cpu_us: ended.cpu.as_micros() as u64,
            slices: ended.slices,
            shard: id.shard,
        };
        let name = &ticket.function.name;
        recorder.call(context, name, ticket.arrived, ended.error, work, None);
    }

    #[cold]
    fn tell_slow(&mut self, ticket: &Ticket, ended: &Ended, id: &ShardId, io: &Io<'_, Node>) {
        let Some(count) = self.observing.slow.tell(ended.at) else {
            return;
        };
        let caller = match ticket.origin {
            Origin::Session { session, .. } => io.callers.peer_name(session),
            Origin::Parent(_) => "a call on this shard".to_owned(),
        };
        let context = ticket.context.as_deref();
        warn!(
            function = &*ticket.function.name,
            caller,
            took_ms = ended.took.as_millis() as u64,
            queue_us = ended.queued.as_micros() as u64,
            cpu_us = ended.cpu.as_micros() as u64,
            slices = ended.slices,
            error = ended.error.map(ErrorKind::name),
            node = &*id.node,
            shard = id.shard,
            trace = context.map(|context| display(context.id())),
            "a slow call has ended ({count} since the last such line)"
        );
    }

    /// A call has panicked; gives how many there were since that was last told, where it is time to.
    pub(super) fn note_fault(&mut self, now: Instant) -> Option<u64> {
        self.faults.tell(now)
    }

    pub(super) fn describe(&self, snapshot: &mut Snapshot) {
        self.waits.tell(snapshot);
        snapshot.spans_dropped = self.observing.dropped();
    }
}
