//! A value as any Rust type that serde can deserialize.
//!
//! What JavaScript does not tell apart, Rust need not either: whole floats are integers and integers are floats,
//! `undefined` is null. Null is `None` and `()`; a typed array is a sequence of numbers, or bytes if its elements
//! are; bytes are bytes or a sequence of `u8`; a date is text in ISO 8601, or a number of milliseconds where a
//! number is asked for; a big integer is any integer that holds it. [`Value`]s inside pass unchanged, except under
//! serde's `flatten` and `untagged`, which know only what JSON knows.

use super::access::{Enum, elements, properties};
use super::{Value, ValueError, iso_8601, serde_value};
use serde::de::{DeserializeOwned, Deserializer, Error as _, Unexpected, Visitor};
use serde::forward_to_deserialize_any;

/// `value` as a `T`.
///
/// # Errors
/// A value of another shape; the error says where it is and what was expected.
pub fn from_value<T: DeserializeOwned>(value: Value) -> Result<T, ValueError> {
    T::deserialize(Source(value))
}

/// A value as serde's source.
pub(super) struct Source(pub(super) Value);

impl Source {
    fn number<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        match self.0 {
            Value::Float(number) | Value::Date(number) => match Value::Float(number).as_i64() {
                Some(integer) => visitor.visit_i64(integer),
                None => visitor.visit_f64(number),
            },
            other => Source(other).deserialize_any(visitor),
        }
    }

    fn float<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        match self.0 {
            Value::Date(ms) => visitor.visit_f64(ms),
            other => Source(other).deserialize_any(visitor),
        }
    }
}

macro_rules! number {
    ($to:ident: $($method:ident),+) => { $(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
            self.$to(visitor)
        }
    )+ };
}

