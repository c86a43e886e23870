//! Calls as they come in, and those of a caller that are under way.

use super::dial::Request;
use super::endpoint::SessionKey;
use foldhash::fast::RandomState;
use std::collections::hash_map::IntoValues;
use std::collections::{HashMap, VecDeque};
use std::time::Instant;

/// A call that has come in.
pub(crate) struct Incoming<'a> {
    pub(crate) session: SessionKey,
    /// The caller's number for it.
    pub(crate) id: u64,
    pub(crate) request: Request<'a>,
    pub(crate) arrived: Instant,
}

/// The calls under way of each caller, by the caller's numbers for them. `C` names such a call to whoever runs it, and
/// never a later one: a call may end while it is among those of a caller that has gone.
///
/// To find one costs the same however many there are, and so does the end of a caller: its calls are given back one
/// by one by [`CallsOfCallers::next_orphan`].
pub(crate) struct CallsOfCallers<C> {
    /// By the place of the session.
    callers: Vec<Caller<C>>,
    orphans: VecDeque<IntoValues<u64, C>>,
}

struct Caller<C> {
    /// The place's present session; calls of a former one may end late.
    session: Option<SessionKey>,
    calls: HashMap<u64, C, RandomState>,
}

impl<C> Default for CallsOfCallers<C> {
    fn default() -> Self {
        Self {
            callers: Vec::new(),
            orphans: VecDeque::new(),
        }
    }
}

impl<C> CallsOfCallers<C> {
    fn caller(&mut self, session: SessionKey) -> Option<&mut Caller<C>> {
        let caller = self.callers.get_mut(session.place())?;
        (caller.session == Some(session)).then_some(caller)
    }

    /// Whether this caller has a call of that number under way.
    pub(crate) fn contains(&mut self, session: SessionKey, id: u64) -> bool {
        let caller = self.caller(session);
        caller.is_some_and(|caller| !caller.calls.is_empty() && caller.calls.contains_key(&id))
    }

    /// Notes a call; the caller has none of that number under way.
    pub(crate) fn insert(&mut self, session: SessionKey, id: u64, call: C) {
        let place = session.place();
        if place >= self.callers.len() {
            self.callers.resize_with(place + 1, || Caller {
                session: None,
                calls: HashMap::default(),
            });
        }
        let caller = &mut self.callers[place];
        if caller.session != Some(session) {
            caller.session = Some(session);
            caller.calls.clear();
        }
        caller.calls.insert(id, call);
    }

    /// Takes out a call that is over or given up.
    pub(crate) fn remove(&mut self, session: SessionKey, id: u64) -> Option<C> {
        self.caller(session)?.calls.remove(&id)
    }

    /// A caller is gone.
    pub(crate) fn end(&mut self, session: SessionKey) {
        if let Some(caller) = self.caller(session)
            && !caller.calls.is_empty()
        {
            let calls = std::mem::take(&mut caller.calls);
            self.orphans.push_back(calls.into_values());
        }
    }

    /// A call whose caller is gone, unless it is over by now. Take a bounded number of them in a turn.
    pub(crate) fn next_orphan(&mut self) -> Option<C> {
        while let Some(calls) = self.orphans.front_mut() {
            if let Some(call) = calls.next() {
                return Some(call);
            }
            self.orphans.pop_front();
        }
        None
    }

    /// Whether there are calls whose callers are gone.
    pub(crate) fn has_orphans(&self) -> bool {
        !self.orphans.is_empty()
    }
}
