//! A pool of sessions to a server or several, and the calls of all the clients that share it.

use super::calls::ReplyTo;
use super::stream::Receiving;
use super::{ClientError, Reply};
use crate::net::address::Addresses;
use crate::net::budget::Budget;
use crate::net::dial::{CallId, Item, Keep, Outcome, Request, Sessions, Upstreams};
use crate::net::named::{Named, as_one, distinct};
use crate::net::spin::{REPLY_SPIN, Spin};
use crate::net::transport::dialing_endpoint;
use bytes::Bytes;
use futures_channel::mpsc::UnboundedReceiver;
use futures_channel::oneshot;
use madrpc_core::call::{CallError, ErrorKind, Fields};
use madrpc_core::identity::Identity;
use madrpc_core::limits::{CLIENT_IDLE_TIMEOUT, ENDINGS_PER_TURN};
use madrpc_core::session::FrameBuffer;
use std::collections::HashMap;
use std::net::{SocketAddr, UdpSocket};
use std::time::Instant;

/// Commands taken in one turn, so that replies and other pools have theirs.
const COMMANDS_PER_TURN: usize = 1024;

/// Whose sessions a pool holds.
pub(super) struct Target {
    pub(super) servers: Vec<Named>,
    /// They are tried in their order, and the first that answers gets all calls.
    pub(super) one_at_a_time: bool,
    pub(super) identity: Identity,
    pub(super) sessions: Sessions,
    pub(super) server_name: &'static str,
}

/// What a client tells its pool.
#[derive(Debug)]
pub(crate) enum Command {
    Call {
        /// Tells it from all others of this pool.
        number: u64,
        function: String,
        body: Bytes,
        /// What the caller says besides.
        fields: Vec<u8>,
        deadline: Instant,
        reply: ReplyTo,
    },
    /// The reader of the stream of this number lets so many more frames come.
    Grant { number: u64, frames: u32 },
    /// Nobody waits for the reply to the call of this number.
    Cancel(u64),
    /// End the sessions now, and say so.
    Close(oneshot::Sender<()>),
}

/// A caller of the pool who waits.
pub(crate) struct Waiting {
    number: u64,
    reply: ReplyTo,
}

/// What comes after a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// Another one soon.
    Turn,
    /// Another one when a datagram or a command comes, or a timer is over.
    Sleep,
    /// None: its last client is gone.
    Nothing,
}

pub(crate) struct Pool {
    upstreams: Upstreams<Waiting>,
    /// The calls under way, for those who give one up.
    sent: HashMap<u64, CallId>,
    buffer: FrameBuffer,
    spin: Spin,
}

impl Pool {
    /// Nothing is sent before the first call.
    pub(super) fn open(target: Target, now: Instant) -> Result<Self, ClientError> {
        let targets = match target.one_at_a_time {
            true => vec![as_one(&target.servers)?],
            false => distinct(&target.servers),
        };
        let all: Vec<SocketAddr> = targets.iter().flat_map(Addresses::all).copied().collect();
        let endpoint = dialing_endpoint(
            &target.identity,
            &all,
            CLIENT_IDLE_TIMEOUT,
            &Budget::unlimited(),
            now,
        )?;
        // Clients with one session each spread over the server's shards by chance.
        let sessions = (target.sessions, fastrand::u16(..));
        let keep = Keep::WhileCalling;
        let mut upstreams =
            Upstreams::new(endpoint, &targets, sessions, target.server_name, keep, now);
        if !target.one_at_a_time {
            upstreams.set_names(target.servers, now);
        }
        Ok(Self::new(upstreams))
    }

    pub(crate) fn new(upstreams: Upstreams<Waiting>) -> Self {
        Self {
            upstreams,
            sent: HashMap::new(),
            buffer: FrameBuffer::default(),
            spin: Spin::new(REPLY_SPIN),
        }
    }

    /// It can be read when there is something to receive.
    pub(super) fn socket(&self) -> &UdpSocket {
        self.upstreams.endpoint().socket()
    }

    /// When to take the next turn at the latest.
    pub(super) fn next_timer(&self) -> Option<Instant> {
        self.upstreams.next_timer()
    }

    /// Does what there is to do, for a bounded time; gives what comes next.
    pub(super) fn turn(&mut self, commands: &mut UnboundedReceiver<Command>, now: Instant) -> Next {
        // First what has become of sessions: no call is to be put on one that is over.
        let received = self.upstreams.receive(now);
        self.settle_calls(now);
        let mut taken = 0;
        while taken < COMMANDS_PER_TURN {
            match commands.try_recv() {
                Ok(command) => self.on_command(command, now),
                Err(why) if why.is_closed() => {
                    self.say_goodbye(now);
                    return Next::Nothing;
                }
                Err(_) => break,
            }
            taken += 1;
        }
        self.upstreams.flush(now);
        let worked = received > 0 || taken > 0;
        if worked {
            self.spin.on_work(now);
        }
        let waits = self.upstreams.waiting() > 0;
        match worked || self.upstreams.has_work() || waits && self.spin.looks_again(now) {
            true => Next::Turn,
            false => Next::Sleep,
        }
    }

