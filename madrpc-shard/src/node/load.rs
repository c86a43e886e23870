//! What a shard has to do, as orchestrators are told of it with the answers to their calls: those that balance by it choose the
//! better for it (the figures are in `madrpc_core::fleet`).

use super::Node;
use super::rows::Row;
use crate::net::endpoint::SessionKey;
use crate::net::service::Io;
use madrpc_core::call::{Fields, Load, ReplyFields};
use madrpc_core::limits::LOAD_INTERVAL;
use std::time::{Duration, Instant};

/// How often it is told without an answer, at the most.
const UNASKED_INTERVAL: Duration = Duration::from_millis(20);

/// Calls that go on without an end from which on they keep others waiting: a few share the core with what comes.
const MANY: u32 = 8;

/// What was last told, and when it is looked again.
pub(super) struct Told {
    /// Changes with the load; a session on which another was said last is to hear of it.
    pub(super) number: u32,
    load: Load,
    looked_at: Instant,
    /// When it was last told without an answer.
    unasked_at: Instant,
    /// What calls that go on have had of the core since one has ended.
    pub(super) none_ended_for: Duration,
}

impl Told {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            number: 0,
            load: Load::default(),
            looked_at: now,
            unasked_at: now,
            none_ended_for: Duration::ZERO,
        }
    }
}

impl Node {
    /// Each turn: whether there is another load to tell, now and then.
    #[inline]
    pub(super) fn look_at_load(&mut self, now: Instant) {
        if now.saturating_duration_since(self.told.looked_at) >= LOAD_INTERVAL {
            self.note_load(now);
        }
    }

    #[cold]
    fn note_load(&mut self, now: Instant) {
        let load = self.load();
        self.told.looked_at = now;
        if load != self.told.load {
            self.told.load = load;
            self.told.number = self.told.number.wrapping_add(1);
        }
    }

    /// Tells an orchestrator what there is to do though no call of it ends: without an answer to say it with, it would send on and on.
    pub(super) fn tell_load(&mut self, session: SessionKey, now: Instant, io: &mut Io<'_, Self>) {
        if now.saturating_duration_since(self.told.unasked_at) < UNASKED_INTERVAL {
            return;
        }
        self.told.unasked_at = now;
        let mut said = Vec::new();
        self.say_load(&mut said);
        io.callers
            .tell_load(session, self.told.number, Fields(&said));
    }

    /// Appends the field of an answer that says what there is to do now.
    #[cold]
    pub(super) fn say_load(&self, fields: &mut Vec<u8>) {
        let load = Some(self.load());
        let said = ReplyFields {
            load,
            ..ReplyFields::default()
        };
        said.write(fields);
    }

    pub(super) fn load(&self) -> Load {
        let rows = &self.calls.rows;
        let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let aside = rows.length(Row::Waiting) + rows.length(Row::Starved);
        let held = rows.length(Row::Held) + rows.length(Row::Limited);
        let (running, queued) = (number(rows.running() + aside), number(rows.queued() + held));
        // What calls cost is learnt from those that end. Where none does, what they have had is the least that there is to do.
        let none_ended_us = match running >= MANY {
            true => u64::try_from(self.told.none_ended_for.as_micros()).unwrap_or(u64::MAX),
            false => 0,
        };
        Load {
            running,
            queued,
            expected_us: rows.expected_us().max(none_ended_us),
            free_lanes: number(self.lanes.free()),
        }
    }
}
