//! What is told of single calls: which trace one belongs to, its spans, and a line of the log where it was slow.
//!
//! Nearly no call belongs to a trace or is slow: one that does neither costs a look at the two. But for `--slow` each is of a trace,
//! so that all lines about it have one number: where none comes with a call, a server with that flag begins one. That costs it an
//! allocation for the call, an orchestrator one more for the longer fields and an entry in a map, and each server that the
//! call comes to, whatever its flags, 27 bytes and an allocation.
//!
//! Who begins a trace says whether it is recorded, and nobody decides that again. One that was begun for the log only says that nobody
//! has ([`Trace::undecided`]): it is as good as none where a share of the calls is recorded, and gives the trace its number.

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
pub(crate) use caller::CallSpan;
#[cfg(target_os = "linux")]
pub(crate) use caller::RecordedCalls;
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
        Self::first_of(fastrand::u128(1..))
    }

    /// The same of a trace that has its number already.
    fn first_of(trace: u128) -> Self {
        Self {
            trace,
            parent: 0,
            span: new_span(),
            flags: SAMPLED,
        }
    }

    /// That of a call without one, of which it was decided that it is not recorded: so nobody else decides it again.
    fn left() -> Self {
        Self {
            trace: fastrand::u128(1..),
            parent: new_span(),
            span: 0,
            flags: 0,
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
                .filter(|context| context.is_recorded() || self.slow.are_told())
                .map(|context| Box::new(Tried::new(context))),
            false => None,
        }
    }

    #[cold]
    fn context_of(&self, said: Option<Trace>) -> Option<Context> {
        if let Some(trace) = said
            && trace.is_decided()
        {
            return Some(self.continued(trace));
        }
        let takes = self.recorder.as_ref().is_some_and(Recorder::takes_next);
        match said {
            Some(trace) if takes => Some(Context::first_of(trace.trace)),
            Some(trace) => Some(Context::continued(trace, false)),
            None if takes => Some(Context::first()),
            None if self.slow.are_told() => {
                let begun = Trace::undecided(fastrand::u128(1..), new_span());
                Some(Context::continued(begun, false))
            }
            None => None,
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

#[cfg(all(test, feature = "engine"))]
mod tests {
    use super::*;
    use madrpc_core::call::CallFields;
    use std::time::Duration;

    /// A server with this `--otlp-sample`, where it has `--otlp`, and this `--slow`.
    fn server(share: Option<f64>, slow: Option<Duration>) -> Observing {
        let recorder = share.map(|share| Recorder::new(share).0);
        Observing::new(SlowCalls::new(slow), recorder)
    }

    fn saying(trace: Trace) -> Vec<u8> {
        let mut fields = Vec::new();
        let said = CallFields {
            trace: Some(trace),
            ..CallFields::default()
        };
        said.write(&mut fields);
        fields
    }

    const SLOW: Option<Duration> = Some(Duration::from_secs(1));

    #[test]
    fn a_trace_that_is_only_for_the_log_counts_as_none() {
        for share in [None, Some(0.0)] {
            let given = server(share, SLOW).tried(Fields::NONE).unwrap().context;
            assert!(!given.is_recorded() && !given.below().is_decided());
            let said = saying(given.below());
            // A node that records all takes it, as one without a caller; its number stays.
            let context = server(Some(1.0), None)
                .context(Fields(&said).trace())
                .unwrap();
            assert_eq!((context.trace, context.parent), (given.trace, 0));
            assert!(context.is_recorded() && context.below().is_sampled());
            // One that records none passes it on as it came.
            let context = server(Some(0.0), SLOW)
                .context(Fields(&said).trace())
                .unwrap();
            assert!(!context.is_recorded());
            assert_eq!(context.below(), given.below());
        }
    }

    #[test]
    fn what_its_caller_has_decided_is_not_decided_again() {
        let said = saying(Context::left().below());
        let records_all = server(Some(1.0), None);
        let context = records_all.context(Fields(&said).trace()).unwrap();
        assert!(!context.is_recorded() && context.below().is_decided());
        // Nothing is to be told of it, and so nothing kept.
        assert!(records_all.tried(Fields(&said)).is_none());
        assert!(server(None, SLOW).tried(Fields(&said)).is_some());
        assert!(records_all.tried(Fields::NONE).is_some());
        assert!(server(Some(0.0), None).tried(Fields::NONE).is_none());
    }
}
