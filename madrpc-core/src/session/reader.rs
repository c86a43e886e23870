//! Reading: frames out of the bytes that have arrived.
//!
//! Owns what of a frame is there while the rest is not. A turn reads a bounded amount; what is left is read in the
//! next, and streams that have had a turn come last, so that no body holds up the channel.

use super::{CHANNEL, Event};
use crate::call::frame::{self, FrameError};
use crate::limits::{
    CHANNEL_BITE_BYTES, FRAMES_PER_TURN, HEADER_MAX_BYTES, INLINE_FRAME_MAX_BYTES,
    READ_PER_TURN_BYTES,
};
use std::collections::{HashMap, VecDeque};
use std::ops::Range;

/// Where frames are read into, one for all sessions of a thread. What [`Session::frame`] hands out is in it.
///
/// [`Session::frame`]: super::Session::frame
pub struct FrameBuffer {
    bytes: Box<[u8]>,
    /// Those of the channel that are not handed out.
    channel: Range<usize>,
    /// A frame that had a stream of its own.
    body: Vec<u8>,
    /// The next frame.
    found: Option<Found>,
}

impl Default for FrameBuffer {
    fn default() -> Self {
        Self {
            bytes: vec![0; READ_PER_TURN_BYTES].into_boxed_slice(),
            channel: 0..0,
            body: Vec::new(),
            found: None,
        }
    }
}

/// Where in the buffer the next frame is.
enum Found {
    /// Whole, among the channel's bytes.
    Inline(Range<usize>),
    /// Whole, from a stream of its own.
    Body,
    /// From a stream of its own, of so many bytes; only the beginning is there.
    TooLarge(usize),
}

