//! The memory of a syntax tree, which is bounded.

use oxc_allocator::Allocator;
use std::alloc::{Layout, alloc, dealloc};
use std::mem::ManuallyDrop;
use std::ptr::NonNull;

/// An allocator that gives so many bytes, and then panics.
pub(crate) struct Memory {
    allocator: ManuallyDrop<Allocator>,
    start: NonNull<u8>,
    layout: Layout,
}

impl Memory {
    /// One of so many bytes; of those that nobody asks for none are touched. `None` where the system does not give them.
    pub(crate) fn new(bytes: usize) -> Option<Self> {
        let align = Allocator::RAW_MIN_ALIGN;
        let bytes = bytes.max(Allocator::RAW_MIN_SIZE);
        let layout = Layout::from_size_align(bytes.checked_next_multiple_of(align)?, align).ok()?;
        // SAFETY: the size is not 0.
        let start = NonNull::new(unsafe { alloc(layout) })?;
        // SAFETY: the region is the allocation's whole, as large and aligned as it has to be. It is this struct that frees it.
        let allocator = unsafe { Allocator::from_raw_parts(start, layout.size(), start, layout) };
        Some(Self {
            allocator: ManuallyDrop::new(allocator),
            start,
            layout,
        })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_system_does_not_give_is_not_there() {
        for bytes in [isize::MAX as usize / 2, isize::MAX as usize, usize::MAX] {
            assert!(Memory::new(bytes).is_none());
        }
        assert!(Memory::new(0).is_some());
    }
}
