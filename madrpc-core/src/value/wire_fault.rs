//! What can be wrong with a value's wire form.

use super::BigIntegerError;
use super::wire::MAX_DEPTH;
use std::fmt;

/// What is wrong with the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WireFault {
    /// They end within the value, or a length says more than is there.
    #[error("the value is cut off")]
    CutOff,
    /// They go on after the value.
    #[error("bytes follow after the value")]
    TrailingBytes,
    /// A kind of value that does not exist.
    #[error("no kind of value has the number {0}")]
    UnknownTag(u8),
    /// A kind of typed array that does not exist.
    #[error("no kind of typed array has the number {0}")]
    UnknownTypedArray(u8),
    /// A boolean or sign that is neither 0 nor 1.
    #[error("a boolean has the number {0}")]
    BadBool(u8),
    /// A variable-length number of more than 64 bits.
    #[error("a number has more than 64 bits")]
    BadVarint,
    /// Text that is not UTF-8.
    #[error("a text is not UTF-8")]
    BadUtf8,
    /// A typed array of no whole number of elements.
    #[error("a typed array has no whole number of elements")]
    OddLength,
    /// More than [`MAX_DEPTH`] arrays and objects are inside each other.
    #[error("more than {MAX_DEPTH} arrays and objects are inside each other")]
    TooDeep,
    /// A big integer that is larger than allowed.
    #[error(transparent)]
    BigInteger(#[from] BigIntegerError),
}

/// The bytes are not the wire form of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{fault} (at byte {at})")]
pub struct Malformed {
    /// How many bytes were read until then.
    pub at: usize,
    /// What is wrong.
    pub fault: WireFault,
}

/// Why [`decode`](super::wire::decode) has no result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DecodeError<E> {
    /// The bytes are at fault.
    Malformed(Malformed),
    /// The builder could not go on.
    Build(E),
}

impl<E: fmt::Display> fmt::Display for DecodeError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(malformed) => malformed.fmt(f),
            Self::Build(error) => error.fmt(f),
        }
    }
}

impl<E: fmt::Debug + fmt::Display> std::error::Error for DecodeError<E> {}
