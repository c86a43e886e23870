//! Frames: what travels on a session's streams.
//!
//! ```text
//! frame = length: u32 little endian | header: postcard | body: the rest
//! ```
//!
//! `length` counts header and body. The body of a call or a reply is an encoded value, that of a failure a
//! postcard [`CallError`](super::CallError); an orchestrator passes bodies on without looking into them.
//!
//! A frame that has not arrived whole is "none yet"; one that cannot be read is an error of the peer. On the channel a
//! length of 0 stands alone and says nothing: with it a client opens the channel, on which its server could not write
//! otherwise.

use super::bill::Bill;
use super::body::Body;
use super::error::ErrorKind;
use crate::limits::HEADER_MAX_BYTES;
use serde::{Deserialize, Serialize};

/// Bytes of the length prefix.
pub const PREFIX_BYTES: usize = 4;

/// The length prefix that says nothing.
pub const NOTHING: [u8; PREFIX_BYTES] = [0; PREFIX_BYTES];

/// What a frame says.
///
/// Its number takes a whole word: with a byte, what follows is copied in odd pieces each time a header is handed on, and the
/// processor waits for each (store forwarding across pieces), which took an orchestrator a seventh of its throughput.
#[repr(u64)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Header<'a> {
    /// Run a function; the body holds its arguments.
    Call {
        /// The caller's number for this call, unique among its calls under way on this session.
        id: u64,
        /// The registered name.
        function: &'a str,
        /// Time left until the deadline, in microseconds; a span and not a point in time, as clocks differ.
        timeout_us: u64,
        /// How many calls are above it: 0 for a call from outside.
        depth: u8,
        /// On whose account it runs, where the sender passes it on or it is a call of a call.
        account: Option<Account>,
    },
    /// The caller no longer wants the reply.
    Cancel {
        /// The call's number.
        id: u64,
    },
    /// The call's result; the body holds it.
    Reply {
        /// The call's number.
        id: u64,
        /// What the call cost.
        #[serde(borrow)]
        bill: Bill<&'a str>,
    },
    /// The call has no result; the body says why.
    Failure {
        /// The call's number.
        id: u64,
        /// What kind of error it is, for those who only pass it on.
        kind: ErrorKind,
        /// What the call cost.
        #[serde(borrow)]
        bill: Bill<&'a str>,
    },
    /// The sender takes no new calls; those under way still get their replies.
    GoAway,
    /// What a caller should know of its server; the first thing that a server says.
    Welcome {
        /// Its shards. The first two bytes of a session's first connection ID, modulo this, choose one.
        shards: u16,
    },
    /// What of the small frames has been taken in since the last time, said to those who pass on the calls of many: what one
    /// of them sends is not to fill the way of the others.
    Taken {
        /// Frames of the channel.
        frames: u32,
    },
}

/// A caller whose calls come by way of others. It is believed to orchestrators and nodes only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Account {
    /// The first four bytes of the SHA-256 of its certificate. Callers that have the same share a part of the core.
    pub certificate: u32,
    /// Which of its sessions it is, as the first who passed the call on has numbered them.
    pub session: u32,
    /// The first of the calls above a call of a call.
    pub root: Option<Root>,
}

/// The first of the calls above a call of a call. On each shard all of them have together what that one may have alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Root {
    /// A number that no other first call of the same caller has.
    pub id: u64,
    /// Its limit of CPU time.
    pub cpu_ms: u32,
    /// Its limit of heap.
    pub memory_kib: u32,
}

/// A frame read in place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// What it says.
    pub header: Header<'a>,
    /// What it says it about.
    pub body: Body<'a>,
}

/// The peer sent something that is no frame.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The length prefix announces more than may come here.
    #[error("frame of {announced} bytes announced, at most {limit} may come here")]
    TooLong {
        /// Bytes announced.
        announced: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// The header is not one of ours.
    #[error("frame header cannot be read")]
    BadHeader,
    /// A stream ended inside a frame or went on after it, or the channel ended at all.
    #[error("a stream ended too early, or not with its frame")]
    Torn,
}

/// Appends a frame to `out`.
pub fn write(out: &mut Vec<u8>, header: &Header<'_>, body: &[u8]) {
    write_head(out, header, body.len());
    out.extend_from_slice(body);
}

/// Appends the part of a frame that comes before its body, which has so many bytes.
pub fn write_head(out: &mut Vec<u8>, header: &Header<'_>, body_bytes: usize) {
    let start = out.len();
    out.extend_from_slice(&[0; PREFIX_BYTES]);
    // Appending to a Vec cannot fail, and a header holds nothing that postcard refuses.
    let _ = postcard::serialize_with_flavor(header, Append(out));
    let length = (out.len() - start - PREFIX_BYTES + body_bytes) as u32;
    out[start..start + PREFIX_BYTES].copy_from_slice(&length.to_le_bytes());
}

/// `input` without the lengths at its start that say nothing.
#[must_use]
pub fn skip_nothing(mut input: &[u8]) -> &[u8] {
    while let Some(rest) = input.strip_prefix(&NOTHING) {
        input = rest;
    }
    input
}

