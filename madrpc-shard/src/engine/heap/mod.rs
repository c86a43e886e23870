//! The heap of a lane: every byte that the engine takes is counted, and a call that wants more than it may gets none.
//!
//! Owns the counts and the bound; the memory itself is of [`pages`], which are the lane's own. QuickJS cuts small objects out
//! of blocks of 4 KiB, and those are what is counted here. It has a limit of its own, which is left off: that one counts otherwise,
//! cannot say how much was used, and a script can swallow the exception that it ends in. A refusal here is remembered
//! until the next call begins, whatever the script makes of it.
//!
//! Garbage with cycles waits for a collection, which the engine makes when its heap is half larger than after the last
//! one, whether that is within the bound or not. So the heap asks for one itself as a call comes near its bound. Nothing
//! can be collected in the middle of a request: one for more than is left is refused, whatever a collection would free.

mod content;
mod pages;
mod regions;

use super::preempt::heap_step;
pub(crate) use pages::LARGE_BLOCKS_MAX;
use pages::{Pages, usable_size};
#[cfg(feature = "wasm")]
pub(super) use regions::{PART_BYTES, map, unmap};
use rquickjs::allocator::Allocator;
use rquickjs::{Ctx, qjs};
use std::cell::Cell;
use std::rc::Rc;

/// A heap as it was once.
pub(super) struct Image {
    pages: content::Image,
    current: usize,
    next_collection: usize,
}

/// Memory that a call may take beyond its limit: what lies between its blocks, and what is left of the last page.
const BETWEEN_BLOCKS_BYTES: usize = 4 << 20;

/// What calls may leave taken, before it is looked for what of it is not used.
const LEFT_TAKEN_BYTES: usize = 128 << 10;

/// What the error takes by which the engine ends a call, with the blocks that it lies in.
const ENDING_BYTES: usize = 64 << 10;

/// The pages of one lane's heap and their counts, in bytes.
pub(super) struct Heap {
    pages: Pages,
    /// What the lane holds outside of the pages, see [`Heap::take_outside`].
    outside: Cell<usize>,
    /// What the host holds for the call beside it, see [`Heap::charge`].
    charged: Cell<usize>,
    /// What may yet be charged as others leave no more, and whether it is worth while to wait until they do.
    room: Cell<usize>,
    may_wait: Cell<bool>,
    current: Cell<usize>,
    peak: Cell<usize>,
    /// Held when the script was loaded.
    loaded: Cell<usize>,
    /// Memory that calls may leave taken.
    usual: Cell<usize>,
    /// Held when the call began.
    start: Cell<usize>,
    /// What may be held while the call runs, with what is charged and without.
    most: Cell<usize>,
    ceiling: Cell<usize>,
    refused: Cell<Option<usize>>,
    /// What the call may add.
    limit: Cell<usize>,
    /// Held when a collection is asked for first, and next.
    first_collection: Cell<usize>,
    next_collection: Cell<usize>,
    /// Whom it is asked for; null before the engine is there.
    engine: Cell<*mut qjs::JSRuntime>,
}

impl Heap {
    /// An empty heap that may grow to `limit` bytes.
    pub(super) fn new(limit: usize) -> Self {
        let heap = Self {
            pages: Pages::new(),
            outside: Cell::new(0),
            charged: Cell::new(0),
            room: Cell::new(usize::MAX),
            may_wait: Cell::new(false),
            current: Cell::new(0),
            peak: Cell::new(0),
            loaded: Cell::new(0),
            usual: Cell::new(0),
            start: Cell::new(0),
            most: Cell::new(0),
            ceiling: Cell::new(0),
            refused: Cell::new(None),
            limit: Cell::new(0),
            first_collection: Cell::new(0),
            next_collection: Cell::new(0),
            engine: Cell::new(std::ptr::null_mut()),
        };
        heap.begin(limit);
        heap
    }

    /// The engine whose heap it is; [`Heap::detach`] must be called before that goes.
    pub(super) fn attach(&self, ctx: &Ctx<'_>) {
        // SAFETY: the context is alive, and gives its runtime.
        self.engine
            .set(unsafe { qjs::JS_GetRuntime(ctx.as_raw().as_ptr()) });
    }

