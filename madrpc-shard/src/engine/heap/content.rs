//! What is in a heap as a whole: kept as it once was and brought back, or compressed for a while.

use super::pages::Pages;
use super::regions::{Regions, SPARE_AT_REST_BYTES};
use dlmalloc::Dlmalloc;
use std::mem::{self, MaybeUninit};
use std::rc::Rc;

/// What was in a heap, and the allocator's own state.
pub(super) struct Image {
    state: Box<[MaybeUninit<u8>]>,
    base: usize,
    /// What was in the first region.
    pub(super) content: Box<[u8]>,
}

/// Where a heap is taken to lie that is compared with others: nobody has such an address.
const NOWHERE: usize = 1 << 60;

/// Has the words that point into a heap, which lies there, point into one that lies nowhere, and the other way round: done twice, all
/// is as it was.
fn move_pointers(content: &mut [u8], base: usize) {
    let length = content.len();
    for bytes in content.as_chunks_mut::<8>().0 {
        let word = usize::from_ne_bytes(*bytes);
        let (within, without) = (word.wrapping_sub(base), word.wrapping_sub(NOWHERE));
        if within < length {
            *bytes = (NOWHERE + within).to_ne_bytes();
        } else if without < length {
            *bytes = (base + without).to_ne_bytes();
        }
    }
}

/// Leaves zeros where both have the same; done twice, all is as it was.
fn differ(content: &mut [u8], from: &[u8]) {
    for (byte, from) in content.iter_mut().zip(from) {
        *byte ^= from;
    }
}

/// Heaps of lanes that wait.
impl Pages {
    /// See [`Heap::model`](super::Heap::model).
    pub(super) fn model(&self, max_bytes: usize) -> Option<Rc<[u8]>> {
        let used = self.content(max_bytes)?;
        let mut model = used.to_vec();
        move_pointers(&mut model, used.as_ptr().addr());
        Some(model.into())
    }

    /// See [`Heap::pack`](super::Heap::pack).
    pub(super) fn pack(&self, max_bytes: usize, model: &[u8]) -> Option<Vec<u8>> {
        self.drop_kept();
        let used = self.content(max_bytes)?;
        let mut moved = used.to_vec();
        move_pointers(&mut moved, used.as_ptr().addr());
        differ(&mut moved, model);
        let packed = lz4_flex::block::compress(&moved);
        (packed.len() < used.len() / 2).then(|| {
            self.small(|small| small.allocator().empty());
            packed
        })
    }

    /// # Safety
    /// It was packed from this heap, with this model, and nothing in the heap was used since.
    pub(super) unsafe fn unpack(&self, packed: &[u8], model: &[u8]) {
        self.small(|small| small.allocator().refill());
        let used = self
            .small(|small| small.allocator().only())
            .unwrap_or_default();
        // SAFETY: so much of the region was in use, thus is memory, and nobody uses it now.
        let place = unsafe { std::slice::from_raw_parts_mut(used.start as *mut u8, used.len()) };
        let unpacked = lz4_flex::block::decompress_into(packed, place);
        assert_eq!(unpacked.ok(), Some(used.len()), "a lane's heap");
        differ(place, model);
        move_pointers(place, used.start);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heaps_that_differ_in_where_they_lie_are_the_same_and_all_comes_back() {
        let heap = |base: usize| {
            let words = [0, 7, base, base + 24, base + 32, NOWHERE, NOWHERE + 32, !0];
            let bytes: Vec<u8> = words.into_iter().flat_map(usize::to_ne_bytes).collect();
            bytes
        };
        let moved = |base: usize| {
            let mut content = heap(base);
            move_pointers(&mut content, base);
            content
        };
        let (one, other) = (moved(0x7f00_0000_0000), moved(0x7e00_0000_1000));
        assert_eq!(one[..40], other[..40]);
        let mut content = other.clone();
        differ(&mut content, &one);
        assert!(content[..40].iter().all(|byte| *byte == 0));
        differ(&mut content, &one);
        move_pointers(&mut content, 0x7e00_0000_1000);
        assert_eq!(content, heap(0x7e00_0000_1000));
    }
}