/// The length that the frame at the start of `input` announces, or `None` where the prefix is not whole.
#[must_use]
pub fn announced(input: &[u8]) -> Option<usize> {
    let prefix = input.first_chunk::<PREFIX_BYTES>()?;
    Some(u32::from_le_bytes(*prefix) as usize)
}

/// The bytes of the frame at the start of `input`, or `None` where it is not whole.
///
/// # Errors
/// Where the frame announces more than `limit` bytes.
#[inline]
pub fn whole(input: &[u8], limit: usize) -> Result<Option<usize>, FrameError> {
    match announced(input) {
        Some(announced) if announced > limit => Err(FrameError::TooLong { announced, limit }),
        Some(announced) => Ok(Some(PREFIX_BYTES + announced).filter(|end| input.len() >= *end)),
        None => Ok(None),
    }
}

/// The first frame of `input` and the bytes it takes there, or `None` where it is not whole.
///
/// # Errors
/// Where the frame announces more than `limit` bytes, or its header cannot be read.
pub fn read(input: &[u8], limit: usize) -> Result<Option<(Frame<'_>, usize)>, FrameError> {
    let Some(end) = whole(input, limit)? else {
        return Ok(None);
    };
    let content = &input[PREFIX_BYTES..end];
    let (header, body): (_, &[u8]) =
        postcard::take_from_bytes(content).map_err(|_| FrameError::BadHeader)?;
    Ok(Some((
        Frame {
            header,
            body: Body::from(body),
        },
        end,
    )))
}

/// The header of a frame of which only the beginning is there: enough to say whose body is too large.
///
/// # Errors
/// Where `input` does not begin with a frame header.
pub fn read_header(input: &[u8]) -> Result<Header<'_>, FrameError> {
    let content = input.get(PREFIX_BYTES..).unwrap_or_default();
    let content = &content[..content.len().min(HEADER_MAX_BYTES)];
    match postcard::take_from_bytes(content) {
        Ok((header, _)) => Ok(header),
        Err(_) => Err(FrameError::BadHeader),
    }
}

/// A postcard sink at the end of a buffer.
struct Append<'a>(&'a mut Vec<u8>);

impl postcard::ser_flavors::Flavor for Append<'_> {
    type Output = ();

    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.0.push(byte);
        Ok(())
    }

    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        // Most are small numbers, and to call for a copy of one byte takes longer than the copy.
        match bytes {
            [byte] => self.0.push(*byte),
            bytes => self.0.extend_from_slice(bytes),
        }
        Ok(())
    }

    fn finalize(self) -> postcard::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALL: Header<'static> = Header::Call {
        id: 7,
        function: "add",
        timeout_us: 30_000_000,
        depth: 0,
        account: Some(Account {
            certificate: 0xdead_beef,
            session: 7,
            root: Some(Root {
                id: u64::MAX,
                cpu_ms: 30_000,
                memory_kib: 65_536,
            }),
        }),
    };

    fn encoded() -> Vec<u8> {
        let mut out = Vec::new();
        write(&mut out, &CALL, b"arguments");
        write(&mut out, &Header::GoAway, b"");
        out
    }

    #[test]
    fn frames_read_back_in_order() {
        let bytes = encoded();
        let (first, used) = read(&bytes, 100).unwrap().unwrap();
        assert_eq!(first.header, CALL);
        assert_eq!(first.body, b"arguments");
        let (second, rest) = read(&bytes[used..], 100).unwrap().unwrap();
        assert_eq!(second.header, Header::GoAway);
        assert_eq!(used + rest, bytes.len());
    }

    #[test]
    fn an_incomplete_frame_is_none_at_every_cut() {
        let mut bytes = Vec::new();
        write(&mut bytes, &CALL, b"arguments");
        for cut in 0..bytes.len() {
            assert_eq!(read(&bytes[..cut], 100), Ok(None), "cut at {cut}");
        }
    }

    #[test]
    fn a_frame_that_lies_about_its_length_is_refused_before_it_arrives() {
        let lie = u32::MAX.to_le_bytes();
        assert_eq!(
            read(&lie, 100),
            Err(FrameError::TooLong {
                announced: u32::MAX as usize,
                limit: 100
            })
        );
    }

    #[test]
    fn garbage_is_no_frame() {
        let bytes = [3, 0, 0, 0, 99, 1, 2];
        assert_eq!(read(&bytes, 100), Err(FrameError::BadHeader));
        assert_eq!(read(&[0, 0, 0, 0], 100), Err(FrameError::BadHeader));
    }

    #[test]
    fn nothing_is_skipped_and_no_more() {
        let mut bytes = [NOTHING, NOTHING].concat();
        bytes.extend(encoded());
        bytes.extend([0; 3]);
        assert_eq!(skip_nothing(&bytes), &bytes[8..]);
        assert_eq!(skip_nothing(&[0; 7]), [0; 3]);
    }

    #[test]
    fn a_header_is_read_from_the_beginning_of_a_body_that_is_too_large() {
        let mut bytes = Vec::new();
        write(&mut bytes, &CALL, &vec![0; 100_000]);
        assert_eq!(read_header(&bytes[..4000]), Ok(CALL));
        assert_eq!(read_header(&bytes[..6]), Err(FrameError::BadHeader));
    }
}
