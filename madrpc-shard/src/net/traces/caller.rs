//! Spans of the calls that clients of this process make.
//!
//! They end wherever a call does: on the clients' thread, or on that of a caller whose call could not be handed over. So their way out
//! has many ends to put them in, and is as bounded as a shard's.

use super::span::{Clock, RING, Share};
use super::{Context, Span, Work};
use madrpc_core::call::{ErrorKind, Trace};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Instant;

/// Records the calls of clients that are given it: those whose trace context says that they are recorded, and a share of those without
/// one. [`Exporter::of_clients`](crate::traces::Exporter::of_clients) makes one, and sends what it records. Clones are the same one.
#[derive(Debug, Clone)]
pub struct CallRecorder {
    ring: SyncSender<Span>,
    share: Share,
    dropped: Arc<AtomicU64>,
}

/// Where the spans of a [`CallRecorder`] come out.
#[derive(Debug)]
pub(crate) struct RecordedCalls {
    ring: Receiver<Span>,
    dropped: Arc<AtomicU64>,
}

impl CallRecorder {
    /// One that records this share of the calls without a context, from 0 to 1, and where its spans come out.
    pub(crate) fn new(share: f64) -> (Self, RecordedCalls) {
        let (ring, spans) = sync_channel(RING);
        let dropped = Arc::<AtomicU64>::default();
        let recorded = RecordedCalls {
            ring: spans,
            dropped: Arc::clone(&dropped),
        };
        let recorder = Self {
            ring,
            share: Share::new(share),
            dropped,
        };
        (recorder, recorded)
    }

    /// The trace of a call whose caller says this, where it is recorded, or was decided here not to be: servers are told that too, of
    /// which each would take its share of those that are left. `None`: what is said stays.
    pub(crate) fn context(&self, said: Option<Trace>) -> Option<Context> {
        match said {
            Some(trace) => trace.is_sampled().then(|| Context::continued(trace, true)),
            // Whoever records none of its own leaves it to the servers.
            None if self.share.is_none() => None,
            None if self.share.takes_next() => Some(Context::first()),
            None => Some(Context::left()),
        }
    }

    /// The span of a call that begins now, at this address.
    pub(crate) fn begin(&self, context: Context, function: &str, address: &Arc<str>) -> CallSpan {
        CallSpan {
            recorder: self.clone(),
            context,
            function: function.into(),
            address: Arc::clone(address),
            begun: Instant::now(),
            // Where it is dropped, the thread of clients has ended.
            error: Some(ErrorKind::Internal),
        }
    }
}

impl RecordedCalls {
    pub(crate) fn next(&mut self) -> Option<Span> {
        self.ring.try_recv().ok()
    }

    /// How many had no room since this was asked last.
    pub(crate) fn take_dropped(&mut self) -> u64 {
        match self.dropped.load(Ordering::Relaxed) {
            0 => 0,
            _ => self.dropped.swap(0, Ordering::Relaxed),
        }
    }
}

/// The span of a call that has not ended.
#[derive(Debug)]
pub(crate) struct CallSpan {
    recorder: CallRecorder,
    context: Context,
    function: Box<str>,
    address: Arc<str>,
    begun: Instant,
    error: Option<ErrorKind>,
}

impl CallSpan {
    /// The call has ended so.
    pub(crate) fn end(mut self, error: Option<ErrorKind>) {
        self.error = error;
    }
}

impl Drop for CallSpan {
    fn drop(&mut self) {
        let work = Work::Called {
            address: Arc::clone(&self.address),
        };
        let (context, function) = (&self.context, &self.function);
        let span = Span::ended(
            context,
            function,
            self.begun,
            self.error,
            work,
            Clock::read(),
        );
        if self.recorder.ring.try_send(span).is_err() {
            self.recorder.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trace(flags: u8) -> Option<Trace> {
        let (trace, parent) = (7, 8);
        Some(Trace {
            trace,
            parent,
            flags,
        })
    }

    #[test]
    fn what_nobody_takes_is_dropped_and_counted_once() {
        let (recorder, mut recorded) = CallRecorder::new(0.0);
        let address = "a:1".into();
        for _ in 0..RING + 3 {
            let context = recorder.context(trace(1)).unwrap();
            recorder.begin(context, "f", &address).end(None);
        }
        assert_eq!(recorded.take_dropped(), 3);
        assert_eq!(recorded.take_dropped(), 0);
        assert_eq!(std::iter::from_fn(|| recorded.next()).count(), RING);
    }

    #[test]
    fn a_span_hangs_below_its_caller_and_what_is_called_below_the_span() {
        let (recorder, mut recorded) = CallRecorder::new(0.0);
        assert!(recorder.context(trace(0)).is_none());
        assert!(recorder.context(None).is_none());
        let least = CallRecorder::new(f64::MIN_POSITIVE).0;
        let left = least.context(None).unwrap();
        assert!(!left.is_recorded() && left.below().is_decided());
        let context = recorder.context(trace(1)).unwrap();
        let below = context.below();
        drop(recorder.begin(context, "f", &"a:1".into()));
        let span = recorded.next().unwrap();
        assert_eq!((span.trace, span.parent), (7, 8));
        assert_eq!((below.trace, below.parent, below.flags), (7, span.span, 1));
        assert_eq!(span.error, Some(ErrorKind::Internal));
        assert!(span.begun <= span.ended);
    }
}
