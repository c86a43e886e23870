//! The pages of a lane's heap: its own, so that a lane can be stopped in the middle of an allocation without disturbing
//! anybody, and can go with all that it holds without another step of it being run.
//!
//! Small blocks are dlmalloc's, cut out of regions of address space that become memory as they are needed. A large block is
//! a mapping of its own: it grows by having its pages moved and not copied, and goes back to the system at once.
//!
//! Nothing here looks at what is in the blocks, and nothing outlives [`Pages`].

use super::super::preempt::anywhere;
use super::regions::{PAGE_BYTES, PART_BYTES, Regions, SPARE_AT_REST_BYTES, map, unmap};
use dlmalloc::Dlmalloc;
use std::cell::{Cell, UnsafeCell};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Blocks from this size on are large.
const LARGE_BYTES: usize = 2 << 20;

/// A large block up to this size is kept when it is freed, for the next one: its pages need not be made again.
const KEPT_MAX_BYTES: usize = 32 << 20;

/// Large blocks of all lanes of the process; beyond those dlmalloc has them too. The system allows a process some 65,000 mappings
/// (vm.max_map_count), and where there are no more the C library has no memory either.
pub(crate) const LARGE_BLOCKS_MAX: usize = 8192;
static LARGE_BLOCKS: AtomicUsize = AtomicUsize::new(0);

/// What dlmalloc has before each of its blocks: the size, with marks in its lowest bits, at least one of which is set while the
/// block is in use.
const HEAD_BYTES: usize = size_of::<usize>();
const MARKS: usize = 7;
const IN_USE: usize = 3;

/// The pages of one heap.
pub(super) struct Pages {
    pub(super) small: UnsafeCell<Dlmalloc<Regions>>,
    pub(super) large: Cell<*mut Large>,
    large_bytes: Cell<usize>,
    kept: Cell<*mut Large>,
    /// The most that all of it may take.
    max: Cell<usize>,
}

impl Pages {
    /// Takes nothing before something is asked for.
    pub(super) fn new() -> Self {
        let pages = Self {
            small: UnsafeCell::new(Dlmalloc::new_with_allocator(Regions::default())),
            large: Cell::new(null_mut()),
            large_bytes: Cell::new(0),
            kept: Cell::new(null_mut()),
            max: Cell::new(0),
        };
        pages.bound(usize::MAX);
        pages
    }

    /// Bytes of memory that are taken, whether there is something in them or not.
    pub(super) fn taken(&self) -> usize {
        // SAFETY: nobody has a reference to it beyond a single step of this type, and the lane and its shard never run at the
        // same time.
        let small = unsafe { &*self.small.get() }.allocator();
        small.taken() + self.large_bytes.get() + self.kept_bytes()
    }

    /// What may be taken from now on.
    pub(super) fn bound(&self, max: usize) {
        self.max.set(max);
        let large = self.large_bytes.get() + self.kept_bytes();
        self.small(|small| small.allocator().bound(max.saturating_sub(large)));
    }

    /// So much more may be taken than is, if no more could be.
    pub(super) fn allow(&self, more: usize) {
        self.bound(self.max.get().max(self.taken().saturating_add(more)));
    }

    /// Gives back what is kept for more: the call is over.
    pub(super) fn rest(&self) {
        self.drop_kept();
        self.small(|small| {
            // SAFETY: it may be called at any time.
            unsafe { small.trim(0) };
            small.allocator().keep_spare(SPARE_AT_REST_BYTES);
        });
    }

    pub(super) fn small<R>(&self, use_it: impl FnOnce(&mut Dlmalloc<Regions>) -> R) -> R {
        // SAFETY: as in `taken`; `use_it` is one call of dlmalloc, which calls back nothing but `Regions`. Of a heap that was
        // left in the middle of one, nothing is used any more but the regions.
        anywhere(|| use_it(unsafe { &mut *self.small.get() }))
    }

