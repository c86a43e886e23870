//! The pages of a lane's heap: its own, so that a lane can be stopped in the middle of an allocation without disturbing
//! anybody, and can go with all that it holds without another step of it being run.
//!
//! Small blocks are dlmalloc's, cut out of regions of address space that become memory as they are needed. A large block is
//! a mapping of its own: it grows by having its pages moved and not copied, and goes back to the system at once.
//!
//! Nothing here looks at what is in the blocks, and nothing outlives [`Pages`].

use dlmalloc::Dlmalloc;
use std::cell::{Cell, UnsafeCell};
use std::mem::MaybeUninit;
use std::ptr::{NonNull, null_mut};

/// Blocks from this size on are large.
const LARGE_BYTES: usize = 2 << 20;

/// A large block up to this size is kept when it is freed, for the next one: its pages need not be made again. And so much
/// memory of a region that dlmalloc does not need any more.
const KEPT_MAX_BYTES: usize = 32 << 20;
const SPARE_MAX_BYTES: usize = 16 << 20;

/// What is left of that spare memory when a call is over.
const SPARE_AT_REST_BYTES: usize = 256 << 10;

/// Address space of the first region; each further one has twice that of the last.
const REGION_BYTES: usize = 64 << 20;
const REGIONS_MAX: usize = 20;

/// What a region has more of memory each time that it needs some.
const STEP_BYTES: usize = 128 << 10;

const PAGE_BYTES: usize = 4096;

/// What dlmalloc has before each of its blocks: the size, with marks in its lowest bits, at least one of which is set while the
/// block is in use.
const HEAD_BYTES: usize = size_of::<usize>();
const MARKS: usize = 7;
const IN_USE: usize = 3;

