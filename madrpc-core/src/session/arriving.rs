//! A body that is coming in on a stream of its own, and the memory that it comes into.

use crate::call::frame::{self, Header};
use crate::limits::{BODY_HEADER_TIMEOUT, HEADER_MAX_BYTES, TIMEOUT_MAX};
use std::time::{Duration, Instant};

/// A body that is coming in.
pub(super) struct Arriving {
    /// What has come; `None` where it is thrown away, as the body is too large, or late, or there is no room.
    pub(super) bytes: Option<Vec<u8>>,
    /// Bytes of room that it was given.
    pub(super) given: usize,
    /// When it is of no use any more.
    pub(super) until: Instant,
    /// Whether that follows from its header.
    pub(super) is_known: bool,
}

impl Arriving {
    /// Memory that it takes, or may take without asking again.
    pub(super) fn size(&self) -> usize {
        self.bytes
            .as_ref()
            .map_or(0, |bytes| bytes.capacity().max(self.given))
    }
}

/// Sees to room for more of a frame: twice as much as there is, and no more than the frame announces. Says how much; 0 where all of
/// it is there.
pub(super) fn make_room(bytes: &mut Vec<u8>) -> usize {
    if bytes.len() == bytes.capacity() {
        let whole = frame::announced(bytes).map_or(usize::MAX, |rest| frame::PREFIX_BYTES + rest);
        let wanted = (2 * bytes.capacity()).max(HEADER_MAX_BYTES).min(whole);
        bytes.reserve_exact(wanted.saturating_sub(bytes.len()));
    }
    bytes.capacity() - bytes.len()
}

/// How long a body with this header may take to come.
pub(super) fn time_of(header: &Header<'_>) -> Duration {
    match header {
        Header::Call { timeout_us, .. } => Duration::from_micros(*timeout_us).min(TIMEOUT_MAX),
        // Its caller waits until its deadline, and gives it up then.
        Header::Reply { .. } | Header::Failure { .. } => TIMEOUT_MAX,
        // Nobody waits for it.
        _ => BODY_HEADER_TIMEOUT,
    }
}
