//! A call as it is sent, and what becomes of it.

use madrpc_core::call::{Bill, CallError, ErrorKind};
use std::time::Instant;

/// A call to be sent.
pub(crate) struct Request<'a> {
    pub(crate) function: &'a str,
    /// The encoded arguments.
    pub(crate) body: &'a [u8],
    pub(crate) deadline: Instant,
    /// How many calls are above it.
    pub(crate) depth: u8,
}

/// What became of a call.
pub(crate) enum Outcome<'a> {
    /// The body holds the result.
    Reply { bill: Bill<&'a str>, body: &'a [u8] },
    /// The body holds the error.
    Failure {
        kind: ErrorKind,
        bill: Bill<&'a str>,
        body: &'a [u8],
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

    /// Why there is no result.
    pub(crate) fn error_kind(&self) -> Option<ErrorKind> {
        match self {
            Self::Reply { .. } => None,
            Self::Failure { kind, .. } => Some(*kind),
            Self::Lost(error) => Some(error.kind),
        }
    }
}
