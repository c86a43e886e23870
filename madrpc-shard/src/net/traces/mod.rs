//! What is told of single calls: which trace one belongs to, and a line of the log where one was slow.
//!
//! Nearly no call belongs to a trace or is slow: one that does neither costs a look at the two.

mod slow;
mod tried;

pub(crate) use slow::SlowCalls;
pub(crate) use tried::Tried;

use madrpc_core::call::{Fields, Trace};
use std::fmt;

/// A trace's number as the log has it: the `trace-id` of a `traceparent`.
#[derive(Clone, Copy)]
pub(crate) struct TraceId(pub(crate) u128);

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// The trace that a call belongs to, as it is kept with the call.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Context {
    trace: Trace,
}

impl Context {
    pub(crate) fn id(&self) -> TraceId {
        TraceId(self.trace.trace)
    }

    /// What calls of this call are told. The caller's span stays their parent: one that nobody records would be a hole in the
    /// trace.
    #[cfg_attr(
        not(feature = "engine"),
        expect(dead_code, reason = "only a node has such calls")
    )]
    pub(crate) fn below(&self) -> Trace {
        self.trace
    }
}

/// What a shard tells of its calls.
#[derive(Debug, Default)]
pub(crate) struct Observing {
    pub(crate) slow: SlowCalls,
}

impl Observing {
    /// The trace of a call that says this.
    #[inline]
    #[cfg_attr(
        not(feature = "engine"),
        expect(dead_code, reason = "a node looks at each call")
    )]
    pub(crate) fn context(&self, fields: Fields<'_>) -> Option<Box<Context>> {
        match fields.is_empty() {
            true => None,
            false => fields.trace().map(|trace| Box::new(self.continued(trace))),
        }
    }

    /// That of a call which is told this.
    #[cold]
    pub(crate) fn continued(&self, trace: Trace) -> Context {
        Context { trace }
    }

    /// The trace of a call that says this and is passed on, where anything is to be told of it.
    #[inline]
    pub(crate) fn tried(&self, fields: Fields<'_>) -> Option<Box<Tried>> {
        match fields.is_empty() || !self.slow.are_told() {
            true => None,
            false => fields
                .trace()
                .map(|trace| Box::new(Tried::new(self.continued(trace)))),
        }
    }
}
