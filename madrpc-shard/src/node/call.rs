//! A call as a node keeps it: where it came from, and where it stands.

use super::children::Children;
use super::family::Member;
use super::functions::Registered;
use super::limited::LimitKey;
use super::slots::Slot;
use crate::engine::Lane;
use crate::net::budget::Held;
use crate::net::endpoint::SessionKey;
use crate::net::shares::AccountKey;
use crate::net::traces::Context;
use bytes::Bytes;
use madrpc_core::call::{CallError, ErrorKind};
use madrpc_core::lists::ItemKey;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// Names a call that has not ended within its first slice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct CallKey(pub(super) ItemKey);

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
pub(crate) struct Parent {
    pub(super) call: CallKey,
    /// Its lane's number for what it has asked for.
    pub(super) token: u32,
}

/// A call and who waits for it.
pub(super) struct Ticket {
    pub(super) origin: Origin,
    /// The caller on whose account it runs: that of the first of the calls above it.
    pub(super) caller: AccountKey,
    pub(super) function: Rc<Registered>,
    pub(super) arrived: Instant,
    pub(super) deadline: Instant,
    /// How many calls are above it.
    pub(super) depth: u8,
    /// How many nodes were lost that it was on before.
    pub(super) nodes_lost: u8,
    /// Frames of items that its caller takes at first, where it takes any.
    pub(super) credit: u32,
    /// The trace that it belongs to, where it does to one.
    pub(super) context: Option<Box<Context>>,
    /// Of which family it is, where it is a call of a call, or has made one.
    pub(super) member: Option<Box<Member>>,
    /// That of its function, where that has a limit; it is given back with the ticket, whatever becomes of the call.
    pub(super) slot: Option<Slot>,
}

impl Ticket {
    /// The limit that it needs a slot of before it may have a lane.
    pub(super) fn lacks_slot_of(&self) -> Option<LimitKey> {
        self.function.limit.filter(|_| self.slot.is_none())
    }
}

/// A call that waits for a lane.
pub(super) struct Queued {
    pub(super) ticket: Ticket,
    pub(super) body: Bytes,
    /// Its bytes, counted.
    pub(super) held: Held,
}

/// A call that has a lane.
pub(super) struct Running {
    pub(super) ticket: Ticket,
    pub(super) lane: Box<Lane>,
    /// Its name, once it has been set aside.
    pub(super) key: Option<CallKey>,
    pub(super) started: Instant,
    pub(super) cpu: Duration,
    pub(super) slices: u32,
    /// The calls that it waits for, where it has asked for any.
    pub(super) asked: Option<Box<Asked>>,
    /// Bytes that its lane takes, as they are counted for its caller.
    pub(super) memory: usize,
    /// What the lane took when it became the call's, and what the call has added.
    pub(super) base: usize,
    pub(super) grown: usize,
    /// Whether it wants more than its caller may have, or its family.
    pub(super) is_starved: bool,
    /// Whether it had more at the end of its last slice, in the middle of something.
    pub(super) is_growing: bool,
    /// Whether it has waited in vain for others of its family to end: it has what they leave.
    pub(super) has_waited: bool,
    /// Its deadline has passed, or nobody waits for it.
    pub(super) has_to_end: bool,
    /// When it was set aside, counted in slices of the shard.
    pub(super) since_slice: u64,
    /// When it began to wait, if it does; and whether that is noted for the packing of its lane.
    pub(super) waits_since: Instant,
    pub(super) is_noted_waiting: bool,
}

/// What a call has asked for.
pub(super) struct Asked {
    pub(super) children: Children,
    /// What has come from them and it has not seen.
    pub(super) answers: Held,
}

impl Running {
    /// Says whether it waits for calls of its own, or for who takes its items, where it is of a family.
    pub(super) fn set_busy_for_family(&self) {
        if let Some(member) = &self.ticket.member {
            let asked = self.asked.as_ref();
            let has_children = asked.is_some_and(|asked| !asked.children.is_empty());
            member.set_busy(!has_children && !self.lane.stream().is_waiting());
        }
    }

    /// Counts what it holds for its family, where it is of one.
    pub(super) fn hold_for_family(&self) {
        if let Some(member) = &self.ticket.member {
            let answers = self.asked.as_ref().map_or(0, |asked| asked.answers.bytes());
            member.hold(self.grown + answers);
            if self.ticket.depth > 0 {
                member.note_size(self.grown);
            }
        }
    }

    /// Whether it has to wait for others of its family to end, or give something back, before it has more.
    pub(super) fn waits_for_family(&self) -> bool {
        let Some(member) = self.ticket.member.as_ref().filter(|_| !self.has_waited) else {
            return false;
        };
        let wanted = self.lane.wanted_bytes();
        (self.is_growing || wanted > 0) && member.waits_for(wanted, self.lane.limits().1)
    }

    /// Lets it have what its family leaves, where it is of one.
    pub(super) fn bound_for_family(&mut self) {
        if let Some(member) = &self.ticket.member {
            let (room, may_wait) = member.room(self.lane.limits().1);
            self.lane.bound_memory(room, may_wait && !self.has_waited);
        }
    }

    /// `error`, with the limit and the use where it is the time that was too short.
    pub(super) fn explain(&self, mut error: Box<CallError>) -> Box<CallError> {
        if error.kind == ErrorKind::CpuLimit
            && let Some(message) = self
                .ticket
                .member
                .as_ref()
                .and_then(|member| member.out_of_time())
        {
            error.message = message;
            return error;
        }
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
        error.message = format!(
            "the call did not end by its deadline, {had} ms after it arrived{whose}; it used {cpu} ms of CPU time"
        );
        error
    }
}
