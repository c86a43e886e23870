//! Values: what a function is given and what it returns.
//!
//! Owns the one [`Value`] type, its binary form ([`wire`]), its JSON form ([`json`]) and the way from and to any
//! serde type ([`to_value`], [`from_value`]). Knows no JavaScript engine: a node turns wire bytes into engine
//! values with its own [`wire::Build`], and this tree is never made there.
//!
//! Used by the client, the command line and HTTP; the frames carry values as bytes and never look inside.

mod access;
mod big;
mod collect;
mod date;
mod de;
mod decode;
mod encode;
mod error;
#[cfg(test)]
mod generate;
pub mod json;
mod ser;
mod serde_value;
mod tree;
mod typed;
pub mod wire;
mod wire_fault;

pub use big::{BigInteger, BigIntegerError};
pub use date::iso_8601;
pub use de::from_value;
pub use error::ValueError;
pub use ser::to_value;
pub use typed::{OddLength, TypedArray, TypedArrayKind};

/// A JavaScript value that can travel.
///
/// Functions, symbols, and cycles cannot; the engine refuses them where it makes a value from JavaScript.
///
/// `==` compares numbers as JavaScript's `===` does: NaN differs from itself, and 0 equals -0.
/// `Integer(1)` and `Float(1.0)` are not equal here, though JavaScript cannot tell them apart.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Value {
    /// `undefined`; what a function without `return` gives, and the default.
    #[default]
    Undefined,
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number. JavaScript holds it as a number, exact within ±2^53.
    Integer(i64),
    /// Any other number.
    Float(f64),
    /// A `BigInt`.
    BigInteger(BigInteger),
    /// Text.
    String(String),
    /// An `ArrayBuffer`.
    Bytes(Vec<u8>),
    /// An `Int8Array`, `Float64Array` and so on.
    TypedArray(TypedArray),
    /// A `Date`: milliseconds since 1970-01-01 UTC; NaN is an invalid date.
    Date(f64),
    /// An array.
    Array(Vec<Value>),
    /// An object, its keys in their order. Where a key is there twice, the last one counts.
    Object(Vec<(String, Value)>),
}

impl Value {
    /// [`Value::Undefined`], encoded.
    pub const UNDEFINED_BYTES: [u8; 1] = [wire::tag::UNDEFINED];

    /// An object with these entries in this order.
    pub fn object<K: Into<String>>(entries: impl IntoIterator<Item = (K, Self)>) -> Self {
        Self::Object(
            entries
                .into_iter()
                .map(|(key, value)| (key.into(), value))
                .collect(),
        )
    }

    /// The value under `key`; `None` where there is none, and where this is no object.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Self> {
        let Self::Object(entries) = self else {
            return None;
        };
        entries
            .iter()
            .rev()
            .find(|(name, _)| name == key)
            .map(|(_, value)| value)
    }

    /// The number, where this is one; integers beyond ±2^53 are rounded, as JavaScript rounds them.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "documented above")]
    pub fn as_f64(&self) -> Option<f64> {
        match *self {
            Self::Integer(integer) => Some(integer as f64),
            Self::Float(float) => Some(float),
            _ => None,
        }
    }

    /// The whole number, where this is one that an `i64` holds exactly; a float with nothing after the point counts.
    #[must_use]
    pub fn as_i64(&self) -> Option<i64> {
        match *self {
            Self::Integer(integer) => Some(integer),
            Self::Float(float) => whole(float),
            _ => None,
        }
    }

    /// The text, where this is text.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        let Self::String(text) = self else {
            return None;
        };
        Some(text)
    }

    /// What this is, in the words of an error message.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Undefined => "undefined",
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Integer(_) | Self::Float(_) => "a number",
            Self::BigInteger(_) => "a big integer",
            Self::String(_) => "a string",
            Self::Bytes(_) => "bytes",
            Self::TypedArray(_) => "a typed array",
            Self::Date(_) => "a date",
            Self::Array(_) => "an array",
            Self::Object(_) => "an object",
        }
    }
}

/// `float` as an integer, where that changes nothing (but the sign of -0).
#[expect(clippy::cast_possible_truncation, reason = "the range is checked")]
fn whole(float: f64) -> Option<i64> {
    const END: f64 = 9_223_372_036_854_775_808.0; // 2^63, the first one that does not fit
    (float.trunc() == float && (-END..END).contains(&float)).then_some(float as i64)
}

macro_rules! from {
    ($($type:ty => $variant:ident),+ $(,)?) => { $(
        impl From<$type> for Value {
            fn from(from: $type) -> Self {
                Self::$variant(from.into())
            }
        }
    )+ };
}

from! {
    bool => Bool,
    i8 => Integer, i16 => Integer, i32 => Integer, i64 => Integer,
    u8 => Integer, u16 => Integer, u32 => Integer,
    f32 => Float, f64 => Float,
    BigInteger => BigInteger,
    &str => String, String => String,
    &[u8] => Bytes,
    TypedArray => TypedArray,
    Vec<Value> => Array,
}

impl From<u64> for Value {
    /// An integer; beyond `i64::MAX` a big integer.
    fn from(from: u64) -> Self {
        i64::try_from(from).map_or_else(|_| Self::BigInteger(from.into()), Self::Integer)
    }
}

impl From<()> for Value {
    fn from((): ()) -> Self {
        Self::Null
    }
}

impl<T: Into<Self>> From<Option<T>> for Value {
    /// `None` is null.
    fn from(from: Option<T>) -> Self {
        from.map_or(Self::Null, Into::into)
    }
}

impl FromIterator<Self> for Value {
    fn from_iter<I: IntoIterator<Item = Self>>(items: I) -> Self {
        Self::Array(items.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_stays_small() {
        // Arrays of a million numbers are common; a fatter variant would grow every one of them.
        assert_eq!(size_of::<Value>(), 32);
    }

    #[test]
    fn the_last_of_two_equal_keys_counts() {
        let object = Value::object([("a", 1.into()), ("b", 2.into()), ("a", 3.into())]);
        assert_eq!(object.get("a"), Some(&Value::Integer(3)));
        assert_eq!(object.get("c"), None);
        assert_eq!(Value::Null.get("a"), None);
    }

    #[test]
    fn floats_become_integers_only_where_exact() {
        for (float, integer) in [
            (3.0, Some(3)),
            (-0.0, Some(0)),
            (3.5, None),
            (f64::NAN, None),
            (f64::INFINITY, None),
            (-9_223_372_036_854_775_808.0, Some(i64::MIN)),
            (9_223_372_036_854_775_808.0, None),
        ] {
            assert_eq!(Value::Float(float).as_i64(), integer, "{float}");
        }
    }

    #[test]
    fn rust_numbers_convert_without_loss() {
        assert_eq!(Value::from(u64::MAX), Value::BigInteger(u64::MAX.into()));
        assert_eq!(Value::from(7_u64), Value::Integer(7));
        assert_eq!(Value::from(Some("x")), Value::String("x".into()));
        assert_eq!(Value::from(None::<i32>), Value::Null);
    }
}
