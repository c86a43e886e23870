//! What is told of single calls: which trace one belongs to, its spans, and a line of the log where it was slow.
//!
//! Nearly no call belongs to a trace or is slow: one that does neither costs a look at the two.

#[cfg_attr(
    not(feature = "traces"),
    allow(dead_code, reason = "only traces take its spans")
)]
mod caller;
mod slow;
#[cfg_attr(
    not(all(feature = "engine", feature = "traces")),
    allow(dead_code, reason = "nodes make some, and traces look at all")
)]
mod span;
mod tried;

pub use caller::CallRecorder;
pub(crate) use caller::{CallSpan, RecordedCalls};
pub(crate) use slow::SlowCalls;
pub(crate) use span::{Recorder, Span, Work};
pub(crate) use tried::Tried;

use madrpc_core::call::{Fields, Trace};
use std::fmt;

/// The flag of a trace that is recorded.
const SAMPLED: u8 = 1;

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
    trace: u128,
    /// The caller's span; 0 where the trace begins here and is recorded.
    parent: u64,
    /// Ours; 0 where none is recorded.
    span: u64,
    flags: u8,
}

impl Context {
    /// That of a call without one, which is recorded: it begins a trace.
    fn first() -> Self {
        Self {
            trace: fastrand::u128(1..),
            parent: 0,
            span: new_span(),
            flags: SAMPLED,
        }
    }

    /// That of a call which is told this.
    fn continued(trace: Trace, is_recorded: bool) -> Self {
        Self {
            trace: trace.trace,
            parent: trace.parent,
            span: if is_recorded { new_span() } else { 0 },
            flags: trace.flags,
        }
    }

    pub(crate) fn id(&self) -> TraceId {
        TraceId(self.trace)
    }

    pub(crate) fn is_recorded(&self) -> bool {
        self.span != 0
    }

    /// What calls of this call are told. Where our span is not recorded the caller's stays their parent: else there would be a hole
    /// in the trace.
    pub(crate) fn below(&self) -> Trace {
        Trace {
            trace: self.trace,
            parent: match self.is_recorded() {
                true => self.span,
                false => self.parent,
            },
            flags: self.flags,
        }
    }
}

/// What a shard tells of its calls.
#[derive(Debug, Default)]
pub(crate) struct Observing {
    pub(crate) slow: SlowCalls,
    pub(crate) recorder: Option<Recorder>,
    /// Whether calls that are of no trace may get one: they may be recorded, or told as slow, and all lines about a call have one
    /// number.
    gives_traces: bool,
    /// Whether anything is told of calls that are passed on.
    is_on: bool,
}

impl Observing {
    pub(crate) fn new(slow: SlowCalls, recorder: Option<Recorder>) -> Self {
        Self {
            gives_traces: slow.are_told() || recorder.as_ref().is_some_and(Recorder::samples),
            is_on: slow.are_told() || recorder.is_some(),
            slow,
            recorder,
        }
    }

    /// Spans that nobody has taken in time.
    pub(crate) fn dropped(&self) -> u64 {
        self.recorder.as_ref().map_or(0, Recorder::dropped)
    }

    /// The trace of a call that says this.
    #[inline]
    #[cfg_attr(
        not(feature = "engine"),
        expect(dead_code, reason = "a node looks at each call")
    )]
    pub(crate) fn context(&self, trace: Option<Trace>) -> Option<Box<Context>> {
        match trace.is_none() && !self.gives_traces {
            true => None,
            false => self.context_of(trace).map(Box::new),
        }
    }

    /// The trace of a call that says this and is passed on, where anything is to be told of it.
    #[inline]
    pub(crate) fn tried(&self, fields: Fields<'_>) -> Option<Box<Tried>> {
        match self.is_on {
            true => self
                .context_of(fields.trace())
                .map(|context| Box::new(Tried::new(context))),
            false => None,
        }
    }

    #[cold]
    fn context_of(&self, trace: Option<Trace>) -> Option<Context> {
        match (trace, &self.recorder) {
            (Some(trace), _) => Some(self.continued(trace)),
            (None, Some(recorder)) if recorder.takes_next() => Some(Context::first()),
            (None, _) if self.slow.are_told() => Some(Context {
                trace: fastrand::u128(1..),
                parent: new_span(),
                span: 0,
                flags: 0,
            }),
            (None, _) => None,
        }
    }

    /// That of a call which is told this.
    pub(crate) fn continued(&self, trace: Trace) -> Context {
        Context::continued(trace, self.recorder.is_some() && trace.is_sampled())
    }
}

fn new_span() -> u64 {
    fastrand::u64(1..)
}
