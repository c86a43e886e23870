//! The state of `Math.random`.
//!
//! QuickJS seeds it with the time at which the context is made, in microseconds: lanes of two shards that were made at the same
//! time would say the same, and so would a lane that was taken back to its beginning. It has no function to seed it by. So its
//! place is looked for in the context: the only word that goes on as the generator does.

use rquickjs::{Ctx, Function, qjs};
use std::ptr::NonNull;

/// Where a context keeps the state.
#[derive(Clone, Copy)]
pub(super) struct Randomness(NonNull<u64>);

/// The generator (Vigna, "An experimental exploration of Marsaglia's xorshift generators, scrambled"; quickjs.c).
fn next(mut state: u64) -> u64 {
    state ^= state >> 12;
    state ^= state << 25;
    state ^ (state >> 27)
}

impl Randomness {
    /// Finds it, and seeds it; `None` where it is kept otherwise. The context must live as long as this.
    pub(super) fn find(ctx: &Ctx<'_>) -> Option<Self> {
        let context = ctx.as_raw().as_ptr();
        let random: Function<'_> = ctx.eval("Math.random").ok()?;
        // SAFETY: the context is a block of the engine's.
        let bytes = unsafe { qjs::js_malloc_usable_size(context, context.cast()) };
        let count = bytes as usize / size_of::<u64>();
        let words = || -> Vec<u64> {
            // SAFETY: the block has so many words, which the engine may change at any time but now.
            let word = |at: usize| unsafe { context.cast::<u64>().add(at).read_volatile() };
            (0..count).map(word).collect()
        };
        let before = words();
        random.call::<_, f64>(()).ok()?;
        let after = words();
        let mut found = (0..count).filter(|at| before[*at] != 0 && next(before[*at]) == after[*at]);
        let at = found.next().filter(|_| found.next().is_none())?;
        let state = NonNull::new(context.cast::<u64>())?;
        // SAFETY: it lies within the block.
        let found = Self(unsafe { state.add(at) });
        found.renew();
        Some(found)
    }

    /// Seeds it anew.
    pub(super) fn renew(self) {
        let mut seed = [0; size_of::<u64>()];
        // Without a seed it goes on as it is.
        if boring::rand::rand_bytes(&mut seed).is_ok() {
            // SAFETY: the word is there for as long as the context, and the engine does not run. Zero would stay zero.
            unsafe { self.0.write(u64::from_ne_bytes(seed).max(1)) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rquickjs::{Context, Runtime};

    #[test]
    fn the_state_is_found_and_can_be_seeded() {
        let runtime = Runtime::new().unwrap();
        let context = Context::full(&runtime).unwrap();
        context.with(|ctx| {
            let randomness = Randomness::find(&ctx).unwrap();
            let ten =
                || -> Vec<f64> { ctx.eval("Array.from({ length: 10 }, Math.random)").unwrap() };
            // SAFETY: the context is alive.
            let state = unsafe { randomness.0.read() };
            let first = ten();
            // SAFETY: as above.
            unsafe { randomness.0.write(state) };
            assert_eq!(ten(), first);
            randomness.renew();
            assert_ne!(ten(), first);
        });
    }
}
