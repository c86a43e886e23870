//! Many calls whose replies come to one place, in the order in which they come.
//!
//! For callers with thousands of calls under way: one channel for all of them, and neither a future nor a wake-up for each.

use super::pool::Command;
use super::stream::Receiving;
use super::thread::ThreadEnded;
use super::{Call, Client, Reply};
use crate::net::traces::CallSpan;
use bytes::Bytes;
use futures_channel::{mpsc, oneshot};
use futures_lite::Stream;
use madrpc_core::call::{CallError, ErrorKind};
use std::collections::HashMap;
use std::pin::Pin;
use std::task::{Context, Poll};

/// Who is told what has become of a call.
#[derive(Debug)]
pub(crate) enum ReplyTo {
    One(oneshot::Sender<Result<Reply<Bytes>, CallError>>),
    Many(OneOfMany),
    /// With items before it.
    Items(Box<Receiving>),
    /// One of the others; the end is recorded before.
    Recorded(Box<Recorded>),
}

// Each call under way has one.
const _: () = assert!(size_of::<ReplyTo>() <= 24);

/// The end of a call that is recorded.
#[derive(Debug)]
pub(crate) struct Recorded {
    pub(super) reply: ReplyTo,
    pub(super) span: CallSpan,
}

/// The end of one of many calls. Where the thread that has it ends, it is told like any other: the channel is that of all, and
/// stays open.
#[derive(Debug)]
pub(crate) struct OneOfMany {
    tag: u64,
    /// `None` once it was told, or is not to be.
    ended: Option<mpsc::UnboundedSender<Ended>>,
}

impl OneOfMany {
    fn tell(&mut self, result: Result<Reply<Bytes>, CallError>) {
        if let Some(ended) = self.ended.take() {
            let tag = self.tag;
            // It goes nowhere where nobody waits any more.
            let _ = ended.unbounded_send(Ended { tag, result });
        }
    }
}

impl Drop for OneOfMany {
    fn drop(&mut self) {
        if self.ended.is_some() {
            self.tell(Err(ThreadEnded.into()));
        }
    }
}

impl ReplyTo {
    /// It goes nowhere where nobody waits any more.
    pub(super) fn send(self, result: Result<Reply<Bytes>, CallError>) {
        match self {
            Self::One(reply) => drop(reply.send(result)),
            Self::Many(mut one) => one.tell(result),
            Self::Items(receiving) => receiving.end(result),
            Self::Recorded(recorded) => {
                let Recorded { mut reply, span } = *recorded;
                let result = match reply.receiving() {
                    Some(receiving) => receiving.whole(result),
                    None => result,
                };
                span.end(result.as_ref().err().map(|error| error.kind));
                reply.send(result);
            }
        }
    }

    /// Nobody waits any more.
    pub(super) fn forget(self) {
        match self {
            Self::Many(mut one) => one.ended = None,
            Self::Recorded(recorded) => {
                recorded.span.end(Some(ErrorKind::Cancelled));
                recorded.reply.forget();
            }
            Self::One(_) | Self::Items(_) => {}
        }
    }

    /// The stream that its call is.
    pub(super) fn receiving(&mut self) -> Option<&mut Receiving> {
        match self {
            Self::Items(receiving) => Some(receiving),
            Self::Recorded(recorded) => recorded.reply.receiving(),
            Self::One(_) | Self::Many(_) => None,
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
        let reply = ReplyTo::Many(OneOfMany {
            tag,
            ended: Some(self.ended.clone()),
        });
        let number = call.begin(args, 0, reply)?;
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

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "that is how a test fails")]
mod tests {
    use super::*;

    /// What a panic does to calls that the thread has, and to those that it has not taken yet.
    #[test]
    fn a_call_that_nobody_will_answer_ends() {
        let (ended, mut replies) = mpsc::unbounded();
        let one = |tag| {
            let ended = Some(ended.clone());
            ReplyTo::Many(OneOfMany { tag, ended })
        };
        drop(one(7));
        let Ended { tag, result } = replies.try_recv().unwrap();
        let error = result.unwrap_err();
        assert_eq!((tag, error.kind), (7, ErrorKind::Internal));
        assert!(error.may_have_run, "{error}");
        let unknown = CallError::not_run(ErrorKind::NoSuchFunction, "f");
        one(8).send(Err(unknown));
        let Ended { tag, result } = replies.try_recv().unwrap();
        assert_eq!(
            (tag, result.unwrap_err().kind),
            (8, ErrorKind::NoSuchFunction)
        );
        one(9).forget();
        assert!(
            replies.try_recv().is_err(),
            "one was told twice, or for nothing"
        );
    }
}
