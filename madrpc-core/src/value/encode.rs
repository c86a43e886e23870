//! Writing the wire form, piece by piece.
//!
//! Owns the size and depth limits of what is written. Knows no tree: a node feeds it from JavaScript values.

use super::wire::{MAX_DEPTH, tag};
use super::{BigInteger, OddLength, TypedArrayKind, Value};

/// Why a value cannot be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// It is larger than the caller's limit.
    #[error("the value is larger than {limit} bytes")]
    TooLarge {
        /// The limit, in bytes.
        limit: usize,
    },
    /// Whoever has it written may hold no more, see [`Encoder::asking`].
    #[error("there is no room for {bytes} bytes more")]
    NoRoom {
        /// So many more were wanted.
        bytes: usize,
    },
    /// More than [`MAX_DEPTH`] arrays and objects are inside each other.
    #[error("more than {MAX_DEPTH} arrays and objects are inside each other")]
    TooDeep,
    /// The bytes of a typed array are no whole number of elements.
    #[error(transparent)]
    OddLength(#[from] OddLength),
}

/// Writes one value: a call for each piece, in the order of the value.
///
/// After [`Self::begin_array`] come that many values, after [`Self::begin_object`] that many times a key and a value,
/// then [`Self::end`]. Other numbers are not noticed here; the reader refuses them.
///
/// # Errors
/// Every method returns [`EncodeError::TooLarge`] where the limit is passed, or [`EncodeError::NoRoom`]; what is in `out` is then of
/// no use.
pub struct Encoder<'a> {
    out: &'a mut Vec<u8>,
    /// Where `out` must not grow beyond as things are, and at all.
    end: usize,
    last: usize,
    limit: usize,
    depth: usize,
    /// Who is asked for each part of what lies in between.
    room: Option<&'a dyn Fn(usize) -> bool>,
}

/// What is written without asking, and asked for in one go at the least.
const ROOM_BYTES: usize = 64 << 10;

impl<'a> Encoder<'a> {
    /// Appends to `out`, at most `limit` bytes.
    pub fn new(out: &'a mut Vec<u8>, limit: usize) -> Self {
        let end = out.len().saturating_add(limit);
        Self {
            out,
            end,
            last: end,
            limit,
            depth: 0,
            room: None,
        }
    }

    /// The same, and for all but the first 64 KiB `room` is asked, part by part, whether there may be so many bytes more.
    pub fn asking(out: &'a mut Vec<u8>, limit: usize, room: &'a dyn Fn(usize) -> bool) -> Self {
        let end = out.len().saturating_add(limit.min(ROOM_BYTES));
        Self {
            end,
            room: Some(room),
            ..Self::new(out, limit)
        }
    }

    /// `undefined`.
    #[inline]
    pub fn undefined(&mut self) -> Result<(), EncodeError> {
        self.put(&[tag::UNDEFINED])
    }

    /// `null`.
    #[inline]
    pub fn null(&mut self) -> Result<(), EncodeError> {
        self.put(&[tag::NULL])
    }

    /// A boolean.
    #[inline]
    pub fn bool(&mut self, bool: bool) -> Result<(), EncodeError> {
        self.put(&[tag::BOOL, bool.into()])
    }

    /// A whole number.
    #[inline]
    pub fn integer(&mut self, integer: i64) -> Result<(), EncodeError> {
        self.tag_and_varint(
            tag::INTEGER,
            ((integer << 1) ^ (integer >> 63)).cast_unsigned(),
        )
    }

    /// Any other number.
    #[inline]
    pub fn float(&mut self, float: f64) -> Result<(), EncodeError> {
        self.tag_and_float(tag::FLOAT, float)
    }

    /// A date: milliseconds since 1970-01-01 UTC, NaN for an invalid one.
    #[inline]
    pub fn date(&mut self, ms: f64) -> Result<(), EncodeError> {
        self.tag_and_float(tag::DATE, ms)
    }

    /// A big integer.
    pub fn big_integer(&mut self, big: &BigInteger) -> Result<(), EncodeError> {
        self.put(&[tag::BIG_INTEGER, big.is_negative().into()])?;
        self.block(big.magnitude())
    }

    /// Text.
    #[inline]
    pub fn string(&mut self, text: &str) -> Result<(), EncodeError> {
        self.tag_and_varint(tag::STRING, text.len() as u64)?;
        self.put(text.as_bytes())
    }

    /// A string, of whose UTF-8 so many bytes follow by [`Self::more`].
    pub fn begin_string(&mut self, bytes: usize) -> Result<(), EncodeError> {
        self.tag_and_varint(tag::STRING, bytes as u64)?;
        self.make_room(bytes)
    }

    /// Bytes.
    #[inline]
    pub fn bytes(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        self.begin_bytes(bytes.len())?;
        self.put(bytes)
    }

    /// Bytes, of which so many follow by [`Self::more`].
    pub fn begin_bytes(&mut self, count: usize) -> Result<(), EncodeError> {
        self.tag_and_varint(tag::BYTES, count as u64)?;
        self.make_room(count)
    }

