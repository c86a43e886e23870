//! Frames: what travels on a session's streams.
//!
//! ```text
//! frame = length: u32 little endian | header: postcard | fields, where there are some | body: the rest
//! ```
//!
//! `length` counts all that follows; its highest bit says that there are fields, which is what a header may say besides
//! ([`Fields`]). The body of a call or a reply is an encoded value, that of a failure a
//! postcard [`CallError`](super::CallError); an orchestrator passes bodies on without looking into them.
//!
//! A frame that has not arrived whole is "none yet"; one that cannot be read is an error of the peer. On the channel a
//! length of 0 stands alone and says nothing: with it a client opens the channel, on which its server could not write
//! otherwise.

use super::bill::Bill;
use super::body::Body;
use super::error::ErrorKind;
use super::fast_header;
use super::fields::Fields;
use crate::limits::{FIELDS_MAX_BYTES, HEADER_MAX_BYTES};
use serde::{Deserialize, Serialize};

/// Bytes of the length prefix.
pub const PREFIX_BYTES: usize = 4;

/// What is added to the length of a frame that has fields. Most have none, and are not to pay for them with a byte.
const HAS_FIELDS: u32 = 1 << 31;

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
    /// Of a server: it takes no new calls; those under way still get their replies. A caller's answer to that: it has sent its
    /// last call on this session.
    GoAway {
        /// Calls on the channel that it has taken. Those sent after so many have not been run, and never will.
        taken: u64,
    },
    /// What a caller should know of its server; the first thing that a server says.
    Welcome {
        /// Its shards. The first two bytes of a session's first connection ID, modulo this, choose one.
        shards: u16,
        /// A number that the server has drawn when it started: who is reached by two addresses is one.
        instance: u64,
    },
    /// What of the small frames has been taken in since the last time, said to those who pass on the calls of many: what one
    /// of them sends is not to fill the way of the others.
    Taken {
        /// Frames of the channel.
        frames: u32,
    },
    /// What can be called at a node: all of it, said at the beginning of each session and whenever it changes. The body holds
    /// the list, see [`Announcement`](super::Announcement).
    Functions {
        /// What tells the script from others: the first eight bytes of its SHA-256.
        script: u64,
    },
    /// Of a server: whether it takes no new calls for now. Where that is so it is said at the beginning of each session, and
    /// else when it changes.
    Draining {
        /// Whether it takes none.
        is_draining: bool,
    },
    /// A part of what a call has yielded that streams; the body holds the next bytes of it. The frames of a call come in their
    /// order, before its reply, and only as many as were granted.
    Item {
        /// The call's number.
        id: u64,
        /// Which frame of the call it is, the first being 0.
        number: u64,
        /// What ends with it.
        part: Part,
    },
    /// Of a caller: so many further frames of items may be sent.
    Credit {
        /// The call's number.
        id: u64,
        /// How many.
        frames: u32,
    },
    /// A frame of a kind that came later than this. It is never written.
    #[serde(skip)]
    Unknown,
}

/// The number of the last kind of frame that is known here.
const LAST_KIND: u32 = 10;

/// What ends with a frame of an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Part {
    /// Nothing: the next frame goes on.
    More,
    /// An item.
    Item,
    /// What the function has returned. The reply that follows has the bill, and nothing in its body.
    Result,
}

/// A caller whose calls come by way of others, for fair parts and `--caller-rate` at nodes: its name would take more than the seven
/// bytes that this adds to a call. It is believed to orchestrators and nodes only.
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
    /// What it says besides.
    pub fields: Fields<'a>,
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

/// Appends a frame without fields to `out`.
pub fn write(out: &mut Vec<u8>, header: &Header<'_>, body: &[u8]) {
    write_head(out, header, Fields::NONE, body.len());
    out.extend_from_slice(body);
}

/// Appends the part of a frame that comes before its body, which has so many bytes.
pub fn write_head(out: &mut Vec<u8>, header: &Header<'_>, fields: Fields<'_>, body_bytes: usize) {
    let start = out.len();
    out.extend_from_slice(&[0; PREFIX_BYTES]);
    // Appending to a Vec cannot fail, and a header holds nothing that postcard refuses.
    if !fast_header::write(out, header) {
        let _ = postcard::to_io(header, &mut *out);
    }
    let mut mark = 0;
    if !fields.is_empty() {
        let _ = postcard::to_io(fields.0, &mut *out);
        mark = HAS_FIELDS;
    }
    let length = (out.len() - start - PREFIX_BYTES + body_bytes) as u32 | mark;
    out[start..start + PREFIX_BYTES].copy_from_slice(&length.to_le_bytes());
}

/// The header at the start of what follows the length, and what comes after it.
#[inline]
pub(crate) fn header(content: &[u8]) -> postcard::Result<(Header<'_>, &[u8])> {
    match fast_header::read(content) {
        Some(read) => Ok(read),
        None => postcard::take_from_bytes(content),
    }
}

/// A frame out of all of its bytes, or the first of them.
fn parse(frame: &[u8]) -> Result<Frame<'_>, FrameError> {
    let content = frame.get(PREFIX_BYTES..).unwrap_or_default();
    match header(content) {
        Ok((header, rest)) => {
            let (fields, body) = split_fields(frame, rest)?;
            Ok(Frame {
                header,
                fields,
                body: Body::from(body),
            })
        }
        Err(_) => unknown(content),
    }
}

