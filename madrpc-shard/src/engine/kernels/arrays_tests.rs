//! Large arrays through a kernel: there once on each way.

use super::super::LaneConfig;
use super::super::lane::{Lane, Progress};
use super::tests::{LONG, script};
use bytes::Bytes;
use madrpc_core::value::{TypedArray, TypedArrayKind, Value};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::Instant;

/// What Rust allocates is counted, and the lane has room for the array once and for the result.
#[test]
fn a_large_array_is_copied_once_on_each_way() {
    const BYTES: usize = 12 << 20;
    let script = script(
        "const scale = madrpc.kernel(function scale(list, by) { for (let i = 0; i < list.length; i++) list[i] *= by; });
         madrpc.register('scaled', (list) => { scale(list, 0.5); return list; });",
    );
    let config = LaneConfig {
        memory_bytes: 2 * BYTES + BYTES / 2,
        ..LaneConfig::default()
    };
    let (mut lane, _) = Lane::load(&script, "", &config).unwrap();
    let ones = 1_f64.to_le_bytes().repeat(BYTES / 8);
    let ones = TypedArray::new(TypedArrayKind::Float64, ones).unwrap();
    let mut body = Vec::new();
    let written = Value::TypedArray(ones).encode(&mut body, usize::MAX);
    assert!(written.is_ok());
    let body = Bytes::from(body);
    for _ in 0..3 {
        let before = LARGE.get();
        lane.assign(0, &body, Instant::now() + LONG);
        let ended = loop {
            match lane.resume(Instant::now(), LONG) {
                Progress::Done(ended) => break ended,
                Progress::Running => {}
                Progress::Waiting => std::thread::yield_now(),
            }
        };
        assert!(ended.is_ok(), "{ended:?}");
        let output = lane.take_output();
        assert_eq!(output.len(), body.len());
        assert_eq!(output.last_chunk(), Some(&0.5_f64.to_le_bytes()));
        let large = LARGE.get() - before;
        assert!(large <= 1, "{large} large allocations");
    }
}

thread_local! {
    /// Allocations of more than 4 MiB, and moves to such.
    static LARGE: Cell<u32> = const { Cell::new(0) };
}

struct Watched;

#[global_allocator]
static ALLOCATOR: Watched = Watched;

impl Watched {
    fn note(bytes: usize) {
        if bytes > 4 << 20 {
            LARGE.set(LARGE.get() + 1);
        }
    }
}

// SAFETY: every request goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Watched {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        Self::note(layout.size());
        // SAFETY: the caller keeps to the conditions.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        Self::note(layout.size());
        // SAFETY: the caller keeps to the conditions.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps to the conditions.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        Self::note(size);
        // SAFETY: the caller keeps to the conditions.
        unsafe { System.realloc(block, layout, size) }
    }
}
