//! An event of the kernel's, eventfd(2): ends the system call in which a shard sleeps.

use std::io;

/// Readable once it is signalled, until it is cleared.
#[cfg(target_os = "linux")]
#[derive(Debug)]
pub(crate) struct Event(nix::sys::eventfd::EventFd);

#[cfg(target_os = "linux")]
impl Event {
    /// # Errors
    /// Where the process may not have another open file.
    pub(crate) fn new() -> io::Result<Self> {
        use nix::sys::eventfd::{EfdFlags, EventFd};
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

#[cfg(target_os = "linux")]
impl std::os::fd::AsFd for Event {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// There is none where there are no shards.
#[cfg(not(target_os = "linux"))]
#[derive(Debug)]
pub(crate) enum Event {}

#[cfg(not(target_os = "linux"))]
impl Event {
    pub(crate) fn new() -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(crate) fn signal(&self) {
        match *self {}
    }

    pub(crate) fn clear(&self) {
        match *self {}
    }
}
