//! Reading the wire form, piece by piece.
//!
//! Owns the check of every byte that a peer sent. Allocates nothing itself; what is made of the pieces is the
//! builder's business. [`Value::decode`](super::Value::decode) is one builder, a node's JavaScript engine the other.

use super::wire::{MAX_DEPTH, tag};
use super::wire_fault::{DecodeError, Malformed, WireFault};
use super::{BigInteger, TypedArrayKind};

/// Makes values of some kind out of what [`decode`] reads.
///
/// The pieces come in their order: after `begin_array` each element is made and then pushed, then comes `end_array`;
/// objects likewise. Arrays inside arrays are begun before the outer one ends. Where the bytes turn out to be bad,
/// whatever was begun is dropped without an end.
///
/// The `len` of an array or object is a peer's claim. It is never more than the bytes that remain, but it can be
/// wrong on every level at once: reserve little, and grow.
#[expect(
    missing_docs,
    reason = "a method for each kind of `Value`, which are documented there"
)]
pub trait Build {
    /// What is made.
    type Value;
    /// An array in the making.
    type Array;
    /// An object in the making.
    type Object;
    /// Why the builder cannot go on; [`decode`] hands it on as it is.
    type Error;

    /// The text that these bytes are; `None` where they are no UTF-8. They may be many: a builder that must not take long looks at
    /// them in parts.
    fn text<'a>(&mut self, bytes: &'a [u8]) -> Result<Option<&'a str>, Self::Error> {
        Ok(std::str::from_utf8(bytes).ok())
    }

    fn undefined(&mut self) -> Result<Self::Value, Self::Error>;
    fn null(&mut self) -> Result<Self::Value, Self::Error>;
    fn bool(&mut self, bool: bool) -> Result<Self::Value, Self::Error>;
    fn integer(&mut self, integer: i64) -> Result<Self::Value, Self::Error>;
    fn float(&mut self, float: f64) -> Result<Self::Value, Self::Error>;
    fn big_integer(&mut self, big: BigInteger) -> Result<Self::Value, Self::Error>;
    fn string(&mut self, text: &str) -> Result<Self::Value, Self::Error>;
    fn bytes(&mut self, bytes: &[u8]) -> Result<Self::Value, Self::Error>;
    /// The length of `bytes` is a whole number of elements.
    fn typed_array(
        &mut self,
        kind: TypedArrayKind,
        bytes: &[u8],
    ) -> Result<Self::Value, Self::Error>;
    fn date(&mut self, ms: f64) -> Result<Self::Value, Self::Error>;

    fn begin_array(&mut self, len: usize) -> Result<Self::Array, Self::Error>;
    fn push(
        &mut self,
        array: &mut Self::Array,
        index: usize,
        value: Self::Value,
    ) -> Result<(), Self::Error>;
    fn end_array(&mut self, array: Self::Array) -> Result<Self::Value, Self::Error>;

    fn begin_object(&mut self, len: usize) -> Result<Self::Object, Self::Error>;
    /// A key that was set before is set again. In JavaScript *define* the property: assigning `__proto__` would
    /// change the object's prototype to what a peer says.
    fn set(
        &mut self,
        object: &mut Self::Object,
        key: &str,
        value: Self::Value,
    ) -> Result<(), Self::Error>;
    fn end_object(&mut self, object: Self::Object) -> Result<Self::Value, Self::Error>;
}

/// Reads the one value that `bytes` holds.
///
/// # Errors
/// The first fault of the bytes, or the first error of the builder.
pub fn decode<B: Build>(bytes: &[u8], builder: &mut B) -> Result<B::Value, DecodeError<B::Error>> {
    let mut input = Input { rest: bytes };
    let result = value(&mut input, builder, 0).and_then(|value| match input.rest {
        [] => Ok(value),
        _ => Err(WireFault::TrailingBytes.into()),
    });
    result.map_err(|stop| match stop {
        Stop::WireFault(fault) => DecodeError::Malformed(Malformed {
            at: bytes.len() - input.rest.len(),
            fault,
        }),
        Stop::Build(error) => DecodeError::Build(error),
    })
}

