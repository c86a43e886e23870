//! Linear memories: address space that is reserved at once and becomes memory as it grows. They never move, and are unmapped when
//! the last who knows of them is gone.

use super::super::heap::{PART_BYTES, map, unmap};
use super::limits::{MEMORIES_MAX, MEMORY_MAX_PAGES, PAGE_BYTES};
use std::cell::{Cell, RefCell};
use std::io;
use std::ptr::null;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use wasmtime::{LinearMemory, MemoryCreator, MemoryType};

static COUNT: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// Whose list a memory goes on that is made now.
    static LIST: Cell<*const List> = const { Cell::new(null()) };
}

/// The memories of one lane.
#[derive(Default)]
pub(super) struct List(RefCell<Vec<Arc<Region>>>);

/// Address space, of which the beginning is memory.
struct Region {
    start: usize,
    reserved: usize,
    /// Only the lane or its shard changes it.
    size: AtomicUsize,
}

impl List {
    /// Lets `run` make memories that are on this list.
    pub(super) fn collect<R>(&self, run: impl FnOnce() -> R) -> R {
        let before = LIST.replace(self);
        let ran = run();
        LIST.set(before);
        ran
    }

    /// Gives a part of their pages back, none of which is used any more; says whether there was something.
    pub(super) fn shrink(&self) -> bool {
        let regions = self.0.borrow();
        let Some(region) = regions.iter().find(|region| region.size() > 0) else {
            return false;
        };
        let part = region.size().min(PART_BYTES);
        let left = region.size() - part;
        // SAFETY: they are pages of the region, and the caller says that nobody uses them.
        unsafe { libc::madvise((region.start + left) as *mut _, part, libc::MADV_DONTNEED) };
        region.size.store(left, Ordering::Relaxed);
        true
    }
}

impl Region {
    fn new(reserved: usize) -> Result<Self, String> {
        if COUNT.fetch_add(1, Ordering::Relaxed) >= MEMORIES_MAX {
            COUNT.fetch_sub(1, Ordering::Relaxed);
            return Err(format!(
                "the node has {MEMORIES_MAX} memories, and no room for another"
            ));
        }
        let Some(start) = map(reserved, libc::PROT_NONE) else {
            let error = io::Error::last_os_error();
            COUNT.fetch_sub(1, Ordering::Relaxed);
            return Err(format!("no address space for a memory: {error}"));
        };
        Ok(Self {
            start: start.as_ptr().addr(),
            reserved,
            size: AtomicUsize::new(0),
        })
    }

    fn size(&self) -> usize {
        self.size.load(Ordering::Relaxed)
    }

    fn grow(&self, to: usize) -> io::Result<()> {
        let size = self.size();
        if to > self.reserved {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        if to > size {
            let writable = libc::PROT_READ | libc::PROT_WRITE;
            let place = (self.start + size) as *mut _;
            // SAFETY: it lies within the mapping, and is not used yet.
            if unsafe { libc::mprotect(place, to - size, writable) } != 0 {
                return Err(io::Error::last_os_error());
            }
            self.size.store(to, Ordering::Relaxed);
        }
        Ok(())
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        COUNT.fetch_sub(1, Ordering::Relaxed);
        // SAFETY: it is a mapping of ours, which nothing uses any more.
        unsafe { unmap(self.start as *mut u8, self.reserved) };
    }
}

/// Where wasmtime has memories from.
pub(super) struct Memories;

// SAFETY: what it makes is as it says: zeros, mapped as long as it is there, and never moved. No page behind it is promised.
unsafe impl MemoryCreator for Memories {
    fn new_memory(
        &self,
        _: MemoryType,
        minimum: usize,
        maximum: Option<usize>,
        _reserved: Option<usize>,
        _guard: usize,
    ) -> Result<Box<dyn LinearMemory>, String> {
        let most = MEMORY_MAX_PAGES as usize * PAGE_BYTES;
        let reserved = maximum.unwrap_or(most).min(most);
        if minimum > reserved {
            return Err(format!(
                "a memory of {minimum} bytes, and none has more than {most}"
            ));
        }
        let region = Arc::new(Region::new(reserved.max(PAGE_BYTES))?);
        let failed = |error: io::Error| format!("no memory: {error}");
        region.grow(minimum).map_err(failed)?;
        // SAFETY: it is set for as long as the list is borrowed.
        if let Some(list) = unsafe { LIST.get().as_ref() } {
            list.0.borrow_mut().push(Arc::clone(&region));
        }
        Ok(Box::new(Linear(region)))
    }
}

struct Linear(Arc<Region>);

// SAFETY: as of `Memories`.
unsafe impl LinearMemory for Linear {
    fn byte_size(&self) -> usize {
        self.0.size()
    }

    fn byte_capacity(&self) -> usize {
        self.0.reserved
    }

    fn grow_to(&mut self, size: usize) -> wasmtime::Result<()> {
        Ok(self.0.grow(size)?)
    }

    fn as_ptr(&self) -> *mut u8 {
        self.0.start as *mut u8
    }
}
