//! How large results are going to be: a caller who asks for more than it has room for waits before it has been sent.
//!
//! A node cannot wait with what an orchestrator's caller does not take: its session is that of all callers.

use crate::net::result_size::ResultSize;
use madrpc_core::limits::INLINE_BODY_MAX_BYTES;

/// What the results of a function are taken for that has had none yet: most are small, and thousands of calls may have to run
/// before the first has ended.
const UNKNOWN_BYTES: usize = 16 * 1024;

/// The sizes of the results of functions, by their numbers in the counters.
#[derive(Debug, Default)]
pub(super) struct ResultSizes(Vec<ResultSize>);

impl ResultSizes {
    /// Bytes that a result of this function is expected to have; nothing where it travels with others.
    pub(super) fn expected(&self, function: Option<usize>) -> usize {
        let known = function.and_then(|function| self.0.get(function));
        match known.copied().and_then(ResultSize::expected) {
            None => UNKNOWN_BYTES,
            Some(bytes) if bytes > INLINE_BODY_MAX_BYTES => bytes,
            Some(_) => 0,
        }
    }

    /// A result has come.
    pub(super) fn note(&mut self, function: usize, bytes: usize) {
        if function >= self.0.len() {
            self.0.resize(function + 1, ResultSize::default());
        }
        self.0[function].note(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_told_apart() {
        let mut sizes = ResultSizes::default();
        assert_eq!(sizes.expected(None), UNKNOWN_BYTES);
        sizes.note(3, 10);
        assert_eq!(sizes.expected(Some(3)), 0);
        assert_eq!(sizes.expected(Some(2)), UNKNOWN_BYTES);
        sizes.note(2, 8_000_000);
        assert_eq!(sizes.expected(Some(2)), 8_000_000);
        assert_eq!(sizes.expected(Some(3)), 0);
    }
}
