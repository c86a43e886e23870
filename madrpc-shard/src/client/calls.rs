//! Many calls whose replies come to one place, in the order in which they come.
//!
//! For callers with thousands of calls under way: one channel for all of them, and neither a future nor a wake-up for each.

use super::pool::Command;
use super::{Call, Client, Reply};
use bytes::Bytes;
use futures_channel::{mpsc, oneshot};
use futures_lite::Stream;
use madrpc_core::call::CallError;
use std::collections::HashMap;
use std::pin::Pin;
use std::task::{Context, Poll};

/// Who is told what has become of a call.
#[derive(Debug)]
pub(crate) enum ReplyTo {
    One(oneshot::Sender<Result<Reply<Bytes>, CallError>>),
    Many {
        tag: u64,
        ended: mpsc::UnboundedSender<Ended>,
    },
}

impl ReplyTo {
    /// It goes nowhere where nobody waits any more.
    pub(super) fn send(self, result: Result<Reply<Bytes>, CallError>) {
        match self {
            Self::One(reply) => drop(reply.send(result)),
            Self::Many { tag, ended } => drop(ended.unbounded_send(Ended { tag, result })),
        }
    }
}

/// A call that has ended.
#[derive(Debug)]
pub struct Ended {
    /// What its caller knows it by.
    pub tag: u64,
    /// What it returned, [encoded](madrpc_core::value::wire), or why it returned nothing.
    pub result: Result<Reply<Bytes>, CallError>,
}

/// Many calls of one client: a stream of those that have ended, as they end. [`Client::calls`] makes one.
///
/// The stream gives `None` when nothing is under way, and goes on after the next [`begin`](Calls::begin). Dropped, it cancels
/// what is under way.
#[derive(Debug)]
pub struct Calls {
    client: Client,
    ended: mpsc::UnboundedSender<Ended>,
    replies: mpsc::UnboundedReceiver<Ended>,
    /// The numbers of the calls, by their tags.
    under_way: HashMap<u64, u64>,
}

impl Calls {
    pub(super) fn new(client: Client) -> Self {
        let (ended, replies) = mpsc::unbounded();
        Self {
            client,
            ended,
            replies,
            under_way: HashMap::new(),
        }
    }

    /// Sends a call with these [encoded](madrpc_core::value::wire) arguments, of at most
    /// [`BODY_MAX_BYTES`](madrpc_core::limits::BODY_MAX_BYTES). It is known by `tag`, which no call before it
    /// had. How many are under way is the caller's to bound.
    ///
    /// # Errors
    /// Where the call cannot be sent, as of a key that is too long.
    pub fn begin(&mut self, tag: u64, call: &Call<'_>, args: Bytes) -> Result<(), CallError> {
        let reply = ReplyTo::Many {
            tag,
            ended: self.ended.clone(),
        };
        let number = call.begin(args, reply)?;
        self.under_way.insert(tag, number);
        Ok(())
    }

    /// Gives a call up, on the node too. The stream says nothing of it.
    pub fn cancel(&mut self, tag: u64) {
        if let Some(number) = self.under_way.remove(&tag) {
            // It fails where the client thread has ended, and the call with it.
            let _ = self.client.pool.send(Command::Cancel(number));
        }
    }

    /// How many are under way.
    #[must_use]
    pub fn len(&self) -> usize {
        self.under_way.len()
    }

    /// Whether none is under way.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.under_way.is_empty()
    }
}

impl Stream for Calls {
    type Item = Ended;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Ended>> {
        while !self.under_way.is_empty() {
            match Pin::new(&mut self.replies).poll_next(context) {
                // One that was cancelled may have ended before.
                Poll::Ready(Some(ended)) if self.under_way.remove(&ended.tag).is_none() => {}
                Poll::Pending => return Poll::Pending,
                ended => return ended,
            }
        }
        Poll::Ready(None)
    }
}

impl Drop for Calls {
    fn drop(&mut self) {
        for (_, number) in self.under_way.drain() {
            let _ = self.client.pool.send(Command::Cancel(number));
        }
    }
}
