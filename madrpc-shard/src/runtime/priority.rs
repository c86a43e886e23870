//! Which threads go first where the cores are taken.

use tracing::debug;

/// Lets this thread, and those that it starts, come after others that want the core: the higher the number, the later
/// (nice(2)). Where the system refuses, all stays as it was.
#[cfg_attr(
    not(any(feature = "engine", feature = "gateway", feature = "traces")),
    expect(
        dead_code,
        reason = "only HTTP, traces and the compiler of kernels stand back"
    )
)]
pub(crate) fn lower(niceness: i32) {
    // SAFETY: it takes three numbers and touches no memory of ours. 0 is the calling thread (setpriority(2), on Linux).
    let refused = unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, niceness) };
    if refused != 0 {
        let reason = std::io::Error::last_os_error();
        debug!("a thread keeps its priority: {reason}");
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_thread_stands_back_and_the_others_do_not() {
        // SAFETY: as above.
        let own = || unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) };
        let before = own();
        let there = std::thread::spawn(move || {
            super::lower(before + 3);
            own()
        });
        assert_eq!(there.join().unwrap(), (before + 3).min(19));
        assert_eq!(own(), before);
    }
}
