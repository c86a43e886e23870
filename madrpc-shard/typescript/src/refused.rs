//! Why a text cannot be used, and where.

use crate::text::place_of;

/// Why a text cannot be used, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{line}:{column}: {what}")]
pub struct Refused {
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// What is wrong, and what to do.
    pub what: String,
}

/// The same by the byte at which that is.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) at: usize,
    pub(crate) what: String,
}

impl Refusal {
    pub(crate) fn place_in(self, text: &str) -> Refused {
        let (line, column) = place_of(text, self.at);
        Refused {
            line,
            column,
            what: self.what,
        }
    }
}
