//! How large the results of a function are, as far as is known.

use madrpc_core::limits::INLINE_BODY_MAX_BYTES;

/// The bytes of a function's results: the largest of late.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ResultSize(Option<usize>);

impl ResultSize {
    /// A result has come. One that is larger than those before counts at once, a smaller one by and by.
    pub(crate) fn note(&mut self, bytes: usize) {
        let slowly = |known: usize| known - (known - bytes.min(known)) / 8;
        self.0 = Some(self.0.map_or(bytes, slowly).max(bytes));
    }

    /// Bytes of the next result; `None` where there was none yet.
    pub(crate) fn expected(self) -> Option<usize> {
        self.0
    }

    /// Whether results travel on streams of their own, as a rule.
    #[cfg_attr(
        not(feature = "engine"),
        expect(dead_code, reason = "only a node has a queue")
    )]
    pub(crate) fn is_large(self) -> bool {
        self.0.is_some_and(|bytes| bytes > INLINE_BODY_MAX_BYTES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_result_counts_at_once_and_small_ones_by_and_by() {
        let mut size = ResultSize::default();
        assert_eq!((size.expected(), size.is_large()), (None, false));
        size.note(10);
        assert_eq!((size.expected(), size.is_large()), (Some(10), false));
        size.note(8_000_000);
        assert_eq!((size.expected(), size.is_large()), (Some(8_000_000), true));
        size.note(0);
        assert_eq!(size.expected(), Some(7_000_000));
        (0..100).for_each(|_| size.note(10));
        assert!(!size.is_large());
    }
}
