//! A call of a trace that is passed on: its tries.

use super::{Context, new_span};
use madrpc_core::call::{CallFields, ErrorKind, Fields};
use madrpc_core::limits::FIELDS_MAX_BYTES;
use std::time::Instant;

/// A call of a trace that is passed on, until it is over.
#[derive(Debug)]
pub(crate) struct Tried {
    pub(crate) context: Context,
    /// Of one that is recorded.
    pub(super) tries: Vec<Try>,
    /// The span of the next.
    next: u64,
}

/// That it was put on a node.
#[derive(Debug)]
pub(super) struct Try {
    pub(super) span: u64,
    target: usize,
    pub(super) node: Box<str>,
    pub(super) begun: Instant,
    /// When and how, where it has.
    pub(super) ended: Option<(Instant, Option<ErrorKind>)>,
}

impl Tried {
    pub(super) fn new(context: Context) -> Self {
        Self {
            context,
            tries: Vec::new(),
            next: 0,
        }
    }

    /// Puts before what its caller says that the next try is the span which it is made from; where no span is recorded, the trace
    /// that it has got here, or nothing. Of a field that is there twice the first counts.
    pub(crate) fn say(&mut self, said: Fields<'_>) -> Option<Vec<u8>> {
        let mut trace = self.context.below();
        if self.context.is_recorded() {
            self.next = new_span();
            trace.parent = self.next;
        } else if said.trace().is_some() {
            return None;
        }
        let mut fields = Vec::new();
        let first = CallFields {
            trace: Some(trace),
            ..CallFields::default()
        };
        first.write(&mut fields);
        fields.extend_from_slice(said.0);
        if fields.len() > FIELDS_MAX_BYTES {
            // The node's span becomes a child of the caller's: the tries are seen, and not below which the call ran.
            return None;
        }
        Some(fields)
    }

    /// The try for which that was said has begun, on this target.
    pub(crate) fn begun(&mut self, target: usize, node: String, now: Instant) {
        if self.context.is_recorded() {
            self.tries.push(Try {
                span: self.next,
                target,
                node: node.into(),
                begun: now,
                ended: None,
            });
        }
    }

    /// The try on this target has ended.
    pub(crate) fn ended(&mut self, target: usize, error: Option<ErrorKind>, now: Instant) {
        let mut open = self.tries.iter_mut().rev();
        if let Some(one) = open.find(|one| one.target == target && one.ended.is_none()) {
            one.ended = Some((now, error));
        }
    }

    /// The call is over: a try that has not ended was given up.
    pub(crate) fn give_up(&mut self, now: Instant) {
        for one in &mut self.tries {
            one.ended.get_or_insert((now, Some(ErrorKind::Cancelled)));
        }
    }
}
