//! Whether a lane can really be stopped by force here: what stands in the way may be the kernel, a filter of system calls, or
//! whatever the process runs under.

use super::super::exchange::Yield;
use super::super::heap::Heap;
use super::handler::{Stoppable, run};
use super::stoppable;
use corosensei::stack::{DefaultStack, Stack};
use corosensei::{Coroutine, CoroutineResult, Yielder};
use std::hint::black_box;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How long a loop may keep the core before it counts as not to be stopped.
const PATIENCE: Duration = Duration::from_secs(2);

/// Stops a loop that never gives the core back, three times, and lets it end.
pub(super) fn works() -> bool {
    let Ok(stack) = DefaultStack::new(64 << 10) else {
        return false;
    };
    let lane = Rc::new(Stoppable::new(Heap::new(0)));
    lane.has_stack(stack.limit().get()..stack.base().get());
    let is_over = Rc::new(AtomicBool::new(false));
    let (of_lane, end) = (Rc::clone(&lane), Rc::clone(&is_over));
    let mut fiber = Coroutine::with_stack(stack, move |yielder: &Yielder<(), Yield>, ()| {
        of_lane.enter(yielder);
        let begun = Instant::now();
        stoppable(|| {
            while !end.load(Ordering::Relaxed) && begun.elapsed() < PATIENCE {
                (0..10_000).for_each(|step| {
                    black_box(step);
                });
            }
        });
        of_lane.leave();
    });
    let mut resume = || {
        let now = Instant::now();
        run(&lane, now, now, || fiber.resume(()))
    };
    let is_stopped = |resumed| matches!(resumed, CoroutineResult::Yield(Yield::Forced));
    let works = (0..3).all(|_| is_stopped(resume()));
    is_over.store(true, Ordering::Relaxed);
    while !fiber.done() {
        fiber.resume(());
    }
    works
}
