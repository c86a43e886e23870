//! How large results are going to be: a caller who asks for more than it has room for waits before it has been sent.
//!
//! A node cannot wait with what an orchestrator's caller does not take: its session is that of all callers.

use madrpc_core::limits::INLINE_BODY_MAX_BYTES;

/// What the results of a function are taken for that has had none yet: most are small, and thousands of calls may have to run
/// before the first has ended.
const UNKNOWN_BYTES: usize = 16 * 1024;

/// The size of the results of functions, by their numbers in the counters.
#[derive(Debug, Default)]
pub(super) struct ResultSizes(Vec<Option<usize>>);

impl ResultSizes {
    /// Bytes that a result of this function is expected to have; nothing where it travels with others.
    pub(super) fn expected(&self, function: Option<usize>) -> usize {
        match function.and_then(|function| self.0.get(function).copied().flatten()) {
            None => UNKNOWN_BYTES,
            Some(bytes) if bytes > INLINE_BODY_MAX_BYTES => bytes,
            Some(_) => 0,
        }
    }

    /// A result has come. One that is larger than expected counts at once, a smaller one by and by.
    pub(super) fn note(&mut self, function: usize, bytes: usize) {
        if function >= self.0.len() {
            self.0.resize(function + 1, None);
        }
        let known = &mut self.0[function];
        let slowly = |known: usize| known - (known - bytes.min(known)) / 8;
        *known = Some(known.map_or(bytes, slowly).max(bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_result_counts_at_once_and_small_ones_by_and_by() {
        let mut sizes = ResultSizes::default();
        assert_eq!(sizes.expected(None), UNKNOWN_BYTES);
        assert_eq!(sizes.expected(Some(3)), UNKNOWN_BYTES);
        sizes.note(3, 10);
        assert_eq!(sizes.expected(Some(3)), 0);
        assert_eq!(sizes.expected(Some(2)), UNKNOWN_BYTES);
        sizes.note(3, 8_000_000);
        assert_eq!(sizes.expected(Some(3)), 8_000_000);
        sizes.note(3, 0);
        assert_eq!(sizes.expected(Some(3)), 7_000_000);
        (0..100).for_each(|_| sizes.note(3, 10));
        assert_eq!(sizes.expected(Some(3)), 0);
    }
}
