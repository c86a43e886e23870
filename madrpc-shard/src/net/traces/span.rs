//! Spans: what is recorded of a call, and the way out of its shard.
//!
//! A shard puts each in a ring and never waits, and so do clients: where nobody takes them out, because their receiver is away or slow, further
//! ones are dropped, and counted.

use super::{Context, Tried};
use madrpc_core::call::ErrorKind;
use rtrb::{Consumer, Producer, RingBuffer};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Spans of one shard, or of the clients of a process, that nobody has taken yet: at most 2 MiB of them, with the longest names.
pub(super) const RING: usize = 4096;

/// What is recorded of a call, or of a try of one.
#[derive(Debug)]
pub(crate) struct Span {
    pub(crate) trace: u128,
    pub(crate) span: u64,
    /// 0 where there is none.
    pub(crate) parent: u64,
    pub(crate) function: Box<str>,
    /// Since the Unix epoch, in nanoseconds.
    pub(crate) begun: u64,
    pub(crate) ended: u64,
    pub(crate) error: Option<ErrorKind>,
    pub(crate) work: Work,
}

/// What was done in it.
#[derive(Debug)]
pub(crate) enum Work {
    /// A client called, at this address or one of these.
    Called { address: Arc<str> },
    /// It ran, or was refused.
    Run {
        queue_us: u64,
        cpu_us: u64,
        slices: u32,
        shard: u16,
    },
    /// It was passed on, so often.
    PassedOn { tries: u8 },
    /// It was put on this node, the first time being 0.
    Try { node: Box<str>, number: usize },
}

/// Which calls are recorded, and where their spans go.
#[derive(Debug)]
pub(crate) struct Recorder {
    ring: Producer<Span>,
    share: Share,
    dropped: u64,
}

/// Of 2⁶⁴ calls without a context so many are recorded, and one more; `None`: none is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Share(Option<u64>);

impl Share {
    /// From 0 to 1: a number too large becomes the largest, and one that is none becomes 0.
    pub(super) fn new(share: f64) -> Self {
        Self((share > 0.0).then_some((share * u64::MAX as f64) as u64))
    }

    /// Whether none of them is.
    pub(super) fn is_none(self) -> bool {
        self.0.is_none()
    }

    /// Whether the next of them is.
    pub(super) fn takes_next(self) -> bool {
        self.0.is_some_and(|share| fastrand::u64(..) <= share)
    }
}

/// When something was, as a span says it.
#[derive(Clone, Copy)]
pub(super) struct Clock {
    now: Instant,
    since_epoch: Duration,
}

impl Clock {
    pub(super) fn read() -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH);
        Self {
            now: Instant::now(),
            since_epoch: since_epoch.unwrap_or_default(),
        }
    }

    fn nanoseconds(self, at: Instant) -> u64 {
        let ago = self.now.saturating_duration_since(at);
        self.since_epoch.saturating_sub(ago).as_nanos() as u64
    }
}

impl Recorder {
    /// One that records this share of the calls without a context, from 0 to 1, and where its spans come out.
    pub(crate) fn new(share: f64) -> (Self, Consumer<Span>) {
        let (ring, spans) = RingBuffer::new(RING);
        let recorder = Self {
            ring,
            share: Share::new(share),
            dropped: 0,
        };
        (recorder, spans)
    }

    /// Whether calls without a context may be recorded.
    pub(super) fn samples(&self) -> bool {
        !self.share.is_none()
    }

    /// Whether the next of them is.
    pub(super) fn takes_next(&self) -> bool {
        self.share.takes_next()
    }

    pub(super) fn dropped(&self) -> u64 {
        self.dropped
    }

    fn record(&mut self, span: Span) {
        if self.ring.push(span).is_err() {
            self.dropped += 1;
        }
    }

    /// Records a call that has come here and ended now, with its tries where it was passed on.
    pub(crate) fn call(
        &mut self,
        context: &Context,
        function: &str,
        arrived: Instant,
        error: Option<ErrorKind>,
        work: Work,
        tried: Option<&Tried>,
    ) {
        let clock = Clock::read();
        let trace = context.trace;
        for (number, one) in tried.iter().flat_map(|tried| &tried.tries).enumerate() {
            let (ended, error) = one.ended.unwrap_or((clock.now, error));
            self.record(Span {
                trace,
                span: one.span,
                parent: context.span,
                function: function.into(),
                begun: clock.nanoseconds(one.begun),
                ended: clock.nanoseconds(ended),
                error,
                work: Work::Try {
                    node: one.node.clone(),
                    number,
                },
            });
        }
        self.record(Span::ended(context, function, arrived, error, work, clock));
    }
}

impl Span {
    /// That of a call which has ended now.
    pub(super) fn ended(
        context: &Context,
        function: &str,
        begun: Instant,
        error: Option<ErrorKind>,
        work: Work,
        clock: Clock,
    ) -> Self {
        Self {
            trace: context.trace,
            span: context.span,
            parent: context.parent,
            function: function.into(),
            begun: clock.nanoseconds(begun),
            ended: clock.nanoseconds(clock.now),
            error,
            work,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_takes_is_dropped_and_counted() {
        let (mut recorder, mut spans) = Recorder::new(0.0);
        let context = Context {
            trace: 1,
            parent: 0,
            span: 2,
            flags: 1,
        };
        let mut record = |times: usize| {
            for _ in 0..times {
                let work = Work::PassedOn { tries: 0 };
                recorder.call(&context, "f", Instant::now(), None, work, None);
            }
            recorder.dropped()
        };
        assert_eq!(record(RING + 3), 3);
        assert!(spans.pop().is_ok());
        assert_eq!(record(2), 4);
    }

    #[test]
    fn a_share_is_taken_of_calls_without_a_context() {
        let taken = |share| {
            let share = Share::new(share);
            (0..10_000).filter(|_| share.takes_next()).count()
        };
        assert_eq!(taken(0.0), 0);
        assert_eq!(taken(f64::NAN), 0);
        assert_eq!(taken(1.0), 10_000);
        assert!((2_000..3_000).contains(&taken(0.25)));
    }
}
