//! A call of a trace that is passed on.

use super::Context;

/// A call of a trace that is passed on, until it is over.
#[derive(Debug)]
pub(crate) struct Tried {
    pub(crate) context: Context,
}

impl Tried {
    pub(super) fn new(context: Context) -> Self {
        Self { context }
    }
}
