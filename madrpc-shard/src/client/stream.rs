//! Functions that stream: their items as they come, and what the reader lets the function send.

use super::Reply;
use super::pool::Command;
use super::thread::{ThreadEnded, ToPool};
use super::values::{decode_result, decoded};
use crate::net::dial::Item;
use bytes::Bytes;
use futures_channel::mpsc::{UnboundedReceiver, UnboundedSender};
use futures_lite::Stream;
use futures_lite::future::block_on;
use madrpc_core::call::CallError;
use madrpc_core::call::items::{Came, Items, broken_off};
use madrpc_core::value::Value;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// What the pool tells the reader.
#[derive(Debug)]
pub(crate) enum Event {
    /// So many more frames of a large item have come, and may come again once there is room for these.
    Piece {
        frames: u32,
    },
    Item {
        body: Bytes,
        /// How many are to be granted for it, once it is taken.
        frames: u32,
    },
    End(Result<End, CallError>),
}

#[derive(Debug)]
pub(crate) struct End {
    pub(crate) reply: Reply<Bytes>,
    has_streamed: bool,
}

/// The items of a call, encoded, for a reader who counts what he holds: no more comes than he has granted. Dropped before its end
/// it cancels the call.
#[derive(Debug)]
pub(crate) struct Incoming {
    open: Option<Open>,
    /// Why nothing was sent.
    failed: Option<CallError>,
    /// Frames that may come before any is taken.
    window: u32,
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

impl Incoming {
    pub(super) fn new(
        opened: Result<(u64, ToPool), CallError>,
        events: UnboundedReceiver<Event>,
        window: u32,
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
            window,
        }
    }

    /// What has come; nothing once it has ended.
    pub(crate) fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Event>> {
        if let Some(error) = self.failed.take() {
            return Poll::Ready(Some(Event::End(Err(error))));
        }
        let Some(open) = &mut self.open else {
            return Poll::Ready(None);
        };
        let event = ready!(Pin::new(&mut open.events).poll_next(context));
        let event = event.unwrap_or_else(|| Event::End(Err(ThreadEnded.into())));
        if matches!(event, Event::End(_)) {
            self.open = None;
        }
        Poll::Ready(Some(event))
    }

    /// There is room again for so many frames. The server is told now and then.
    pub(crate) fn took(&mut self, frames: u32) {
        if let Some(open) = &mut self.open {
            open.taken = open.taken.saturating_add(frames);
            if open.taken >= Items::granted_at_once(self.window) {
                let frames = std::mem::take(&mut open.taken);
                open.grant(frames);
            }
        }
    }

    /// Gives the call up. Nothing more comes.
    fn cancel(&mut self) {
        self.open = None;
        self.failed = None;
    }
}

#[cfg(feature = "gateway")]
impl Incoming {
    /// Frames that may come before any is taken.
    pub(crate) fn window(&self) -> u32 {
        self.window
    }

    /// So many more may come before any is taken.
    pub(crate) fn widen(&mut self, frames: u32) {
        self.window = self.window.saturating_add(frames);
        if let Some(open) = &self.open {
            open.grant(frames);
        }
    }
}

impl Open {
    fn grant(&self, frames: u32) {
        let number = self.number;
        // Where the client thread has ended, the stream says so next.
        let _ = self.pool.send(Command::Grant { number, frames });
    }
}

/// The items of a call, as a [`Stream`] of them; see [`Call::stream`](super::Call::stream).
///
/// Its last item is the error, where there is one. A stream that is dropped before its end cancels the call.
#[derive(Debug)]
#[must_use = "the function waits until its items are taken"]
pub struct ItemStream<T> {
    items: EncodedItems,
    end: Option<(Reply<Value>, bool)>,
    read: fn(Value) -> Result<T, CallError>,
}

/// The same, of [encoded](madrpc_core::value::wire) items, for who makes values of their own of them; see
/// [`Call::stream_encoded`](super::Call::stream_encoded).
#[derive(Debug)]
#[must_use = "the function waits until its items are taken"]
pub struct EncodedItems {
    incoming: Incoming,
    end: Option<End>,
}