    pub(super) fn detach(&self) {
        self.engine.set(std::ptr::null_mut());
    }

    /// The script is loaded: from here on growth is counted.
    pub(super) fn on_loaded(&self) {
        self.loaded.set(self.current.get());
        self.usual.set(self.pages.taken() + LEFT_TAKEN_BYTES);
    }

    /// What is held once the script is loaded.
    #[cfg(test)]
    pub(super) fn loaded(&self) -> usize {
        self.loaded.get()
    }

    /// Whether the system gives it so much memory, which it then has.
    pub(super) fn can_have(&self, bytes: usize) -> bool {
        let block = self.pages.allocate(bytes);
        let is_there = !block.is_null();
        if is_there {
            // SAFETY: it is the block from above.
            unsafe { self.pages.free(block) };
        }
        is_there
    }

    /// A call begins, which may add `limit` bytes to what is held already.
    pub(super) fn begin(&self, limit: usize) {
        let current = self.current.get();
        self.start.set(current);
        self.peak.set(current);
        self.charged.set(0);
        self.room.set(usize::MAX);
        self.set_most(current.saturating_add(limit));
        self.refused.set(None);
        self.limit.set(limit);
        let taken = self.pages.taken().saturating_add(limit);
        self.pages.bound(taken.saturating_add(BETWEEN_BLOCKS_BYTES));
        self.first_collection.set(current.saturating_add(limit / 2));
        self.next_collection.set(self.first_collection.get());
    }

    /// Others leave so much room for what the call adds. Where it `may_wait`, they may yet give something back: then only what is charged
    /// has to keep to that, as whoever charges can wait.
    pub(super) fn leave(&self, room: usize, may_wait: bool) {
        self.room.set(room);
        self.may_wait.set(may_wait);
        if self.refused.get().is_none() {
            let own = self.start.get().saturating_add(self.limit.get());
            self.set_most(match may_wait {
                true => own,
                false => own.min(self.held().saturating_add(room)),
            });
        }
    }

    /// Whether others may yet give back what these bytes want.
    pub(super) fn may_get_room(&self, bytes: usize) -> bool {
        self.may_wait.get() && bytes > self.room.get() && self.admits(bytes)
    }

    /// Whether what the call may have is less than its limit, as others leave no more.
    pub(super) fn is_bound(&self) -> bool {
        self.most.get() < self.start.get().saturating_add(self.limit.get())
    }

    /// The call is about to be ended, for which there must be room however full the heap is: an end for which the engine could not
    /// make the error is one that it takes for a script's, and aborts where it cannot be (quickjs.c, js_async_function_resume).
    pub(super) fn make_room_for_end(&self) {
        let room = self.held().saturating_add(ENDING_BYTES);
        self.set_most(self.most.get().max(room));
        self.pages.allow(ENDING_BYTES);
    }

    /// The most bytes held at one time since the call began.
    pub(super) fn peak(&self) -> usize {
        self.peak.get()
    }

    /// The most that the call added at one time.
    pub(super) fn used(&self) -> usize {
        self.peak.get().saturating_sub(self.start.get())
    }

    /// What the call holds by now beyond what was there before it, with what is charged.
    pub(super) fn used_now(&self) -> usize {
        self.held().saturating_sub(self.start.get())
    }

    /// What the call may add.
    pub(super) fn limit(&self) -> usize {
        self.limit.get()
    }

    /// What is held beyond what the script held when it was loaded.
    pub(super) fn grown(&self) -> usize {
        self.current.get().saturating_sub(self.loaded.get())
    }

    /// What was asked for in vain since the call began: the first such request, in bytes.
    pub(super) fn refused(&self) -> Option<usize> {
        self.refused.get()
    }

    /// What is in it, with its counts; `None` where that is too much to keep. The script is loaded.
    pub(super) fn image(&self, max_bytes: usize) -> Option<Image> {
        Some(Image {
            pages: self.pages.image(max_bytes)?,
            current: self.current.get(),
            next_collection: self.next_collection.get(),
        })
    }