    /// A block, or null.
    pub(super) fn allocate(&self, size: usize) -> *mut u8 {
        if size >= LARGE_BYTES && has_mappings() {
            return self.allocate_large(size, false);
        }
        // SAFETY: dlmalloc takes every size.
        let block = self.small(|small| unsafe { small.c_malloc(size) });
        if block.is_null() && self.drop_spare() {
            // SAFETY: as above.
            return self.small(|small| unsafe { small.c_malloc(size) });
        }
        block
    }

    /// The same, filled with zeros.
    pub(super) fn allocate_zeroed(&self, size: usize) -> *mut u8 {
        if size >= LARGE_BYTES && has_mappings() {
            return self.allocate_large(size, true);
        }
        let block = self.allocate(size);
        if !block.is_null() {
            // SAFETY: the block has so many bytes.
            anywhere(|| unsafe { block.write_bytes(0, size) });
        }
        block
    }

    /// Takes a block back.
    ///
    /// # Safety
    /// It is one of this heap's, and in use.
    pub(super) unsafe fn free(&self, block: *mut u8) {
        // SAFETY: the caller says so.
        unsafe {
            match is_large(block) {
                true => self.free_large(Large::before(block)),
                false => self.small(|small| small.c_free(block)),
            }
        }
    }

    /// Makes a block larger or smaller; gives where it is now, or null where it is as it was.
    ///
    /// # Safety
    /// It is one of this heap's, and in use. `size` is not 0.
    pub(super) unsafe fn resize(&self, block: *mut u8, size: usize) -> *mut u8 {
        // SAFETY: the caller says so.
        let (was_large, before) = unsafe { (is_large(block), usable_size(block)) };
        let is_large = size >= LARGE_BYTES;
        if was_large && is_large {
            // SAFETY: the block is large, and in use.
            return unsafe { self.resize_large(Large::before(block), size) };
        }
        if !was_large && !is_large {
            // SAFETY: the block is dlmalloc's, and in use.
            return self.small(|small| unsafe { small.c_realloc(block, size) });
        }
        let moved = self.allocate(size);
        if !moved.is_null() {
            // SAFETY: both blocks have so many bytes, and are two.
            anywhere(|| unsafe { moved.copy_from_nonoverlapping(block, before.min(size)) });
            // SAFETY: the caller says so.
            unsafe { self.free(block) };
        }
        moved
    }

    fn kept_bytes(&self) -> usize {
        // SAFETY: what is kept is a mapping of ours, until it is dropped.
        unsafe { self.kept.get().as_ref() }.map_or(0, |kept| kept.mapped)
    }

    /// Sees to room for so much more; says whether there is.
    fn make_room(&self, bytes: usize) -> bool {
        self.has_room(bytes) || self.drop_spare() && self.has_room(bytes)
    }

    fn has_room(&self, bytes: usize) -> bool {
        bytes <= self.max.get().saturating_sub(self.taken())
    }

    /// Gives back all that is taken and not used, as far as that is possible; says whether there was something.
    fn drop_spare(&self) -> bool {
        let before = self.taken();
        self.drop_kept();
        self.small(|small| small.allocator().keep_spare(0));
        self.taken() < before
    }

    pub(super) fn drop_large(&self) {
        let mut large = self.large.replace(null_mut());
        self.large_bytes.set(0);
        while !large.is_null() {
            // SAFETY: what is in the list is mapped, and read before it goes.
            unsafe {
                let (next, mapped) = ((*large).next, (*large).mapped);
                unmap_large(large, mapped);
                large = next;
            }
        }
    }

    pub(super) fn drop_kept(&self) {
        while self.shrink_kept() {}
    }

    /// Gives back a part of what was kept; says whether there was something.
    fn shrink_kept(&self) -> bool {
        let kept = self.kept.get();
        if kept.is_null() {
            return false;
        }
        // SAFETY: it is a mapping of ours, which nothing uses any more.
        unsafe {
            if !shrink(kept, PAGE_BYTES) {
                self.kept.set(null_mut());
                unmap_large(kept, (*kept).mapped);
            }
        }
        self.bound(self.max.get());
        true
    }

