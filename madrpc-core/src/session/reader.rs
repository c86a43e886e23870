//! Reading: frames out of the bytes that have arrived.
//!
//! Owns what of a frame is there while the rest is not. A turn reads a bounded amount; what is left is read in the
//! next, and streams that have had a turn come last, so that no body holds up the channel.

use super::arriving::{Arriving, make_room, time_of};
use super::quic::Quic;
use super::{CHANNEL, Event, Portion, Room};
use crate::call::Body;
use crate::call::frame::{self, Frame, FrameError, Header};
use crate::limits::{
    BODY_HEADER_TIMEOUT, CHANNEL_BITE_BYTES, FRAMES_PER_TURN, HEADER_MAX_BYTES,
    INLINE_FRAME_MAX_BYTES, READ_PER_TURN_BYTES,
};
use crate::numbers::later;
use bytes::Bytes;
use std::collections::{HashMap, VecDeque};
use std::ops::Range;
use std::time::Instant;

/// Where frames are read into, one for all sessions of a thread. What [`Session::frame`] hands out is in it.
///
/// [`Session::frame`]: super::Session::frame
pub struct FrameBuffer {
    bytes: Box<[u8]>,
    /// Those of the channel that are not handed out.
    channel: Range<usize>,
    /// A frame that had a stream of its own.
    body: Bytes,
    /// The next frame.
    found: Found,
}

impl Default for FrameBuffer {
    fn default() -> Self {
        Self {
            bytes: vec![0; READ_PER_TURN_BYTES].into_boxed_slice(),
            channel: 0..0,
            body: Bytes::new(),
            found: Found::NOTHING,
        }
    }
}

impl FrameBuffer {
    /// Whether the frame that was found had a stream of its own: nobody counts its bytes any more.
    #[must_use]
    #[inline]
    pub const fn is_body(&self) -> bool {
        !matches!(self.found.kind, FoundKind::Nothing | FoundKind::Inline)
    }
}

/// Where in the buffer the next frame is. Plain numbers, and no enum: the pieces of that are copied in odd sizes, for each
/// of which the processor waits, and this is done for every frame.
#[derive(Clone, Copy)]
struct Found {
    kind: FoundKind,
    /// Of an inline frame: where it begins among the channel's bytes.
    start: usize,
    /// Its bytes; of one that is too large, those that it announces.
    bytes: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum FoundKind {
    Nothing,
    /// Whole, among the channel's bytes.
    Inline,
    /// Whole, from a stream of its own.
    Body,
    /// From a stream of its own; only the beginning is there.
    TooLarge,
    /// As before, of one for which there is no room now.
    NoRoom,
    /// As before, of one whose rest does not come.
    Stalled,
}

impl Found {
    const NOTHING: Self = Self::new(FoundKind::Nothing, 0, 0);

    const fn new(kind: FoundKind, start: usize, bytes: usize) -> Self {
        Self { kind, start, bytes }
    }
}

/// The streams of a session as they are read.
pub(super) struct Reader {
    body_max_bytes: usize,
    /// The beginning of a frame on the channel whose rest has not come.
    pub(super) partial: Vec<u8>,
    /// Bodies that are coming in, by stream: as many as a peer may have open at the same time.
    pub(super) arriving: HashMap<u64, Arriving>,
    /// Memory that those take.
    pub(super) arriving_bytes: usize,
    /// Since when no [`BODY_STALL_BYTES`] more of them have come; and how many have.
    pub(super) moved: Instant,
    pub(super) moved_bytes: usize,
    /// Calls on the channel that were handed out in the life of the session.
    pub(super) calls_taken: u64,
    /// Bytes read in the life of the session.
    pub(super) read_bytes: u64,
    pub(super) now: Instant,
    /// The streams to go on reading, where a turn ended before they were empty.
    pub(super) unread: VecDeque<u64>,
    /// What may still be read in this turn.
    bytes_left: usize,
    frames_left: usize,
    /// What is read from the channel at once, unless a long frame goes on.
    bite: usize,
    /// Room for bodies that begin in this turn.
    room: Room,
    /// Whether the peer has written on the channel.
    pub(super) channel_seen: bool,
    /// The peer has ended the channel, which is an error once its last frame is handed out.
    channel_ended: bool,
}

impl Reader {
    pub(super) fn new(body_max_bytes: usize) -> Self {
        Self {
            body_max_bytes,
            partial: Vec::new(),
            arriving: HashMap::new(),
            arriving_bytes: 0,
            moved: Instant::now(),
            moved_bytes: 0,
            calls_taken: 0,
            read_bytes: 0,
            now: Instant::now(),
            unread: VecDeque::new(),
            bytes_left: 0,
            frames_left: 0,
            bite: 0,
            room: Room::ANY,
            channel_seen: false,
            channel_ended: false,
        }
    }

