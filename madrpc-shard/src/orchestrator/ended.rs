//! What is told of a call that has ended, beside its reply: a line of the log where it was slow, and its spans.

use super::{Function, NOBODY, Orchestrator, Waiting};
use crate::net::service::Io;
use crate::net::traces::{Tried, Work};
use madrpc_core::call::ErrorKind;
use madrpc_core::stats::Counters;
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
        mut tried: Option<Box<Tried>>,
        io: &Io<'_, Self>,
    ) {
        if self.observing.slow.is_slow(ended.took) {
            self.tell_slow(waiting, ended, tried.as_deref(), io);
        }
        if let Some(tried) = &mut tried {
            tried.give_up(io.now);
            self.record(waiting, ended, tried);
        }
    }

    #[cold]
    fn record(&mut self, waiting: &Waiting, ended: &Ended, tried: &Tried) {
        let Some(recorder) = &mut self.observing.recorder else {
            return;
        };
        if !tried.context.is_recorded() {
            return;
        }
        let name = name(&self.counters, &waiting.function);
        let work = Work::PassedOn { tries: ended.tries };
        recorder.call(
            &tried.context,
            name,
            waiting.arrived,
            ended.error,
            work,
            Some(tried),
        );
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
        let function = name(&self.counters, &waiting.function);
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

fn name<'a>(counters: &'a Counters, function: &'a Function) -> &'a str {
    match function {
        Function::Known(number) => counters.name(*number).unwrap_or_default(),
        Function::Named(name) => name,
    }
}
