//! The sockets of a thread that calls, and its sleep until one of them can be read: the system's poller, whichever that is
//! (epoll, kqueue, IOCP).
//!
//! io_uring has no part in it: containers forbid it, and there is little that it could spare a caller, who moves datagrams in
//! batches and sleeps only where there is nothing to do.

use polling::{Event, Events, PollMode, Poller};
use std::io;
use std::net::UdpSocket;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

/// Sockets that one look finds; the next finds more.
const FOUND_PER_LOOK: NonZeroUsize = NonZeroUsize::new(64).unwrap();

/// Sockets, each with its place.
pub(super) struct Sockets {
    poller: Arc<Poller>,
    found: Events,
    /// The places of those that were found to be readable.
    readable: Vec<usize>,
}

/// Ends the sleep of the thread, or its next one where it does not sleep.
#[derive(Debug, Clone)]
pub(super) struct Waker(Arc<Poller>);

impl Waker {
    pub(super) fn wake(&self) {
        // It fails only where it has been done before.
        let _ = self.0.notify();
    }
}

impl Sockets {
    /// # Errors
    /// Where the process may not have another open file.
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            poller: Arc::new(Poller::new()?),
            found: Events::with_capacity(FOUND_PER_LOOK),
            readable: Vec::new(),
        })
    }

    pub(super) fn waker(&self) -> Waker {
        Waker(Arc::clone(&self.poller))
    }

    /// # Safety
    /// It is removed before it is closed, or this is dropped before it.
    ///
    /// # Errors
    /// Where the system takes no more.
    pub(super) unsafe fn add(&self, socket: &UdpSocket, place: usize) -> io::Result<()> {
        let event = Event::readable(place);
        // SAFETY: the caller sees to it.
        unsafe { self.poller.add_with_mode(socket, event, PollMode::Level) }
    }

    pub(super) fn remove(&self, socket: &UdpSocket) {
        // It fails only where it was not added.
        let _ = self.poller.delete(socket);
    }

    /// Sleeps until a socket can be read, the thread is woken, or the time is over; with no time it only looks. What it finds
    /// is told by [`Sockets::next_readable`].
    pub(super) fn wait(&mut self, time: Duration) {
        self.found.clear();
        // It fails where the kernel has no memory: the next look may find them.
        let _ = self.poller.wait(&mut self.found, Some(time));
        self.readable.clear();
        self.readable
            .extend(self.found.iter().map(|event| event.key));
    }

    /// The place of a socket that could be read.
    pub(super) fn next_readable(&mut self) -> Option<usize> {
        self.readable.pop()
    }
}
