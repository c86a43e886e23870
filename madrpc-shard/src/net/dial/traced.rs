//! Calls of traces: what is to be told of them once they are over. Nearly no call is one.

use super::{CallId, Pending, Upstreams};
use crate::net::traces::Tried;
use madrpc_core::lists::ItemKey;
use std::collections::HashMap;
use std::time::Instant;

#[derive(Default)]
pub(super) struct Traced {
    calls: HashMap<ItemKey, Box<Tried>>,
    /// That of the call which has just ended.
    ended: Option<Box<Tried>>,
    /// How often that was tried.
    tries: u8,
}

impl<T> Upstreams<T> {
    /// A call that was just sent is of a trace.
    pub(crate) fn trace(&mut self, CallId(key): CallId, mut tried: Box<Tried>, now: Instant) {
        if let Some(pending) = self.calls.get(key) {
            let target = pending.place.target();
            tried.begun(target, self.targets[target].name(), now);
        }
        self.traced.calls.insert(key, tried);
    }

    /// What is known of the tries of a call, where it is of a trace.
    #[inline]
    pub(super) fn tries_of(&mut self, key: ItemKey) -> Option<&mut Tried> {
        match self.traced.calls.is_empty() {
            true => None,
            false => self.traced.calls.get_mut(&key).map(|tried| &mut **tried),
        }
    }

    /// A call was put on a further target.
    pub(super) fn trace_try(&mut self, key: ItemKey, target: usize, now: Instant) {
        if let Some(tried) = self.traced.calls.get_mut(&key) {
            tried.begun(target, self.targets[target].name(), now);
        }
    }

    /// A call has ended, whose outcome is told next.
    #[inline]
    pub(super) fn trace_ended(&mut self, key: ItemKey, pending: &Pending<T>) {
        self.traced.tries = pending.attempt.number();
        if !self.traced.calls.is_empty() {
            self.traced.ended = self.traced.calls.remove(&key);
        }
    }

    /// What is to be told of the call whose outcome was given last, once.
    #[inline]
    pub(crate) fn take_traced(&mut self) -> Option<Box<Tried>> {
        self.traced.ended.take()
    }

    /// How often the call was tried whose outcome was given last.
    pub(crate) fn tries_of_last(&self) -> u8 {
        self.traced.tries
    }
}
