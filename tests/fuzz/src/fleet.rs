//! An authority that exists for one process, and certificates of it.

use madrpc_core::identity::{Authority, Identity, Role};
use std::sync::LazyLock;

static AUTHORITY: LazyLock<Authority> = LazyLock::new(|| Authority::create("fuzzing").unwrap());

pub(crate) static NODE: LazyLock<Identity> = LazyLock::new(|| AUTHORITY.issue(Role::Node).unwrap());

pub(crate) static CLIENT: LazyLock<Identity> =
    LazyLock::new(|| AUTHORITY.issue(Role::Client).unwrap());

/// Of another authority.
pub(crate) static STRANGER: LazyLock<Identity> = LazyLock::new(|| {
    let other = Authority::create("another").unwrap();
    other.issue(Role::Client).unwrap()
});