enum Stop<E> {
    WireFault(WireFault),
    Build(E),
}

impl<E> From<WireFault> for Stop<E> {
    #[cold]
    fn from(fault: WireFault) -> Self {
        Self::WireFault(fault)
    }
}

/// Most values are small, and a call for each, with a result in memory, took longer than to read it.
#[inline(always)]
fn value<B: Build>(
    input: &mut Input<'_>,
    builder: &mut B,
    depth: usize,
) -> Result<B::Value, Stop<B::Error>> {
    match input.byte()? {
        tag::INTEGER => integer(input, builder),
        tag::FLOAT => builder.float(input.float()?).map_err(Stop::Build),
        tag => value_of(tag, input, builder, depth),
    }
}

#[inline(always)]
fn integer<B: Build>(input: &mut Input<'_>, builder: &mut B) -> Result<B::Value, Stop<B::Error>> {
    let zigzag = input.varint()?;
    let integer = (zigzag >> 1).cast_signed() ^ -(zigzag & 1).cast_signed();
    builder.integer(integer).map_err(Stop::Build)
}

/// The value that follows this tag.
fn value_of<B: Build>(
    tag: u8,
    input: &mut Input<'_>,
    builder: &mut B,
    depth: usize,
) -> Result<B::Value, Stop<B::Error>> {
    let value = match tag {
        tag::UNDEFINED => builder.undefined(),
        tag::NULL => builder.null(),
        tag::BOOL => builder.bool(input.bool()?),
        tag::BIG_INTEGER => {
            let negative = input.bool()?;
            let big =
                BigInteger::from_be_bytes(negative, input.block()?).map_err(WireFault::from)?;
            builder.big_integer(big)
        }
        tag::STRING => {
            let text = text(input, builder)?;
            builder.string(text)
        }
        tag::BYTES => builder.bytes(input.block()?),
        tag::TYPED_ARRAY => {
            let number = input.byte()?;
            let kind =
                TypedArrayKind::from_number(number).ok_or(WireFault::UnknownTypedArray(number))?;
            let bytes = input.block()?;
            if !bytes.len().is_multiple_of(kind.element_bytes()) {
                return Err(WireFault::OddLength.into());
            }
            builder.typed_array(kind, bytes)
        }
        tag::DATE => builder.date(input.float()?),
        tag::ARRAY => return array(input, builder, depth),
        tag::OBJECT => return object(input, builder, depth),
        unknown => return Err(WireFault::UnknownTag(unknown).into()),
    };
    value.map_err(Stop::Build)
}

fn array<B: Build>(
    input: &mut Input<'_>,
    builder: &mut B,
    depth: usize,
) -> Result<B::Value, Stop<B::Error>> {
    let len = input.count(depth, 1)?;
    let mut array = builder.begin_array(len).map_err(Stop::Build)?;
    for index in 0..len {
        // An item of its own for each kind: one that is now a number and now comes from a call is in memory, and to read there
        // what was just written in parts takes longer than all the rest.
        let pushed = match input.byte()? {
            tag::INTEGER => {
                let item = integer(input, builder)?;
                builder.push(&mut array, index, item)
            }
            tag::FLOAT => {
                let item = builder.float(input.float()?).map_err(Stop::Build)?;
                builder.push(&mut array, index, item)
            }
            tag => {
                let item = value_of(tag, input, builder, depth + 1)?;
                builder.push(&mut array, index, item)
            }
        };
        pushed.map_err(Stop::Build)?;
    }
    builder.end_array(array).map_err(Stop::Build)
}

fn object<B: Build>(
    input: &mut Input<'_>,
    builder: &mut B,
    depth: usize,
) -> Result<B::Value, Stop<B::Error>> {
    let len = input.count(depth, 2)?;
    let mut object = builder.begin_object(len).map_err(Stop::Build)?;
    for _ in 0..len {
        let key = text(input, builder)?;
        let item = value(input, builder, depth + 1)?;
        builder.set(&mut object, key, item).map_err(Stop::Build)?;
    }
    builder.end_object(object).map_err(Stop::Build)
}

