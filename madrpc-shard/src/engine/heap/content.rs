//! What is in a heap as a whole: kept as it once was and brought back, or compressed for a while.

use super::pages::Pages;
use super::regions::{Regions, SPARE_AT_REST_BYTES};
use dlmalloc::Dlmalloc;
use std::mem::{self, MaybeUninit};

/// What was in a heap, and the allocator's own state.
pub(super) struct Image {
    state: Box<[MaybeUninit<u8>]>,
    base: usize,
    /// What was in the first region.
    pub(super) content: Box<[u8]>,
}

/// Heaps of lanes that wait.
impl Pages {
    /// See [`Heap::pack`](super::Heap::pack).
    pub(super) fn pack(&self, max_bytes: usize) -> Option<Vec<u8>> {
        self.drop_kept();
        let used = self.content(max_bytes)?;
        let packed = lz4_flex::block::compress(used);
        (packed.len() < used.len() / 2).then(|| {
            self.small(|small| small.allocator().empty());
            packed
        })
    }

    /// # Safety
    /// It was packed from this heap, in which nothing was used since.
    pub(super) unsafe fn unpack(&self, packed: &[u8]) {
        self.small(|small| small.allocator().refill());
        let used = self
            .small(|small| small.allocator().only())
            .unwrap_or_default();
        // SAFETY: so much of the region was in use, thus is memory, and nobody uses it now.
        let place = unsafe { std::slice::from_raw_parts_mut(used.start as *mut u8, used.len()) };
        let unpacked = lz4_flex::block::decompress_into(packed, place);
        assert_eq!(unpacked.ok(), Some(used.len()), "a lane's heap");
    }

    /// What is in the heap, where that is one region with no more than so much in use and no large block.
    fn content(&self, max_bytes: usize) -> Option<&[u8]> {
        let used = self.small(|small| small.allocator().only())?;
        if used.len() > max_bytes || !self.large.get().is_null() {
            return None;
        }
        // SAFETY: all of it has been written, or was zero from the beginning.
        Some(unsafe { std::slice::from_raw_parts(used.start as *const u8, used.len()) })
    }
}

/// Images.
impl Pages {
    /// What is in the heap now; `None` where that is not worth keeping, as it is much.
    pub(super) fn image(&self, max_bytes: usize) -> Option<Image> {
        let content = self.content(max_bytes)?;
        let mut state = vec![MaybeUninit::uninit(); size_of::<Dlmalloc<Regions>>()];
        // SAFETY: it is as long as what is copied.
        unsafe {
            let small = self.small.get().cast::<MaybeUninit<u8>>();
            small.copy_to_nonoverlapping(state.as_mut_ptr(), state.len());
            Some(Image {
                state: state.into(),
                base: content.as_ptr().addr(),
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
        let regions = self.small(|small| mem::take(small.allocator_mut()));
        regions.rewind(image.content.len());
        // SAFETY: it was copied from there, and the allocator that is overwritten has nothing to drop: it was taken out.
        unsafe {
            let small = self.small.get().cast::<MaybeUninit<u8>>();
            small.copy_from_nonoverlapping(image.state.as_ptr(), image.state.len());
        }
        self.small(|small| {
            // What the copy says of the mapping is not so any more.
            mem::forget(mem::replace(small.allocator_mut(), regions));
            small.allocator().keep_spare(SPARE_AT_REST_BYTES);
        });
        // SAFETY: so much of the first region was in use, thus is memory, and it is nobody's now.
        unsafe {
            let content = image.base as *mut u8;
            content.copy_from_nonoverlapping(image.content.as_ptr(), image.content.len());
        }
    }
}
