//! Where dlmalloc has its memory from: regions of address space, of which as much becomes memory as is needed.

use super::super::preempt::unstoppable;
use std::cell::Cell;
use std::ops::Range;
use std::ptr::{NonNull, null_mut};

pub(super) const PAGE_BYTES: usize = 4096;

/// What is given back to the system in one go, which takes about half a millisecond.
pub(in super::super) const PART_BYTES: usize = 4 << 20;

/// Address space of the first region; each further one has twice that of the last.
const REGION_BYTES: usize = 64 << 20;
const REGIONS_MAX: usize = 20;

/// What a region has more of memory each time that it needs some.
const STEP_BYTES: usize = 128 << 10;

/// So much memory is kept that dlmalloc does not need any more, and so much when a call is over.
const SPARE_MAX_BYTES: usize = 16 << 20;
pub(super) const SPARE_AT_REST_BYTES: usize = 64 << 10;

/// Where dlmalloc has its memory from.
#[derive(Default)]
pub(super) struct Regions {
    regions: [Cell<Region>; REGIONS_MAX],
    /// How many there are. The last one is in use.
    count: Cell<usize>,
    taken: Cell<usize>,
    max: Cell<usize>,
}

/// Address space, of which the beginning is memory.
#[derive(Default, Clone, Copy)]
struct Region {
    base: usize,
    reserved: usize,
    /// What can be written of it.
    memory: usize,
    /// What has been used since the system last had it back.
    touched: usize,
    used: usize,
}

impl Regions {
    /// Bytes of memory that are taken.
    pub(super) fn taken(&self) -> usize {
        self.taken.get()
    }

    /// What may be taken from now on.
    pub(super) fn bound(&self, max: usize) {
        self.max.set(max);
    }

    /// How many there are.
    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.count.get()
    }

    /// What is used, where there is one region.
    pub(super) fn only(&self) -> Option<Range<usize>> {
        let region = self.regions[0].get();
        (self.count.get() == 1).then_some(region.base..region.base + region.used)
    }

    /// The pages of the only one go back to the system, with all that is in them.
    pub(super) fn empty(&self) {
        let mut region = self.regions[0].get();
        self.give_back(region.base, region.touched);
        region.touched = 0;
        self.regions[0].set(region);
    }

    /// What was in use of the only one is about to be written anew.
    pub(super) fn refill(&self) {
        let mut region = self.regions[0].get();
        let more = region.used.saturating_sub(region.touched);
        region.touched += more;
        self.taken.set(self.taken.get() + more);
        self.regions[0].set(region);
    }

    /// Leaves nothing but the first, and of that so much in use.
    pub(super) fn rewind(&self, used: usize) {
        for place in &self.regions[1.min(self.count.get())..self.count.get()] {
            let region = place.take();
            // SAFETY: it is a mapping of ours, and nothing in it is used any more.
            unsafe { unmap(region.base as *mut _, region.reserved) };
        }
        self.count.set(self.count.get().min(1));
        let mut first = self.regions[0].get();
        first.used = used;
        first.touched = first.touched.max(used);
        self.regions[0].set(first);
        self.taken.set(first.touched);
    }

    /// A further region, in which so much has room at the least.
    fn reserve(&self, bytes: usize) -> Option<()> {
        let count = self.count.get();
        let place = self.regions.get(count)?;
        let reserved = (REGION_BYTES << count).max(bytes.checked_next_multiple_of(PAGE_BYTES)?);
        // Nobody would know of it where the lane is stopped in between.
        unstoppable(|| {
            let base = map(reserved, libc::PROT_NONE)?.as_ptr().addr();
            place.set(Region {
                base,
                reserved,
                memory: 0,
                touched: 0,
                used: 0,
            });
            self.count.set(count + 1);
            Some(())
        })
    }

    fn last(&self) -> Option<&Cell<Region>> {
        self.regions.get(self.count.get().checked_sub(1)?)
    }

    fn take(&self, bytes: usize) -> Option<*mut u8> {
        let has_room = |cell: &Cell<Region>| {
            let region = cell.get();
            bytes <= region.reserved - region.used
        };
        if !self.last().is_some_and(has_room) {
            self.reserve(bytes)?;
        }
        let place = self.last()?;
        let mut region = place.get();
        let end = region.used + bytes;
        let more = end.saturating_sub(region.touched);
        if more > self.max.get().saturating_sub(self.taken.get()) {
            return None;
        }
        if end > region.memory {
            let memory = end.next_multiple_of(STEP_BYTES).min(region.reserved);
            let (from, length) = (region.base + region.memory, memory - region.memory);
            let writable = libc::PROT_READ | libc::PROT_WRITE;
            // SAFETY: it lies within a mapping of ours, and is not used yet.
            if unsafe { libc::mprotect(from as *mut _, length, writable) } != 0 {
                return None;
            }
            region.memory = memory;
        }
        let block = region.base + region.used;
        region.used = end;
        region.touched += more;
        place.set(region);
        self.taken.set(self.taken.get() + more);
        Some(block as *mut u8)
    }

    /// Gives back what the last region has beyond so much of what is used.
    pub(super) fn keep_spare(&self, most: usize) {
        let Some(place) = self.last() else {
            return;
        };
        let mut region = place.get();
        let kept = (region.used + most).next_multiple_of(PAGE_BYTES);
        while kept < region.touched {
            let part = (region.touched - kept).min(PART_BYTES);
            // Where this is not noted, it is done twice.
            self.give_back(region.base + region.touched - part, part);
            region.touched -= part;
            place.set(region);
        }
    }

    /// Gives a part of the memory back, none of which is in use beyond the first so many bytes; says whether there was
    /// something.
    pub(super) fn shrink_unused(&self, beyond: usize) -> bool {
        let Some(place) = self.last() else {
            return false;
        };
        let mut region = place.get();
        let is_first = self.count.get() == 1;
        region.used = if is_first { beyond } else { 0 };
        let kept = (region.used + SPARE_AT_REST_BYTES).next_multiple_of(PAGE_BYTES);
        if region.touched > kept {
            let part = (region.touched - kept).min(PART_BYTES);
            self.give_back(region.base + region.touched - part, part);
            region.touched -= part;
        } else if is_first {
            return false;
        } else {
            self.count.set(self.count.get() - 1);
            self.taken.set(self.taken.get() - region.touched);
            place.set(Region::default());
            // SAFETY: it was a mapping of ours, of which nothing is used any more.
            unsafe { unmap(region.base as *mut _, region.reserved) };
            return true;
        }
        place.set(region);
        true
    }

    /// The system has these pages back; the next who reads them finds zeros.
    fn give_back(&self, from: usize, bytes: usize) {
        // SAFETY: it lies within mappings of ours, and dlmalloc does not use it any more.
        unsafe { libc::madvise(from as *mut _, bytes, libc::MADV_DONTNEED) };
        self.taken.set(self.taken.get() - bytes);
    }
}