    /// Gives back a part of a large block that is not used any more, and in the end all of it; says whether something is left.
    ///
    /// # Safety
    /// It is in the list.
    unsafe fn shrink_large(&self, large: *mut Large) -> bool {
        // SAFETY: the caller says so.
        unsafe {
            let before = (*large).mapped;
            let is_left = shrink(large, PAGE_BYTES);
            if is_left {
                let less = before - (*large).mapped;
                self.large_bytes.set(self.large_bytes.get() - less);
            } else {
                self.unlink(large);
                unmap_large(large, before);
            }
            is_left
        }
    }

    fn allocate_large(&self, size: usize, is_zeroed: bool) -> *mut u8 {
        let Some(mapped) = mapped_bytes(size) else {
            return null_mut();
        };
        let kept = self.kept_bytes();
        // Of new pages the system knows that they are zeros.
        if !is_zeroed && kept >= mapped && kept - mapped <= mapped / 4 {
            let large = self.kept.replace(null_mut());
            // SAFETY: it was a mapping of ours, which nothing uses any more.
            return unsafe { self.link(large) };
        }
        if !self.make_room(mapped) {
            return null_mut();
        }
        let Some(large) = map_large(mapped) else {
            return null_mut();
        };
        // SAFETY: it is a new mapping, longer than this.
        unsafe {
            (*large).mapped = mapped;
            self.link(large)
        }
    }

    /// # Safety
    /// The block is one of this heap's, and in use.
    unsafe fn free_large(&self, large: *mut Large) {
        // SAFETY: the caller says so.
        unsafe {
            if (*large).mapped > KEPT_MAX_BYTES || self.kept_bytes() > (*large).mapped {
                while self.shrink_large(large) {}
            } else {
                self.drop_kept();
                self.unlink(large);
                self.kept.set(large);
            }
        }
        self.bound(self.max.get());
    }

    /// # Safety
    /// The block is one of this heap's, and in use.
    unsafe fn resize_large(&self, large: *mut Large, size: usize) -> *mut u8 {
        // SAFETY: the caller says so.
        let before = unsafe { (*large).mapped };
        let Some(mapped) = mapped_bytes(size) else {
            return null_mut();
        };
        if mapped == before {
            return Large::block(large);
        }
        let more = mapped.saturating_sub(before);
        if !self.make_room(more) {
            return null_mut();
        }
        // SAFETY: the mapping is ours; where it cannot be moved it stays as it was.
        unsafe {
            while mapped < (*large).mapped && shrink(large, mapped) {}
            self.large_bytes
                .set(self.large_bytes.get() - (before - (*large).mapped));
            if mapped == (*large).mapped {
                (*large).usable = (mapped - size_of::<Large>()) & !MARKS;
                self.bound(self.max.get());
                return Large::block(large);
            }
            self.unlink(large);
            let moved = libc::mremap(large.cast(), before, mapped, libc::MREMAP_MAYMOVE);
            if moved == libc::MAP_FAILED {
                self.link(large);
                return null_mut();
            }
            let moved = moved.cast::<Large>();
            (*moved).mapped = mapped;
            self.link(moved)
        }
    }

    /// # Safety
    /// It is a mapping of ours, not in the list, whose length is set.
    unsafe fn link(&self, large: *mut Large) -> *mut u8 {
        let first = self.large.replace(large);
        // SAFETY: the caller says so; what is in the list is mapped.
        unsafe {
            (*large).previous = null_mut();
            (*large).next = first;
            (*large).usable = ((*large).mapped - size_of::<Large>()) & !MARKS;
            if let Some(first) = first.as_mut() {
                first.previous = large;
            }
            self.large_bytes
                .set(self.large_bytes.get() + (*large).mapped);
        }
        self.bound(self.max.get());
        Large::block(large)
    }

