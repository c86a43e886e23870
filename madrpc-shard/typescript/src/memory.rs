//! The memory of a syntax tree, which is bounded.

use oxc_allocator::Allocator;
use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::mem::ManuallyDrop;
use std::ptr::NonNull;

/// An allocator that gives so many bytes, and then panics.
pub(crate) struct Memory {
    allocator: ManuallyDrop<Allocator>,
    start: NonNull<u8>,
    layout: Layout,
}

impl Memory {
    /// One of so many bytes; of those that nobody asks for none are touched.
    pub(crate) fn new(bytes: usize) -> Self {
        let align = Allocator::RAW_MIN_ALIGN;
        let size = bytes.max(Allocator::RAW_MIN_SIZE).next_multiple_of(align);
        let layout = Layout::from_size_align(size, align).unwrap_or(Layout::new::<u64>());
        // SAFETY: the size is not 0.
        let start = unsafe { alloc(layout) };
        let Some(start) = NonNull::new(start) else {
            handle_alloc_error(layout)
        };
        // SAFETY: the region is the allocation's whole, as large and aligned as it has to be. It is this struct that frees it.
        let allocator = unsafe { Allocator::from_raw_parts(start, layout.size(), start, layout) };
        Self {
            allocator: ManuallyDrop::new(allocator),
            start,
            layout,
        }
    }

    pub(crate) fn allocator(&self) -> &Allocator {
        &self.allocator
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: it was allocated with this layout, and the allocator in it, which owns nothing else, is not used again.
        unsafe { dealloc(self.start.as_ptr(), self.layout) };
    }
}
