//! Calls that a shard answers itself: those of reserved functions, and those that nobody can run.

use crate::net::endpoint::{Endpoint, SessionKey};
use madrpc_core::call::catalog::FUNCTIONS;
use madrpc_core::call::{Bill, CallError, ErrorKind};
use madrpc_core::limits::{BODY_MAX_BYTES, FUNCTION_NAME_MAX_BYTES};
use madrpc_core::stats::STATS;

/// Names that begin so are answered by the process itself; scripts cannot register them.
const RESERVED_PREFIX: &str = "madrpc.";

/// Whether a call can be taken, whichever service would get it.
pub(super) fn check(function: &str, is_serving: bool) -> Result<(), CallError> {
    if !is_serving {
        let error = "this process is stopping and takes no new calls";
        return Err(CallError::not_run(ErrorKind::Unavailable, error));
    }
    if function.len() > FUNCTION_NAME_MAX_BYTES {
        let error =
            format!("the name of the function is longer than {FUNCTION_NAME_MAX_BYTES} bytes");
        return Err(CallError::not_run(ErrorKind::NoSuchFunction, error));
    }
    if function.starts_with(RESERVED_PREFIX) && ![STATS, FUNCTIONS].contains(&function) {
        let error = format!(
            "no reserved function is called `{function}`; there are {FUNCTIONS} and {STATS}"
        );
        return Err(CallError::not_run(ErrorKind::NoSuchFunction, error));
    }
    Ok(())
}

pub(super) fn too_large(bytes: usize) -> CallError {
    let error = format!("the arguments have {bytes} bytes, and at most {BODY_MAX_BYTES} are taken");
    CallError::not_run(ErrorKind::PayloadTooLarge, error)
}

pub(super) fn refuse(callers: &mut Endpoint, session: SessionKey, id: u64, error: &CallError) {
    if let Some(outbox) = callers.outbox(session) {
        outbox.fail(id, Bill::default(), error);
    }
}