/// The pages of one heap.
pub(super) struct Pages {
    small: UnsafeCell<Dlmalloc<Regions>>,
    large: Cell<*mut Large>,
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
        small.taken.get() + self.large_bytes.get() + self.kept_bytes()
    }

    /// What may be taken from now on.
    pub(super) fn bound(&self, max: usize) {
        self.max.set(max);
        let large = self.large_bytes.get() + self.kept_bytes();
        self.small(|small| small.allocator().max.set(max.saturating_sub(large)));
    }

    /// Gives back what is kept for more: the call is over.
    pub(super) fn rest(&self) {
        self.drop_kept();
        self.small(|small| {
            if small.allocator().taken.get() > LARGE_BYTES {
                // SAFETY: it may be called at any time.
                unsafe { small.trim(0) };
            }
            small.allocator().keep_spare(SPARE_AT_REST_BYTES);
        });
    }

    fn small<R>(&self, use_it: impl FnOnce(&mut Dlmalloc<Regions>) -> R) -> R {
        // SAFETY: as in `taken`; `use_it` is one call of dlmalloc, which calls back nothing but `Regions`.
        use_it(unsafe { &mut *self.small.get() })
    }

    /// A block, or null.
    pub(super) fn allocate(&self, size: usize) -> *mut u8 {
        if size >= LARGE_BYTES {
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
        if size >= LARGE_BYTES {
            return self.allocate_large(size, true);
        }
        let block = self.allocate(size);
        if !block.is_null() {
            // SAFETY: the block has so many bytes.
            unsafe { block.write_bytes(0, size) };
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
            unsafe {
                moved.copy_from_nonoverlapping(block, before.min(size));
                self.free(block);
            }
        }
        moved
    }

    fn kept_bytes(&self) -> usize {
        // SAFETY: what is kept is a mapping of ours, until it is dropped.
        unsafe { self.kept.get().as_ref() }.map_or(0, |kept| kept.mapped)
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

    fn drop_large(&self) {
        let mut large = self.large.replace(null_mut());
        self.large_bytes.set(0);
        while !large.is_null() {
            // SAFETY: what is in the list is mapped, and read before it goes.
            unsafe {
                let (next, mapped) = ((*large).next, (*large).mapped);
                unmap(large.cast(), mapped);
                large = next;
            }
        }
    }

    fn drop_kept(&self) {
        let kept = self.kept.replace(null_mut());
        if !kept.is_null() {
            // SAFETY: it was a mapping of ours, which nothing uses any more.
            unsafe { unmap(kept.cast(), (*kept).mapped) };
            self.bound(self.max.get());
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
        if !self.has_room(mapped) && !(self.drop_spare() && self.has_room(mapped)) {
            return null_mut();
        }
        let Some(large) = map(mapped, libc::PROT_READ | libc::PROT_WRITE) else {
            return null_mut();
        };
        let large = large.as_ptr().cast::<Large>();
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
            self.unlink(large);
            if (*large).mapped > KEPT_MAX_BYTES || self.kept_bytes() > (*large).mapped {
                unmap(large.cast(), (*large).mapped);
            } else {
                self.drop_kept();
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
        if !self.has_room(more) && !(self.drop_spare() && self.has_room(more)) {
            return null_mut();
        }
        // SAFETY: the mapping is ours; where it cannot be moved it stays as it was.
        unsafe {
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

/// What was in a heap, and the allocator's own state.
pub(super) struct Image {
    state: Box<[MaybeUninit<u8>]>,
    base: usize,
    content: Box<[u8]>,
}

/// Images.
impl Pages {
    /// What is in the heap now; `None` where that is not worth keeping, as it is much.
    pub(super) fn image(&self, max_bytes: usize) -> Option<Image> {
        let regions = self.small(|small| {
            let regions = small.allocator();
            (regions.count.get() == 1).then(|| regions.regions[0].get())
        });
        let region = regions.filter(|region| region.used <= max_bytes)?;
        if !self.large.get().is_null() {
            return None;
        }
        // SAFETY: all of it has been written or was zero from the beginning.
        let content = unsafe { std::slice::from_raw_parts(region.base as *const u8, region.used) };
        let mut state = vec![MaybeUninit::uninit(); size_of::<Dlmalloc<Regions>>()];
        // SAFETY: it is as long as what is copied.
        unsafe {
            let small = self.small.get().cast::<MaybeUninit<u8>>();
            small.copy_to_nonoverlapping(state.as_mut_ptr(), state.len());
            Some(Image {
                state: state.into(),
                base: region.base,
                content: content.into(),
            })
        }
    }

    /// Makes the heap what it was.
    ///
    /// # Safety
    /// The image is of this heap, and none of its blocks is used any more that was made since, or in use that was freed since.
    pub(super) unsafe fn restore(&self, image: &Image) {
        self.drop_kept();
        self.drop_large();
        let regions = self.small(|small| std::mem::take(small.allocator_mut()));
        regions.drop_further();
        // SAFETY: it was copied from there, and the allocator that is overwritten has nothing to drop: it was taken out.
        unsafe {
            let small = self.small.get().cast::<MaybeUninit<u8>>();
            small.copy_from_nonoverlapping(image.state.as_ptr(), image.state.len());
        }
        let mut first = regions.regions[0].get();
        debug_assert_eq!(first.base, image.base);
        first.used = image.content.len();
        regions.regions[0].set(first);
        self.small(|small| {
            // What the copy says of the mapping is not so any more.
            std::mem::forget(std::mem::replace(small.allocator_mut(), regions));
            small.allocator().keep_spare(SPARE_AT_REST_BYTES);
        });
        // SAFETY: so much of the region was in use, thus is memory, and it is nobody's now.
        unsafe {
            let content = first.base as *mut u8;
            content.copy_from_nonoverlapping(image.content.as_ptr(), image.content.len());
        }
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
struct Large {
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

/// The mapping that a large block of this size needs.
fn mapped_bytes(size: usize) -> Option<usize> {
    size.checked_add(size_of::<Large>())?
        .checked_next_multiple_of(PAGE_BYTES)
}

/// Where dlmalloc has its memory from.
#[derive(Default)]
struct Regions {
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
    /// A further region, in which so much has room at the least.
    fn reserve(&self, bytes: usize) -> Option<()> {
        let count = self.count.get();
        let place = self.regions.get(count)?;
        let reserved = (REGION_BYTES << count).max(bytes.checked_next_multiple_of(PAGE_BYTES)?);
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
    fn keep_spare(&self, most: usize) {
        let Some(place) = self.last() else {
            return;
        };
        let mut region = place.get();
        let kept = region.touched.min(region.used + most);
        if kept < region.touched {
            let from = kept.next_multiple_of(PAGE_BYTES);
            self.give_back(region.base + from, region.touched.saturating_sub(from));
            region.touched = from.min(region.touched);
            place.set(region);
        }
    }

    /// The system has these pages back; the next who reads them finds zeros.
    fn give_back(&self, from: usize, bytes: usize) {
        // SAFETY: it lies within mappings of ours, and dlmalloc does not use it any more.
        unsafe { libc::madvise(from as *mut _, bytes, libc::MADV_DONTNEED) };
        self.taken.set(self.taken.get() - bytes);
    }
}

impl Regions {
    /// Leaves nothing but the first.
    fn drop_further(&self) {
        for place in &self.regions[1.min(self.count.get())..self.count.get()] {
            let region = place.take();
            // SAFETY: it is a mapping of ours, and nothing in it is used any more.
            unsafe { unmap(region.base as *mut _, region.reserved) };
        }
        self.count.set(self.count.get().min(1));
        self.taken.set(self.regions[0].get().touched);
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
fn map(bytes: usize, protection: i32) -> Option<NonNull<u8>> {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: it asks for new pages, wherever there is room.
    let mapped = unsafe { libc::mmap(null_mut(), bytes, protection, flags, -1, 0) };
    NonNull::new(mapped.cast()).filter(|_| mapped != libc::MAP_FAILED)
}

/// # Safety
/// It is a mapping of ours, or the whole pages of one, which nothing uses any more.
unsafe fn unmap(from: *mut u8, bytes: usize) {
    // SAFETY: the caller says so.
    unsafe { libc::munmap(from.cast(), bytes) };
}

#[cfg(test)]
#[path = "pages_tests.rs"]
mod tests;
