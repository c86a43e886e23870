//! The order in which sessions are read: those whose callers have had more than their part of the core come last, and have
//! less where others have something to say.

use super::entry::SessionKey;
use super::sessions::Sessions;
use madrpc_core::limits::{INLINE_BODY_MAX_BYTES, SESSION_COST_BYTES};
use madrpc_core::session::{Event, FrameBuffer, Portion};
use std::time::{Duration, Instant};

/// How long those who are ahead stay back after the word of another, who may have more to say: about what his next call
/// takes to come.
const STAY_BACK: Duration = Duration::from_micros(200);

/// Where a turn's reading is in the list of dirty sessions.
pub(super) struct Reading {
    pub(super) at: usize,
    /// Sessions that become dirty while frames are read have their turn in the next; `None` before the first frame.
    pub(super) end: Option<usize>,
    /// Whether the session at hand has begun its turn.
    pub(super) has_begun: bool,
    /// Whether it has had more than its part.
    pub(super) is_ahead: bool,
    /// Whether those who have are not read.
    pub(super) holds_those_ahead: bool,
}

impl Reading {
    pub(super) const NEW: Self = Self {
        at: 0,
        end: None,
        has_begun: false,
        is_ahead: false,
        holds_those_ahead: false,
    };
}

impl Sessions {
    /// Whether one who is not ahead spoke so short a time ago that there may be more to come.
    pub(super) fn has_just_heard(&self, now: Instant) -> bool {
        is_recent(self.heard, now)
    }

    /// The next frame that has come, a bounded number for each session in a turn. A session that holds too much is not
    /// read; those that are ahead of the others come last, and have less where others wait.
    #[inline]
    pub(super) fn next_frame<'b>(
        &mut self,
        buffer: &'b mut FrameBuffer,
        now: Instant,
    ) -> Option<(SessionKey, Event<'b>)> {
        let is_server = self.is_server();
        let end = match self.reading.end {
            Some(end) => end,
            None => self.begin_reading(),
        };
        while self.reading.at < end {
            let index = self.dirty[self.reading.at];
            self.shares.work_for(index);
            if let Some(entry) = self.entries.get_mut(index) {
                if !self.reading.has_begun {
                    self.reading.is_ahead = self.shares.is_session_ahead(index);
                    let has_to_wait = self.reading.is_ahead && is_recent(self.heard, now);
                    let portion = match has_to_wait {
                        true => Portion::Small,
                        false => Portion::Whole,
                    };
                    entry.is_passed_over = self.reading.is_ahead && self.reading.holds_those_ahead;
                    let generation = entry.generation;
                    let standing = self.bodies.standing(SessionKey { index, generation });
                    let whose = (is_server, standing);
                    self.reading.has_begun =
                        !entry.is_passed_over && entry.begin_turn(buffer, portion, whose, now);
                }
                if self.reading.has_begun && entry.has_asked_enough() {
                    entry.session.set_aside(buffer);
                } else if self.reading.has_begun {
                    let found = entry.session.advance(buffer);
                    // At once, and not when it is settled: the sessions after it are to see what it holds. So is the caller's
                    // whom a body is handed out for: it is held no longer.
                    if !found || !is_server && buffer.is_body() {
                        entry
                            .held
                            .set(SESSION_COST_BYTES + entry.session.held_bytes());
                    }
                    if found {
                        break;
                    }
                }
            }
            if !self.reading.has_begun {
                self.wait_for_room(index, now);
            }
            self.reading.at += 1;
            self.reading.has_begun = false;
        }
        let next = self.dirty.get(self.reading.at);
        let Some(&index) = next.filter(|_| self.reading.at < end) else {
            self.shares.rest();
            return None;
        };
        // Of an orchestrator it is its callers who are heard.
        if !self.reading.is_ahead && !self.shares.is_orchestrator(index) {
            self.heard = now;
        }
        let entry = self.entries.get_mut(index)?;
        let generation = entry.generation;
        let event = entry.session.frame(buffer);
        if let Event::Frame(frame) = &event
            && frame.body.len() <= INLINE_BODY_MAX_BYTES
        {
            entry.untold_frames += 1;
        }
        Some((SessionKey { index, generation }, event))
    }

    /// Puts those last that are ahead of the others; gives how many sessions are read in this turn.
    fn begin_reading(&mut self) -> usize {
        let end = self.dirty.len();
        let is_ahead = |index: &usize| self.shares.is_session_ahead(*index);
        if end > 1 && self.dirty.iter().any(is_ahead) {
            self.dirty.sort_by_key(is_ahead);
        }
        self.reading.end = Some(end);
        end
    }

    /// The dirty sessions, lent out while they are sent and settled; give it back by [`Sessions::keep_dirty`].
    pub(super) fn take_dirty(&mut self) -> Vec<usize> {
        self.reading = Reading::NEW;
        std::mem::take(&mut self.dirty)
    }

    /// Those that have more to read or to send remain dirty.
    pub(super) fn keep_dirty(&mut self, mut dirty: Vec<usize>, is_wire_full: bool) {
        let is_server = self.is_server();
        dirty.retain(|&index| {
            let entry = self.entries.get_mut(index);
            entry.is_some_and(|entry| {
                let generation = entry.generation;
                let standing = self.bodies.standing(SessionKey { index, generation });
                let is_held_up =
                    entry.holds_too_much(is_server, standing) || entry.expects_enough();
                let is_read = entry.session.has_unread() && !is_held_up;
                entry.dirty = is_wire_full || is_read || entry.is_passed_over;
                entry.dirty
            })
        });
        // Marked while the list was lent out: none so far, and they must not be lost.
        dirty.append(&mut self.dirty);
        self.dirty = dirty;
    }
}

fn is_recent(heard: Instant, now: Instant) -> bool {
    now.saturating_duration_since(heard) < STAY_BACK
}
