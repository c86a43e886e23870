//! Makes every thread of a running process try what a server must not be able to do, and prints what came of it.
//!
//! `attempt PID STATE`: a line for each thread and attempt, `THREAD<tab>ATTEMPT<tab>ok` or the error's name. STATE is a
//! directory that the process may write to, as the process sees it. Run by tests/deploy/cases.sh, as root.
//!
//! The threads are stopped and make the system calls themselves (ptrace), so that all that was taken from them
//! counts: the unit's users, namespaces and filter, and the Landlock rules that each thread has for itself. A second
//! process with the same unit would have the first two and not the last. Nothing is called, so no stack and no
//! extended registers are touched; debuggers that have to write those fail on processors whose registers they do not
//! know.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "its output is what it is for"
)]

use nix::errno::Errno;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use std::error::Error;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::process::ExitCode;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Where a processor has the number, the arguments and the result of a system call, and how its instruction looks.
#[cfg(target_arch = "x86_64")]
mod processor {
    use libc::user_regs_struct;

    pub(crate) const SYSTEM_CALL: &[u8] = &[0x0f, 0x05];

    pub(crate) fn prepare(registers: &mut user_regs_struct, at: u64, number: u64, args: [u64; 6]) {
        registers.rip = at;
        registers.rax = number;
        // Otherwise the kernel would go back to the call that the thread was stopped in.
        registers.orig_rax = u64::MAX;
        [
            registers.rdi,
            registers.rsi,
            registers.rdx,
            registers.r10,
            registers.r8,
            registers.r9,
        ] = args;
    }

    pub(crate) fn result(registers: &user_regs_struct) -> i64 {
        registers.rax as i64
    }
}

#[cfg(target_arch = "aarch64")]
mod processor {
    use libc::user_regs_struct;

    pub(crate) const SYSTEM_CALL: &[u8] = &[0x01, 0x00, 0x00, 0xd4];

    pub(crate) fn prepare(registers: &mut user_regs_struct, at: u64, number: u64, args: [u64; 6]) {
        registers.pc = at;
        registers.regs[8] = number;
        registers.regs[..6].copy_from_slice(&args);
    }

    pub(crate) fn result(registers: &user_regs_struct) -> i64 {
        registers.regs[0] as i64
    }
}

/// A thread that is stopped.
struct Thread {
    id: Pid,
    memory: File,
    /// An instruction in its memory that makes a system call.
    instruction: u64,
    /// A page of its memory for what a call points to.
    page: u64,
}

const PAGE_BYTES: u64 = 4096;

impl Thread {
    /// Stops a thread, has it do some work and lets it go on where it was.
    fn borrow<T>(process: &str, id: Pid, work: impl FnOnce(&mut Self) -> Outcome<T>) -> Outcome<T> {
        let memory = File::options()
            .read(true)
            .write(true)
            .open(format!("/proc/{process}/mem"))?;
        let mut thread = Self {
            id,
            instruction: find_instruction(process, &memory)?,
            memory,
            page: 0,
        };
        ptrace::seize(id, Options::PTRACE_O_TRACESYSGOOD)?;
        ptrace::interrupt(id)?;
        thread.wait_for(|status| matches!(status, WaitStatus::PtraceEvent(..)))?;
        let registers = ptrace::getregs(id)?;
        let outcome = thread.with_page(work);
        // A thread that was stopped in a system call goes back into it only from a stop like the one it was found in.
        ptrace::interrupt(id)?;
        ptrace::cont(id, None)?;
        thread.wait_for(|status| matches!(status, WaitStatus::PtraceEvent(..)))?;
        ptrace::setregs(id, registers)?;
        ptrace::detach(id, None)?;
        outcome
    }

    fn with_page<T>(&mut self, work: impl FnOnce(&mut Self) -> Outcome<T>) -> Outcome<T> {
        let access = (libc::PROT_READ | libc::PROT_WRITE) as u64;
        let kind = (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS) as u64;
        let args = [0, PAGE_BYTES, access, kind, u64::MAX, 0];
        self.page = self.call(libc::SYS_mmap, args)??;
        let outcome = work(self);
        self.call(libc::SYS_munmap, [self.page, PAGE_BYTES, 0, 0, 0, 0])??;
        outcome
    }

