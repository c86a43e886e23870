//! Functions that stream: their items as they come, and what the reader lets the function send.

use super::pool::Command;
use super::thread::{ThreadEnded, ToPool};
use super::{Reply, decode_result, decoded};
use crate::net::dial::Item;
use bytes::Bytes;
use futures_channel::mpsc::{UnboundedReceiver, UnboundedSender};
use futures_lite::Stream;
use futures_lite::future::block_on;
use madrpc_core::call::frame::Part;
use madrpc_core::call::{CallError, ErrorKind};
use madrpc_core::limits::{BODY_MAX_BYTES, STREAM_WINDOW};
use madrpc_core::value::Value;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// After so many frames that were taken the server is told that it may send as many more.
const GRANTED_AT_ONCE: u32 = STREAM_WINDOW / 2;

/// What the pool tells the reader.
#[derive(Debug)]
pub(super) enum Event {
    Item {
        body: Bytes,
        /// How many are to be granted for it, once it is taken.
        frames: u32,
    },
    End(Result<End, CallError>),
}

#[derive(Debug)]
pub(super) struct End {
    reply: Reply<Bytes>,
    has_streamed: bool,
}

/// The items of a call, as a [`Stream`] of them; see [`Call::stream`](super::Call::stream).
///
/// Its last item is the error, where there is one. A stream that is dropped before its end cancels the call.
#[derive(Debug)]
#[must_use = "the function waits until its items are taken"]
pub struct ItemStream<T> {
    open: Option<Open>,
    /// Why nothing was sent.
    failed: Option<CallError>,
    end: Option<(Reply<Value>, bool)>,
    read: fn(Value) -> Result<T, CallError>,
}

/// A call that has not ended.
#[derive(Debug)]
struct Open {
    number: u64,
    pool: ToPool,
    events: UnboundedReceiver<Event>,
    /// Frames that were taken since the last grant.
    taken: u32,
}

impl Drop for Open {
    fn drop(&mut self) {
        // It fails where the client thread has ended, and the call with it.
        let _ = self.pool.send(Command::Cancel(self.number));
    }
}

impl<T> ItemStream<T> {
    pub(super) fn new(
        opened: Result<(u64, ToPool), CallError>,
        events: UnboundedReceiver<Event>,
        read: fn(Value) -> Result<T, CallError>,
    ) -> Self {
        let (open, failed) = match opened {
            Ok((number, pool)) => {
                let taken = 0;
                let open = Open {
                    number,
                    pool,
                    events,
                    taken,
                };
                (Some(open), None)
            }
            Err(error) => (None, Some(error)),
        };
        Self {
            open,
            failed,
            end: None,
            read,
        }
    }

    /// Waits for the next item, for threads without an async runtime.
    pub fn next_blocking(&mut self) -> Option<Result<T, CallError>> {
        block_on(std::future::poll_fn(|context| self.poll_item(context)))
    }

    /// What the function has returned, and the bill; once the stream has ended, and without an error.
    #[must_use]
    pub fn reply(&self) -> Option<&Reply<Value>> {
        self.end.as_ref().map(|(reply, _)| reply)
    }

    /// Whether the function was one that streams, once the stream has ended without an error. Any other gives no items, and its
    /// result is that of [`ItemStream::reply`].
    #[must_use]
    pub fn has_streamed(&self) -> bool {
        self.end
            .as_ref()
            .is_some_and(|(_, has_streamed)| *has_streamed)
    }

    fn poll_item(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<T, CallError>>> {
        if let Some(error) = self.failed.take() {
            return Poll::Ready(Some(Err(error)));
        }
        let Some(open) = &mut self.open else {
            return Poll::Ready(None);
        };
        let read = match ready!(Pin::new(&mut open.events).poll_next(context)) {
            Some(Event::Item { body, frames }) => {
                open.took(frames);
                decode_result(&body).and_then(self.read)
            }
            Some(Event::End(Ok(End {
                reply,
                has_streamed,
            }))) => {
                self.open = None;
                match decoded(reply) {
                    Ok(reply) => {
                        self.end = Some((reply, has_streamed));
                        return Poll::Ready(None);
                    }
                    Err(error) => Err(error),
                }
            }
            Some(Event::End(Err(error))) => Err(error),
            None => Err(ThreadEnded.into()),
        };
        if read.is_err() {
            self.open = None;
        }
        Poll::Ready(Some(read))
    }
}

impl<T> Stream for ItemStream<T> {
    type Item = Result<T, CallError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_item(context)
    }
}