    /// # Safety
    /// It is in the list.
    unsafe fn unlink(&self, large: *mut Large) {
        // SAFETY: the caller says so; what is in the list is mapped.
        unsafe {
            let Large {
                next,
                previous,
                mapped,
                ..
            } = *large;
            match previous.as_mut() {
                Some(previous) => previous.next = next,
                None => self.large.set(next),
            }
            if let Some(next) = next.as_mut() {
                next.previous = previous;
            }
            self.large_bytes.set(self.large_bytes.get() - mapped);
        }
    }
}

/// Heaps of which nothing is used any more.
impl Pages {
    /// Gives a part of the memory back, none of which is in use beyond the first so many bytes of the first region; says
    /// whether there was something. All at once would take some milliseconds.
    pub(super) fn shrink_unused(&self, beyond: usize) -> bool {
        let large = self.large.get();
        if self.shrink_kept() {
            return true;
        }
        if !large.is_null() {
            // SAFETY: it is in the list, and nobody uses it.
            unsafe { self.shrink_large(large) };
            return true;
        }
        self.small(|small| small.allocator().shrink_unused(beyond))
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        self.drop_kept();
        self.drop_large();
    }
}

/// Bytes that a block has, which is at least what was asked for.
///
/// # Safety
/// It is a block of a heap, and in use.
pub(super) unsafe fn usable_size(block: *mut u8) -> usize {
    // SAFETY: both kinds of blocks have such a word before them.
    let head = unsafe { *block.cast::<usize>().sub(1) };
    match head & IN_USE {
        0 => head,
        _ => (head & !MARKS) - HEAD_BYTES,
    }
}

/// # Safety
/// It is a block of a heap, and in use.
unsafe fn is_large(block: *mut u8) -> bool {
    // SAFETY: as in `usable_size`.
    unsafe { *block.cast::<usize>().sub(1) & IN_USE == 0 }
}

/// What stands before a large block.
#[repr(C)]
pub(super) struct Large {
    next: *mut Large,
    previous: *mut Large,
    /// The bytes of the mapping, this included.
    mapped: usize,
    /// The bytes of the block; it stands where dlmalloc has its word, without a mark.
    usable: usize,
}

impl Large {
    fn before(block: *mut u8) -> *mut Self {
        block.cast::<Self>().wrapping_sub(1)
    }

    fn block(large: *mut Self) -> *mut u8 {
        large.wrapping_add(1).cast()
    }
}

fn has_mappings() -> bool {
    LARGE_BLOCKS.load(Relaxed) < LARGE_BLOCKS_MAX
}

fn map_large(bytes: usize) -> Option<*mut Large> {
    let mapped = map(bytes, libc::PROT_READ | libc::PROT_WRITE)?;
    LARGE_BLOCKS.fetch_add(1, Relaxed);
    Some(mapped.as_ptr().cast())
}

/// # Safety
/// It is a mapping of so many bytes that nothing uses any more.
unsafe fn unmap_large(large: *mut Large, bytes: usize) {
    LARGE_BLOCKS.fetch_sub(1, Relaxed);
    // SAFETY: the caller says so.
    unsafe { unmap(large.cast(), bytes) };
}

/// The mapping that a large block of this size needs.
fn mapped_bytes(size: usize) -> Option<usize> {
    size.checked_add(size_of::<Large>())?
        .checked_next_multiple_of(PAGE_BYTES)
}

/// Takes a part off the end of a large block, or not where no more than so much is left. It is noted before it is done: what
/// is given back can be somebody else's in the next moment.
///
/// # Safety
/// It is a mapping of ours, and what is taken off is not used any more.
unsafe fn shrink(large: *mut Large, to: usize) -> bool {
    // SAFETY: the caller says so.
    unsafe {
        let mapped = (*large).mapped;
        if mapped <= to {
            return false;
        }
        let part = (mapped - to).min(PART_BYTES);
        (*large).mapped = mapped - part;
        let from = large.cast::<u8>().add(mapped - part);
        anywhere(|| unmap(from, part));
        true
    }
}

#[cfg(test)]
#[path = "pages_tests.rs"]
mod tests;
