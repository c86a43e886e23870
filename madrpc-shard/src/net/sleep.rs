//! Sleeping until there is something to do.
//!
//! A thread has one loop and nothing beside it, so it sleeps in one system call, ppoll(2). glommio's reactor takes some ten
//! of them to sleep and wake, 43 µs of a core for an echo instead of 12, and its 0.9 may sleep while a task can run: where
//! its preemption timer ends right before it looks for tasks, it takes that for having none (glommio/glommio#53).

use super::bell::Listener;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::TimeSpec;
use std::iter::once;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

/// The longest that a thread sleeps when nothing comes.
pub(crate) const LONGEST_SLEEP: Duration = Duration::from_secs(10);

/// Sleeps until one of `sources` can be read, the bell is rung, or the time is over; may end earlier.
pub(crate) fn sleep<'a>(
    listener: &'a Listener,
    sources: impl IntoIterator<Item = BorrowedFd<'a>>,
    time: Duration,
) {
    let event = once(listener.event().as_fd());
    listener.sleep(|| wait(event.chain(sources), time));
}

/// Says whether the first of `sources` can be read.
fn wait<'a>(sources: impl IntoIterator<Item = BorrowedFd<'a>>, time: Duration) -> bool {
    let polled = sources.into_iter();
    let polled = polled.map(|source| PollFd::new(source, PollFlags::POLLIN));
    let mut polled: Vec<_> = polled.collect();
    let time = TimeSpec::from_duration(time.min(LONGEST_SLEEP));
    // A signal ends it early, which does no harm.
    let _ = ppoll(&mut polled, Some(time), None);
    let first = polled.first().and_then(PollFd::any);
    first.unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;
    use std::sync::Arc;
    use std::thread::spawn;
    use std::time::Instant;

    /// Longer than any test waits for what has to come.
    const LONG: Duration = Duration::from_secs(8);

    fn slept(listener: &Listener, sources: &[&UdpSocket], time: Duration) -> Duration {
        let begun = Instant::now();
        sleep(listener, sources.iter().map(|socket| socket.as_fd()), time);
        begun.elapsed()
    }

    #[test]
    fn the_time_a_datagram_or_the_bell_ends_it() {
        let listener = Listener::new().unwrap();
        let sockets = [(); 2].map(|()| UdpSocket::bind("127.0.0.1:0").unwrap());
        let sources = [&sockets[0], &sockets[1]];
        let short = Duration::from_millis(20);
        assert!(slept(&listener, &sources, short) >= short);
        sockets[0]
            .send_to(&[1], sockets[1].local_addr().unwrap())
            .unwrap();
        assert!(slept(&listener, &sources, LONG) < LONG);
        sockets[1].recv(&mut [0]).unwrap();
        // Rung before: no sleep until it was asked for.
        listener.bell().ring();
        assert!(slept(&listener, &sources, LONG) < LONG);
        assert!(listener.was_rung());
        assert!(!listener.was_rung());
        assert!(slept(&listener, &sources, short) >= short);
        // Rung meanwhile.
        let bell = Arc::clone(listener.bell());
        let ringer = spawn(move || {
            std::thread::sleep(short);
            bell.ring();
        });
        assert!(slept(&listener, &sources, LONG) < LONG);
        ringer.join().unwrap();
        assert!(listener.was_rung());
        assert!(
            slept(&listener, &sources, short) >= short,
            "the event is cleared"
        );
    }
}
