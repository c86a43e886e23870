use super::*;

#[test]
fn what_is_taken_and_given_back_is_counted() {
    let heap = Rc::new(Heap::new(1 << 20));
    let mut counting = Counting(Rc::clone(&heap));
    let first = counting.alloc(1000);
    let second = counting.calloc(10, 100);
    assert!(heap.current.get() >= 2000);
    // SAFETY: the blocks are the allocator's own, and none is used after it is freed.
    let second = unsafe { counting.realloc(second, 50_000) };
    let most = heap.current.get();
    assert!(most >= 51_000);
    // SAFETY: as above.
    unsafe { counting.dealloc(first) };
    // SAFETY: as above.
    unsafe { counting.dealloc(second) };
    assert_eq!(heap.current.get(), 0);
    assert!(heap.peak() >= most && heap.peak() < most + 2000);
    heap.begin(100);
    assert_eq!(heap.peak(), 0);
}

#[test]
fn what_the_host_holds_for_the_call_is_a_part_of_what_it_may_have() {
    let heap = Rc::new(Heap::new(1 << 20));
    let mut counting = Counting(Rc::clone(&heap));
    assert!(heap.charge(600_000) && !heap.charge(600_000));
    assert!(counting.alloc(500_000).is_null());
    heap.discharge(200_000);
    let block = counting.alloc(500_000);
    assert!(!block.is_null() && heap.used_now() > 900_000);
    // Beyond the bound nothing is to be had, until some of it is gone.
    heap.charge_anyway(2 << 20);
    assert!(!heap.charge(1) && counting.alloc(1).is_null());
    heap.make_room_for_end();
    let ending = counting.alloc(ENDING_BYTES / 2);
    assert!(!ending.is_null());
    heap.discharge(2 << 20);
    assert!(heap.charge(100_000));
    assert_eq!(heap.charged(), 500_000);
    // The next call has none of it, and what goes late is not its own.
    heap.begin(1000);
    heap.discharge(500_000);
    assert_eq!((heap.charged(), heap.used_now()), (0, 0));
    assert!(heap.admits(1000) && !heap.admits(1001));
    for block in [block, ending] {
        // SAFETY: the blocks are the allocator's own, and not used afterwards.
        unsafe { counting.dealloc(block) };
    }
}

#[test]
fn what_goes_beyond_the_bound_is_refused_and_remembered() {
    let heap = Rc::new(Heap::new(1 << 20));
    let mut counting = Counting(Rc::clone(&heap));
    let held = counting.alloc(500_000);
    heap.begin(100_000);
    assert!(counting.alloc(100_001).is_null());
    assert_eq!(heap.refused(), Some(100_001));
    assert!(counting.calloc(usize::MAX, 2).is_null());
    assert_eq!(heap.refused(), Some(100_001));
    // SAFETY: the block is the allocator's own.
    assert!(unsafe { counting.realloc(held, 700_000) }.is_null());
    let small = counting.alloc(90_000);
    assert!(!small.is_null());
    assert!(heap.used() >= 90_000 && heap.used() < 100_000);
    assert!(counting.alloc(ENDING_BYTES / 2).is_null());
    heap.make_room_for_end();
    let ending = counting.alloc(ENDING_BYTES / 2);
    assert!(!ending.is_null());
    assert!(counting.alloc(ENDING_BYTES).is_null());
    heap.begin(100_000);
    assert_eq!(heap.refused(), None);
    for block in [held, small, ending] {
        // SAFETY: the blocks are the allocator's own, and not used afterwards.
        unsafe { counting.dealloc(block) };
    }
    assert_eq!(heap.current.get(), 0);
}