    pub(super) fn begin_turn(
        &mut self,
        buffer: &mut FrameBuffer,
        portion: Portion,
        room: Room,
        now: Instant,
    ) {
        self.now = now;
        self.room = room;
        // A session that broke the protocol has left what followed.
        buffer.channel = 0..0;
        buffer.body = Bytes::new();
        let part = match portion {
            Portion::Whole => 1,
            Portion::Small => 8,
        };
        self.bytes_left = READ_PER_TURN_BYTES / part;
        self.frames_left = FRAMES_PER_TURN / part;
        self.bite = CHANNEL_BITE_BYTES / part;
    }

    /// Whether reading ended for this turn with more to read.
    pub(super) fn has_unread(&self) -> bool {
        !self.unread.is_empty()
    }

    /// Memory that frames take which have not arrived whole.
    pub(super) fn held_bytes(&self) -> usize {
        self.partial.len() + self.arriving_bytes
    }

    /// Bytes read of frames that have not arrived whole.
    #[cfg(test)]
    pub(super) fn arrived_bytes(&self) -> usize {
        let bodies = self.arriving.values();
        let bodies = bodies.filter_map(|arriving| Some(arriving.bytes.as_ref()?.len()));
        self.partial.len() + bodies.sum::<usize>()
    }

    /// Ends the turn: what is in the buffer is handed out in a later one.
    pub(super) fn set_aside(&mut self, buffer: &mut FrameBuffer) {
        let Range { start, end } = std::mem::take(&mut buffer.channel);
        self.partial.extend_from_slice(&buffer.bytes[start..end]);
        if !self.partial.is_empty() && !self.unread.contains(&CHANNEL) {
            self.unread.push_back(CHANNEL);
        }
    }

    /// Nothing more is to be read.
    pub(super) fn stop(&mut self) {
        self.unread.clear();
    }

    /// Looks for the next frame; says whether there is one for this turn, which [`Reader::frame`] then gives.
    #[inline]
    pub(super) fn advance(
        &mut self,
        quic: &mut Quic,
        buffer: &mut FrameBuffer,
    ) -> Result<bool, FrameError> {
        buffer.found = Found::NOTHING;
        // It may be large, and nobody counts it any more.
        buffer.body = Bytes::new();
        self.find(quic, buffer)?;
        Ok(buffer.found.kind != FoundKind::Nothing)
    }

