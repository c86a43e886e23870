//! What a thread has allocated, where the process' allocator says so.
//!
//! Between two looks it shows what something has taken and keeps, without a part in it: of QUIC's, which tells nobody what it
//! holds for a peer.

use std::cell::Cell;

thread_local! {
    static BYTES: Cell<isize> = const { Cell::new(0) };
}

/// Bytes that the present thread has allocated, less those that it has freed; 0 where the process' allocator does not count.
#[must_use]
pub fn bytes() -> isize {
    BYTES.get()
}

/// For the process' allocator: the present thread has allocated so many bytes more, or freed them where negative.
#[inline]
pub fn note(bytes: isize) {
    BYTES.set(BYTES.get().wrapping_add(bytes));
}
