//! Bodies: encoded arguments and results, as they go from hand to hand.

use bytes::Bytes;
use std::fmt;
use std::ops::Deref;

/// The body of a frame. A small one is lent out by the buffer that it was read into; a large one has bytes of its own, which are
/// shared and never copied: to copy the largest takes some twenty milliseconds, in which a shard serves nobody.
#[derive(Clone, Copy)]
pub struct Body<'a> {
    bytes: &'a [u8],
    owner: Option<&'a Bytes>,
}

impl<'a> Body<'a> {
    /// No bytes.
    pub const EMPTY: Self = Self {
        bytes: &[],
        owner: None,
    };

    /// A body that is all of these bytes, or a part of them.
    ///
    /// # Panics
    /// Where `bytes` is no part of `owner`, once it is kept.
    pub(crate) fn part(bytes: &'a [u8], owner: &'a Bytes) -> Self {
        let owner = Some(owner);
        Self { bytes, owner }
    }

    /// Its bytes.
    #[must_use]
    pub fn as_slice(self) -> &'a [u8] {
        self.bytes
    }

    /// The same bytes, to be kept. Those that were lent out are copied.
    #[must_use]
    pub fn to_bytes(self) -> Bytes {
        match self.owner {
            Some(owner) => owner.slice_ref(self.bytes),
            None => Bytes::copy_from_slice(self.bytes),
        }
    }
}

impl Deref for Body<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.bytes
    }
}

impl<'a> From<&'a [u8]> for Body<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self { bytes, owner: None }
    }
}

impl<'a, const N: usize> From<&'a [u8; N]> for Body<'a> {
    fn from(bytes: &'a [u8; N]) -> Self {
        Self::from(bytes.as_slice())
    }
}

impl<'a> From<&'a Vec<u8>> for Body<'a> {
    fn from(bytes: &'a Vec<u8>) -> Self {
        Self::from(bytes.as_slice())
    }
}

impl<'a> From<&'a Bytes> for Body<'a> {
    fn from(bytes: &'a Bytes) -> Self {
        Self::part(bytes, bytes)
    }
}

impl AsRef<[u8]> for Body<'_> {
    fn as_ref(&self) -> &[u8] {
        self.bytes
    }
}

impl<B: AsRef<[u8]> + ?Sized> PartialEq<B> for Body<'_> {
    fn eq(&self, other: &B) -> bool {
        self.bytes == other.as_ref()
    }
}

impl Eq for Body<'_> {}

impl fmt::Debug for Body<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.bytes.fmt(f)
    }
}