    /// The frame that was found. Made here as it is handed out: to pack it anew on the way costs as much as to read it.
    #[inline]
    pub(super) fn frame<'b>(&mut self, buffer: &'b mut FrameBuffer) -> Event<'b> {
        let Found { kind, start, bytes } = buffer.found;
        buffer.found = Found::NOTHING;
        let content = match kind {
            FoundKind::Inline => &buffer.bytes[start..start + bytes],
            FoundKind::Body => &buffer.body,
            FoundKind::TooLarge | FoundKind::NoRoom | FoundKind::Stalled => {
                return match frame::read_header(&buffer.body) {
                    Ok(header) if kind == FoundKind::Stalled => Event::Stalled { header },
                    Ok(header) if kind == FoundKind::NoRoom => Event::NoRoom { header, bytes },
                    Ok(header) => Event::TooLarge { header, bytes },
                    Err(error) => Event::Broken(error),
                };
            }
            FoundKind::Nothing => return Event::Broken(FrameError::Torn),
        };
        let whole = content;
        let content = &whole[frame::PREFIX_BYTES..];
        // Straight into what is handed out: each time that a header is moved, the processor waits for its pieces.
        match frame::header(content) {
            Ok((header, rest)) => {
                let (fields, body) = match frame::split_fields(whole, rest) {
                    Ok(split) => split,
                    Err(error) => return Event::Broken(error),
                };
                let is_call = matches!(header, Header::Call { .. });
                self.calls_taken += u64::from(is_call && kind == FoundKind::Inline);
                if body.len() > self.body_max_bytes {
                    let bytes = content.len();
                    return Event::TooLarge { header, bytes };
                }
                let body = match kind {
                    FoundKind::Body => Body::part(body, &buffer.body),
                    _ => Body::from(body),
                };
                Event::Frame(Frame {
                    header,
                    fields,
                    body,
                })
            }
            Err(_) => match frame::unknown(content) {
                Ok(frame) => Event::Frame(frame),
                Err(error) => Event::Broken(error),
            },
        }
    }

    fn find(&mut self, quic: &mut Quic, buffer: &mut FrameBuffer) -> Result<(), FrameError> {
        while !self.next_inline(buffer)? && self.bytes_left > 0 {
            let next = quic.stream_readable_next();
            let Some(stream) = next.or_else(|| self.unread.pop_front()) else {
                break;
            };
            self.unread.retain(|other| *other != stream);
            if stream == CHANNEL {
                self.read_channel(quic, buffer)?;
            } else {
                self.read_body(stream, quic, buffer)?;
                if buffer.found.kind != FoundKind::Nothing {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Finds the next whole frame of the channel's bytes; says whether there is one. What is no whole frame is put aside for
    /// when the rest comes.
    #[inline]
    fn next_inline(&mut self, buffer: &mut FrameBuffer) -> Result<bool, FrameError> {
        if buffer.channel.is_empty() {
            return match self.channel_ended {
                true => Err(FrameError::Torn),
                false => Ok(false),
            };
        }
        let Range { start, end } = buffer.channel;
        let rest = frame::skip_nothing(&buffer.bytes[start..end]);
        let start = end - rest.len();
        if let Some(used) = frame::whole(rest, INLINE_FRAME_MAX_BYTES)? {
            buffer.channel = start + used..end;
            self.frames_left = self.frames_left.saturating_sub(1);
            buffer.found = Found::new(FoundKind::Inline, start, used);
            return Ok(true);
        }
        self.partial.extend_from_slice(rest);
        buffer.channel = 0..0;
        if self.channel_ended {
            return Err(FrameError::Torn);
        }
        if self.frames_left == 0 {
            self.bytes_left = 0;
        }
        Ok(false)
    }

    /// Reads a bite of the channel.
    fn read_channel(
        &mut self,
        quic: &mut Quic,
        buffer: &mut FrameBuffer,
    ) -> Result<(), FrameError> {
        self.channel_seen = true;
        let kept = self.partial.len();
        buffer.bytes[..kept].copy_from_slice(&self.partial);
        // The rest of a long frame in one go, else a bite: what its frames lead to is on its way before the next.
        let wanted = frame::announced(&self.partial).unwrap_or_default();
        let bite = self
            .bite
            .max((frame::PREFIX_BYTES + wanted).saturating_sub(kept));
        let end = buffer.bytes.len().min(kept + bite.min(self.bytes_left));
        let (read, fin) = match quic.stream_recv(CHANNEL, &mut buffer.bytes[kept..end]) {
            Ok(read) => read,
            // There may be whole frames in what was set aside.
            Err(quiche::Error::Done) => (0, false),
            // Reset by the peer, which could never be told anything again.
            Err(_) => return Err(FrameError::Torn),
        };
        self.bytes_left -= read;
        self.read_bytes += read as u64;
        self.channel_ended = fin;
        self.partial.clear();
        buffer.channel = 0..kept + read;
        if fin && kept + read == 0 {
            return Err(FrameError::Torn);
        }
        // quiche names a stream once; there may be more on it than was taken.
        if read > 0 {
            self.unread.push_back(CHANNEL);
        }
        Ok(())
    }

    /// Reads what there is of a body's stream.
    fn read_body(
        &mut self,
        stream: u64,
        quic: &mut Quic,
        buffer: &mut FrameBuffer,
    ) -> Result<(), FrameError> {
        let limit = HEADER_MAX_BYTES + self.body_max_bytes;
        let mut arriving = self.arriving.remove(&stream).unwrap_or(Arriving {
            bytes: Some(Vec::new()),
            given: 0,
            begun: self.now,
            has_stalled: false,
            until: later(self.now, BODY_HEADER_TIMEOUT),
            is_known: false,
        });
        self.arriving_bytes -= arriving.size();
        if std::mem::take(&mut arriving.has_stalled)
            && let Some(bytes) = arriving.bytes.take()
        {
            buffer.body = bytes.into();
            buffer.found = Found::new(FoundKind::Stalled, 0, 0);
            self.keep(stream, arriving);
            self.unread.push_back(stream);
            return Ok(());
        }
        while self.bytes_left > 0 {
            let end = buffer.bytes.len().min(self.bytes_left);
            let received = match &mut arriving.bytes {
                Some(bytes) => match make_room(bytes) {
                    // All that was announced is there: nothing may come but the end.
                    0 => {
                        let received = quic.stream_recv(stream, &mut buffer.bytes[..1]);
                        if received.as_ref().is_ok_and(|(read, _)| *read > 0) {
                            return Err(FrameError::Torn);
                        }
                        received
                    }
                    room => quic.stream_recv_onto(stream, bytes, room.min(end)),
                },
                None => quic.stream_recv(stream, &mut buffer.bytes[..end]),
            };
            let (read, fin) = match received {
                Ok(received) => received,
                Err(quiche::Error::Done) => {
                    self.keep(stream, arriving);
                    return Ok(());
                }
                // Reset by the peer: it no longer wants the call.
                Err(_) => return Ok(()),
            };
            self.bytes_left -= read;
            self.read_bytes += read as u64;
            self.note_moved(read);
            let Some(bytes) = &mut arriving.bytes else {
                // It is read to its end: a stream that we shut down never counts as closed (quiche collects a peer's
                // stream only where it is read to its end), and the peer has few.
                if fin {
                    return Ok(());
                }
                continue;
            };
            let announced = frame::announced(bytes).unwrap_or_default();
            let is_too_large = announced > limit;
            if !is_too_large && bytes.len() > frame::PREFIX_BYTES + announced {
                return Err(FrameError::Torn);
            }
            if is_too_large && (fin || bytes.len() >= HEADER_MAX_BYTES) {
                buffer.body = std::mem::take(bytes).into();
                if !fin {
                    arriving.bytes = None;
                    self.keep(stream, arriving);
                    self.unread.push_back(stream);
                }
                buffer.found = Found::new(FoundKind::TooLarge, 0, announced);
                return Ok(());
            }
            if fin {
                let whole = frame::whole(bytes, limit)?;
                buffer.body = std::mem::take(bytes).into();
                let bytes = whole.ok_or(FrameError::Torn)?;
                buffer.found = Found::new(FoundKind::Body, 0, bytes);
                return Ok(());
            }
            if !arriving.is_known
                && let Ok(header) = frame::read_header(bytes)
            {
                arriving.is_known = true;
                arriving.until = later(self.now, time_of(&header));
                if !self.gives_room(announced) {
                    buffer.body = std::mem::take(bytes).into();
                    arriving.bytes = None;
                    self.keep(stream, arriving);
                    self.unread.push_back(stream);
                    buffer.found = Found::new(FoundKind::NoRoom, 0, announced);
                    return Ok(());
                }
                if self.room != Room::ANY {
                    arriving.given = announced;
                    // It counts as taken already: to grow step by step would move what is there each time.
                    if !is_too_large {
                        bytes.reserve_exact(frame::PREFIX_BYTES + announced - bytes.len());
                    }
                }
            }
        }
        self.keep(stream, arriving);
        self.unread.push_back(stream);
        Ok(())
    }

    /// Whether there is room for a body of so many bytes, which it has then.
    fn gives_room(&mut self, bytes: usize) -> bool {
        let is_alone = self.arriving_bytes == 0;
        if bytes > self.room.more && !(is_alone && bytes <= self.room.first) {
            return false;
        }
        if self.room != Room::ANY {
            self.room.more = self.room.more.saturating_sub(bytes);
        }
        true
    }

    fn keep(&mut self, stream: u64, arriving: Arriving) {
        self.arriving_bytes += arriving.size();
        self.arriving.insert(stream, arriving);
    }
}
