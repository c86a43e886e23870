//! Waiting for calls: without the GIL, until there is something, somebody else wakes the thread, or a signal has come.

use futures_lite::Stream;
use madrpc_core::numbers::later;
use madrpc_shard::client::{Calls, Ended};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

/// Calls that are taken at once: each is made into Python's objects while the GIL is held.
const TAKEN_MAX: usize = 1024;

/// How soon a signal is noticed by a thread that waits. Python only notes it, and wakes nobody.
const SIGNAL_CHECK: Duration = Duration::from_millis(50);

struct Unpark(std::thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// What wakes the thread that asks for it.
pub(crate) fn this_thread_waker() -> Waker {
    Arc::new(Unpark(std::thread::current())).into()
}

/// A thread that waits for calls.
#[pyclass(frozen, module = "madrpc._native")]
pub(crate) struct Thread(std::thread::Thread);

#[pymethods]
impl Thread {
    /// Ends its waiting, or its next one.
    fn wake(&self) {
        self.0.unpark();
    }
}

/// The thread that calls this.
#[pyfunction]
pub(crate) fn this_thread() -> Thread {
    Thread(std::thread::current())
}

/// Adds those that have ended; the waker is told of the next one where none is left. Whether any is under way.
pub(crate) fn take(calls: &mut Calls, waker: &Waker, ended: &mut Vec<Ended>) -> bool {
    let mut context = Context::from_waker(waker);
    while ended.len() < TAKEN_MAX {
        match Pin::new(&mut *calls).poll_next(&mut context) {
            Poll::Ready(Some(one)) => ended.push(one),
            Poll::Ready(None) => return false,
            Poll::Pending => break,
        }
    }
    true
}

/// Waits for those that end, at most until then. There may be none where the thread was woken.
///
/// # Errors
/// What the handler of a signal raises, as `KeyboardInterrupt`.
pub(crate) fn wait(
    py: Python<'_>,
    calls: &mut Calls,
    until: Option<Instant>,
    returns_when_woken: bool,
) -> PyResult<Vec<Ended>> {
    let waker = this_thread_waker();
    let mut ended = Vec::new();
    loop {
        if !take(calls, &waker, &mut ended) && !returns_when_woken || !ended.is_empty() {
            return Ok(ended);
        }
        let now = Instant::now();
        let rest = until.map_or(SIGNAL_CHECK, |until| until.saturating_duration_since(now));
        if rest.is_zero() {
            return Ok(ended);
        }
        let rest = rest.min(SIGNAL_CHECK);
        py.detach(|| std::thread::park_timeout(rest));
        py.check_signals()?;
        if returns_when_woken && Instant::now() < later(now, rest) {
            take(calls, &waker, &mut ended);
            return Ok(ended);
        }
    }
}

/// What was begun in one process cannot go on in its fork, which has no thread that would.
pub(crate) fn same_process(process: u32) -> PyResult<()> {
    match process == std::process::id() {
        true => Ok(()),
        false => Err(PyRuntimeError::new_err(
            "it was begun in another process, before a fork: begin it anew",
        )),
    }
}

/// Rings on a socket, where an event loop hears it.
#[cfg(unix)]
pub(crate) struct Bell {
    waker: Waker,
    heard: std::os::unix::net::UnixStream,
}

#[cfg(unix)]
struct Ring(std::os::unix::net::UnixStream);

#[cfg(unix)]
impl Wake for Ring {
    fn wake(self: Arc<Self>) {
        // It fails where it rings already.
        let _ = std::io::Write::write(&mut &self.0, &[1]);
    }
}

#[cfg(unix)]
impl Bell {
    pub(crate) fn new() -> std::io::Result<Self> {
        let (ring, heard) = std::os::unix::net::UnixStream::pair()?;
        ring.set_nonblocking(true)?;
        heard.set_nonblocking(true)?;
        let waker = Arc::new(Ring(ring)).into();
        Ok(Self { waker, heard })
    }

    pub(crate) fn waker(&self) -> &Waker {
        &self.waker
    }

    pub(crate) fn fileno(&self) -> i32 {
        std::os::fd::AsRawFd::as_raw_fd(&self.heard)
    }

    /// It has been heard.
    pub(crate) fn silence(&self) {
        let mut rings = [0; 64];
        while matches!(std::io::Read::read(&mut &self.heard, &mut rings), Ok(64)) {}
    }
}