    /// Ends the calls that are under way: once a client is closed their callers have been told, and what is recorded of them is there.
    fn give_up(&mut self) {
        for (_, call) in self.sent.drain() {
            if let Some(waiting) = self.upstreams.cancel(call) {
                let error = "the client was closed while the call was under way";
                let error = CallError::may_have_run(ErrorKind::Cancelled, error);
                waiting.reply.send(Err(error));
            }
        }
    }

    fn say_goodbye(&mut self, now: Instant) {
        self.upstreams.close("the client is done");
        self.upstreams.flush(now);
    }

    /// Tells the callers what has become of their calls.
    fn settle_calls(&mut self, now: Instant) {
        let Self {
            upstreams,
            sent,
            buffer,
            ..
        } = self;
        while let Some((session, event)) = upstreams.next_frame(buffer, now) {
            if let Some((waiting, _, outcome)) = upstreams.on_frame(session, &event, now) {
                sent.remove(&waiting.number);
                settle(waiting.reply, outcome);
            } else if let (Some(call), Some(item)) = (upstreams.take_item(), Item::of(&event)) {
                take_item(upstreams, sent, call, item);
            }
        }
        for _ in 0..ENDINGS_PER_TURN {
            let Some((waiting, _, error)) = upstreams.next_lost(now) else {
                break;
            };
            sent.remove(&waiting.number);
            settle(waiting.reply, Outcome::Lost(error));
        }
    }

    pub(crate) fn on_command(&mut self, command: Command, now: Instant) {
        match command {
            Command::Call {
                number,
                function,
                body,
                fields,
                deadline,
                reply,
            } => {
                let request = Request {
                    function: &function,
                    body: (&body).into(),
                    deadline,
                    depth: 0,
                    account: None,
                    fields: Fields(&fields),
                };
                let waiting = Waiting { number, reply };
                match self.upstreams.call(now, &request, waiting) {
                    Ok(call) => {
                        self.sent.insert(number, call);
                    }
                    // Nobody waits where it cannot be sent.
                    Err((waiting, error)) => waiting.reply.send(Err(error)),
                }
            }
            Command::Grant { number, frames } => {
                if let Some(&call) = self.sent.get(&number) {
                    if let Some(receiving) = receiving(&mut self.upstreams, call) {
                        receiving.grant(frames);
                    }
                    self.upstreams.grant(call, frames);
                }
            }
            Command::Cancel(number) => {
                if let Some(call) = self.sent.remove(&number)
                    && let Some(waiting) = self.upstreams.cancel(call)
                {
                    waiting.reply.forget();
                }
            }
            Command::Close(closed) => {
                self.give_up();
                self.say_goodbye(now);
                // The client that asked may not wait for it.
                let _ = closed.send(());
            }
        }
    }
}

/// The stream that a call is.
fn receiving(upstreams: &mut Upstreams<Waiting>, call: CallId) -> Option<&mut Receiving> {
    upstreams.tag_mut(call)?.reply.receiving()
}

/// Hands an item on, where its call is a stream.
fn take_item(
    upstreams: &mut Upstreams<Waiting>,
    sent: &mut HashMap<u64, CallId>,
    call: CallId,
    item: Item<'_>,
) {
    let Some(receiving) = receiving(upstreams, call) else {
        return;
    };
    if let Err(error) = receiving.take(item)
        && let Some(waiting) = upstreams.cancel(call)
    {
        sent.remove(&waiting.number);
        waiting.reply.send(Err(error));
    }
}

fn settle(reply: ReplyTo, outcome: Outcome<'_>) {
    let result = match outcome {
        Outcome::Reply { bill, body } => Ok(Reply {
            result: body.to_bytes(),
            bill: bill.to_owned_bill(),
        }),
        Outcome::Failure {
            bill, fields, body, ..
        } => Err(CallError {
            bill: Some(Box::new(bill.to_owned_bill())),
            ..CallError::from_failure(&body, fields)
        }),
        Outcome::Lost(error) => Err(match error.kind {
            ErrorKind::DeadlineExceeded => CallError {
                message: format!("no reply by the deadline: {}", error.message),
                ..error
            },
            _ => error,
        }),
    };
    reply.send(result);
}