impl EncodedItems {
    pub(super) fn new(incoming: Incoming) -> Self {
        let end = None;
        Self { incoming, end }
    }

    /// What the function has returned, and the bill; once the stream has ended, and without an error.
    #[must_use]
    pub fn reply(&self) -> Option<&Reply<Bytes>> {
        self.end.as_ref().map(|end| &end.reply)
    }

    /// Cancels the call, where it has not ended. The stream has no more items.
    pub fn cancel(&mut self) {
        self.incoming.cancel();
    }
}

impl Stream for EncodedItems {
    type Item = Result<Bytes, CallError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        while let Some(event) = ready!(self.incoming.poll_next(context)) {
            match event {
                Event::Piece { frames } => self.incoming.took(frames),
                Event::Item { body, frames } => {
                    self.incoming.took(frames);
                    return Poll::Ready(Some(Ok(body)));
                }
                Event::End(Ok(end)) => self.end = Some(end),
                Event::End(Err(error)) => return Poll::Ready(Some(Err(error))),
            }
        }
        Poll::Ready(None)
    }
}

impl<T> ItemStream<T> {
    pub(super) fn new(items: EncodedItems, read: fn(Value) -> Result<T, CallError>) -> Self {
        let end = None;
        Self { items, end, read }
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
        let read = match ready!(Pin::new(&mut self.items).poll_next(context)) {
            Some(item) => item
                .and_then(|body| decode_result(&body))
                .and_then(self.read),
            None => {
                let Some(End {
                    reply,
                    has_streamed,
                }) = self.items.end.take()
                else {
                    return Poll::Ready(None);
                };
                match decoded(reply) {
                    Ok(reply) => {
                        self.end = Some((reply, has_streamed));
                        return Poll::Ready(None);
                    }
                    Err(error) => Err(error),
                }
            }
        };
        if read.is_err() {
            self.items.cancel();
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

/// The pool's side of a stream.
#[derive(Debug)]
pub(crate) struct Receiving {
    to_reader: UnboundedSender<Event>,
    items: Items,
    result: Option<Bytes>,
}

impl Receiving {
    pub(super) fn new(to_reader: UnboundedSender<Event>, window: u32) -> Self {
        Self {
            to_reader,
            items: Items::new(window),
            result: None,
        }
    }

    /// So many more frames may come.
    pub(super) fn grant(&mut self, frames: u32) {
        self.items.grant(frames);
    }

    /// A frame has come. Only the reader says whether more may: it knows what it has room for.
    ///
    /// # Errors
    /// As [`Items::take`].
    pub(super) fn take(&mut self, item: Item<'_>) -> Result<(), CallError> {
        let event = match self.items.take(item.number, item.part, item.body)? {
            Came::Piece { frames: 0 } => return Ok(()),
            Came::Piece { frames } => Event::Piece { frames },
            Came::Item { body, frames } => Event::Item { body, frames },
            Came::Result(body) => {
                self.result = Some(body);
                return Ok(());
            }
        };
        // The reader may be gone, and its cancel on the way.
        let _ = self.to_reader.unbounded_send(event);
        Ok(())
    }

    /// What the call has come to: nothing where its stream was broken off.
    pub(super) fn whole(
        &self,
        outcome: Result<Reply<Bytes>, CallError>,
    ) -> Result<Reply<Bytes>, CallError> {
        outcome.and_then(|reply| {
            let is_whole =
                self.result.is_some() || !self.items.has_begun() && !reply.result.is_empty();
            is_whole.then_some(reply).ok_or_else(broken_off)
        })
    }

    /// The call is over.
    pub(super) fn end(mut self, outcome: Result<Reply<Bytes>, CallError>) {
        let outcome = self.whole(outcome);
        let result = self.result.take();
        let has_streamed = result.is_some();
        let end = outcome.map(|mut reply| {
            if let Some(result) = result {
                reply.result = result;
            }
            End {
                reply,
                has_streamed,
            }
        });
        let _ = self.to_reader.unbounded_send(Event::End(end));
    }
}
