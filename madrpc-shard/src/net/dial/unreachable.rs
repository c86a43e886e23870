//! Why there is nobody to call.

use super::links::Target;
use madrpc_core::call::{CallError, ErrorKind};

/// Reasons that an error names, where no upstream can be reached.
const REASONS_MAX: usize = 3;

/// Links, and upstreams, that are looked at for reasons: several may have the same.
const LOOKS_MAX: usize = 32;

/// Why none of these can be called, of which each has links that are down: the reasons of the first few. `is_passing` where
/// one of them is down for a reason that may pass.
pub(super) fn why_none<'a>(
    mut down: impl ExactSizeIterator<Item = &'a Target>,
    is_passing: bool,
) -> CallError {
    // A refused certificate is the caller's to mend; anything else may pass.
    let kind = match down.len() > 0 && !is_passing {
        true => ErrorKind::Unauthorized,
        false => ErrorKind::Unavailable,
    };
    let mut reasons: Vec<&str> = Vec::new();
    for target in down.by_ref().take(LOOKS_MAX) {
        for why in target.reasons().take(LOOKS_MAX) {
            if reasons.len() < REASONS_MAX && !reasons.contains(&why) {
                reasons.push(why);
            }
        }
        if reasons.len() == REASONS_MAX {
            break;
        }
    }
    let mut message = match reasons.is_empty() {
        true => "all upstreams are stopping".to_owned(),
        false => reasons.join("; "),
    };
    let others = down.len();
    if others > 0 {
        message.push_str(&format!("; and {others} more"));
    }
    CallError::not_run(kind, message)
}
