//! Why there is nobody to call.

use super::links::{State, Target};
use madrpc_core::call::{CallError, ErrorKind};

/// Reasons that an error names, where no upstream can be reached.
const REASONS_MAX: usize = 3;

/// Why none of these can be called: the reasons of the first few that are down.
pub(super) fn why_none<'a>(targets: impl IntoIterator<Item = &'a Target>) -> CallError {
    let mut is_unauthorized = None;
    let mut reasons: Vec<&str> = Vec::new();
    let mut others = 0;
    let links = targets.into_iter().flat_map(|target| &target.links);
    for link in links {
        let State::Down { why } = &link.state else {
            continue;
        };
        let refused = why.kind == ErrorKind::Unauthorized;
        is_unauthorized = Some(is_unauthorized.unwrap_or(true) && refused);
        match reasons.len() < REASONS_MAX {
            _ if reasons.contains(&why.message.as_str()) => {}
            true => reasons.push(&why.message),
            false => others += 1,
        }
    }
    // A refused certificate is the caller's to mend; anything else may pass.
    let kind = match is_unauthorized {
        Some(true) => ErrorKind::Unauthorized,
        _ => ErrorKind::Unavailable,
    };
    let mut message = match reasons.is_empty() {
        true => "all upstreams are stopping".to_owned(),
        false => reasons.join("; "),
    };
    if others > 0 {
        message.push_str(&format!("; and {others} more"));
    }
    CallError::not_run(kind, message)
}
