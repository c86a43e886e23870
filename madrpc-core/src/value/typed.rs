//! JavaScript's typed arrays: numbers of one kind as plain bytes.
//!
//! Owns the twelve kinds and their numbers on the wire, and the rule that the length fits the kind.

use super::Value;
use std::fmt;

/// What the elements of a typed array are. The number is the one on the wire and never changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum TypedArrayKind {
    /// `Int8Array`.
    Int8 = 0,
    /// `Uint8Array`.
    Uint8 = 1,
    /// `Uint8ClampedArray`.
    Uint8Clamped = 2,
    /// `Int16Array`.
    Int16 = 3,
    /// `Uint16Array`.
    Uint16 = 4,
    /// `Int32Array`.
    Int32 = 5,
    /// `Uint32Array`.
    Uint32 = 6,
    /// `Float32Array`.
    Float32 = 7,
    /// `Float64Array`.
    Float64 = 8,
    /// `BigInt64Array`.
    BigInt64 = 9,
    /// `BigUint64Array`.
    BigUint64 = 10,
    /// `Float16Array`.
    Float16 = 11,
}

impl TypedArrayKind {
    /// Every kind, in the order of its number.
    pub const ALL: [Self; 12] = [
        Self::Int8,
        Self::Uint8,
        Self::Uint8Clamped,
        Self::Int16,
        Self::Uint16,
        Self::Int32,
        Self::Uint32,
        Self::Float32,
        Self::Float64,
        Self::BigInt64,
        Self::BigUint64,
        Self::Float16,
    ];

    /// The kind's number on the wire.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The kind with this number.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }

    /// The size of an element, in bytes.
    #[must_use]
    pub const fn element_bytes(self) -> usize {
        match self {
            Self::Int8 | Self::Uint8 | Self::Uint8Clamped => 1,
            Self::Int16 | Self::Uint16 | Self::Float16 => 2,
            Self::Int32 | Self::Uint32 | Self::Float32 => 4,
            Self::Float64 | Self::BigInt64 | Self::BigUint64 => 8,
        }
    }

    /// The name of its constructor.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Int8 => "Int8Array",
            Self::Uint8 => "Uint8Array",
            Self::Uint8Clamped => "Uint8ClampedArray",
            Self::Int16 => "Int16Array",
            Self::Uint16 => "Uint16Array",
            Self::Int32 => "Int32Array",
            Self::Uint32 => "Uint32Array",
            Self::Float32 => "Float32Array",
            Self::Float64 => "Float64Array",
            Self::BigInt64 => "BigInt64Array",
            Self::BigUint64 => "BigUint64Array",
            Self::Float16 => "Float16Array",
        }
    }
}

impl fmt::Display for TypedArrayKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The bytes of a typed array are no whole number of elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{bytes} bytes are no whole number of elements of a {kind}")]
pub struct OddLength {
    /// The kind asked for.
    pub kind: TypedArrayKind,
    /// The bytes given.
    pub bytes: usize,
}

/// A typed array; its elements are little endian whatever the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TypedArray {
    pub(super) kind: TypedArrayKind,
    /// A whole number of elements.
    pub(super) bytes: Vec<u8>,
}

impl TypedArray {
    /// From little-endian bytes.
    ///
    /// # Errors
    /// A length that is no multiple of the element's size.
    pub fn new(kind: TypedArrayKind, bytes: Vec<u8>) -> Result<Self, OddLength> {
        if bytes.len().is_multiple_of(kind.element_bytes()) {
            Ok(Self { kind, bytes })
        } else {
            Err(OddLength {
                kind,
                bytes: bytes.len(),
            })
        }
    }

    /// What its elements are.
    #[must_use]
    pub const fn kind(&self) -> TypedArrayKind {
        self.kind
    }

    /// Its elements as little-endian bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Its elements as little-endian bytes, without a copy.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// How many elements it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len() / self.kind.element_bytes()
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The element at `index` as JavaScript would read it: the 64-bit integers are big integers.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<Value> {
        let size = self.kind.element_bytes();
        let start = index.checked_mul(size)?;
        let element = self.bytes.get(start..)?.get(..size)?;
        Some(match self.kind {
            TypedArrayKind::Int8 => i8::from_le_bytes(element.try_into().ok()?).into(),
            TypedArrayKind::Uint8 | TypedArrayKind::Uint8Clamped => element[0].into(),
            TypedArrayKind::Int16 => i16::from_le_bytes(element.try_into().ok()?).into(),
            TypedArrayKind::Uint16 => u16::from_le_bytes(element.try_into().ok()?).into(),
            TypedArrayKind::Int32 => i32::from_le_bytes(element.try_into().ok()?).into(),
            TypedArrayKind::Uint32 => u32::from_le_bytes(element.try_into().ok()?).into(),
            TypedArrayKind::Float32 => f32::from_le_bytes(element.try_into().ok()?).into(),
            TypedArrayKind::Float64 => f64::from_le_bytes(element.try_into().ok()?).into(),
            TypedArrayKind::BigInt64 => {
                Value::BigInteger(i64::from_le_bytes(element.try_into().ok()?).into())
            }
            TypedArrayKind::BigUint64 => {
                Value::BigInteger(u64::from_le_bytes(element.try_into().ok()?).into())
            }
            TypedArrayKind::Float16 => half(u16::from_le_bytes(element.try_into().ok()?)).into(),
        })
    }