    /// A typed array, of whose elements so many bytes follow by [`Self::more`].
    ///
    /// # Errors
    /// Also [`EncodeError::OddLength`], for no whole number of elements.
    pub fn begin_typed_array(
        &mut self,
        kind: TypedArrayKind,
        bytes: usize,
    ) -> Result<(), EncodeError> {
        if !bytes.is_multiple_of(kind.element_bytes()) {
            return Err(OddLength { kind, bytes }.into());
        }
        self.put(&[tag::TYPED_ARRAY, kind.number()])?;
        let (varint, length) = varint(bytes as u64);
        self.put(&varint[..length])?;
        self.make_room(bytes)
    }

    /// A part of bytes that were begun.
    pub fn more(&mut self, part: &[u8]) -> Result<(), EncodeError> {
        self.put(part)
    }

    /// A typed array, its elements little endian.
    ///
    /// # Errors
    /// Also [`EncodeError::OddLength`], for no whole number of elements.
    pub fn typed_array(&mut self, kind: TypedArrayKind, bytes: &[u8]) -> Result<(), EncodeError> {
        self.begin_typed_array(kind, bytes.len())?;
        self.put(bytes)
    }

    /// An array: `len` values follow, then [`Self::end`].
    ///
    /// # Errors
    /// Also [`EncodeError::TooDeep`].
    #[inline]
    pub fn begin_array(&mut self, len: usize) -> Result<(), EncodeError> {
        self.begin(tag::ARRAY, len)
    }

    /// An object: `len` times a key and a value follow, then [`Self::end`].
    ///
    /// # Errors
    /// Also [`EncodeError::TooDeep`].
    #[inline]
    pub fn begin_object(&mut self, len: usize) -> Result<(), EncodeError> {
        self.begin(tag::OBJECT, len)
    }

    /// The key of the value that follows.
    #[inline]
    pub fn key(&mut self, key: &str) -> Result<(), EncodeError> {
        self.block(key.as_bytes())
    }

    /// The key of the value that follows, of whose UTF-8 so many bytes come by [`Self::more`] before.
    pub fn begin_key(&mut self, bytes: usize) -> Result<(), EncodeError> {
        let (varint, len) = varint(bytes as u64);
        self.put(&varint[..len])?;
        self.make_room(bytes)
    }

    /// The array or object begun last is complete.
    #[inline]
    pub fn end(&mut self) {
        self.depth = self.depth.saturating_sub(1);
    }

    fn begin(&mut self, tag: u8, len: usize) -> Result<(), EncodeError> {
        if self.depth == MAX_DEPTH {
            return Err(EncodeError::TooDeep);
        }
        // Each takes a byte at least: before they are walked.
        if len > self.end - self.out.len() {
            self.ask_for(len)?;
        }
        self.depth += 1;
        self.tag_and_varint(tag, len as u64)
    }

    /// Room for so many bytes: to grow by them part by part would move those that are there.
    fn make_room(&mut self, bytes: usize) -> Result<(), EncodeError> {
        if bytes > self.end - self.out.len() {
            self.ask_for(bytes)?;
        }
        self.out.reserve(bytes);
        Ok(())
    }

    /// Sees to it that so many bytes may be written, which are more than may as things are.
    #[cold]
    fn ask_for(&mut self, bytes: usize) -> Result<(), EncodeError> {
        let used = self.out.len();
        let room = match self.room {
            Some(room) if bytes <= self.last - used => room,
            _ => return Err(EncodeError::TooLarge { limit: self.limit }),
        };
        let least = bytes - (self.end - used);
        let more = least.max(ROOM_BYTES).min(self.last - self.end);
        let got = [more, least].into_iter().find(|bytes| room(*bytes));
        self.end += got.ok_or(EncodeError::NoRoom { bytes: least })?;
        Ok(())
    }

    #[inline]
    fn put(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        if bytes.len() > self.end - self.out.len() {
            self.ask_for(bytes.len())?;
        }
        self.out.extend_from_slice(bytes);
        Ok(())
    }

    #[inline]
    fn tag_and_float(&mut self, tag: u8, float: f64) -> Result<(), EncodeError> {
        let mut bytes = [tag; 9];
        bytes[1..].copy_from_slice(&float.to_le_bytes());
        self.put(&bytes)
    }

    /// A length and that many bytes.
    #[inline]
    fn block(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        if bytes.len() < 0x80 {
            self.put(&[bytes.len() as u8])?;
        } else {
            let (varint, len) = varint(bytes.len() as u64);
            self.put(&varint[..len])?;
        }
        self.put(bytes)
    }

    #[inline]
    fn tag_and_varint(&mut self, tag: u8, number: u64) -> Result<(), EncodeError> {
        if number < 0x80 {
            return self.put(&[tag, number as u8]);
        }
        self.put(&[tag])?;
        let (varint, len) = varint(number);
        self.put(&varint[..len])
    }
}

