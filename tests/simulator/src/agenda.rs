//! What happens when: virtual time, and a heap of events in its order. Events of one time come in the order in which they were
//! noted, so a run repeats.

use madrpc_core::call::Load;
use madrpc_core::fleet::Took;
use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

/// Nanoseconds since the run began.
pub type Time = u64;

/// A microsecond, a millisecond and a second of it.
pub const US: Time = 1_000;
/// A millisecond.
pub const MS: Time = 1_000_000;
/// A second.
pub const SECOND: Time = 1_000_000_000;

/// So much time as the router has it.
pub(crate) const fn duration(time: Time) -> Duration {
    Duration::from_nanos(time)
}

/// A session from a shard to a node, one of those that its link has had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Session {
    pub(crate) shard: u32,
    pub(crate) link: u32,
    pub(crate) epoch: u32,
    pub(crate) node: u32,
}

/// What a shard says to a node.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Request {
    Call(u32),
    Cancel(u32),
    Ping,
}

/// What a node says to a shard.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Reply {
    /// A call has ended so, after so long in the queue and on the core.
    Answer {
        call: u32,
        answer: Answer,
        took: Took,
        /// What the node has to do, where that is said.
        load: Option<Load>,
    },
    /// It has the functions of this script.
    Functions(usize),
    /// It stops, and has taken so many calls.
    GoAway(u64),
    /// The session is over.
    Closed,
}

/// What a node makes of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    Result,
    /// The function threw.
    Thrown,
    /// The node failed, before the function began.
    Internal,
    NoSuchFunction,
    Overloaded,
    /// It is stopping.
    Unavailable,
    DeadlineExceeded,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Event {
    /// The next call comes from outside.
    Arrival,
    /// Its caller gives a call up.
    GivenUp(u32),
    ToNode(Session, Request),
    ToShard(Session, Reply),
    /// A handshake has come to its end, with a node of this incarnation.
    Shaken(Session, u32),
    /// A handshake took too long, or was refused.
    NotShaken(Session),
    /// A node has done what it was doing, unless something came between.
    Done {
        node: u32,
        token: u32,
    },
    Deadline(u32),
    /// A call's node has not answered for so long that another is asked.
    Early(u32),
    Look {
        shard: u32,
        link: u32,
        epoch: u32,
    },
    Dial {
        shard: u32,
        link: u32,
    },
    /// Nothing has come on a session since its node stopped answering, by this count.
    Idle(Session, u32),
    /// A shard sees which nodes it is to have.
    Subset {
        shard: u32,
    },
    /// The shards of a process hear what one of them has learned.
    Known(u32),
    /// A shard compares its members.
    Sweep {
        shard: u32,
    },
    /// The next on the list of what goes wrong.
    Fault(u32),
}

struct Entry {
    at: Time,
    number: u64,
    event: Event,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    /// The earliest is the greatest, as the heap gives that first.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.number).cmp(&(self.at, self.number))
    }
}

pub(crate) struct Agenda {
    heap: BinaryHeap<Entry>,
    number: u64,
    begun: Instant,
    pub(crate) now: Time,
}

impl Agenda {
    pub(crate) fn new(begun: Instant) -> Self {
        Self {
            heap: BinaryHeap::new(),
            number: 0,
            begun,
            now: 0,
        }
    }

    /// What the router takes for the time.
    pub(crate) fn instant(&self) -> Instant {
        self.instant_of(self.now)
    }

    pub(crate) fn instant_of(&self, time: Time) -> Instant {
        self.begun + duration(time)
    }

    pub(crate) fn at(&mut self, at: Time, event: Event) {
        self.number += 1;
        self.heap.push(Entry {
            at: at.max(self.now),
            number: self.number,
            event,
        });
    }

    pub(crate) fn after(&mut self, wait: Time, event: Event) {
        self.at(self.now + wait, event);
    }

    /// The next event until then; the time is that of the event.
    pub(crate) fn next(&mut self, end: Time) -> Option<Event> {
        if self.heap.peek()?.at > end {
            return None;
        }
        let Entry { at, event, .. } = self.heap.pop()?;
        self.now = at;
        Some(event)
    }
}