impl<'de> Deserializer<'de> for Source {
    type Error = ValueError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        match self.0 {
            Value::Undefined | Value::Null => visitor.visit_unit(),
            Value::Bool(bool) => visitor.visit_bool(bool),
            Value::Integer(integer) => visitor.visit_i64(integer),
            Value::Float(float) => visitor.visit_f64(float),
            // The smallest type that holds it: few visitors know the 128-bit ones.
            Value::BigInteger(big) => match (big.to_i128(), big.to_u128()) {
                (Some(integer), _) => match (i64::try_from(integer), u64::try_from(integer)) {
                    (Ok(integer), _) => visitor.visit_i64(integer),
                    (_, Ok(integer)) => visitor.visit_u64(integer),
                    _ => visitor.visit_i128(integer),
                },
                (None, Some(integer)) => visitor.visit_u128(integer),
                (None, None) => Err(ValueError::invalid_type(
                    Unexpected::Other("a big integer of more than 128 bits"),
                    &visitor,
                )),
            },
            Value::String(text) => visitor.visit_string(text),
            Value::Bytes(bytes) => visitor.visit_byte_buf(bytes),
            Value::TypedArray(array) => elements(array.iter(), visitor),
            Value::Date(ms) => match iso_8601(ms) {
                Some(text) => visitor.visit_string(text),
                None => visitor.visit_unit(),
            },
            Value::Array(items) => elements(items.into_iter(), visitor),
            Value::Object(entries) => properties(entries, visitor),
        }
    }

    number!(number: deserialize_i8, deserialize_i16, deserialize_i32, deserialize_i64, deserialize_i128);
    number!(number: deserialize_u8, deserialize_u16, deserialize_u32, deserialize_u64, deserialize_u128);
    number!(float: deserialize_f32, deserialize_f64);

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        match self.0 {
            Value::Undefined | Value::Null => visitor.visit_none(),
            Value::Date(ms) if ms.is_nan() => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, ValueError> {
        if name != serde_value::NAME {
            return visitor.visit_newtype_struct(self);
        }
        let mut bytes = Vec::new();
        self.0
            .encode(&mut bytes, usize::MAX)
            .map_err(ValueError::new)?;
        visitor.visit_newtype_struct(Wire(bytes))
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        match self.0 {
            Value::TypedArray(array) if array.kind().element_bytes() == 1 => {
                visitor.visit_byte_buf(array.into_bytes())
            }
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        self.deserialize_bytes(visitor)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        match self.0 {
            Value::Bytes(bytes) => elements(bytes.into_iter().map(Value::from), visitor),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, ValueError> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, ValueError> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ValueError> {
        let (variant, content) = match self.0 {
            Value::String(variant) => (variant, Value::Undefined),
            Value::Object(mut entries) if entries.len() == 1 => entries.pop().unwrap_or_default(),
            other => {
                let found = format!(
                    "{}, not a variant's name or an object of one key",
                    other.kind()
                );
                return Err(ValueError::invalid_type(
                    Unexpected::Other(&found),
                    &visitor,
                ));
            }
        };
        visitor.visit_enum(Enum { variant, content })
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        bool char str string unit unit_struct map struct identifier
    }
}

/// The bytes that a [`Value`] passes as.
struct Wire(Vec<u8>);

impl<'de> Deserializer<'de> for Wire {
    type Error = ValueError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        visitor.visit_byte_buf(self.0)
    }

    fn is_human_readable(&self) -> bool {
        false
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use super::super::{BigInteger, TypedArray, to_value};
    use super::*;
    use serde::{Deserialize, Serialize};
    use std::collections::BTreeMap;

    fn error<T: DeserializeOwned + std::fmt::Debug>(value: impl Into<Value>) -> String {
        from_value::<T>(value.into()).unwrap_err().to_string()
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    enum Shape {
        Empty,
        Circle(f64),
        Line(i32, i32),
        Box { width: u8 },
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Wrapped(u16);

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Everything {
        shapes: Vec<Shape>,
        wrapped: Wrapped,
        none: Option<i32>,
        some: Option<String>,
        unit: (),
        pair: (bool, char),
        numbers: BTreeMap<i8, u64>,
        flags: BTreeMap<bool, i128>,
    }

    #[test]
    fn what_was_serialized_reads_back() {
        let everything = Everything {
            shapes: vec![
                Shape::Empty,
                Shape::Circle(2.0),
                Shape::Line(1, -2),
                Shape::Box { width: 3 },
            ],
            wrapped: Wrapped(4),
            none: None,
            some: Some("s".into()),
            unit: (),
            pair: (true, 'é'),
            numbers: BTreeMap::from([(-1, u64::MAX), (2, 0)]),
            flags: BTreeMap::from([(false, i128::MIN), (true, 5)]),
        };
        let value = to_value(&everything).unwrap();
        assert_eq!(from_value::<Everything>(value).unwrap(), everything);
    }

    #[test]
    fn numbers_need_not_be_of_the_same_kind() {
        assert_eq!(from_value(Value::Integer(3)), Ok(3.0_f64));
        assert_eq!(from_value(Value::Integer(3)), Ok(3.0_f32));
        assert_eq!(from_value(Value::Float(3.0)), Ok(3_u8));
        assert_eq!(from_value(Value::Float(-0.0)), Ok(0_i64));
        assert_eq!(from_value(Value::BigInteger(5_i64.into())), Ok(5_u8));
        assert_eq!(
            from_value(Value::BigInteger(u128::MAX.into())),
            Ok(u128::MAX)
        );
        assert_eq!(from_value(Value::Integer(-7)), Ok(-7_i128));
        assert_eq!(error::<u8>(3.5), "expected u8, found the number 3.5");
        assert_eq!(error::<u8>(300), "expected u8, found the number 300");
        assert_eq!(error::<u64>(-1), "expected u64, found the number -1");
        assert_eq!(
            error::<i64>(1e30),
            "expected i64, found the number 1000000000000000000000000000000"
        );
        let huge = BigInteger::from_be_bytes(false, &[1; 17]).unwrap();
        assert_eq!(
            error::<u128>(huge),
            "expected u128, found a big integer of more than 128 bits"
        );
    }

    #[test]
    fn undefined_is_null() {
        assert_eq!(from_value(Value::Undefined), Ok(None::<i32>));
        assert_eq!(from_value(Value::Undefined), Ok(()));
        assert_eq!(from_value(Value::Null), Ok(()));
        assert_eq!(error::<i32>(Value::Undefined), "expected i32, found null");
    }

    #[derive(Debug, PartialEq)]
    struct Bytes(Vec<u8>);

    impl<'de> Deserialize<'de> for Bytes {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct BytesVisitor;
            impl Visitor<'_> for BytesVisitor {
                type Value = Bytes;
                fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    f.write_str("bytes")
                }
                fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Bytes, E> {
                    Ok(Bytes(bytes.to_vec()))
                }
            }
            deserializer.deserialize_bytes(BytesVisitor)
        }
    }

    #[test]
    fn binary_kinds_read_as_bytes_and_as_numbers() {
        let typed = |array: TypedArray| Value::TypedArray(array);
        assert_eq!(from_value(Value::Bytes(vec![1, 2])), Ok(vec![1_u8, 2]));
        assert_eq!(from_value(Value::Bytes(vec![1, 2])), Ok(Bytes(vec![1, 2])));
        assert_eq!(
            from_value(typed([1_u8, 2].as_slice().into())),
            Ok(Bytes(vec![1, 2]))
        );
        assert_eq!(
            from_value(typed([1.5_f32].as_slice().into())),
            Ok([1.5_f64])
        );
        assert_eq!(
            from_value(typed([u64::MAX].as_slice().into())),
            Ok(vec![u64::MAX])
        );
        assert_eq!(
            error::<Bytes>(typed([1_u16].as_slice().into())),
            "expected bytes, found an array"
        );
    }

    #[test]
    fn a_date_is_text_or_milliseconds() {
        assert_eq!(
            from_value(Value::Date(0.0)),
            Ok("1970-01-01T00:00:00.000Z".to_owned())
        );
        assert_eq!(from_value(Value::Date(5.0)), Ok(5_i64));
        assert_eq!(from_value(Value::Date(5.5)), Ok(5.5_f64));
        assert_eq!(from_value(Value::Date(f64::NAN)), Ok(None::<String>));
    }

    #[test]
    fn an_error_says_where_and_what() {
        #[derive(Debug, Deserialize)]
        #[expect(dead_code, reason = "only its errors are looked at")]
        struct Point {
            x: f64,
        }
        type Points = BTreeMap<String, Vec<Point>>;
        let points = |point: Value| Value::object([("points", vec![point].into())]);
        assert_eq!(
            error::<Points>(points(Value::object([("x", "7".into())]))),
            r#"points[0].x: expected f64, found the string "7""#
        );
        assert_eq!(
            error::<Points>(points(Value::object([("y", 1.into())]))),
            "points[0]: missing field `x`"
        );
        assert_eq!(
            error::<Points>(points(vec![].into())),
            "points[0]: invalid length 0, expected struct Point with 1 element"
        );
        assert_eq!(
            error::<(i32, i32)>(vec![1.into(), 2.into(), 3.into()]),
            "expected 2 elements, found 3"
        );
        assert_eq!(
            error::<BTreeMap<u8, ()>>(Value::object([("x", ().into())])),
            r#"expected u8, found the string "x""#
        );
        assert_eq!(
            error::<Shape>("Star"),
            "unknown variant `Star`, expected one of `Empty`, `Circle`, `Line`, `Box`"
        );
        assert_eq!(error::<Shape>("Circle"), "Circle: expected f64, found null");
        assert_eq!(
            error::<Shape>(5),
            "expected enum Shape, found a number, not a variant's name or an object of one key"
        );
        assert_eq!(
            error::<bool>("x".repeat(1000)),
            "expected a boolean, found a long string"
        );
    }

    #[test]
    fn serde_json_can_take_it() {
        let value = Value::object([(
            "a",
            vec![Value::Date(0.0), Value::Undefined, 1.into()].into(),
        )]);
        let json: serde_json::Value = from_value(value).unwrap();
        assert_eq!(
            json,
            serde_json::json!({"a": ["1970-01-01T00:00:00.000Z", null, 1]})
        );
    }
}