/// A length and that much text.
#[inline]
fn text<'a, B: Build>(input: &mut Input<'a>, builder: &mut B) -> Result<&'a str, Stop<B::Error>> {
    let text = builder.text(input.block()?).map_err(Stop::Build)?;
    text.ok_or_else(|| WireFault::BadUtf8.into())
}

struct Input<'a> {
    rest: &'a [u8],
}

impl<'a> Input<'a> {
    #[inline]
    fn byte(&mut self) -> Result<u8, WireFault> {
        let (&byte, rest) = self.rest.split_first().ok_or(WireFault::CutOff)?;
        self.rest = rest;
        Ok(byte)
    }

    #[inline]
    fn bool(&mut self) -> Result<bool, WireFault> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(WireFault::BadBool(other)),
        }
    }

    #[inline]
    fn float(&mut self) -> Result<f64, WireFault> {
        let (bytes, rest) = self.rest.split_first_chunk().ok_or(WireFault::CutOff)?;
        self.rest = rest;
        Ok(f64::from_le_bytes(*bytes))
    }

    #[inline]
    fn varint(&mut self) -> Result<u64, WireFault> {
        let first = self.byte()?;
        if first < 0x80 {
            return Ok(first.into());
        }
        self.long_varint(first)
    }

    fn long_varint(&mut self, first: u8) -> Result<u64, WireFault> {
        let mut number = u64::from(first & 0x7f);
        for shift in (7..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                // One bit is left for the tenth byte.
                return if shift == 63 && byte > 1 {
                    Err(WireFault::BadVarint)
                } else {
                    Ok(number)
                };
            }
        }
        Err(WireFault::BadVarint)
    }

    /// A length and that many bytes.
    #[inline]
    fn block(&mut self) -> Result<&'a [u8], WireFault> {
        let len = usize::try_from(self.varint()?).map_err(|_| WireFault::CutOff)?;
        let (block, rest) = self.rest.split_at_checked(len).ok_or(WireFault::CutOff)?;
        self.rest = rest;
        Ok(block)
    }

    /// How many things follow that take at least `least` bytes each, one level below `depth`.
    fn count(&mut self, depth: usize, least: usize) -> Result<usize, WireFault> {
        if depth == MAX_DEPTH {
            return Err(WireFault::TooDeep);
        }
        let count = usize::try_from(self.varint()?).map_err(|_| WireFault::CutOff)?;
        if count > self.rest.len() / least {
            return Err(WireFault::CutOff);
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{BigIntegerError, Value};
    use super::*;

    fn fault(bytes: &[u8]) -> (usize, WireFault) {
        let Malformed { at, fault } = Value::decode(bytes).unwrap_err();
        (at, fault)
    }

    #[test]
    fn every_fault_is_named_and_placed() {
        for (bytes, expected) in [
            (&[][..], (0, WireFault::CutOff)),
            (&[1, 1], (1, WireFault::TrailingBytes)),
            (&[12], (1, WireFault::UnknownTag(12))),
            (&[2, 2], (2, WireFault::BadBool(2))),
            (&[4, 0, 0, 0, 0, 0, 0, 0], (1, WireFault::CutOff)),
            (&[5, 3, 0], (2, WireFault::BadBool(3))),
            (&[6, 2, 0xc3, 0x28], (4, WireFault::BadUtf8)),
            (&[6, 3, b'a', b'b'], (2, WireFault::CutOff)),
            (&[8, 12, 0], (2, WireFault::UnknownTypedArray(12))),
            (&[8, 3, 3, 0, 0, 0], (6, WireFault::OddLength)),
            (&[11, 1, 1, 0xff, 1], (4, WireFault::BadUtf8)),
            (&[10, 2, 1, 12], (4, WireFault::UnknownTag(12))),
        ] {
            assert_eq!(fault(bytes), expected, "{bytes:?}");
        }
        let huge = [&[5, 0, 0x81, 0x20][..], &[1; BigInteger::MAX_BYTES + 1]].concat();
        assert_eq!(
            fault(&huge).1,
            WireFault::BigInteger(BigIntegerError::TooBig)
        );
        assert_eq!(
            Value::decode(&[10, 2, 1, 12]).unwrap_err().to_string(),
            "no kind of value has the number 12 (at byte 4)"
        );
    }

    #[test]
    fn varints_end_at_64_bits() {
        let varint = |last: u8| [&[3][..], &[0xff; 9], &[last]].concat();
        assert_eq!(Value::decode(&varint(1)), Ok(Value::Integer(i64::MIN)));
        assert_eq!(fault(&varint(2)), (11, WireFault::BadVarint));
        assert_eq!(fault(&varint(0x80)), (11, WireFault::BadVarint));
    }

    /// Counts what it is asked for, and gives up at text.
    #[derive(Default)]
    struct Counter {
        largest: usize,
        open: usize,
    }

    impl Build for Counter {
        type Value = ();
        type Array = ();
        type Object = ();
        type Error = &'static str;

        fn undefined(&mut self) -> Result<(), &'static str> {
            Ok(())
        }
        fn null(&mut self) -> Result<(), &'static str> {
            Ok(())
        }
        fn bool(&mut self, _: bool) -> Result<(), &'static str> {
            Ok(())
        }
        fn integer(&mut self, _: i64) -> Result<(), &'static str> {
            Ok(())
        }
        fn float(&mut self, _: f64) -> Result<(), &'static str> {
            Ok(())
        }
        fn big_integer(&mut self, _: BigInteger) -> Result<(), &'static str> {
            Ok(())
        }
        fn string(&mut self, _: &str) -> Result<(), &'static str> {
            Err("the engine is out of memory")
        }
        fn bytes(&mut self, _: &[u8]) -> Result<(), &'static str> {
            Ok(())
        }
        fn typed_array(&mut self, _: TypedArrayKind, _: &[u8]) -> Result<(), &'static str> {
            Ok(())
        }
        fn date(&mut self, _: f64) -> Result<(), &'static str> {
            Ok(())
        }
        fn begin_array(&mut self, len: usize) -> Result<(), &'static str> {
            self.largest = self.largest.max(len);
            self.open += 1;
            Ok(())
        }
        fn push(&mut self, (): &mut (), _: usize, (): ()) -> Result<(), &'static str> {
            Ok(())
        }
        fn end_array(&mut self, (): ()) -> Result<(), &'static str> {
            self.open -= 1;
            Ok(())
        }
        fn begin_object(&mut self, len: usize) -> Result<(), &'static str> {
            self.begin_array(len)
        }
        fn set(&mut self, (): &mut (), _: &str, (): ()) -> Result<(), &'static str> {
            Ok(())
        }
        fn end_object(&mut self, (): ()) -> Result<(), &'static str> {
            self.end_array(())
        }
    }

    #[test]
    fn a_builders_error_passes_through() {
        let error = decode(&[10, 2, 1, 6, 0], &mut Counter::default()).unwrap_err();
        assert_eq!(error, DecodeError::Build("the engine is out of memory"));
        assert_eq!(error.to_string(), "the engine is out of memory");
    }

    #[test]
    fn a_length_that_lies_reaches_no_builder() {
        for tag in [tag::ARRAY, tag::OBJECT] {
            for lie in [
                &[0xff, 0xff, 0xff, 0xff, 0x0f][..],
                &[4, 1, 1, 1],
                &[0xff; 10],
            ] {
                let mut counter = Counter::default();
                decode(&[&[tag], lie].concat(), &mut counter).unwrap_err();
                assert_eq!(counter.largest, 0, "{lie:?}");
            }
        }
        let mut counter = Counter::default();
        decode(&[11, 2, 0, 1, 0, 1], &mut counter).unwrap();
        assert_eq!((counter.largest, counter.open), (2, 0));
        // Three bytes may hold one entry, but not two.
        let mut counter = Counter::default();
        decode(&[11, 2, 0, 1, 0], &mut counter).unwrap_err();
        assert_eq!(counter.largest, 0);
    }
}
