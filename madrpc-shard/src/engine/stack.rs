//! The pages of a lane's stack: those in use, and those that were.

use super::exchange::Exchange;
use std::ops::Range;

const PAGE_BYTES: usize = 4096;

/// What lies on the stack below the last local variable of a lane that has given the core back: what the change of stacks
/// puts there, with room to spare.
const BELOW_BYTES: usize = 8 << 10;

/// How near to its end a script's stack is used up, and for a small one which part of it: the engine's frames are smaller but for
/// the largest functions.
const NEAR_BYTES: usize = 64 << 10;
const NEAR_PART: usize = 4;

/// The part of the stack that is in use, and a little more.
pub(super) fn used_stack(exchange: &Exchange) -> Range<usize> {
    let stack = exchange.lane.stack();
    let lowest = exchange.lane.suspended_at().saturating_sub(BELOW_BYTES);
    lowest.clamp(stack.start, stack.end)..stack.end
}

/// The upper part of it of so many bytes.
pub(super) fn used_stack_of(exchange: &Exchange, bytes: usize) -> Range<usize> {
    let stack = exchange.lane.stack();
    stack.end - bytes..stack.end
}

/// Gives back the pages of a stack of which nothing is in use.
pub(super) fn give_back_below(unused: Range<usize>) {
    let end = unused.end / PAGE_BYTES * PAGE_BYTES;
    if end > unused.start {
        // SAFETY: the range lies in the lane's stack, whole pages; the next who reads them finds zeros.
        unsafe {
            libc::madvise(
                unused.start as *mut _,
                end - unused.start,
                libc::MADV_DONTNEED,
            )
        };
    }
}

/// Whether a script that may use so much of the stack has come near its end, since the pages there were last given back.
pub(super) fn is_used_up(exchange: &Exchange, bytes: usize) -> bool {
    let stack = exchange.lane.stack();
    let end = stack.end.saturating_sub(bytes).max(stack.start) / PAGE_BYTES * PAGE_BYTES;
    let pages = (bytes / NEAR_PART).min(NEAR_BYTES).div_ceil(PAGE_BYTES);
    let mut are_used = [0_u8; NEAR_BYTES / PAGE_BYTES];
    // SAFETY: the range lies in the lane's stack, whole pages, and there is a byte for each.
    let said = unsafe { libc::mincore(end as *mut _, pages * PAGE_BYTES, are_used.as_mut_ptr()) };
    said != 0 || are_used.iter().any(|is_used| is_used & 1 != 0)
}
