//! What a call that streams has yielded and its node has not sent yet, and how much more it may yield.
//!
//! The lane puts items in and waits where its reader, or the way to it, takes no more; the node takes frames out between its
//! slices.

use super::exchange::Buffer;
use madrpc_core::call::frame::Part;
use madrpc_core::limits::{ITEM_FRAME_MAX_BYTES, STREAM_BACKLOG_BYTES, STREAM_WINDOW};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

/// What the lane waits for, of its stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Waits {
    #[default]
    Nothing,
    /// Until it may yield again.
    Room,
    /// Until all that it has yielded is sent.
    End,
}

/// The stream of a lane's call, where it streams.
#[derive(Default)]
pub(crate) struct Stream {
    /// Whether the call takes items, and has begun to yield them.
    is_wanted: Cell<bool>,
    has_begun: Cell<bool>,
    /// Frames that the reader still takes.
    credit: Cell<u32>,
    /// Bytes that the session took when it was last looked.
    room_bytes: Cell<usize>,
    waits: Cell<Waits>,
    /// The number of the next frame.
    number: Cell<u64>,
    items: RefCell<VecDeque<(Buffer, Part)>>,
    /// Bytes of the first that are sent.
    sent_bytes: Cell<usize>,
    /// What all that is left takes.
    left_bytes: Cell<usize>,
    left_frames: Cell<u32>,
    /// Whether its node looks for room on its session.
    is_blocked: Cell<bool>,
}

/// Of the lane.
impl Stream {
    /// Begins to stream; says whether the caller takes items.
    pub(super) fn begin(&self) -> bool {
        self.has_begun.set(self.is_wanted.get());
        self.has_begun.get()
    }

    pub(super) fn put(&self, item: Buffer, part: Part) {
        self.left_bytes.set(self.left_bytes.get() + item.len());
        self.left_frames
            .set(self.left_frames.get().saturating_add(frames_of(item.len())));
        self.items.borrow_mut().push_back((item, part));
    }

    pub(super) fn set_waiting(&self, waits: Waits) {
        self.waits.set(waits);
    }

    /// Whether there is what was waited for.
    pub(super) fn has(&self, what: Waits) -> bool {
        match what {
            Waits::Nothing => false,
            Waits::Room => {
                self.left_frames.get() < self.credit.get()
                    && self.left_bytes.get() < self.room_bytes.get()
            }
            Waits::End => self.left_frames.get() == 0,
        }
    }

    /// Bytes that it holds.
    pub(super) fn held_bytes(&self) -> usize {
        match self.has_begun.get() {
            true => self.left_bytes.get() + self.sent_bytes.get(),
            false => 0,
        }
    }
}

/// Of the node.
impl Stream {
    /// The next call takes so many frames of items.
    #[inline]
    pub(crate) fn prepare(&self, credit: u32) {
        self.is_wanted.set(credit > 0);
        if credit > 0 || self.has_begun.get() {
            self.clear(credit);
        }
    }

    #[cold]
    fn clear(&self, credit: u32) {
        self.has_begun.set(false);
        self.credit.set(credit.min(STREAM_WINDOW));
        self.room_bytes.set(STREAM_BACKLOG_BYTES);
        self.waits.set(Waits::Nothing);
        self.number.set(0);
        self.items.take();
        self.sent_bytes.set(0);
        self.left_bytes.set(0);
        self.left_frames.set(0);
        self.is_blocked.set(false);
    }

    /// Whether the call streams.
    pub(crate) fn has_begun(&self) -> bool {
        self.has_begun.get()
    }

    /// The reader takes so many more.
    pub(crate) fn grant(&self, frames: u32) {
        let credit = self.credit.get().saturating_add(frames);
        self.credit.set(credit.min(STREAM_WINDOW));
    }

    /// Has the next frame sent, of its number and with what ends with it, where there is one and the reader takes it; says whether
    /// there was.
    pub(crate) fn send_one(&self, send: impl FnOnce(u64, Part, &[u8])) -> bool {
        let mut items = self.items.borrow_mut();
        let Some((item, ends)) = items.front().filter(|_| self.credit.get() > 0) else {
            return false;
        };
        let rest = item.get(self.sent_bytes.get()..).unwrap_or_default();
        let piece = rest.get(..ITEM_FRAME_MAX_BYTES).unwrap_or(rest);
        let is_last = piece.len() == rest.len();
        let part = if is_last { *ends } else { Part::More };
        send(self.number.get(), part, piece);
        self.number.set(self.number.get().wrapping_add(1));
        self.credit.set(self.credit.get() - 1);
        self.left_bytes.set(self.left_bytes.get() - piece.len());
        self.left_frames
            .set(self.left_frames.get().saturating_sub(1));
        match is_last {
            true => {
                self.sent_bytes.set(0);
                items.pop_front();
            }
            false => self.sent_bytes.set(self.sent_bytes.get() + piece.len()),
        }
        true
    }

    /// Its session takes so many more bytes. Says whether it takes any, or its reader no more.
    pub(crate) fn has_room(&self, bytes: usize) -> bool {
        self.room_bytes.set(bytes);
        bytes > 0 || self.credit.get() == 0
    }

    /// Whether the lane waits for what is there now.
    pub(crate) fn is_ready(&self) -> bool {
        self.has(self.waits.get())
    }

    /// Whether the lane waits for its reader.
    pub(crate) fn is_waiting(&self) -> bool {
        let waits = self.waits.get();
        waits != Waits::Nothing && !self.has(waits)
    }

    /// Notes whether its node looks for room on its session; gives whether it did.
    pub(crate) fn set_blocked(&self, is_blocked: bool) -> bool {
        self.is_blocked.replace(is_blocked)
    }
}

/// How many frames an item of so many bytes takes.
fn frames_of(bytes: usize) -> u32 {
    let frames = bytes.div_ceil(ITEM_FRAME_MAX_BYTES).max(1);
    u32::try_from(frames).unwrap_or(u32::MAX)
}
