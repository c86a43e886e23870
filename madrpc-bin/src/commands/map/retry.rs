//! When a call is tried again, and whether one may be that has perhaps run.

use madrpc_core::call::CallError;
use madrpc_core::call::catalog::Catalog;
use madrpc_core::value::{Value, from_value};
use std::time::Duration;

/// The pause before another try, which doubles with each, where the server has no other wish.
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// How long to wait before a call is tried again that has failed so. Not all of them at the same time.
pub(super) fn pause(error: &CallError, tries: u32) -> Duration {
    let doubled = PAUSE_MIN.saturating_mul(1_u32.checked_shl(tries).unwrap_or(u32::MAX));
    let half = error.retry_after.unwrap_or(doubled).min(PAUSE_MAX) / 2;
    half.saturating_add(half.saturating_mul(fastrand::u32(..=64)) / 64)
}

/// Whether a function is idempotent for all who have it, by what a server answers that was asked what can be called; `None` where
/// nobody is known to have it.
pub(super) fn are_idempotent(answer: Value, function: &str) -> Option<bool> {
    let catalog = from_value::<Catalog>(answer).ok()?;
    let named = catalog
        .functions
        .into_iter()
        .filter(|one| one.name == function);
    named
        .map(|one| one.options.idempotent)
        .reduce(|all, one| all && one)
}
