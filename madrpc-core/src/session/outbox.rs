//! What a session has to say and QUIC has not taken yet.
//!
//! Owns the frames on their way out and which stream each takes. Never waits and never drops a frame that the peer may
//! still want; how much may gather here is for the driver to bound.

use crate::call::frame::{self, Header};
use crate::call::{Bill, Body, CallError, Fields, Load, ReplyFields};
use crate::limits::{HEADER_MAX_BYTES, INLINE_BODY_MAX_BYTES};
use bytes::Bytes;
use std::collections::VecDeque;

use super::CHANNEL;
use super::quic::Quic;

const STREAM_ID_STEP: u64 = 4;

/// Frames on their way out that QUIC has not taken yet.
#[derive(Debug, Default)]
pub struct Outbox {
    channel: Vec<u8>,
    channel_taken: usize,
    bodies: VecDeque<Departing>,
    body_bytes: usize,
    /// Bytes that QUIC has taken in the life of the session.
    taken_bytes: u64,
}

/// A frame on a stream of its own.
#[derive(Debug)]
struct Departing {
    /// What comes before the body.
    head: Vec<u8>,
    body: Bytes,
    taken: usize,
    stream: Option<u64>,
}

impl Outbox {
    /// Puts a frame on its way: on the channel, or on a stream of its own where the body is large.
    pub fn send<'b>(&mut self, header: &Header<'_>, body: impl Into<Body<'b>>) {
        self.send_with(header, Fields::NONE, body);
    }

    /// The same, with fields.
    pub fn send_with<'b>(
        &mut self,
        header: &Header<'_>,
        fields: Fields<'_>,
        body: impl Into<Body<'b>>,
    ) {
        let body = body.into();
        match body.len() <= INLINE_BODY_MAX_BYTES {
            true => {
                frame::write_head(&mut self.channel, header, fields, body.len());
                self.channel.extend_from_slice(&body);
            }
            false => self.send_large(header, fields, body.to_bytes()),
        }
    }

    /// Where the next small frame will begin, for [`Outbox::small_from`].
    #[must_use]
    pub const fn small_end(&self) -> usize {
        self.channel.len()
    }

    /// The small frames that were put on their way since [`Outbox::small_end`] gave this, as long as nothing was sent.
    #[must_use]
    pub fn small_from(&self, start: usize) -> &[u8] {
        self.channel.get(start..).unwrap_or_default()
    }

    /// The same, of a body that goes as it is where it is large.
    pub fn send_owned(&mut self, header: &Header<'_>, fields: Fields<'_>, body: Vec<u8>) {
        match body.len() <= INLINE_BODY_MAX_BYTES {
            true => self.send_with(header, fields, &body),
            false => self.send_large(header, fields, body.into()),
        }
    }

    fn send_large(&mut self, header: &Header<'_>, fields: Fields<'_>, body: Bytes) {
        let mut head = Vec::with_capacity(HEADER_MAX_BYTES);
        frame::write_head(&mut head, header, fields, body.len());
        self.body_bytes += head.len() + body.len();
        self.bodies.push_back(Departing {
            head,
            body,
            taken: 0,
            stream: None,
        });
    }

    /// Takes all frames out of another, of which nothing was offered.
    pub fn append(&mut self, other: &mut Self) {
        self.channel.append(&mut other.channel);
        self.bodies.append(&mut other.bodies);
        self.body_bytes += std::mem::take(&mut other.body_bytes);
    }

    /// Tells the caller why its call has no result.
    pub fn fail(&mut self, id: u64, bill: Bill<&str>, error: &CallError) {
        self.fail_with(id, bill, error, None);
    }

    /// The same, and what the shard has to do, where that is to be said.
    pub fn fail_with(&mut self, id: u64, bill: Bill<&str>, error: &CallError, load: Option<Load>) {
        let kind = error.kind;
        // Strings and numbers: postcard refuses none of them.
        let body = postcard::to_stdvec(error).unwrap_or_default();
        let header = Header::Failure { id, kind, bill };
        let mut fields = Vec::new();
        let said = ReplyFields {
            load,
            ..error.fields()
        };
        said.write(&mut fields);
        self.send_with(&header, Fields(&fields), &body);
    }

    pub(super) fn taken_bytes(&self) -> u64 {
        self.taken_bytes
    }

    /// Bytes that QUIC has not taken.
    #[must_use]
    pub fn waiting_bytes(&self) -> usize {
        self.waiting_small_bytes() + self.body_bytes
    }

    /// Of those that are small, and wait for no large ones.
    #[must_use]
    pub fn waiting_small_bytes(&self) -> usize {
        self.channel.len() - self.channel_taken
    }

    /// Opens the channel, by what goes before all frames. Nothing may have been offered yet.
    pub(super) fn open_channel(&mut self, quic: &mut Quic) {
        open(quic, CHANNEL);
        self.channel.splice(..0, frame::NOTHING);
    }

    /// Gives QUIC of the small frames what it takes; `false` where the peer will never take them.
    pub(super) fn offer_channel(&mut self, quic: &mut Quic) -> bool {
        while self.channel_taken < self.channel.len() {
            match give(quic, CHANNEL, &self.channel[self.channel_taken..], false) {
                Err(quiche::Error::StreamStopped(_)) => return false,
                Ok(0) | Err(_) => break,
                Ok(taken) => {
                    self.channel_taken += taken;
                    self.taken_bytes += taken as u64;
                }
            }
        }
        if self.channel_taken == self.channel.len() {
            self.channel.clear();
            self.channel_taken = 0;
        } else if self.channel_taken > self.channel.len() / 2 {
            self.channel.drain(..self.channel_taken);
            self.channel_taken = 0;
        }
        true
    }

    /// Gives QUIC of the large frames what it takes, each on the next of our unidirectional streams.
    pub(super) fn offer_bodies(&mut self, quic: &mut Quic, next_uni: &mut u64) {
        let mut index = 0;
        while let Some(body) = self.bodies.get_mut(index) {
            let stream = match body.stream {
                Some(stream) => stream,
                None if quic.peer_streams_left_uni() == 0 => return,
                None => {
                    let stream = *next_uni;
                    *next_uni += STREAM_ID_STEP;
                    body.stream = Some(stream);
                    open(quic, stream);
                    stream
                }
            };
            let taken = match body.offer(quic, stream) {
                Ok(taken) => taken,
                // Stopped by the peer, which says why in a frame: the rest is of no use to it.
                Err(_) => body.left(),
            };
            body.taken += taken;
            self.taken_bytes += taken as u64;
            self.body_bytes -= taken;
            if body.left() == 0 {
                self.bodies.remove(index);
            } else {
                index += 1;
            }
        }
    }
}