    /// Has the thread make a system call: its result, or its error.
    fn call(&self, number: libc::c_long, args: [u64; 6]) -> Outcome<Result<u64, Errno>> {
        let mut registers = ptrace::getregs(self.id)?;
        processor::prepare(&mut registers, self.instruction, number as u64, args);
        ptrace::setregs(self.id, registers)?;
        // To where it enters the kernel, then to where it leaves it.
        for _ in 0..2 {
            ptrace::syscall(self.id, None)?;
            self.wait_for(|status| matches!(status, WaitStatus::PtraceSyscall(_)))?;
        }
        let result = processor::result(&ptrace::getregs(self.id)?);
        Ok(match result {
            -4095..0 => Err(Errno::from_raw(-result as i32)),
            result => Ok(result as u64),
        })
    }

    /// Waits for a stop of this kind; signals that come in between are the thread's, and it gets them.
    fn wait_for(&self, is_wanted: impl Fn(&WaitStatus) -> bool) -> Outcome<()> {
        loop {
            match waitpid(self.id, Some(WaitPidFlag::__WALL))? {
                status if is_wanted(&status) => return Ok(()),
                WaitStatus::Stopped(_, Signal::SIGTRAP) => ptrace::syscall(self.id, None)?,
                WaitStatus::Stopped(_, signal) => ptrace::syscall(self.id, signal)?,
                status => return Err(format!("thread {}: {status:?}", self.id).into()),
            }
        }
    }

    /// Puts bytes where a call can point to; one call at a time has something there.
    fn put(&self, bytes: &[u8]) -> Outcome<u64> {
        self.memory.write_all_at(bytes, self.page)?;
        Ok(self.page)
    }

    fn path(&self, path: &str) -> Outcome<u64> {
        self.put(&[path.as_bytes(), b"\0"].concat())
    }

    /// Closes a descriptor that a call gave, so that it has not cost the process anything.
    fn close(&self, opened: Result<u64, Errno>) -> Outcome<Result<u64, Errno>> {
        if let Ok(descriptor) = opened {
            self.call(libc::SYS_close, [descriptor, 0, 0, 0, 0, 0])??;
        }
        Ok(opened)
    }

    fn open(&self, path: &str, flags: i32) -> Outcome<Result<u64, Errno>> {
        let flags = (flags | libc::O_CLOEXEC) as u64;
        let dir = libc::AT_FDCWD as u64;
        self.close(self.call(
            libc::SYS_openat,
            [dir, self.path(path)?, flags, 0o600, 0, 0],
        )?)
    }

    fn socket(&self, family: i32, kind: i32) -> Outcome<Result<u64, Errno>> {
        let kind = (kind | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK) as u64;
        self.call(libc::SYS_socket, [family as u64, kind, 0, 0, 0, 0])
    }

    /// A socket of this kind, bound or connected (`number`) to a port of loopback.
    fn address(
        &self,
        number: libc::c_long,
        family: i32,
        kind: i32,
        port: u16,
    ) -> Outcome<Result<u64, Errno>> {
        let descriptor = match self.socket(family, kind)? {
            Ok(descriptor) => descriptor,
            Err(error) => return Ok(Err(error)),
        };
        let mut address = [&(family as u16).to_ne_bytes()[..], &port.to_be_bytes()].concat();
        match family {
            libc::AF_INET => address.extend([127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]),
            _ => address.extend([
                0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0,
            ]),
        }
        let at = self.put(&address)?;
        let done = self.call(number, [descriptor, at, address.len() as u64, 0, 0, 0])?;
        self.close(Ok(descriptor))??;
        Ok(done)
    }
}

/// The kernel maps a few functions into every process (the vDSO), and some of them make system calls.
fn find_instruction(process: &str, memory: &File) -> Outcome<u64> {
    let maps = fs::read_to_string(format!("/proc/{process}/maps"))?;
    let vdso = maps.lines().find(|line| line.ends_with("[vdso]"));
    let range = vdso.and_then(|line| line.split_once(' ')?.0.split_once('-'));
    let (from, to) = range.ok_or("the process has no [vdso]")?;
    let (from, to) = (u64::from_str_radix(from, 16)?, u64::from_str_radix(to, 16)?);
    let mut code = vec![0; (to - from) as usize];
    memory.read_exact_at(&mut code, from)?;
    let wanted = processor::SYSTEM_CALL;
    let found = code.windows(wanted.len()).position(|bytes| bytes == wanted);
    let at = found.ok_or("no system call in the [vdso]")?;
    Ok(from + at as u64)
}

/// A port that nobody listens on.
const DISCARD: u16 = 9;

