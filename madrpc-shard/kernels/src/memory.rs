//! Memory for machine code: written once, then executable and never writable again.
//!
//! The code is written into a file that only memory has, which is sealed and mapped. So at no moment is there memory that can
//! be both written and executed, and it works where the kernel forbids to make memory executable that was written before
//! (systemd's `MemoryDenyWriteExecute=`). Each piece is a mapping of its own, as nothing can be added to what is sealed: a
//! thousand kernels of four kinds of arguments are 4,000 of the 65,530 mappings that a process may have.

use std::ffi::c_void;
use std::io;
use std::ops::Range;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::ptr::NonNull;

/// Code that can be called. It is unmapped with this.
#[derive(Debug)]
pub(crate) struct CodeMemory {
    start: NonNull<u8>,
    length: usize,
}

// SAFETY: what is mapped is never written again.
unsafe impl Send for CodeMemory {}
// SAFETY: see above.
unsafe impl Sync for CodeMemory {}

impl CodeMemory {
    /// # Errors
    /// The kernel's, where a file in memory or executable mappings are forbidden, or memory is used up.
    pub(crate) fn new(code: &[u8]) -> io::Result<Self> {
        let file = sealed_code(code)?;
        let protection = libc::PROT_READ | libc::PROT_EXEC;
        let descriptor = file.as_raw_fd();
        let (none, flags) = (std::ptr::null_mut(), libc::MAP_PRIVATE);
        // SAFETY: a new mapping at a place of the kernel's choice.
        let start = unsafe { libc::mmap(none, code.len(), protection, flags, descriptor, 0) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        synchronise_code();
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self {
            start,
            length: code.len(),
        })
    }

    pub(crate) fn start(&self) -> *const u8 {
        self.start.as_ptr()
    }

    pub(crate) fn range(&self) -> Range<usize> {
        let start = self.start.addr().get();
        start..start + self.length
    }

    pub(crate) fn mapped_bytes(&self) -> usize {
        // SAFETY: it only asks.
        let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
        self.length
            .next_multiple_of(usize::try_from(page).unwrap_or(4096))
    }
}

impl Drop for CodeMemory {
    fn drop(&mut self) {
        let start = self.start.as_ptr().cast::<c_void>();
        // SAFETY: it is mapped, and whoever calls the code holds this.
        unsafe { libc::munmap(start, self.length) };
    }
}

/// A file in memory of this code, which nobody can change any more and which may be mapped for execution.
///
/// # Errors
/// The system's, where a file in memory is forbidden, or memory is used up.
pub fn sealed_code(code: &[u8]) -> io::Result<OwnedFd> {
    let file = file()?;
    let mut written = 0;
    while written < code.len() {
        let rest = &code[written..];
        // SAFETY: the bytes are there, and as many.
        let count = unsafe { libc::write(file.as_raw_fd(), rest.as_ptr().cast(), rest.len()) };
        match usize::try_from(count) {
            Ok(0) | Err(_) => return Err(io::Error::last_os_error()),
            Ok(count) => written += count,
        }
    }
    let seals = libc::F_SEAL_WRITE | libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_SEAL;
    // SAFETY: it changes nothing but the file.
    if unsafe { libc::fcntl(file.as_raw_fd(), libc::F_ADD_SEALS, seals) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(file)
}

/// A file in memory whose bytes may be mapped for execution.
fn file() -> io::Result<OwnedFd> {
    // Since Linux 6.3: with `vm.memfd_noexec=1`, what does not say so cannot be executed. Before, the flag is unknown.
    const MFD_EXEC: u32 = 0x10;
    let flags = libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING;
    for flags in [flags | MFD_EXEC, flags] {
        // SAFETY: the name ends with a zero.
        let descriptor = unsafe { libc::memfd_create(c"madrpc-kernel".as_ptr(), flags) };
        if descriptor >= 0 {
            // SAFETY: it is new, and nobody else's.
            return Ok(unsafe { OwnedFd::from_raw_fd(descriptor) });
        }
        let error = io::Error::last_os_error();
        if error.raw_os_error() != Some(libc::EINVAL) {
            return Err(error);
        }
    }
    Err(io::ErrorKind::Unsupported.into())
}

/// Lets every core see code that was just mapped. On aarch64 instructions are cached apart from data; the kernel cleans the data's
/// cache as it maps the pages, and each core may have old instructions on their way. Elsewhere there is nothing to do.
pub fn synchronise_code() {
    #[cfg(target_arch = "aarch64")]
    {
        const PRIVATE_EXPEDITED_SYNC_CORE: i32 = 1 << 5;
        const REGISTER: i32 = 1 << 6;
        for command in [REGISTER, PRIVATE_EXPEDITED_SYNC_CORE] {
            // SAFETY: it reads and writes no memory of ours.
            unsafe { libc::syscall(libc::SYS_membarrier, command, 0, 0) };
        }
    }
}
