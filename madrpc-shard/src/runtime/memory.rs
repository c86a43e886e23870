//! The memory that the machine grants this process, and giving it back.

use madrpc_core::allocated::{self, Allocated};
use std::alloc::{GlobalAlloc, Layout, System};
use std::fs;
use std::path::Path;
use tracing::warn;

/// Granted where neither the machine nor its control groups say how much there is.
const UNKNOWN_BYTES: u64 = 2 << 30;

/// The memory that the machine has, or the process' control group grants where that is less, in bytes.
#[must_use]
pub fn granted_bytes() -> u64 {
    let machine = fs::read_to_string("/proc/meminfo").ok();
    let machine = machine.and_then(|text| total_of(&text));
    let group = fs::read_to_string("/proc/self/cgroup").ok();
    let group = group.and_then(|text| group_limit(&text, Path::new("/sys/fs/cgroup")));
    let known = machine.into_iter().chain(group).min();
    known.unwrap_or_else(|| {
        warn!("neither the machine nor its control groups say how much memory there is");
        UNKNOWN_BYTES
    })
}

/// Mappings that the system allows a process (proc_sys_vm(5), max_map_count).
#[cfg_attr(
    not(feature = "engine"),
    expect(dead_code, reason = "only lanes take many")
)]
pub(crate) fn mappings_max() -> usize {
    let text = fs::read_to_string("/proc/sys/vm/max_map_count").ok();
    text.and_then(|text| text.trim().parse().ok())
        .unwrap_or(65_530)
}

/// `MemTotal` of meminfo (proc(5)).
fn total_of(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find(|line| line.starts_with("MemTotal:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    kib.checked_mul(1024)
}

/// The least `memory.max` and `memory.high` of the control group (cgroups(7), version 2) and of those it lies in.
fn group_limit(cgroup: &str, root: &Path) -> Option<u64> {
    let path = cgroup.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let own = root.join(path);
    let groups = own.ancestors().take_while(|group| group.starts_with(root));
    let limits = groups.flat_map(|group| {
        let files = ["memory.max", "memory.high"].map(|name| group.join(name));
        files.map(|file| fs::read_to_string(file).ok()?.trim().parse().ok())
    });
    limits.flatten().min()
}

/// Buffers from this size on have pages of their own.
const OWN_PAGES_BYTES: i32 = 2 << 20;

/// What the C library keeps of freed memory at the end of its heaps, below which nothing goes back to the system.
const KEPT_BYTES: i32 = 32 << 20;

/// Gives large buffers pages of their own, which are moved where the buffer grows and go back to the system where it goes. The
/// C library begins so, but raises the bound to 32 MiB as large buffers are freed (mallopt(3)): a body of 64 MiB was then copied
/// for up to 12 ms in one turn.
pub(crate) fn set_up() {
    // SAFETY: `mallopt` takes numbers, and may be called at any time; it fails only for numbers that it does not know.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, OWN_PAGES_BYTES);
        libc::mallopt(libc::M_TRIM_THRESHOLD, KEPT_BYTES);
    }
}

/// The system's allocator, which counts what each thread has of it, see [`madrpc_core::allocated`]. A program that runs servers
/// makes it its own (`#[global_allocator]`): what QUIC keeps for each session is known then, and is bounded.
#[derive(Debug)]
pub struct CountingAllocator;

// SAFETY: every block is the system allocator's, of the layout that was asked for; what is counted are numbers of the thread.
unsafe impl GlobalAlloc for CountingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(layout.size(), 0, 1);
        // SAFETY: the caller keeps to what the trait asks.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        note(layout.size(), 0, 1);
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        note(0, layout.size(), -1);
        // SAFETY: as above.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note(size, layout.size(), 0);
        // SAFETY: as above.
        unsafe { System.realloc(block, layout, size) }
    }
}

/// No block is larger than half of the numbers. One that was not to be had ends the process, or what asked for it.
#[inline]
fn note(more: usize, less: usize, blocks: isize) {
    let bytes = more.cast_signed().wrapping_sub(less.cast_signed());
    allocated::note(Allocated { bytes, blocks });
}

/// Gives memory that nobody holds back to the system. The C library keeps what was freed, for the next time; after a peak
/// that may be much. It holds the allocator's locks meanwhile: for when there is nothing to do.
pub(crate) fn give_back() {
    // SAFETY: `malloc_trim` takes a number and may be called at any time (malloc_trim(3)).
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::malloc_trim(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A sanitizer has an allocator of its own.
    #[test]
    #[cfg(target_env = "gnu")]
    fn large_buffers_have_pages_of_their_own_whatever_was_freed() {
        if std::env::var_os("ASAN_OPTIONS").is_some() {
            return;
        }
        set_up();
        drop(vec![1_u8; 80 << 20]);
        // The page begins with what the C library writes there, two words.
        let begins_a_page = |bytes: usize| {
            let buffer = vec![1_u8; bytes];
            buffer.as_ptr().addr() % 4096 == 16
        };
        assert!(
            // Below what was freed, and more than the heap of a thread has at the most (64 MiB): so no gap of another test's is taken.
            [70, 72, 74]
                .map(|mib| mib << 20)
                .into_iter()
                .all(begins_a_page)
        );
    }

    #[test]
    fn this_machine_says_how_much_it_has() {
        let granted = granted_bytes();
        assert!(granted > 64 << 20, "{granted}");
        assert_eq!(
            total_of("MemFree: 1 kB\nMemTotal:   2048 kB\n"),
            Some(2 << 20)
        );
        assert_eq!(total_of("MemTotal: much"), None);
    }

    #[test]
    fn the_least_of_all_groups_counts() {
        let root = tempfile::tempdir().unwrap();
        let unit = root.path().join("system.slice/madrpc.service");
        fs::create_dir_all(&unit).unwrap();
        let limit = || group_limit("0::/system.slice/madrpc.service\n", root.path());
        assert_eq!(limit(), None);
        fs::write(unit.join("memory.max"), "max\n").unwrap();
        assert_eq!(limit(), None);
        fs::write(unit.join("memory.max"), "3000\n").unwrap();
        assert_eq!(limit(), Some(3000));
        fs::write(root.path().join("system.slice/memory.high"), "2000\n").unwrap();
        assert_eq!(limit(), Some(2000));
        assert_eq!(group_limit("1:name=systemd:/x\n", root.path()), None);
    }
}