/// The streams of a session as they are read.
pub(super) struct Reader {
    body_max_bytes: usize,
    /// The beginning of a frame on the channel whose rest has not come.
    pub(super) partial: Vec<u8>,
    /// Bodies that are coming in, by stream; `None` for one that is too large.
    pub(super) arriving: HashMap<u64, Option<Vec<u8>>>,
    /// The streams to go on reading, where a turn ended before they were empty.
    unread: VecDeque<u64>,
    /// What may still be read in this turn.
    bytes_left: usize,
    frames_left: usize,
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
            unread: VecDeque::new(),
            bytes_left: 0,
            frames_left: 0,
            channel_seen: false,
            channel_ended: false,
        }
    }

    pub(super) fn begin_turn(&mut self, buffer: &mut FrameBuffer) {
        // A session that broke the protocol has left what followed.
        buffer.channel = 0..0;
        self.bytes_left = READ_PER_TURN_BYTES;
        self.frames_left = FRAMES_PER_TURN;
    }

    /// Whether reading ended for this turn with more to read.
    pub(super) fn has_unread(&self) -> bool {
        !self.unread.is_empty()
    }

    /// Nothing more is to be read.
    pub(super) fn stop(&mut self) {
        self.unread.clear();
    }

    /// Looks for the next frame; says whether there is one for this turn, which [`Reader::frame`] then gives.
    pub(super) fn advance(
        &mut self,
        quic: &mut quiche::Connection,
        buffer: &mut FrameBuffer,
    ) -> Result<bool, FrameError> {
        buffer.found = self.find(quic, buffer)?;
        Ok(buffer.found.is_some())
    }

    /// The frame that was found.
    pub(super) fn frame<'b>(&self, buffer: &'b mut FrameBuffer) -> Result<Event<'b>, FrameError> {
        let (frame, used) = match buffer.found.take() {
            Some(Found::Inline(range)) => frame::read_whole(&buffer.bytes[range])?,
            Some(Found::Body) => frame::read_whole(&buffer.body)?,
            Some(Found::TooLarge(bytes)) => {
                let header = frame::read_header(&buffer.body)?;
                return Ok(Event::TooLarge { header, bytes });
            }
            None => return Err(FrameError::Torn),
        };
        Ok(match frame.body.len() <= self.body_max_bytes {
            true => Event::Frame(frame),
            false => Event::TooLarge {
                header: frame.header,
                bytes: used - frame::PREFIX_BYTES,
            },
        })
    }

    fn find(
        &mut self,
        quic: &mut quiche::Connection,
        buffer: &mut FrameBuffer,
    ) -> Result<Option<Found>, FrameError> {
        loop {
            if let Some(range) = self.next_inline(buffer)? {
                return Ok(Some(Found::Inline(range)));
            }
            if self.bytes_left == 0 {
                return Ok(None);
            }
            let next = quic.stream_readable_next();
            let Some(stream) = next.or_else(|| self.unread.pop_front()) else {
                return Ok(None);
            };
            self.unread.retain(|other| *other != stream);
            if stream == CHANNEL {
                self.read_channel(quic, buffer)?;
            } else if let Some(found) = self.read_body(stream, quic, buffer)? {
                return Ok(Some(found));
            }
        }
    }

    /// Where the next whole frame of the channel's bytes is. What is no whole frame is put aside for when the rest comes.
    fn next_inline(
        &mut self,
        buffer: &mut FrameBuffer,
    ) -> Result<Option<Range<usize>>, FrameError> {
        if buffer.channel.is_empty() {
            return Ok(None);
        }
        let Range { start, end } = buffer.channel;
        let rest = frame::skip_nothing(&buffer.bytes[start..end]);
        let start = end - rest.len();
        if let Some(used) = frame::whole(rest, INLINE_FRAME_MAX_BYTES)? {
            buffer.channel = start + used..end;
            self.frames_left = self.frames_left.saturating_sub(1);
            return Ok(Some(start..start + used));
        }
        self.partial.extend_from_slice(rest);
        buffer.channel = 0..0;
        if self.channel_ended {
            return Err(FrameError::Torn);
        }
        if self.frames_left == 0 {
            self.bytes_left = 0;
        }
        Ok(None)
    }

    /// Reads a bite of the channel.
    fn read_channel(
        &mut self,
        quic: &mut quiche::Connection,
        buffer: &mut FrameBuffer,
    ) -> Result<(), FrameError> {
        self.channel_seen = true;
        let kept = self.partial.len();
        buffer.bytes[..kept].copy_from_slice(&self.partial);
        // The rest of a long frame in one go, else a bite: what its frames lead to is on its way before the next.
        let wanted = frame::announced(&self.partial).unwrap_or_default();
        let bite = CHANNEL_BITE_BYTES.max((frame::PREFIX_BYTES + wanted).saturating_sub(kept));
        let end = buffer.bytes.len().min(kept + bite.min(self.bytes_left));
        let (read, fin) = match quic.stream_recv(CHANNEL, &mut buffer.bytes[kept..end]) {
            Ok(read) => read,
            Err(quiche::Error::Done) => return Ok(()),
            // Reset by the peer, which could never be told anything again.
            Err(_) => return Err(FrameError::Torn),
        };
        self.bytes_left -= read;
        self.channel_ended = fin;
        self.partial.clear();
        buffer.channel = 0..kept + read;
        if fin && kept + read == 0 {
            return Err(FrameError::Torn);
        }
        // quiche names a stream once; there may be more on it than was taken.
        self.unread.push_back(CHANNEL);
        Ok(())
    }

    /// Reads what there is of a body's stream.
    fn read_body(
        &mut self,
        stream: u64,
        quic: &mut quiche::Connection,
        buffer: &mut FrameBuffer,
    ) -> Result<Option<Found>, FrameError> {
        let limit = HEADER_MAX_BYTES + self.body_max_bytes;
        let new = || Some(Vec::new());
        let mut received = self.arriving.remove(&stream).unwrap_or_else(new);
        while self.bytes_left > 0 {
            let end = buffer.bytes.len().min(self.bytes_left);
            let (read, fin) = match quic.stream_recv(stream, &mut buffer.bytes[..end]) {
                Ok(read) => read,
                Err(quiche::Error::Done) => {
                    self.arriving.insert(stream, received);
                    return Ok(None);
                }
                // Reset by the peer: it no longer wants the call.
                Err(_) => return Ok(None),
            };
            self.bytes_left -= read;
            let Some(mut bytes) = received else {
                // One that is too large. It is read to its end: a stream that we shut down never counts as closed (quiche
                // collects a peer's stream only where it is read to its end), and the peer has few.
                received = None;
                if fin {
                    return Ok(None);
                }
                continue;
            };
            bytes.extend_from_slice(&buffer.bytes[..read]);
            let announced = frame::announced(&bytes).unwrap_or_default();
            let is_too_large = announced > limit;
            if !is_too_large && bytes.len() > frame::PREFIX_BYTES + announced {
                return Err(FrameError::Torn);
            }
            if is_too_large && (fin || bytes.len() >= HEADER_MAX_BYTES) {
                buffer.body = bytes;
                if !fin {
                    self.arriving.insert(stream, None);
                    self.unread.push_back(stream);
                }
                return Ok(Some(Found::TooLarge(announced)));
            }
            if fin {
                let whole = frame::whole(&bytes, limit)?;
                buffer.body = bytes;
                return whole.map(|_| Some(Found::Body)).ok_or(FrameError::Torn);
            }
            received = Some(bytes);
        }
        self.arriving.insert(stream, received);
        self.unread.push_back(stream);
        Ok(None)
    }
}
