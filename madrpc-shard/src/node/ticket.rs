//! A call as a node keeps it: where it came from, and where it stands.

use crate::endpoint::SessionKey;
use crate::engine::Lane;
use madrpc_core::error::{CallError, ErrorKind};
use std::time::{Duration, Instant};

/// A registered function.
#[derive(Clone, Copy)]
pub(super) struct Registered {
    /// Its place in every lane.
    pub(super) place: usize,
    /// Its number in the counters.
    pub(super) counter: usize,
    /// The longest deadline of a call.
    pub(super) timeout: Option<Duration>,
    /// The largest arguments, in bytes.
    pub(super) body_bytes: usize,
    /// Its calls that wait for a lane, where it has a bound of its own.
    pub(super) queue_max: Option<usize>,
    /// Whether each call needs a lane in which nothing ran but the script.
    pub(super) isolate: bool,
}

impl Registered {
    /// The deadline of a call whose caller allows it this one.
    pub(super) fn deadline(&self, arrived: Instant, allowed: Instant) -> Instant {
        self.timeout
            .map_or(allowed, |timeout| allowed.min(arrived + timeout))
    }
}

/// Who waits for a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// A caller.
    Session {
        session: SessionKey,
        /// The caller's number for the call.
        id: u64,
    },
    /// A call of this shard.
    Parent(Parent),
}

/// A call that has asked for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Parent {
    pub(super) serial: u64,
    /// Its lane's number for what it has asked for.
    pub(super) token: u32,
}

/// A call and who waits for it.
pub(super) struct Ticket {
    pub(super) origin: Origin,
    pub(super) function: Registered,
    pub(super) arrived: Instant,
    pub(super) deadline: Instant,
    /// How many calls are above it.
    pub(super) depth: u8,
}

/// A call that has a lane.
pub(super) struct Running {
    pub(super) ticket: Ticket,
    pub(super) lane: Box<Lane>,
    /// Tells the shard's calls apart.
    pub(super) serial: u64,
    pub(super) started: Instant,
    pub(super) cpu: Duration,
    pub(super) slices: u32,
    /// Its errands without an answer.
    pub(super) children: usize,
    /// Nobody waits for it any more.
    pub(super) is_given_up: bool,
}

impl Running {
    /// `error`, with the limit and the use where it is the time that was too short.
    pub(super) fn explain(&self, error: CallError) -> CallError {
        if error.kind != ErrorKind::DeadlineExceeded {
            return error;
        }
        let had = self
            .ticket
            .deadline
            .saturating_duration_since(self.ticket.arrived);
        let whose = match self.ticket.function.timeout {
            Some(timeout) if timeout <= had => " (timeoutMs at register)",
            _ => "",
        };
        let (had, cpu) = (had.as_millis(), self.cpu.as_millis());
        let message = format!(
            "the call did not end by its deadline, {had} ms after it arrived{whose}; it used {cpu} ms of CPU time"
        );
        CallError { message, ..error }
    }
}

/// A call that waits for a lane.
pub(super) struct Queued {
    pub(super) ticket: Ticket,
    pub(super) body: Vec<u8>,
}
