//! An event of the kernel's, eventfd(2): ends the system call in which another thread sleeps.

use nix::sys::eventfd::{EfdFlags, EventFd};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

/// Readable once it is signalled, until it is cleared.
#[derive(Debug)]
pub(crate) struct Event(EventFd);

impl Event {
    /// # Errors
    /// Where the process may not have another open file.
    pub(crate) fn new() -> io::Result<Self> {
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        Ok(Self(EventFd::from_flags(flags)?))
    }

    pub(crate) fn signal(&self) {
        // It fails only beyond 2^64 - 2 signals: it is signalled then.
        let _ = self.0.write(1);
    }

    pub(crate) fn clear(&self) {
        // It fails only where it is not signalled.
        let _ = self.0.read();
    }
}

impl AsFd for Event {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