/// The fields of a frame and what comes after them, out of what comes after its header.
#[inline]
pub(crate) fn split_fields<'a>(
    frame: &[u8],
    rest: &'a [u8],
) -> Result<(Fields<'a>, &'a [u8]), FrameError> {
    if frame
        .get(PREFIX_BYTES - 1)
        .is_none_or(|last| last & 0x80 == 0)
    {
        return Ok((Fields::NONE, rest));
    }
    match postcard::take_from_bytes::<&[u8]>(rest) {
        Ok((fields, body)) if fields.len() <= FIELDS_MAX_BYTES => Ok((Fields(fields), body)),
        _ => Err(FrameError::BadHeader),
    }
}

/// A frame whose header cannot be read: of a kind that came later, or of none.
#[cold]
pub(crate) fn unknown(content: &[u8]) -> Result<Frame<'_>, FrameError> {
    match postcard::take_from_bytes::<u32>(content) {
        Ok((kind, _)) if kind > LAST_KIND => Ok(Frame {
            header: Header::Unknown,
            fields: Fields::NONE,
            body: Body::EMPTY,
        }),
        _ => Err(FrameError::BadHeader),
    }
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
    Some((u32::from_le_bytes(*prefix) & !HAS_FIELDS) as usize)
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
    Ok(Some((parse(&input[..end])?, end)))
}

/// The header of a frame of which only the beginning is there: enough to say whose body is too large.
///
/// # Errors
/// Where `input` does not begin with a frame header.
pub fn read_header(input: &[u8]) -> Result<Header<'_>, FrameError> {
    let input = &input[..input.len().min(PREFIX_BYTES + HEADER_MAX_BYTES)];
    let content = input.get(PREFIX_BYTES..).unwrap_or_default();
    match header(content) {
        Ok((header, _)) => Ok(header),
        Err(_) => unknown(content).map(|frame| frame.header),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIELDS: &[u8] = &[9, 2, 1, 2];

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
        write_head(&mut out, &CALL, Fields(FIELDS), 9);
        out.extend_from_slice(b"arguments");
        write(&mut out, &Header::GoAway { taken: 3 }, b"");
        out
    }

    #[test]
    fn to_say_whose_call_it_is_takes_seven_bytes() {
        let bytes = |account| {
            let (id, function, timeout_us, depth) = (7, "add", 30_000_000, 0);
            let call = Header::Call {
                id,
                function,
                timeout_us,
                depth,
                account,
            };
            let mut out = Vec::new();
            write(&mut out, &call, b"");
            out.len()
        };
        let account = Account {
            certificate: 0xdead_beef,
            session: 99,
            root: None,
        };
        assert_eq!(bytes(Some(account)) - bytes(None), 7);
    }

    #[test]
    fn frames_read_back_in_order() {
        let bytes = encoded();
        let (first, used) = read(&bytes, 100).unwrap().unwrap();
        assert_eq!((first.header, first.fields.0), (CALL, FIELDS));
        assert_eq!(first.body, b"arguments");
        let (second, rest) = read(&bytes[used..], 100).unwrap().unwrap();
        assert_eq!(second.header, Header::GoAway { taken: 3 });
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
                announced: (u32::MAX >> 1) as usize,
                limit: 100
            })
        );
    }

    #[test]
    fn garbage_is_no_frame() {
        let bytes = [3, 0, 0, 0, 5, 1, 0xff];
        assert_eq!(read(&bytes, 100), Err(FrameError::BadHeader));
        assert_eq!(read(&[0, 0, 0, 0], 100), Err(FrameError::BadHeader));
    }

    #[test]
    fn a_kind_that_came_later_is_not_known_and_no_error() {
        for kind in [LAST_KIND as u8 + 1, 99] {
            let bytes = [3, 0, 0, 0, kind, 0xff, 0xff];
            let (frame, used) = read(&bytes, 100).unwrap().unwrap();
            assert_eq!((frame.header, used), (Header::Unknown, bytes.len()));
            assert_eq!(read_header(&bytes), Ok(Header::Unknown));
        }
        let mut bytes = Vec::new();
        write(&mut bytes, &Header::Credit { id: 1, frames: 1 }, b"");
        assert_eq!(u32::from(bytes[PREFIX_BYTES]), LAST_KIND);
    }

    /// A caller must not be able to make a frame that is too long once it is passed on: that would end the session of many.
    #[test]
    fn a_call_fits_however_much_its_caller_says_and_who_passes_it_on_adds() {
        let most = |fields: usize| {
            let name = "n".repeat(crate::limits::FUNCTION_NAME_MAX_BYTES);
            let number = u32::MAX;
            let root = Root {
                id: u64::MAX,
                cpu_ms: number,
                memory_kib: number,
            };
            let call = Header::Call {
                id: u64::MAX,
                function: &name,
                timeout_us: u64::MAX,
                depth: u8::MAX,
                account: Some(Account {
                    certificate: number,
                    session: number,
                    root: Some(root),
                }),
            };
            let mut out = Vec::new();
            write_head(&mut out, &call, Fields(&vec![1; fields]), 0);
            out
        };
        assert!(most(FIELDS_MAX_BYTES).len() - PREFIX_BYTES <= HEADER_MAX_BYTES);
        assert!(read(&most(FIELDS_MAX_BYTES), 9999).unwrap().is_some());
        let beyond = most(FIELDS_MAX_BYTES + 1);
        assert_eq!(read(&beyond, 9999), Err(FrameError::BadHeader));
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
