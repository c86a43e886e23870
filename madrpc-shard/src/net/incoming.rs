//! Calls as they come in, and those of a caller that are under way.

use super::dial::Request;
use super::endpoint::SessionKey;
use foldhash::fast::RandomState;
use madrpc_core::call::{CallError, ErrorKind};
use madrpc_core::limits::KEEP_ALIVE;
use madrpc_core::wheel::Wheel;
use std::collections::hash_map::{Entry, IntoValues};
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

/// The calls under way of each caller, by the caller's numbers for them. `C` names such a call to the service, and
/// never a later one: a call may end while it is among those of a caller that has gone.
///
/// To find one costs the same however many there are, and so does the end of a caller: its calls are given back one
/// by one by [`CallsOfCallers::next_orphan`].
pub(crate) struct CallsOfCallers<C> {
    /// By the place of the session.
    callers: Vec<Caller<C>>,
    orphans: VecDeque<IntoValues<u64, C>>,
    /// When it is looked whether a caller is still there that has calls under way.
    watches: Wheel<SessionKey>,
}

struct Caller<C> {
    /// The place's present session; calls of a former one may end late.
    session: Option<SessionKey>,
    calls: HashMap<u64, C, RandomState>,
    is_watched: bool,
}

impl<C: Copy> CallsOfCallers<C> {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            callers: Vec::new(),
            orphans: VecDeque::new(),
            watches: Wheel::new(now),
        }
    }

    fn caller(&mut self, session: SessionKey) -> Option<&mut Caller<C>> {
        let caller = self.callers.get_mut(session.place())?;
        (caller.session == Some(session)).then_some(caller)
    }

    /// The call of that number that this caller has under way.
    pub(crate) fn get(&mut self, session: SessionKey, id: u64) -> Option<C> {
        let calls = &self.caller(session)?.calls;
        match calls.is_empty() {
            true => None,
            false => calls.get(&id).copied(),
        }
    }

    /// Notes a call; `false` where the caller has one of that number under way, which stays.
    #[must_use]
    pub(crate) fn insert(&mut self, session: SessionKey, id: u64, call: C, now: Instant) -> bool {
        let place = session.place();
        if place >= self.callers.len() {
            self.callers.resize_with(place + 1, || Caller {
                session: None,
                calls: HashMap::default(),
                is_watched: false,
            });
        }
        let caller = &mut self.callers[place];
        if caller.session != Some(session) {
            caller.session = Some(session);
            caller.calls.clear();
            caller.is_watched = false;
        }
        let Entry::Vacant(free) = caller.calls.entry(id) else {
            return false;
        };
        free.insert(call);
        if !caller.is_watched {
            caller.is_watched = true;
            self.watches.insert(now + KEEP_ALIVE, session);
        }
        true
    }

    /// A caller that has calls under way and of which it is to be found out whether it is there: about once in a second.
    pub(crate) fn next_watched(&mut self, now: Instant) -> Option<SessionKey> {
        while let Some(session) = self.watches.expire(now) {
            let Some(caller) = self.caller(session) else {
                continue;
            };
            caller.is_watched = !caller.calls.is_empty();
            if caller.is_watched {
                self.watches.insert(now + KEEP_ALIVE, session);
                return Some(session);
            }
        }
        None
    }

    pub(crate) fn next_timer(&self) -> Option<Instant> {
        self.watches.next()
    }

    /// How many calls are under way. It looks at each caller.
    pub(crate) fn count(&self) -> usize {
        let calls = self.callers.iter().map(|caller| caller.calls.len());
        calls.sum()
    }

    /// Takes out a call that is over or given up.
    pub(crate) fn remove(&mut self, session: SessionKey, id: u64) -> Option<C> {
        self.caller(session)?.calls.remove(&id)
    }

    /// A caller is gone.
    pub(crate) fn end(&mut self, session: SessionKey) {
        if let Some(caller) = self.caller(session) {
            // Without calls too: the next one at the place would pay for the room of this one's, which is walked at its end.
            let calls = std::mem::take(&mut caller.calls);
            if !calls.is_empty() {
                self.orphans.push_back(calls.into_values());
            }
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

/// Why a caller that does not take its replies does not get this one.
pub(crate) fn not_taken() -> CallError {
    let error = "the call has ended, and its result was dropped: the caller has too many results that it does not read";
    CallError::may_have_run(ErrorKind::Overloaded, error)
}

/// Why a session ends whose caller has given two calls the same number.
pub(crate) fn number_taken(id: u64) -> String {
    format!("call {id} is under way already")
}
