//! Bodies that are coming in, each on a stream of its own: the memory that they come into, and how long they may take.

use super::Session;
use super::quic::Quic;
use super::reader::Reader;
use crate::call::frame::{self, Header};
use crate::call::{Bill, CallError, ErrorKind};
use crate::limits::{
    BODY_HEADER_TIMEOUT, BODY_STALL_BYTES, BODY_STALL_TIMEOUT, HEADER_MAX_BYTES, TIMEOUT_MAX,
};
use crate::numbers::later;
use std::time::{Duration, Instant};

/// A body that is coming in.
pub(super) struct Arriving {
    /// What has come; `None` where it is thrown away, as the body is too large, or late, or there is no room.
    pub(super) bytes: Option<Vec<u8>>,
    /// Bytes of room that it was given.
    pub(super) given: usize,
    /// When its first byte was read.
    pub(super) begun: Instant,
    /// Whether it has stalled, which is to be told.
    pub(super) has_stalled: bool,
    /// When it is of no use any more.
    pub(super) until: Instant,
    /// Whether that follows from its header.
    pub(super) is_known: bool,
}

impl Arriving {
    /// Memory that it takes, or may take without asking again.
    pub(super) fn size(&self) -> usize {
        self.bytes
            .as_ref()
            .map_or(0, |bytes| bytes.capacity().max(self.given))
    }

    /// When it has stalled, where bodies of its session have moved then.
    fn stalls_at(&self, moved: Instant) -> Instant {
        later(self.begun.max(moved), BODY_STALL_TIMEOUT)
    }
}

/// Sees to room for more of a frame: twice as much as there is, and no more than the frame announces. Says how much; 0 where all of
/// it is there.
pub(super) fn make_room(bytes: &mut Vec<u8>) -> usize {
    if bytes.len() == bytes.capacity() {
        let whole = frame::announced(bytes).map_or(usize::MAX, |rest| frame::PREFIX_BYTES + rest);
        let wanted = (2 * bytes.capacity()).max(HEADER_MAX_BYTES).min(whole);
        bytes.reserve_exact(wanted.saturating_sub(bytes.len()));
    }
    bytes.capacity() - bytes.len()
}

/// How long a body with this header may take to come.
pub(super) fn time_of(header: &Header<'_>) -> Duration {
    match header {
        Header::Call { timeout_us, .. } => Duration::from_micros(*timeout_us).min(TIMEOUT_MAX),
        // Its caller waits until its deadline, and gives it up then: see `Reader::drop_answer`.
        Header::Reply { .. } | Header::Failure { .. } => TIMEOUT_MAX,
        // Nobody waits for it.
        _ => BODY_HEADER_TIMEOUT,
    }
}

/// Bodies that come late, or no further.
impl Reader {
    /// When the next of the bodies that are coming in is late, or has stalled.
    pub(super) fn next_late(&self) -> Option<Instant> {
        let arriving = self.arriving.values();
        let kept = arriving.filter(|arriving| arriving.bytes.is_some() && !arriving.has_stalled);
        kept.map(|arriving| arriving.until.min(arriving.stalls_at(self.moved)))
            .min()
    }

    /// Lets go of a body that is late; gives the number of the call that it was for, where that is known.
    pub(super) fn drop_late(&mut self, now: Instant) -> Option<Option<u64>> {
        let mut arriving = self.arriving.iter();
        let late = arriving.find(|(_, body)| body.bytes.is_some() && body.until <= now)?;
        self.let_go(*late.0)
    }

    /// Lets go of the last body that was begun, of those of which is known what they are for; gives the number of the call.
    fn drop_last(&mut self) -> Option<Option<u64>> {
        let arriving = self.arriving.iter();
        let kept = arriving.filter(|(_, body)| body.bytes.is_some() && body.is_known);
        let last = kept.map(|(stream, _)| *stream).max()?;
        self.let_go(last)
    }

    /// What has come of a body goes, and what still comes is thrown away.
    fn let_go(&mut self, stream: u64) -> Option<Option<u64>> {
        let arriving = self.arriving.get_mut(&stream)?;
        self.arriving_bytes -= arriving.size();
        let bytes = arriving.bytes.take()?;
        Some(match frame::read_header(&bytes) {
            Ok(Header::Call { id, .. }) => Some(id),
            _ => None,
        })
    }

    /// Sees which bodies have stalled, each of which is told by a later [`Reader::frame`]. Where it is we who do not read, none has.
    pub(super) fn find_stalled(&mut self, quic: &Quic, is_held_up: bool, now: Instant) {
        if now < later(self.moved, BODY_STALL_TIMEOUT) {
            return;
        }
        if is_held_up || self.has_unread() || quic.readable().next().is_some() {
            self.moved = now;
            return;
        }
        for (stream, arriving) in &mut self.arriving {
            if arriving.bytes.is_some() && arriving.stalls_at(self.moved) <= now {
                arriving.has_stalled = true;
                self.unread.push_back(*stream);
            }
        }
    }

    /// Lets go of what has come of an answer that nobody waits for any more.
    pub(super) fn drop_answer(&mut self, call: u64) {
        let is_its = |arriving: &&mut Arriving| {
            let header = arriving.bytes.as_deref().map(frame::read_header);
            matches!(header, Some(Ok(Header::Reply { id, .. } | Header::Failure { id, .. })) if id == call)
        };
        if let Some(arriving) = self.arriving.values_mut().find(is_its) {
            self.arriving_bytes -= arriving.size();
            arriving.bytes = None;
        }
    }

    /// So many bytes of bodies have come.
    pub(super) fn note_moved(&mut self, bytes: usize) {
        self.moved_bytes += bytes;
        if self.moved_bytes >= BODY_STALL_BYTES {
            (self.moved, self.moved_bytes) = (self.now, 0);
        }
    }
}

/// The same, for the driver.
impl Session {
    /// When to call [`Session::drop_late`].
    #[must_use]
    pub fn next_late(&self) -> Option<Instant> {
        self.reader.next_late()
    }

    /// Lets go of a body whose time is over before it has come whole; its caller is told. Call it until it gives `false`. Of those
    /// that have stalled, [`Session::frame`] tells.
    pub fn drop_late(&mut self, now: Instant) -> bool {
        let Some(call) = self.reader.drop_late(now) else {
            let is_held_up = self.unread_since.is_some();
            self.reader.find_stalled(&self.quic, is_held_up, now);
            return false;
        };
        if let Some(id) = call {
            let error = "the arguments did not come whole within the time of the call";
            let error = CallError::not_run(ErrorKind::DeadlineExceeded, error);
            self.outbox.fail(id, Bill::default(), &error);
        }
        true
    }

    /// Lets go of what has come of the answer to a call, for which nobody waits any more.
    pub fn drop_answer(&mut self, call: u64) {
        self.reader.drop_answer(call);
    }

    /// Lets go of the last body that was begun, for want of memory; its caller is told. Says whether there was one.
    pub fn give_up_body(&mut self) -> bool {
        let Some(call) = self.reader.drop_last() else {
            return false;
        };
        if let Some(id) = call {
            let error = "there was no memory for the arguments for too long: others have it";
            let error = CallError::not_run(ErrorKind::Overloaded, error);
            self.outbox.fail(id, Bill::default(), &error);
        }
        true
    }

    /// How many bodies have come in part, of which is known what they are for.
    #[must_use]
    pub fn bodies_arriving(&self) -> usize {
        let bodies = self.reader.arriving.values();
        bodies
            .filter(|body| body.bytes.is_some() && body.is_known)
            .count()
    }
}
