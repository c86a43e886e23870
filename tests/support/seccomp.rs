//! A kernel that refuses system calls, as container runtimes have it: a filter of seccomp(2).
//!
//! All here may be called between fork and exec: nothing allocates.

use libc::{sock_filter, sock_fprog};
use std::io;

/// `struct seccomp_data`: the number of the system call, and the low half of its third argument (little endian).
pub const CALL_AT: u32 = 0;
pub const THIRD_ARGUMENT_AT: u32 = 16 + 2 * 8;

const fn step(code: u32, skip: u8, k: u32) -> sock_filter {
    sock_filter {
        code: code as u16,
        jt: 0,
        jf: skip,
        k,
    }
}

/// Loads what stands there.
pub const fn load(at: u32) -> sock_filter {
    step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, at)
}

/// Skips so many steps unless that was loaded.
pub const fn unless(value: u32, skip: u8) -> sock_filter {
    step(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, skip, value)
}

/// Ends with this.
pub const fn answer(with: u32) -> sock_filter {
    step(libc::BPF_RET | libc::BPF_K, 0, with)
}

/// From now on the kernel asks this filter for each system call of this thread, and of all that it starts or becomes.
pub fn install(program: &[sock_filter]) -> io::Result<()> {
    let filter = sock_fprog {
        len: program.len() as u16,
        filter: program.as_ptr().cast_mut(),
    };
    // SAFETY: it takes numbers only.
    let privileges = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    // SAFETY: the kernel copies the program out of `filter`, whose pointer and length are those of `program`.
    let set = unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &filter) };
    match (privileges, set) {
        (0, 0) => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// From now on the kernel answers io_uring_setup(2), without which there is no io_uring, with this error.
pub fn refuse_io_uring(error: i32) -> io::Result<()> {
    install(&[
        load(CALL_AT),
        unless(libc::SYS_io_uring_setup as u32, 1),
        answer(libc::SECCOMP_RET_ERRNO | error as u32),
        answer(libc::SECCOMP_RET_ALLOW),
    ])
}

/// What systemd's `MemoryDenyWriteExecute=` sets: no memory is both written and run, nor becomes such that is run.
pub fn deny_write_execute() -> io::Result<()> {
    let has_bits = |bits: i32| step(libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K, 1, bits as u32);
    install(&[
        load(CALL_AT),
        unless(libc::SYS_mprotect as u32, 3),
        load(THIRD_ARGUMENT_AT),
        has_bits(libc::PROT_EXEC),
        answer(libc::SECCOMP_RET_ERRNO | libc::EPERM as u32),
        load(CALL_AT),
        unless(libc::SYS_mmap as u32, 4),
        load(THIRD_ARGUMENT_AT),
        unless(
            (libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC) as u32,
            1,
        ),
        answer(libc::SECCOMP_RET_ERRNO | libc::EPERM as u32),
        load(CALL_AT),
        answer(libc::SECCOMP_RET_ALLOW),
    ])?;
    const SET_MDWE: i32 = 65;
    const REFUSE_EXEC_GAIN: i32 = 1;
    // Since Linux 6.3; an older kernel has the filter alone.
    // SAFETY: it takes numbers only.
    unsafe { libc::prctl(SET_MDWE, REFUSE_EXEC_GAIN, 0, 0, 0) };
    Ok(())
}
