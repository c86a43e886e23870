//! The core of the servers and that of the load.

use crate::outcome::Outcome;
use core_affinity::CoreId;

/// The first core of this process, for servers, and the last, for the load.
pub(crate) fn ends() -> Outcome<(usize, usize)> {
    let cores = core_affinity::get_core_ids().ok_or("the cores of this process cannot be read")?;
    match (cores.first(), cores.last()) {
        (Some(first), Some(last)) => Ok((first.id, last.id)),
        _ => Err("this process has no core".into()),
    }
}

/// Pins this thread, and the threads and processes that it starts from now on.
pub(crate) fn pin(core: usize) -> Outcome<()> {
    match core_affinity::set_for_current(CoreId { id: core }) {
        true => Ok(()),
        false => Err(format!("core {core}: the system refuses to pin to it").into()),
    }
}

/// Runs `work` on a thread of its own that is pinned to `core`.
pub(crate) fn on<T: Send>(core: usize, work: impl FnOnce() -> Outcome<T> + Send) -> Outcome<T> {
    std::thread::scope(|scope| {
        let pinned = scope.spawn(move || {
            pin(core)?;
            work()
        });
        pinned
            .join()
            .unwrap_or_else(|_| Err("a thread of the load has panicked".into()))
    })
}