/// Seven bits a byte, the lowest first; every byte but the last has its top bit set.
fn varint(mut number: u64) -> ([u8; 10], usize) {
    let mut bytes = [0; 10];
    let mut len = 0;
    loop {
        bytes[len] = number as u8;
        number >>= 7;
        len += 1;
        if number == 0 {
            return (bytes, len);
        }
        bytes[len - 1] |= 0x80;
    }
}

impl Value {
    /// Appends the wire form to `out`, at most `limit` bytes. On an error `out` is as before.
    ///
    /// # Errors
    /// A value that is larger than `limit`, or deeper than [`MAX_DEPTH`].
    pub fn encode(&self, out: &mut Vec<u8>, limit: usize) -> Result<(), EncodeError> {
        let start = out.len();
        let result = self.write(&mut Encoder::new(out, limit));
        if result.is_err() {
            out.truncate(start);
        }
        result
    }

    fn write(&self, to: &mut Encoder<'_>) -> Result<(), EncodeError> {
        match self {
            Self::Undefined => to.undefined(),
            Self::Null => to.null(),
            Self::Bool(bool) => to.bool(*bool),
            Self::Integer(integer) => to.integer(*integer),
            Self::Float(float) => to.float(*float),
            Self::BigInteger(big) => to.big_integer(big),
            Self::String(text) => to.string(text),
            Self::Bytes(bytes) => to.bytes(bytes),
            Self::TypedArray(array) => to.typed_array(array.kind(), array.bytes()),
            Self::Date(ms) => to.date(*ms),
            Self::Array(items) => {
                to.begin_array(items.len())?;
                for item in items {
                    item.write(to)?;
                }
                to.end();
                Ok(())
            }
            Self::Object(entries) => {
                to.begin_object(entries.len())?;
                for (key, value) in entries {
                    to.key(key)?;
                    value.write(to)?;
                }
                to.end();
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::generate::{Random, random_value, rounds};
    use super::*;

    #[test]
    fn varints_have_seven_bits_a_byte() {
        for (number, bytes) in [
            (0, &[0][..]),
            (127, &[127]),
            (128, &[0x80, 1]),
            (16_384, &[0x80, 0x80, 1]),
            (u64::MAX, &[255, 255, 255, 255, 255, 255, 255, 255, 255, 1]),
        ] {
            let (varint, len) = varint(number);
            assert_eq!(&varint[..len], bytes, "{number}");
        }
    }

    #[test]
    fn the_limit_is_exact_and_an_error_leaves_nothing_behind() {
        let mut random = Random(5);
        for _ in 0..rounds(300) {
            let value = random_value(&mut random, 3);
            let mut whole = b"before".to_vec();
            value.encode(&mut whole, usize::MAX).unwrap();
            let size = whole.len() - 6;
            for limit in 0..size {
                let mut out = b"before".to_vec();
                assert_eq!(
                    value.encode(&mut out, limit),
                    Err(EncodeError::TooLarge { limit })
                );
                assert_eq!(out, b"before");
            }
            let mut out = b"before".to_vec();
            assert_eq!(value.encode(&mut out, size), Ok(()));
            assert_eq!(out, whole);
        }
    }

    #[test]
    fn all_but_the_first_is_asked_for_and_never_more_than_the_limit() {
        use std::cell::Cell;
        let text = "x".repeat(1000);
        let write = |limit: usize, most: usize| {
            let (asked, mut out) = (Cell::new(0), Vec::new());
            let room = |bytes: usize| {
                let may = asked.get() + bytes <= most;
                asked.set(asked.get() + if may { bytes } else { 0 });
                may
            };
            let mut encoder = Encoder::asking(&mut out, limit, &room);
            let error = loop {
                if let Err(error) = encoder.string(&text) {
                    break error;
                }
            };
            (error, out.len(), asked.get())
        };
        let (error, written, asked) = write(1 << 20, usize::MAX);
        assert_eq!(error, EncodeError::TooLarge { limit: 1 << 20 });
        assert!(written <= 1 << 20 && written > (1 << 20) - 1100);
        assert_eq!(asked, (1 << 20) - ROOM_BYTES);
        let (error, written, asked) = write(1 << 20, 100_000);
        assert!(matches!(error, EncodeError::NoRoom { .. }), "{error}");
        assert!(written <= ROOM_BYTES + asked && written > ROOM_BYTES + 98_000);
        let (error, _, asked) = write(1000, 0);
        assert_eq!((error, asked), (EncodeError::TooLarge { limit: 1000 }, 0));
    }

    #[test]
    fn arrays_beside_each_other_are_not_deep() {
        let flat: Value = (0..2 * MAX_DEPTH).map(|_| Value::Array(vec![])).collect();
        assert_eq!(flat.encode(&mut Vec::new(), usize::MAX), Ok(()));
    }

    #[test]
    fn half_an_element_is_refused() {
        let mut out = Vec::new();
        let error = Encoder::new(&mut out, 100).typed_array(TypedArrayKind::Int16, &[1, 2, 3]);
        assert_eq!(
            error,
            Err(OddLength {
                kind: TypedArrayKind::Int16,
                bytes: 3
            }
            .into())
        );
    }
}
