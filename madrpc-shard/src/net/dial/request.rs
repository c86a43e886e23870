//! A call as it is sent, and what becomes of it.

use madrpc_core::call::frame::{Account, Frame, Header, Part};
use madrpc_core::call::{Bill, Body, CallError, ErrorKind, Fields};
use madrpc_core::fleet::{Ending, Took, is_passing};
use madrpc_core::limits::{BODY_STALL_TIMEOUT, FUNCTION_NAME_MAX_BYTES};
use madrpc_core::session::Event;
use std::net::SocketAddr;
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
    /// What its caller says besides.
    pub(crate) fields: Fields<'a>,
}

/// Whether a name can be a function's. Who takes calls looks before anything of one is kept: a name may have come with megabytes.
///
/// # Errors
/// `NoSuchFunction`, where it is too long.
#[inline]
pub(crate) fn check_name(function: &str) -> Result<(), CallError> {
    match function.len() > FUNCTION_NAME_MAX_BYTES {
        true => Err(name_too_long(function.len())),
        false => Ok(()),
    }
}

#[cold]
fn name_too_long(bytes: usize) -> CallError {
    let error = format!(
        "the name of the function has {bytes} bytes, and none has more than {FUNCTION_NAME_MAX_BYTES}"
    );
    CallError::not_run(ErrorKind::NoSuchFunction, error)
}

/// A frame of an item, see [`Header::Item`].
#[derive(Clone, Copy)]
pub(crate) struct Item<'a> {
    pub(crate) number: u64,
    pub(crate) part: Part,
    pub(crate) body: Body<'a>,
}

impl<'a> Item<'a> {
    /// That of an event, where it is one.
    pub(crate) fn of(event: &Event<'a>) -> Option<Self> {
        match event {
            Event::Frame(Frame {
                header: Header::Item { number, part, .. },
                body,
                ..
            }) => Some(Self {
                number: *number,
                part: *part,
                body: *body,
            }),
            _ => None,
        }
    }
}

/// What became of a call.
pub(crate) enum Outcome<'a> {
    /// The body holds the result.
    Reply { bill: Bill<&'a str>, body: Body<'a> },
    /// The body holds the error.
    Failure {
        kind: ErrorKind,
        bill: Bill<&'a str>,
        fields: Fields<'a>,
        body: Body<'a>,
    },
    /// No answer came.
    Lost(CallError),
}

impl Outcome<'_> {
    /// It comes from a node. None can say that it was lost, and one that says so could have calls refused everywhere, and keep them
    /// from others: whatever it says besides counts for nothing.
    #[inline]
    pub(super) fn is_of_node(&mut self) {
        if let Self::Failure { fields, .. } = self
            && fields.of_reply().nodes_lost > 0
        {
            *fields = Fields::NONE;
        }
    }

    /// That of a call which may have run at another server before, so many of which were lost: this one knows only that it has not
    /// run here.
    #[cold]
    pub(super) fn of_one_that_may_have_run(self, nodes_lost: u8) -> Self {
        match self {
            Self::Failure {
                kind,
                bill,
                fields,
                body,
            } => {
                let mut error = CallError::from_failure(&body, fields);
                if error.may_have_run && !is_passing(kind) {
                    return Self::Failure {
                        kind,
                        bill,
                        fields,
                        body,
                    };
                }
                error.may_have_run = true;
                error.nodes_lost = error.nodes_lost.max(nodes_lost);
                Self::Lost(error)
            }
            Self::Reply { .. } | Self::Lost(_) => self,
        }
    }

    /// What its node says that the call had of a core.
    pub(crate) fn cpu_us(&self) -> u64 {
        match self {
            Self::Reply { bill, .. } | Self::Failure { bill, .. } => bill.cpu_us,
            Self::Lost(_) => 0,
        }
    }

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

    /// The result has begun to come, and does not go on.
    #[cold]
    pub(super) fn stalled() -> Self {
        let seconds = BODY_STALL_TIMEOUT.as_secs();
        let error = format!("the rest of the result has not come for {seconds} s");
        Self::Lost(CallError::may_have_run(ErrorKind::Unavailable, error))
    }

    /// A server does not have the function that it had when it was sent the call; others have it.
    #[cold]
    pub(super) fn not_there_any_more(address: SocketAddr) -> Self {
        let error = format!("{address} does not have the function any more, but others do");
        Self::Lost(CallError::not_run(ErrorKind::Unavailable, error))
    }

    /// The error of a call that another server may run, unless it has to be certain that it did not run before.
    pub(super) fn passing_error(&self) -> Option<CallError> {
        match self {
            Self::Failure {
                kind, fields, body, ..
            } if is_passing(*kind) => Some(CallError::from_failure(body, *fields)),
            _ => None,
        }
    }

    /// What it tells of the server.
    pub(super) fn ending(&self) -> Ending {
        match self {
            // A limit that works is no fault, and callers must not be able to have a server left out by it.
            Self::Failure {
                kind: ErrorKind::Overloaded,
                fields,
                ..
            } if fields.of_reply().retry_after_ms.is_some() => Ending::Neutral,
            Self::Failure { kind, bill, .. } => Ending::of_failure(*kind, bill.slices > 0),
            Self::Lost(_) => Ending::Neutral,
            Self::Reply { .. } => Ending::Worked,
        }
    }

    /// What the call took at its server by its bill, where it has a result: who fails fast is not fast.
    pub(super) fn took(&self) -> Option<Took> {
        match self {
            Self::Reply { bill, .. } => Some(Took {
                queue_us: bill.queue_us,
                cpu_us: bill.cpu_us,
            }),
            Self::Failure { .. } | Self::Lost(_) => None,
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

/// The number of the call that a frame answers.
pub(super) fn answered(header: &Header<'_>) -> Option<u64> {
    match header {
        Header::Reply { id, .. } | Header::Failure { id, .. } => Some(*id),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use madrpc_core::call::ReplyFields;

    #[test]
    fn a_node_cannot_say_that_it_was_lost() {
        let told = |nodes_lost| {
            let said = ReplyFields {
                retry_after_ms: Some(5),
                nodes_lost,
                ..ReplyFields::default()
            };
            let mut fields = Vec::new();
            said.write(&mut fields);
            let mut outcome = Outcome::Failure {
                kind: ErrorKind::Unavailable,
                bill: Bill::default(),
                fields: Fields(&fields),
                body: Body::from(&[][..]),
            };
            outcome.is_of_node();
            let error = outcome.passing_error().unwrap();
            let Outcome::Failure { fields, .. } = outcome else {
                return (0, true);
            };
            (error.nodes_lost, fields.is_empty())
        };
        assert_eq!(told(0), (0, false));
        assert_eq!(told(2), (0, true));
    }
}