impl Drop for Regions {
    fn drop(&mut self) {
        for region in &self.regions[..self.count.get()] {
            let region = region.get();
            // SAFETY: it is a mapping of ours, and the heap is gone.
            unsafe { unmap(region.base as *mut _, region.reserved) };
        }
    }
}

// SAFETY: it gives what it has reserved, to one heap, and each part once.
unsafe impl dlmalloc::Allocator for Regions {
    fn alloc(&self, size: usize) -> (*mut u8, usize, u32) {
        match self.take(size) {
            Some(block) => (block, size, 0),
            None => (null_mut(), 0, 0),
        }
    }

    fn remap(&self, _: *mut u8, _: usize, _: usize, _: bool) -> *mut u8 {
        null_mut()
    }

    fn free_part(&self, block: *mut u8, size: usize, left: usize) -> bool {
        let Some(place) = self.last() else {
            return false;
        };
        let mut region = place.get();
        let from = block.addr() + left;
        if block.addr() + size != region.base + region.used || from < region.base {
            return false;
        }
        region.used = from - region.base;
        place.set(region);
        self.keep_spare(SPARE_MAX_BYTES);
        true
    }

    /// The address space is kept, and nothing is put there again.
    fn free(&self, block: *mut u8, size: usize) -> bool {
        self.give_back(block.addr(), size);
        true
    }

    fn can_release_part(&self, _: u32) -> bool {
        true
    }

    fn allocates_zeros(&self) -> bool {
        false
    }

    fn page_size(&self) -> usize {
        PAGE_BYTES
    }
}

// SAFETY: dlmalloc wants it of every allocator; a heap and its regions stay on the thread of their shard.
unsafe impl Send for Regions {}

/// Memory of the system's, or address space.
pub(in super::super) fn map(bytes: usize, protection: i32) -> Option<NonNull<u8>> {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: it asks for new pages, wherever there is room.
    let mapped = unsafe { libc::mmap(null_mut(), bytes, protection, flags, -1, 0) };
    NonNull::new(mapped.cast()).filter(|_| mapped != libc::MAP_FAILED)
}

/// # Safety
/// It is a mapping of ours, or the whole pages of one, which nothing uses any more.
pub(in super::super) unsafe fn unmap(from: *mut u8, bytes: usize) {
    // SAFETY: the caller says so.
    unsafe { libc::munmap(from.cast(), bytes) };
}
