//! The items of a call that streams, put together from their frames.

use super::frame::Part;
use super::{Body, CallError, ErrorKind};
use crate::limits::BODY_MAX_BYTES;
use bytes::Bytes;

/// What has come of a stream, as its reader has granted it: frames one after the other, no more than were granted.
#[derive(Debug)]
pub struct Items {
    /// What the reader had granted at first.
    window: u32,
    /// Frames that may still come.
    credit: u32,
    /// The number of the next frame.
    number: u64,
    /// What has come of the next item, and in how many frames that were not granted again.
    partial: Vec<u8>,
    frames: u32,
    is_over: bool,
}

/// What a frame has brought.
#[derive(Debug, PartialEq, Eq)]
pub enum Came {
    /// A piece; so many frames, maybe none, are to be granted once there is room for what has come: the rest of the item has to come
    /// before it can be taken.
    Piece {
        /// How many.
        frames: u32,
    },
    /// An item is complete.
    Item {
        /// It, encoded.
        body: Bytes,
        /// How many are to be granted once it is taken.
        frames: u32,
    },
    /// What the function has returned. No frame comes after it.
    Result(Bytes),
}

/// What to say of a stream whose call has succeeded before its result came.
#[must_use]
pub fn broken_off() -> CallError {
    let error = "the stream has ended without its last frames: is a server on the way of an earlier version?";
    CallError::may_have_run(ErrorKind::Protocol, error)
}

impl Items {
    /// None has come, and so many frames may.
    #[must_use]
    pub fn new(window: u32) -> Self {
        Self {
            window,
            credit: window,
            number: 0,
            partial: Vec::new(),
            frames: 0,
            is_over: false,
        }
    }

    /// So many more frames may come.
    pub fn grant(&mut self, frames: u32) {
        self.credit = self.credit.saturating_add(frames);
    }

    /// After so many frames that were taken the server is told of them: more often would be for nothing.
    #[must_use]
    pub fn granted_at_once(window: u32) -> u32 {
        (window / 2).max(1)
    }

    /// A frame has come.
    ///
    /// # Errors
    /// Where the server does not keep to the protocol, or an item has more than [`BODY_MAX_BYTES`].
    pub fn take(&mut self, number: u64, part: Part, body: Body<'_>) -> Result<Came, CallError> {
        if number != self.number || self.is_over || self.credit == 0 {
            let error = "the frames of a stream do not come one after the other, or more than were asked for";
            return Err(CallError::may_have_run(ErrorKind::Protocol, error));
        }
        if body.len() > BODY_MAX_BYTES.saturating_sub(self.partial.len()) {
            let error = format!("an item has more than {BODY_MAX_BYTES} bytes");
            return Err(CallError::may_have_run(ErrorKind::PayloadTooLarge, error));
        }
        self.number = self.number.wrapping_add(1);
        self.credit = self.credit.saturating_sub(1);
        self.frames = self.frames.saturating_add(1);
        if part == Part::More {
            self.partial.extend_from_slice(&body);
            let mut frames = 0;
            if self.frames >= Self::granted_at_once(self.window) {
                frames = std::mem::take(&mut self.frames);
            }
            return Ok(Came::Piece { frames });
        }
        let body = match self.partial.is_empty() {
            true => body.to_bytes(),
            false => {
                self.partial.extend_from_slice(&body);
                std::mem::take(&mut self.partial).into()
            }
        };
        let frames = std::mem::take(&mut self.frames);
        self.is_over = part == Part::Result;
        Ok(match self.is_over {
            true => Came::Result(body),
            false => Came::Item { body, frames },
        })
    }

    /// Whether any frame has come.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.number > 0
    }

    /// Whether the result has come.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.is_over
    }
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "that is how a test fails"
)]
mod tests {
    use super::*;
    use crate::limits::STREAM_WINDOW;

    #[test]
    fn pieces_are_put_together_and_granted_while_they_come() {
        for window in [1, 2, 32, STREAM_WINDOW] {
            let mut items = Items::new(window);
            let mut granted = 0;
            let last = u64::from(2 * window);
            for number in 0..last {
                let piece = items.take(number, Part::More, (&[1][..]).into());
                let Came::Piece { frames } = piece.unwrap() else {
                    panic!("an item at {number}");
                };
                items.grant(frames);
                granted += frames;
            }
            let Came::Item { body, frames } =
                items.take(last, Part::Item, (&[2][..]).into()).unwrap()
            else {
                panic!("no item");
            };
            assert_eq!(body.len() as u64, last + 1);
            assert_eq!(u64::from(granted + frames), last + 1);
        }
    }

    #[test]
    fn what_does_not_come_in_order_or_unasked_for_is_refused() {
        let mut items = Items::new(STREAM_WINDOW);
        let take = |items: &mut Items, number, part| items.take(number, part, (&[1][..]).into());
        for number in 0..u64::from(STREAM_WINDOW) {
            take(&mut items, number, Part::Item).unwrap();
        }
        let next = u64::from(STREAM_WINDOW);
        assert!(take(&mut items, next, Part::Item).is_err());
        items.grant(1);
        assert!(take(&mut items, next - 1, Part::Item).is_err());
        assert!(take(&mut items, next + 1, Part::Item).is_err());
        let result = take(&mut items, next, Part::Result).unwrap();
        assert_eq!(result, Came::Result(Bytes::from_static(&[1])));
        items.grant(1);
        assert!(take(&mut items, next + 1, Part::Item).is_err());
        assert!(items.is_over() && items.has_begun());
    }

    #[test]
    fn an_item_has_a_bound() {
        let mut items = Items::new(STREAM_WINDOW);
        let half = vec![0; BODY_MAX_BYTES / 2];
        for number in 0..2 {
            items.take(number, Part::More, (&half[..]).into()).unwrap();
        }
        let error = items.take(2, Part::Item, (&[1][..]).into()).unwrap_err();
        assert_eq!(error.kind, ErrorKind::PayloadTooLarge);
    }
}