    /// Makes it what it was.
    ///
    /// # Safety
    /// The image is of this heap, and nothing that is in it is used by what does not go back to that time too.
    pub(super) unsafe fn restore(&self, image: &Image) {
        // SAFETY: the caller says so.
        unsafe { self.pages.restore(&image.pages) };
        self.outside.set(0);
        self.charged.set(0);
        self.current.set(image.current);
        self.next_collection.set(image.next_collection);
        self.refused.set(None);
    }

    /// What is in it, for others like it to be packed as far as they differ; `None` where that is more than so much.
    pub(super) fn model(&self, max_bytes: usize) -> Option<Rc<[u8]>> {
        self.pages.model(max_bytes)
    }

    /// What is in it and not in the model, compressed, of which the pages go back to the system; `None` where that is more than so
    /// much.
    pub(super) fn pack(&self, max_bytes: usize, model: &[u8]) -> Option<Vec<u8>> {
        self.pages.pack(max_bytes, model)
    }

    /// Puts back what was packed.
    ///
    /// # Safety
    /// It is of this heap, packed with this model, and nothing in it was used since.
    pub(super) unsafe fn unpack(&self, packed: &[u8], model: &[u8]) {
        // SAFETY: the caller says so.
        unsafe { self.pages.unpack(packed, model) };
    }

    /// The call is over: what was kept for more of it goes back to the system. Says whether there was something.
    pub(super) fn rest(&self) -> bool {
        let has_more = self.pages.taken() > self.usual.get();
        if has_more {
            heap_step(|| self.pages.rest());
        }
        has_more
    }

    /// Gives a part of its memory back, of which nothing is used any more but what `image` brings back; says whether there was
    /// something.
    pub(super) fn shrink_unused(&self, image: Option<&Image>) -> bool {
        self.pages
            .shrink_unused(image.map_or(0, |image| image.pages.content.len()))
    }

    /// Memory that is taken for it, in bytes.
    pub(super) fn taken(&self) -> usize {
        self.pages.taken() + self.outside.get()
    }

    /// Counts memory that the lane has beside the engine's as a part of the heap; says whether it may have it. It goes with the
    /// lane, or when the heap is made what it was: an image is of a heap that has none.
    #[cfg(feature = "wasm")]
    pub(super) fn take_outside(&self, bytes: usize) -> bool {
        if !self.admits(bytes) {
            self.refuse(bytes);
            return false;
        }
        self.add(bytes);
        self.outside.set(self.outside.get() + bytes);
        true
    }

    /// What is so counted.
    pub(super) fn outside(&self) -> usize {
        self.outside.get()
    }

    /// Counts bytes that the host holds for the call, of arguments, answers and results, against what it may have; says whether it may
    /// have them. They are gone when the next call begins, at the latest.
    pub(super) fn charge(&self, bytes: usize) -> bool {
        if !self.admits(bytes) || bytes > self.room.get() {
            return false;
        }
        self.room.set(self.room.get() - bytes);
        self.charge_anyway(bytes);
        if self.held() > self.next_collection.get() {
            self.next_collection.set(self.after(self.current.get()));
            self.ask_for_collection();
        }
        true
    }

    /// The same of what it has to have. The lane may have been stopped in the middle of counting its own: nothing but `ceiling` is
    /// changed of what that looks at.
    pub(super) fn charge_anyway(&self, bytes: usize) {
        self.charged.set(self.charged.get().saturating_add(bytes));
        self.set_most(self.most.get());
    }

    /// So many of them are gone.
    pub(super) fn discharge(&self, bytes: usize) {
        // Those of a call that is over are gone already.
        self.charged.set(self.charged.get().saturating_sub(bytes));
        self.set_most(self.most.get());
    }

    /// What is so counted.
    pub(super) fn charged(&self) -> usize {
        self.charged.get()
    }

    /// What is held by now, with that.
    fn held(&self) -> usize {
        self.current.get().saturating_add(self.charged.get())
    }

