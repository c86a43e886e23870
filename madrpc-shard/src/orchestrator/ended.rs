//! What is told of a call that has ended, beside its reply: a line of the log where it was slow.

use super::{Function, NOBODY, Orchestrator, Waiting};
use crate::net::service::Io;
use crate::net::traces::Tried;
use madrpc_core::call::ErrorKind;
use std::time::Duration;
use tracing::warn;

/// What a call has come to.
pub(super) struct Ended {
    /// How long after it arrived.
    pub(super) took: Duration,
    /// Which of the counters' nodes had it last, if any.
    pub(super) node: usize,
    /// How many tries there were.
    pub(super) tries: u8,
    pub(super) error: Option<ErrorKind>,
}

impl Orchestrator {
    /// Tells of a call that has ended, where there is anything to tell: of nearly none.
    #[inline]
    pub(super) fn observe(
        &mut self,
        waiting: &Waiting,
        ended: &Ended,
        tried: Option<&Tried>,
        io: &Io<'_, Self>,
    ) {
        if self.observing.slow.is_slow(ended.took) {
            self.tell_slow(waiting, ended, tried, io);
        }
    }

    #[cold]
    fn tell_slow(
        &mut self,
        waiting: &Waiting,
        ended: &Ended,
        tried: Option<&Tried>,
        io: &Io<'_, Self>,
    ) {
        let Some(count) = self.observing.slow.tell(io.now) else {
            return;
        };
        let function = match &waiting.function {
            Function::Known(number) => self.counters.name(*number).unwrap_or_default(),
            Function::Named(name) => name,
        };
        let node = self.counters.nodes().get(ended.node);
        warn!(
            function,
            caller = io.callers.peer_name(waiting.session),
            took_ms = ended.took.as_millis() as u64,
            tries = ended.tries,
            error = ended.error.map(ErrorKind::name),
            node = node.filter(|_| ended.node != NOBODY).map(|name| &**name),
            trace = tried.map(|tried| display(tried.context.id())),
            "a slow call has ended ({count} since the last such line)"
        );
    }
}
