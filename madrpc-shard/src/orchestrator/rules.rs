//! Rules of `--allow` that speak of a function which no node has: most likely it is spelt otherwise, and what it is to keep from
//! callers is free to all. Nodes may still be starting, so that is told a while after the first has said what it has.

use madrpc_core::fleet::Router;
use madrpc_core::identity::Permissions;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tracing::warn;

/// How long the other nodes have to come.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is looked at once.
pub(super) struct Rules {
    permissions: Arc<Permissions>,
    due: Option<Instant>,
}

impl Rules {
    pub(super) const fn new(permissions: Arc<Permissions>) -> Self {
        Self {
            permissions,
            due: None,
        }
    }

    /// Says it, when it is time; whether that is over.
    #[cold]
    pub(super) fn look(&mut self, router: &Router, now: Instant) -> bool {
        if !router.has_functions() {
            self.due = None;
            return false;
        }
        if now < *self.due.get_or_insert(now + PATIENCE) {
            return false;
        }
        let named = self.permissions.named();
        let idle = named.filter(|(function, _)| router.find(function).is_none());
        let rules: Vec<String> = idle.map(|(_, rule)| format!("'{rule}'")).collect();
        // One that has said nothing may have anything.
        if !rules.is_empty() && router.have_all_said() {
            warn!(
                "--allow {}: no node has such a function",
                rules.join(" and ")
            );
        }
        true
    }
}