    fn set_most(&self, most: usize) {
        self.most.set(most);
        self.ceiling.set(most.saturating_sub(self.charged.get()));
    }

    fn refuse(&self, size: usize) -> *mut u8 {
        if self.refused.get().is_none() {
            self.refused.set(Some(size));
        }
        std::ptr::null_mut()
    }

    /// Whether the call may have so much more.
    pub(super) fn admits(&self, size: usize) -> bool {
        size <= self.ceiling.get().saturating_sub(self.current.get())
    }

    fn add(&self, size: usize) {
        let current = self.current.get() + size;
        self.current.set(current);
        if current > self.peak.get() {
            self.peak.set(current);
        }
        if current > self.next_collection.get() {
            self.next_collection.set(self.after(current));
            self.ask_for_collection();
        }
    }

    fn remove(&self, size: usize) {
        let current = self.current.get() - size;
        self.current.set(current);
        if self.next_collection.get() > self.first_collection.get() {
            let next = self.after(current).max(self.first_collection.get());
            self.next_collection
                .set(next.min(self.next_collection.get()));
        }
    }

    /// What may be held before a collection is due, where so much is held and is no garbage: a heap that is nearly full
    /// must not be searched all the time.
    fn after(&self, current: usize) -> usize {
        let left = self.ceiling.get().saturating_sub(current);
        current.saturating_add((left / 2).max(self.limit.get() / 8))
    }

    /// The engine makes it when it makes its next object.
    fn ask_for_collection(&self) {
        let engine = self.engine.get();
        if !engine.is_null() {
            // SAFETY: the engine is alive from `attach` to `detach`; this sets a number in it and does nothing else.
            unsafe { qjs::JS_SetGCThreshold(engine, 0) };
        }
    }
}

/// The engine's allocator.
pub(super) struct Counting(pub(super) Rc<Heap>);

impl Counting {
    /// Counts a new block, or a refusal where there was none.
    fn taken(&self, block: *mut u8, asked: usize) -> *mut u8 {
        if block.is_null() {
            return self.0.refuse(asked);
        }
        // SAFETY: the block is in use.
        self.0.add(unsafe { usable_size(block) });
        block
    }
}

// SAFETY: the pages give blocks that are aligned as malloc's are, and say how large each is.
unsafe impl Allocator for Counting {
    fn alloc(&mut self, size: usize) -> *mut u8 {
        if !self.0.admits(size) {
            return self.0.refuse(size);
        }
        let block = heap_step(|| self.0.pages.allocate(size));
        self.taken(block, size)
    }

    fn calloc(&mut self, count: usize, size: usize) -> *mut u8 {
        let whole = count.saturating_mul(size);
        if !self.0.admits(whole) {
            return self.0.refuse(whole);
        }
        let block = heap_step(|| self.0.pages.allocate_zeroed(whole));
        self.taken(block, whole)
    }

    unsafe fn dealloc(&mut self, block: *mut u8) {
        // SAFETY: the caller says that the block is one of ours.
        self.0.remove(unsafe { usable_size(block) });
        // SAFETY: as above.
        heap_step(|| unsafe { self.0.pages.free(block) });
    }

    unsafe fn realloc(&mut self, block: *mut u8, size: usize) -> *mut u8 {
        if block.is_null() {
            return self.alloc(size);
        }
        if size == 0 {
            // SAFETY: the caller says that the block is one of ours.
            unsafe { self.dealloc(block) };
            return std::ptr::null_mut();
        }
        // SAFETY: as above.
        let before = unsafe { usable_size(block) };
        if !self.0.admits(size.saturating_sub(before)) {
            return self.0.refuse(size - before);
        }
        // SAFETY: as above.
        let moved = heap_step(|| unsafe { self.0.pages.resize(block, size) });
        if moved.is_null() {
            return self.0.refuse(size);
        }
        self.0.remove(before);
        self.taken(moved, size)
    }

    unsafe fn usable_size(block: *mut u8) -> usize {
        // SAFETY: the caller says that the block is one of ours.
        unsafe { usable_size(block) }
    }
}

#[cfg(test)]
mod tests;