impl Departing {
    /// Bytes that QUIC has not taken.
    fn left(&self) -> usize {
        self.head.len() + self.body.len() - self.taken
    }

    /// Gives QUIC what it takes; says how much.
    fn offer(&self, quic: &mut Quic, stream: u64) -> quiche::Result<usize> {
        let head = self.head.get(self.taken..).unwrap_or_default();
        let mut taken = 0;
        if !head.is_empty() {
            taken = done_is_none(give(quic, stream, head, false))?;
            if taken < head.len() {
                return Ok(taken);
            }
        }
        let rest = &self.body[self.taken + taken - self.head.len()..];
        Ok(taken + done_is_none(give(quic, stream, rest, true))?)
    }
}

/// No room is nothing taken.
fn done_is_none(given: quiche::Result<usize>) -> quiche::Result<usize> {
    match given {
        Err(quiche::Error::Done) => Ok(0),
        given => given,
    }
}

/// Makes QUIC know a stream of ours. Nothing is sent: a frame has to follow before the peer knows it too.
fn open(quic: &mut Quic, stream: u64) {
    // It fails only on a stream that the peer does not allow, which then shows by what follows.
    let _ = quic.stream_send(stream, b"", false);
}

/// Gives QUIC as much of `rest` as it has room for now; `fin` where nothing comes after `rest`.
fn give(quic: &mut Quic, stream: u64, rest: &[u8], fin: bool) -> quiche::Result<usize> {
    // quiche tells the peer that it is blocked each time it is offered more than the session's window has room for.
    // The peer acknowledges that, and so it goes on for as long as the peer reads nothing.
    let room = quic
        .stream_capacity(stream)?
        .min(rest.len())
        .min(quic.room());
    if room == 0 {
        return Err(quiche::Error::Done);
    }
    quic.stream_send(stream, &rest[..room], fin && room == rest.len())
}
