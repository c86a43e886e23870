//! The sockets of a thread that calls, and its sleep until one of them can be read: the system's poller, whichever that is
//! (epoll, kqueue, IOCP).
//!
//! io_uring has no part in it: containers forbid it, and there is little that it could spare a caller, who sleeps only where
//! there is nothing to do and moves datagrams in batches. With 512 small calls in flight, a system call goes with sixty of them.

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

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread::spawn;
    use std::time::Instant;

    /// Longer than any test waits for what has to come.
    const LONG: Duration = Duration::from_secs(8);
    const SHORT: Duration = Duration::from_millis(20);

    fn waited(sockets: &mut Sockets, time: Duration) -> Duration {
        let begun = Instant::now();
        sockets.wait(time);
        begun.elapsed()
    }

    #[test]
    fn the_time_a_datagram_or_another_thread_ends_it() {
        // Before the poller, so that they are dropped after it.
        let [quiet, socket] = [(); 2].map(|()| UdpSocket::bind("127.0.0.1:0").unwrap());
        let mut sockets = Sockets::new().unwrap();
        // SAFETY: they are dropped after the poller.
        unsafe {
            sockets.add(&quiet, 6).unwrap();
            sockets.add(&socket, 7).unwrap();
        }
        assert!(waited(&mut sockets, SHORT) >= SHORT);
        assert_eq!(sockets.next_readable(), None);
        quiet.send_to(&[1], socket.local_addr().unwrap()).unwrap();
        // For as long as it can be read.
        for time in [LONG, Duration::ZERO] {
            assert!(waited(&mut sockets, time) < LONG);
            assert_eq!(sockets.next_readable(), Some(7));
            assert_eq!(sockets.next_readable(), None);
        }
        socket.recv(&mut [0]).unwrap();
        // Woken before: no sleep, and only once.
        let waker = sockets.waker();
        waker.wake();
        waker.wake();
        assert!(waited(&mut sockets, LONG) < LONG);
        assert!(waited(&mut sockets, SHORT) >= SHORT);
        // Woken meanwhile.
        let other = spawn(move || {
            std::thread::sleep(SHORT);
            waker.wake();
        });
        assert!(waited(&mut sockets, LONG) < LONG);
        other.join().unwrap();
        // None that was removed.
        quiet.send_to(&[1], socket.local_addr().unwrap()).unwrap();
        sockets.remove(&socket);
        assert!(waited(&mut sockets, SHORT) >= SHORT);
        assert_eq!(sockets.next_readable(), None);
    }
}
