//! The bounds of a lane.

use std::time::Duration;

/// A lane's native stack. Only what is used of it takes memory; a guard page ends it.
pub(super) const STACK_BYTES: usize = 1 << 20;

/// How much of it JavaScript may use.
pub(super) const JS_STACK_BYTES: usize = 768 << 10;

/// The heap of a lane.
pub(super) const HEAP_BYTES: usize = 64 << 20;

/// How long a script may take to load.
pub(super) const LOAD_TIMEOUT: Duration = Duration::from_secs(10);

// What the host and the engine's C functions use beyond JavaScript's own frames.
const _: () = assert!(JS_STACK_BYTES + (128 << 10) <= STACK_BYTES);
