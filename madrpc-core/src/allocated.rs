//! What a thread has allocated, where the process' allocator says so.
//!
//! Between two looks it shows what something has taken and keeps, without a part in it: of QUIC's, which tells nobody what it
//! holds for a peer.

use std::cell::Cell;

/// Memory that was allocated, less what was freed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Allocated {
    /// Bytes.
    pub bytes: isize,
    /// Blocks, each of which takes its time when it is freed.
    pub blocks: isize,
}

impl Allocated {
    /// Both together.
    #[must_use]
    #[inline]
    pub const fn with(self, other: Self) -> Self {
        Self {
            bytes: self.bytes.wrapping_add(other.bytes),
            blocks: self.blocks.wrapping_add(other.blocks),
        }
    }

    /// What there is of it that was not there before.
    #[must_use]
    #[inline]
    pub const fn since(self, before: Self) -> Self {
        Self {
            bytes: self.bytes.wrapping_sub(before.bytes),
            blocks: self.blocks.wrapping_sub(before.blocks),
        }
    }
}

thread_local! {
    static ALLOCATED: Cell<Allocated> = const { Cell::new(Allocated { bytes: 0, blocks: 0 }) };
}

/// What the present thread has of it; nothing where the process' allocator does not count.
#[must_use]
pub fn by_thread() -> Allocated {
    ALLOCATED.get()
}

/// For the process' allocator: the present thread has allocated so much more, or freed it where negative.
#[inline]
pub fn note(more: Allocated) {
    ALLOCATED.set(ALLOCATED.get().with(more));
}