/// Everything that is tried, by the name that cases.sh knows it by.
fn attempts(thread: &Thread, state: &str) -> Outcome<Vec<(&'static str, Result<u64, Errno>)>> {
    use libc::{AF_INET, AF_INET6, O_CREAT, O_RDONLY, O_RDWR, SOCK_DGRAM, SOCK_RAW, SOCK_STREAM};
    use libc::{SYS_bind, SYS_connect};
    let all_access = (libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC) as u64;
    let device = (libc::S_IFCHR | 0o600) as u64;
    let uts = libc::CLONE_NEWUTS as u64;
    Ok(vec![
        (
            "own-file",
            thread.open(&format!("{state}/own"), O_CREAT | O_RDWR)?,
        ),
        (
            "read-script",
            thread.open("/etc/madrpc/functions.js", O_RDONLY)?,
        ),
        (
            "udp-bind",
            thread.address(SYS_bind, AF_INET, SOCK_DGRAM, 0)?,
        ),
        (
            "read-home",
            thread.open(concat!("/home", "/ann/secret"), O_RDONLY)?,
        ),
        ("read-root", thread.open("/root/secret", O_RDONLY)?),
        (
            "read-key",
            thread.open("/etc/madrpc/tls/node/key.pem", O_RDONLY)?,
        ),
        (
            "write-settings",
            thread.open("/etc/madrpc/node-a.toml", O_RDWR)?,
        ),
        (
            "write-program",
            thread.open("/usr/bin/madrpc-other", O_CREAT | O_RDWR)?,
        ),
        (
            "write-state-of-others",
            thread.open("/var/lib/madrpc-other", O_CREAT | O_RDWR)?,
        ),
        ("read-processes", thread.open("/proc/1/status", O_RDONLY)?),
        (
            "signal-processes",
            thread.call(libc::SYS_kill, [1, 0, 0, 0, 0, 0])?,
        ),
        (
            "make-device",
            // The numbers of /dev/null.
            thread.call(
                libc::SYS_mknodat,
                [
                    libc::AT_FDCWD as u64,
                    thread.path(&format!("{state}/null"))?,
                    device,
                    0x103,
                    0,
                    0,
                ],
            )?,
        ),
        (
            "mount",
            thread.call(
                libc::SYS_mount,
                [thread.path("/mnt")?, thread.page, 0, libc::MS_BIND, 0, 0],
            )?,
        ),
        (
            "namespace",
            thread.call(libc::SYS_unshare, [uts, 0, 0, 0, 0, 0])?,
        ),
        (
            "write-and-run-memory",
            thread.call(
                libc::SYS_mprotect,
                [thread.page, PAGE_BYTES, all_access, 0, 0, 0],
            )?,
        ),
        (
            "tcp-connect",
            thread.address(SYS_connect, AF_INET, SOCK_STREAM, DISCARD)?,
        ),
        (
            "tcp-bind",
            thread.address(SYS_bind, AF_INET, SOCK_STREAM, 0)?,
        ),
        (
            "tcp6-connect",
            thread.address(SYS_connect, AF_INET6, SOCK_STREAM, DISCARD)?,
        ),
        (
            "tcp6-bind",
            thread.address(SYS_bind, AF_INET6, SOCK_STREAM, 0)?,
        ),
        (
            "netlink",
            thread.close(thread.socket(libc::AF_NETLINK, SOCK_RAW)?)?,
        ),
        (
            "packet",
            thread.close(thread.socket(libc::AF_PACKET, SOCK_RAW)?)?,
        ),
    ])
}

fn run() -> Outcome<()> {
    let args: Vec<_> = std::env::args().skip(1).collect();
    let [process, state] = args.as_slice() else {
        return Err("usage: attempt PID STATE".into());
    };
    for task in fs::read_dir(format!("/proc/{process}/task"))? {
        let task = task?.path();
        let name = fs::read_to_string(task.join("comm"))?;
        let id = task.file_name().and_then(|id| id.to_str()?.parse().ok());
        let id = Pid::from_raw(id.ok_or("a thread without a number")?);
        let found = Thread::borrow(process, id, |thread| attempts(thread, state))
            .map_err(|error| format!("thread {}: {error}", name.trim()))?;
        for (attempt, outcome) in found {
            let outcome = outcome.map_or_else(|error| format!("{error:?}"), |_| "ok".into());
            println!("{}\t{attempt}\t{outcome}", name.trim());
        }
    }
    Ok(())
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("attempt: {error}");
            ExitCode::FAILURE
        }
    }
}
