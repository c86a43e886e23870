//! What is told of a call that has ended, beside its reply: a line of the log where it was slow, and its span.

use super::Node;
use super::call::{Origin, Ticket};
use crate::net::service::Io;
use crate::net::traces::{Context, Work};
use madrpc_core::call::ErrorKind;
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

impl Node {
    /// Tells of a call that has ended, where there is anything to tell: of nearly none.
    #[inline]
    pub(super) fn observe(&mut self, ticket: &Ticket, ended: &Ended, io: &Io<'_, Self>) {
        if self.observing.slow.is_slow(ended.took) {
            self.tell_slow(ticket, ended, io);
        }
        if let Some(context) = &ticket.context {
            self.record(context, ticket, ended);
        }
    }

    #[cold]
    fn record(&mut self, context: &Context, ticket: &Ticket, ended: &Ended) {
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
            shard: self.shard,
        };
        let name = &ticket.function.name;
        recorder.call(context, name, ticket.arrived, ended.error, work, None);
    }

    #[cold]
    fn tell_slow(&mut self, ticket: &Ticket, ended: &Ended, io: &Io<'_, Self>) {
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
            node = &*self.name,
            shard = self.shard,
            trace = context.map(|context| display(context.id())),
            "a slow call has ended ({count} since the last such line)"
        );
    }
}
