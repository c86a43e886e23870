//! Waiting for calls: without the GIL, until there is something, somebody else wakes the thread, or a signal has come.

use futures_lite::Stream;
use madrpc_core::numbers::later;
use madrpc_shard::client::{Calls, Ended};
use pyo3::prelude::*;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

/// Calls that are taken at once: each is made into Python's objects while the GIL is held.
const TAKEN_MAX: usize = 1024;

/// How soon a signal is noticed by the main thread, whose handlers are run there alone. Python only notes it, and wakes nobody.
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
/// As [`until_ready`].
pub(crate) fn wait(
    py: Python<'_>,
    calls: &mut Calls,
    until: Option<Instant>,
    returns_when_woken: bool,
) -> PyResult<Vec<Ended>> {
    let mut ended = Vec::new();
    until_ready(py, until, returns_when_woken, |context| {
        let is_over = !take(calls, context.waker(), &mut ended) && !returns_when_woken;
        match is_over || !ended.is_empty() {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    })?;
    Ok(ended)
}

/// Waits for what is polled, at most until then. `None` where that has passed, or the thread was woken for something else.
///
/// # Errors
/// What the handler of a signal raises, as `KeyboardInterrupt`.
pub(crate) fn until_ready<T>(
    py: Python<'_>,
    until: Option<Instant>,
    returns_when_woken: bool,
    mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>,
) -> PyResult<Option<T>> {
    let waker = this_thread_waker();
    let mut context = Context::from_waker(&waker);
    let mut look = SIGNAL_CHECK;
    loop {
        if let Poll::Ready(ready) = poll(&mut context) {
            return Ok(Some(ready));
        }
        let now = Instant::now();
        let rest = until.map_or(look, |until| until.saturating_duration_since(now));
        if rest.is_zero() {
            return Ok(None);
        }
        let rest = rest.min(look);
        py.detach(|| std::thread::park_timeout(rest));
        py.check_signals()?;
        if returns_when_woken && Instant::now() < later(now, rest) {
            return Ok(match poll(&mut context) {
                Poll::Ready(ready) => Some(ready),
                Poll::Pending => None,
            });
        }
        // Looked for late, as most calls have ended by then.
        if look == SIGNAL_CHECK && !is_main_thread(py)? {
            look = Duration::MAX;
        }
    }
}

fn is_main_thread(py: Python<'_>) -> PyResult<bool> {
    let threading = py.import("threading")?;
    let main = threading.call_method0("main_thread")?.getattr("ident")?;
    main.eq(threading.call_method0("get_ident")?)
}

/// Rings on a socket, where an event loop hears it.
pub(crate) struct Bell {
    waker: Waker,
    heard: std::os::unix::net::UnixStream,
}

struct Ring(std::os::unix::net::UnixStream);

impl Wake for Ring {
    fn wake(self: Arc<Self>) {
        // It fails where it rings already.
        let _ = std::io::Write::write(&mut &self.0, &[1]);
    }
}

impl Bell {
    fn new() -> std::io::Result<Self> {
        let (ring, heard) = std::os::unix::net::UnixStream::pair()?;
        ring.set_nonblocking(true)?;
        heard.set_nonblocking(true)?;
        let waker = Arc::new(Ring(ring)).into();
        Ok(Self { waker, heard })
    }

    pub(crate) fn waker(&self) -> &Waker {
        &self.waker
    }

    /// The descriptor of the one there, which is made where there is none.
    pub(crate) fn fileno_of(bell: &mut Option<Self>) -> PyResult<i32> {
        let bell = match bell {
            Some(bell) => bell,
            None => bell.insert(Self::new()?),
        };
        Ok(std::os::fd::AsRawFd::as_raw_fd(&bell.heard))
    }

    /// It has been heard.
    pub(crate) fn silence(&self) {
        let mut rings = [0; 64];
        while matches!(std::io::Read::read(&mut &self.heard, &mut rings), Ok(64)) {}
    }
}
