//! A call as it is sent, and what becomes of it.

use madrpc_core::call::frame::{Account, Header};
use madrpc_core::call::{Bill, Body, CallError, ErrorKind};
use std::time::Instant;

/// A call to be sent.
pub(crate) struct Request<'a> {
    pub(crate) function: &'a str,
    /// The encoded arguments.
    pub(crate) body: Body<'a>,
    pub(crate) deadline: Instant,
    /// How many calls are above it.
    pub(crate) depth: u8,
    /// On whose account it runs, where that is not the sender's own.
    pub(crate) account: Option<Account>,
}

/// What became of a call.
pub(crate) enum Outcome<'a> {
    /// The body holds the result.
    Reply { bill: Bill<&'a str>, body: Body<'a> },
    /// The body holds the error.
    Failure {
        kind: ErrorKind,
        bill: Bill<&'a str>,
        body: Body<'a>,
    },
    /// No answer came.
    Lost(CallError),
}

impl Outcome<'_> {
    /// The bytes of the result, or of the error.
    pub(crate) fn body_bytes(&self) -> usize {
        match self {
            Self::Reply { body, .. } | Self::Failure { body, .. } => body.len(),
            Self::Lost(_) => 0,
        }
    }

    /// The result has so many bytes.
    pub(super) fn too_large(bytes: usize) -> Self {
        let error = format!("the result has {bytes} bytes, more than we take");
        Self::Lost(CallError::may_have_run(ErrorKind::PayloadTooLarge, error))
    }

    /// The result has so many bytes, which are not to be had now.
    pub(super) fn no_room(bytes: usize) -> Self {
        let error = format!(
            "the result has {bytes} bytes, and other results have the room for it (--memory-max)"
        );
        Self::Lost(CallError::may_have_run(ErrorKind::Overloaded, error))
    }

    /// Why there is no result.
    pub(crate) fn error_kind(&self) -> Option<ErrorKind> {
        match self {
            Self::Reply { .. } => None,
            Self::Failure { kind, .. } => Some(*kind),
            Self::Lost(error) => Some(error.kind),
        }
    }
}

/// The number of the call that a frame answers.
pub(super) fn answered(header: &Header<'_>) -> Option<u64> {
    match header {
        Header::Reply { id, .. } | Header::Failure { id, .. } => Some(*id),
        _ => None,
    }
}