    /// Its elements one after the other, as [`Self::get`] gives them.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Value> {
        (0..self.len()).map(|index| self.get(index).unwrap_or_default())
    }
}

/// The number with these bits (IEEE 754, binary16).
fn half(bits: u16) -> f64 {
    let fraction = f64::from(bits & 0x3ff);
    let magnitude = match i32::from(bits >> 10 & 0x1f) {
        0 => fraction * 2_f64.powi(-24),
        31 if fraction == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        exponent => (1024.0 + fraction) * 2_f64.powi(exponent - 25),
    };
    match bits >> 15 {
        0 => magnitude,
        _ => -magnitude,
    }
}

macro_rules! from {
    ($($element:ty => $kind:ident),+ $(,)?) => { $(
        impl From<&[$element]> for TypedArray {
            fn from(elements: &[$element]) -> Self {
                Self {
                    kind: TypedArrayKind::$kind,
                    bytes: elements.iter().flat_map(|element| element.to_le_bytes()).collect(),
                }
            }
        }
    )+ };
}

from! {
    i8 => Int8, u8 => Uint8, i16 => Int16, u16 => Uint16, i32 => Int32, u32 => Uint32,
    f32 => Float32, f64 => Float64, i64 => BigInt64, u64 => BigUint64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_are_the_numbers_that_their_bits_say() {
        for (bits, number) in [
            (0x0000, 0.0),
            (0x0001, 5.960_464_477_539_063e-8),
            (0x03ff, 6.097_555_160_522_461e-5),
            (0x0400, 6.103_515_625e-5),
            (0x3555, 0.333_251_953_125),
            (0x3c00, 1.0),
            (0xc000, -2.0),
            (0x7bff, 65504.0),
            (0xfc00, f64::NEG_INFINITY),
        ] {
            assert_eq!(half(bits), number, "{bits:x}");
        }
        assert!(half(0x7e00).is_nan() && half(0x8000).is_sign_negative());
    }

    #[test]
    fn numbers_read_back() {
        for (index, kind) in TypedArrayKind::ALL.into_iter().enumerate() {
            assert_eq!(usize::from(kind.number()), index, "{kind}");
            assert_eq!(TypedArrayKind::from_number(kind.number()), Some(kind));
        }
        assert_eq!(TypedArrayKind::from_number(12), None);
    }

    #[test]
    fn the_length_must_fit() {
        for kind in TypedArrayKind::ALL {
            let size = kind.element_bytes();
            assert_eq!(TypedArray::new(kind, vec![0; 3 * size]).unwrap().len(), 3);
            assert_eq!(
                TypedArray::new(kind, vec![0; size + 1]).is_ok(),
                size == 1,
                "{kind}"
            );
        }
        let error = TypedArray::new(TypedArrayKind::Float64, vec![0; 9]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "9 bytes are no whole number of elements of a Float64Array"
        );
    }

    #[test]
    fn elements_read_as_in_javascript() {
        let elements = |array: TypedArray| array.iter().collect::<Vec<_>>();
        assert_eq!(
            elements([-1_i8, 1].as_slice().into()),
            [(-1).into(), 1.into()]
        );
        assert_eq!(elements([-2_i16].as_slice().into()), [(-2).into()]);
        assert_eq!(elements([u32::MAX].as_slice().into()), [u32::MAX.into()]);
        assert_eq!(elements([0.5_f32].as_slice().into()), [0.5.into()]);
        assert_eq!(elements([-0.25_f64].as_slice().into()), [(-0.25).into()]);
        assert_eq!(
            elements([u64::MAX].as_slice().into()),
            [Value::BigInteger(u64::MAX.into())]
        );
        assert_eq!(
            elements([-1_i64].as_slice().into()),
            [Value::BigInteger((-1_i64).into())]
        );
    }
}
