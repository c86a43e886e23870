//! How things end here.

/// What goes wrong ends the run: a bench has nobody to hand an error to.
pub(crate) type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;