impl Open {
    fn took(&mut self, frames: u32) {
        self.taken = self.taken.saturating_add(frames);
        if self.taken >= GRANTED_AT_ONCE {
            let frames = std::mem::take(&mut self.taken);
            let number = self.number;
            // Where the client thread has ended, the stream says so next.
            let _ = self.pool.send(Command::Grant { number, frames });
        }
    }
}

/// The pool's side of a stream.
#[derive(Debug)]
pub(crate) struct Receiving {
    to_reader: UnboundedSender<Event>,
    /// The number of the next frame.
    number: u64,
    /// Frames that may still come.
    credit: u32,
    /// What has come of the next item, and in how many frames that were not granted again.
    partial: Vec<u8>,
    frames: u32,
    result: Option<Bytes>,
}

impl Receiving {
    pub(super) fn new(to_reader: UnboundedSender<Event>) -> Self {
        Self {
            to_reader,
            number: 0,
            credit: STREAM_WINDOW,
            partial: Vec::new(),
            frames: 0,
            result: None,
        }
    }

    /// So many more frames may come.
    pub(super) fn grant(&mut self, frames: u32) {
        self.credit = self.credit.saturating_add(frames);
    }

    /// A frame has come; gives how many more are to be granted at once.
    ///
    /// # Errors
    /// Where the server does not keep to the protocol, or an item is larger than we take.
    pub(super) fn take(&mut self, item: Item<'_>) -> Result<u32, CallError> {
        let Item { number, part, body } = item;
        if number != self.number || self.result.is_some() || self.credit == 0 {
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
            // The rest of one that was begun has to come, whatever the reader takes.
            if self.frames < GRANTED_AT_ONCE {
                return Ok(0);
            }
            let frames = std::mem::take(&mut self.frames);
            self.grant(frames);
            return Ok(frames);
        }
        let body = match self.partial.is_empty() {
            true => body.to_bytes(),
            false => {
                self.partial.extend_from_slice(&body);
                std::mem::take(&mut self.partial).into()
            }
        };
        match part {
            Part::Result => self.result = Some(body),
            Part::Item | Part::More => {
                let frames = std::mem::take(&mut self.frames);
                // The reader may be gone, and its cancel on the way.
                let _ = self.to_reader.unbounded_send(Event::Item { body, frames });
            }
        }
        Ok(0)
    }

    /// The call is over.
    pub(super) fn end(self, outcome: Result<Reply<Bytes>, CallError>) {
        let has_streamed = self.result.is_some();
        let end = outcome.and_then(|mut reply| {
            if let Some(result) = self.result {
                reply.result = result;
            } else if self.number > 0 || reply.result.is_empty() {
                let error = "the stream has ended without its last frames: is a server on the way of an earlier version?";
                return Err(CallError::may_have_run(ErrorKind::Protocol, error));
            }
            Ok(End {
                reply,
                has_streamed,
            })
        });
        let _ = self.to_reader.unbounded_send(Event::End(end));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_channel::mpsc::unbounded;

    fn item(number: u64, part: Part, body: &[u8]) -> Item<'_> {
        let body = body.into();
        Item { number, part, body }
    }

    #[test]
    fn pieces_are_put_together_and_granted_while_they_come() {
        let (to_reader, mut events) = unbounded();
        let mut receiving = Receiving::new(to_reader);
        let mut granted = 0;
        let last = u64::from(2 * STREAM_WINDOW);
        for number in 0..last {
            granted += receiving.take(item(number, Part::More, &[1])).unwrap();
        }
        receiving.take(item(last, Part::Item, &[2])).unwrap();
        let Ok(Event::Item { body, frames }) = events.try_recv() else {
            panic!("no item");
        };
        assert_eq!(body.len() as u64, last + 1);
        assert_eq!(u64::from(granted + frames), last + 1);
    }

    #[test]
    fn what_does_not_come_in_order_or_unasked_for_is_refused() {
        let (to_reader, _events) = unbounded();
        let mut receiving = Receiving::new(to_reader);
        for number in 0..u64::from(STREAM_WINDOW) {
            receiving.take(item(number, Part::Item, &[1])).unwrap();
        }
        let next = u64::from(STREAM_WINDOW);
        assert!(receiving.take(item(next, Part::Item, &[1])).is_err());
        receiving.grant(1);
        assert!(receiving.take(item(next - 1, Part::Item, &[1])).is_err());
        assert!(receiving.take(item(next + 1, Part::Item, &[1])).is_err());
        assert_eq!(receiving.take(item(next, Part::Result, &[1])), Ok(0));
        receiving.grant(1);
        assert!(receiving.take(item(next + 1, Part::Item, &[1])).is_err());
    }
}
