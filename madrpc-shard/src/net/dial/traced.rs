//! Calls of traces: what is to be told of them once they are over. Nearly no call is one.

use super::{CallId, Pending, Upstreams};
use crate::net::traces::Tried;
use madrpc_core::lists::ItemKey;
use std::collections::HashMap;

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
    pub(crate) fn trace(&mut self, CallId(key): CallId, tried: Box<Tried>) {
        self.traced.calls.insert(key, tried);
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
