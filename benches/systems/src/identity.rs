//! Who a process of the run is: certificates of an authority that exists for the run.

use crate::outcome::Outcome;
use madrpc_core::identity::{Authority, Identity, Role};
use std::path::Path;

/// An identity of the run's own authority.
pub(crate) fn identity(dir: &Path, role: Role) -> Outcome<Identity> {
    Ok(Authority::load_or_create(&dir.join("tls"))?.issue(role)?)
}
