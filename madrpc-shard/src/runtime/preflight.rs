//! What must be true of the machine before a shard is started.
//!
//! glommio finds these out late, by a panic or when the executor is joined; here each is one line with its remedy.

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use std::os::fd::{FromRawFd, OwnedFd};

/// Memory that an executor's rings lock; glommio refuses less.
pub const LOCKED_MEMORY_BYTES: u64 = 512 * 1024;

/// Files that a process has open before it starts an executor: streams, signals, the log, and what a script or a watch
/// opens.
const FILES: u64 = 16;

/// Files of a shard: three rings and an event of its executor's, its bell, and at most three sockets (an orchestrator's).
/// glommio panics in its first system call where it cannot open one.
const FILES_PER_EXECUTOR: u64 = 10;

/// Something this machine lacks.
#[derive(Debug, thiserror::Error)]
pub enum PreflightError {
    /// The limit of locked memory is too low.
    #[error(
        "locked memory: the limit is {limit_kib} KiB and the shards need {need_kib} KiB; raise it by `ulimit -l {need_kib}`, \
         LimitMEMLOCK= in a systemd unit, or memlock in limits.conf"
    )]
    LockedMemory {
        /// The limit, in KiB.
        limit_kib: u64,
        /// What is needed, in KiB.
        need_kib: u64,
    },
    /// The limit of open files is too low.
    #[error(
        "open files: the limit is {limit} and the shards need {need}; raise it by `ulimit -n {need}`, LimitNOFILE= in a \
         systemd unit, or nofile in limits.conf"
    )]
    OpenFiles {
        /// The limit.
        limit: u64,
        /// What is needed.
        need: u64,
    },
    /// The kernel refuses io_uring.
    #[error("io_uring: the kernel refuses it ({reason}); {remedy}")]
    IoUring {
        /// The kernel's word.
        reason: std::io::Error,
        /// What to do.
        remedy: &'static str,
    },
}

/// Checks that `executors` can be started in this process, and raises the soft limits of locked memory and open files
/// where it may.
///
/// # Errors
/// Where something is missing.
pub fn check(executors: usize) -> Result<(), PreflightError> {
    let executors = executors as u64;
    locked_memory(LOCKED_MEMORY_BYTES * executors)?;
    let need = FILES + FILES_PER_EXECUTOR * executors;
    raise(Resource::RLIMIT_NOFILE, need)
        .map_err(|limit| PreflightError::OpenFiles { limit, need })?;
    io_uring()
}

fn locked_memory(need: u64) -> Result<(), PreflightError> {
    raise(Resource::RLIMIT_MEMLOCK, need).map_err(|soft| PreflightError::LockedMemory {
        limit_kib: soft / 1024,
        need_kib: need / 1024,
    })
}

/// Raises a soft limit to what is needed, where it is lower; gives it where that cannot be done.
fn raise(resource: Resource, need: u64) -> Result<(), u64> {
    // Unreadable limits are no reason to refuse: glommio will say what it makes of them.
    let Ok((soft, hard)) = getrlimit(resource) else {
        return Ok(());
    };
    if soft >= need || (hard >= need && setrlimit(resource, need, hard).is_ok()) {
        return Ok(());
    }
    Err(soft)
}

fn io_uring() -> Result<(), PreflightError> {
    // `struct io_uring_params` is 120 bytes, all zero for the defaults.
    let mut params = [0u8; 120];
    // SAFETY: the kernel reads and writes the 120 bytes of `params`, which outlive the call.
    let result = unsafe { libc::syscall(libc::SYS_io_uring_setup, 2, params.as_mut_ptr()) };
    if let Ok(descriptor) = i32::try_from(result)
        && descriptor >= 0
    {
        // SAFETY: the kernel has just given us this descriptor, and nobody else knows it.
        drop(unsafe { OwnedFd::from_raw_fd(descriptor) });
        return Ok(());
    }
    let reason = std::io::Error::last_os_error();
    let remedy = match reason.raw_os_error() {
        Some(libc::ENOSYS) => "a kernel from 5.8 on with CONFIG_IO_URING is needed",
        Some(libc::ENOMEM) => "raise the limit of locked memory",
        _ => {
            "set the sysctl kernel.io_uring_disabled to 0, and allow io_uring in the container's seccomp profile"
        }
    };
    Err(PreflightError::IoUring { reason, remedy })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_can_run_a_shard() {
        check(1).unwrap();
    }

    #[test]
    fn a_need_above_the_limit_names_both_and_the_remedy() {
        let (_, hard) = getrlimit(Resource::RLIMIT_MEMLOCK).unwrap();
        if hard == u64::MAX {
            return;
        }
        let message = locked_memory(hard + 1024 * 1024).unwrap_err().to_string();
        assert!(message.contains("ulimit -l"), "{message}");
    }
}
