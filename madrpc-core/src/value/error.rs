//! Why a Rust type and a value do not fit.

use serde::de::{Expected, Unexpected};
use std::fmt;

/// A Rust value cannot be written as a [`Value`](super::Value), or a value is not what a Rust type asks for.
///
/// Reads `points[3].x: expected f64, found the string "7"`: where it is, then what is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValueError {
    /// `.points[3].x`; empty at the top.
    path: String,
    message: String,
}

impl ValueError {
    pub(super) fn new(message: impl fmt::Display) -> Self {
        Self {
            path: String::new(),
            message: message.to_string(),
        }
    }

    /// The same error, seen from the object that holds the value under `key`.
    pub(super) fn at_key(mut self, key: &str) -> Self {
        self.path = format!(".{key}{}", self.path);
        self
    }

    /// The same error, seen from the array that holds the value at `index`.
    pub(super) fn at_index(mut self, index: usize) -> Self {
        self.path = format!("[{index}]{}", self.path);
        self
    }
}

impl fmt::Display for ValueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path.strip_prefix('.').unwrap_or(&self.path) {
            "" => f.write_str(&self.message),
            path => write!(f, "{path}: {}", self.message),
        }
    }
}

impl std::error::Error for ValueError {}

impl serde::ser::Error for ValueError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(message)
    }
}

impl serde::de::Error for ValueError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(message)
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::new(format_args!("expected {expected}, found {}", Found(found)))
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::invalid_type(found, expected)
    }
}

/// serde's words for what was found speak of Rust; these speak of JavaScript.
struct Found<'a>(Unexpected<'a>);

impl fmt::Display for Found<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Unexpected::Unit | Unexpected::Option => f.write_str("null"),
            Unexpected::Seq => f.write_str("an array"),
            Unexpected::Map => f.write_str("an object"),
            Unexpected::Bytes(_) => f.write_str("bytes"),
            Unexpected::Bool(bool) => write!(f, "{bool}"),
            Unexpected::Signed(integer) => write!(f, "the number {integer}"),
            Unexpected::Unsigned(integer) => write!(f, "the number {integer}"),
            Unexpected::Float(float) => write!(f, "the number {float}"),
            // A message is one line that a person reads; a text can be megabytes.
            Unexpected::Str(text) if text.chars().count() > 40 => f.write_str("a long string"),
            Unexpected::Str(text) => write!(f, "the string {text:?}"),
            other => other.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_comes_first() {
        let error = ValueError::new("no");
        assert_eq!(error.to_string(), "no");
        let error = error.at_key("x").at_index(3).at_key("points");
        assert_eq!(error.to_string(), "points[3].x: no");
        assert_eq!(error.at_index(0).to_string(), "[0].points[3].x: no");
    }
}
