use super::*;

fn fill(block: *mut u8, size: usize, with: u8) {
    assert!(!block.is_null());
    // SAFETY: the block has so many bytes.
    unsafe { block.write_bytes(with, size) };
}

fn is_filled(block: *mut u8, size: usize, with: u8) -> bool {
    // SAFETY: the block has so many bytes, and all were written.
    let bytes = unsafe { std::slice::from_raw_parts(block, size) };
    bytes.iter().all(|byte| *byte == with)
}

/// Blocks of all sizes come, grow, shrink and go in an order that is none; what is in them stays.
#[test]
fn blocks_keep_what_is_in_them_and_all_goes_back() {
    let pages = Pages::new();
    pages.bound(512 << 20);
    let mut random = fastrand::Rng::with_seed(7);
    let mut blocks: Vec<(*mut u8, usize, u8)> = Vec::new();
    let size_of_block = |random: &mut fastrand::Rng| match random.u8(..) {
        0..200 => random.usize(1..5000),
        200..250 => random.usize(5000..LARGE_BYTES),
        _ => random.usize(LARGE_BYTES..8 << 20),
    };
    for step in 0..20_000_u32 {
        let size = size_of_block(&mut random);
        let with = step as u8;
        match random.u8(..4) {
            0 if blocks.len() > 100 => {
                let (block, size, with) = blocks.swap_remove(random.usize(..blocks.len()));
                assert!(is_filled(block, size, with));
                // SAFETY: the block is in use.
                unsafe { pages.free(block) };
            }
            1 if !blocks.is_empty() => {
                let at = random.usize(..blocks.len());
                let (block, before, filled) = blocks[at];
                // SAFETY: the block is in use.
                let moved = unsafe { pages.resize(block, size) };
                if moved.is_null() {
                    assert!(is_filled(block, before, filled));
                    continue;
                }
                assert!(is_filled(moved, before.min(size), filled));
                fill(moved, size, with);
                blocks[at] = (moved, size, with);
            }
            kind if blocks.len() < 400 => {
                let block = match kind {
                    2 => pages.allocate_zeroed(size),
                    _ => pages.allocate(size),
                };
                if block.is_null() {
                    continue;
                }
                assert!(kind != 2 || is_filled(block, size, 0));
                assert!(block.addr().is_multiple_of(8));
                // SAFETY: the block is in use.
                assert!(unsafe { usable_size(block) } >= size);
                fill(block, size, with);
                blocks.push((block, size, with));
            }
            _ => {}
        }
    }
    for (block, size, with) in blocks {
        assert!(is_filled(block, size, with));
        // SAFETY: the block is in use.
        unsafe { pages.free(block) };
    }
    // dlmalloc keeps the end of its memory.
    pages.rest();
    assert!(pages.taken() <= 4 << 20, "{}", pages.taken());
}

#[test]
fn no_more_is_taken_than_the_bound_says_and_a_refusal_leaves_all_as_it_was() {
    let pages = Pages::new();
    pages.bound(8 << 20);
    let large = pages.allocate(5 << 20);
    fill(large, 5 << 20, 1);
    assert!(pages.allocate(4 << 20).is_null());
    // SAFETY: the block is in use.
    assert!(unsafe { pages.resize(large, 9 << 20) }.is_null());
    let small: Vec<_> = std::iter::from_fn(|| Some(pages.allocate(10_000)))
        .take_while(|block| !block.is_null())
        .collect();
    assert!(
        (200..320).contains(&small.len()),
        "{} blocks beside 5 MiB",
        small.len()
    );
    assert!(pages.taken() <= 8 << 20);
    assert!(is_filled(large, 5 << 20, 1));
    assert!(pages.allocate(usize::MAX - 10).is_null());
    for block in small.into_iter().chain([large]) {
        // SAFETY: the blocks are in use.
        unsafe { pages.free(block) };
    }
    // What was kept makes room for what does not fit beside it.
    assert!(!pages.allocate(7 << 20).is_null());
}

#[test]
fn a_heap_of_many_small_blocks_goes_on_beyond_its_first_region() {
    let pages = Pages::new();
    pages.bound(1 << 30);
    let blocks: Vec<_> = (0..400).map(|_| pages.allocate(400_000)).collect();
    assert!(blocks.iter().all(|block| !block.is_null()));
    // SAFETY: nobody else looks.
    let regions = unsafe { &*pages.small.get() }.allocator().count();
    assert!(regions > 1, "{regions}");
    for block in blocks {
        // SAFETY: the blocks are in use.
        unsafe { pages.free(block) };
    }
}
