//! Whose bodies come in whole where memory is short.
//!
//! With equal parts for all, many large bodies would stand half read, none of them ever whole. So one session is *first*: it may
//! take all that is free. Where even that is not enough, memory is *short*: the others take nothing more, and give up what they
//! have begun last, one body after the other, until the first has its own; then another is first. Callers of bodies that were
//! given up are told, and the sessions go on.

use super::entry::{Entry, SessionKey};
use super::sessions::Sessions;
use std::time::{Duration, Instant};

/// How long the first may make no progress before memory is short, or, where that is its peer's doing, another is first.
const PATIENCE: Duration = Duration::from_millis(500);

/// How long one may be first: others have large bodies, too.
const TENURE: Duration = Duration::from_secs(5);

/// How long memory stays short after it was found to be: a first that has room, but whose peer is slow, holds up nobody for longer.
const SHORT: Duration = Duration::from_secs(2);

/// At least so long after a body was given up, the next is: what that has freed may do.
const BETWEEN: Duration = Duration::from_millis(50);

/// What a session may hold beside others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// All that is free.
    First,
    /// Its part.
    Equal,
    /// What everybody may.
    Last,
}

/// Whose bodies come in, of sessions that hold more than their part.
pub(super) struct Bodies {
    first: Option<(SessionKey, Instant)>,
    is_short: bool,
    short_until: Instant,
    given_up_at: Instant,
}

impl Bodies {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            first: None,
            is_short: false,
            short_until: now,
            given_up_at: now,
        }
    }

    #[inline]
    pub(super) fn standing(&self, session: SessionKey) -> Standing {
        match self.first {
            Some((first, _)) if first == session => Standing::First,
            _ if self.is_short => Standing::Last,
            _ => Standing::Equal,
        }
    }
}

/// What the first is at.
#[derive(PartialEq, Eq)]
enum First {
    /// It is gone, has what it waited for, had its time, or its peer is slow.
    Done,
    GoesOn,
    /// There is no room for more of it.
    Stuck,
}

impl First {
    fn of(entry: Option<&Entry>, since: Instant, now: Instant) -> Self {
        let waits = |entry: &&Entry| entry.session.bodies_arriving() > 0 && !entry.does_not_read();
        let had_its_time = now.saturating_duration_since(since) > TENURE;
        let Some(entry) = entry.filter(waits).filter(|_| !had_its_time) else {
            return Self::Done;
        };
        let waited = now.saturating_duration_since(entry.progress.1);
        match (waited < PATIENCE, entry.is_held_up) {
            (true, _) => Self::GoesOn,
            (false, true) => Self::Stuck,
            (false, false) => Self::Done,
        }
    }
}

impl Sessions {
    /// This session was not read. Where it holds too much, it is looked at every now and then until it does not.
    pub(super) fn wait_for_room(&mut self, index: usize, now: Instant) {
        let Some(entry) = self.entries.get(index).filter(|entry| entry.is_held_up) else {
            return;
        };
        self.bodies.is_short &= now < self.bodies.short_until;
        let bodies = entry.session.bodies_arriving();
        if bodies == 0 {
            return;
        }
        let key = SessionKey {
            index,
            generation: entry.generation,
        };
        let (first, is_first) = match self.bodies.first {
            Some((first, since)) => (First::of(self.get(first), since, now), first == key),
            None => (First::Done, false),
        };
        if first == First::Done {
            self.bodies.first = Some((key, now));
        }
        if first == First::Stuck {
            self.bodies.is_short = true;
            self.bodies.short_until = now + SHORT;
        }
        let is_time = now.saturating_duration_since(self.bodies.given_up_at) >= BETWEEN;
        // Of its own, the first gives up what keeps the rest from coming.
        if first == First::Stuck && is_time && (!is_first || bodies > 1) {
            let entry = self.entries.get_mut(index);
            if entry.is_some_and(|entry| entry.session.give_up_body()) {
                self.bodies.given_up_at = now;
            }
        }
    }
}
