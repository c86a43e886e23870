//! Any Rust type that serde can serialize, as a value.
//!
//! Structs and maps become objects, tuples and sequences arrays, `None` and `()` null, an enum's variant its name or
//! an object of one key (as serde_json does it), integers beyond 64 bits big integers, bytes (`serde_bytes`) bytes.
//! A plain `Vec<u8>` is an array of numbers to serde. [`Value`]s inside pass unchanged.

use super::collect::{Array, Object, tagged};
use super::wire::MAX_DEPTH;
use super::{Value, ValueError, serde_value};
use serde::ser::{self, Serialize};

/// `from` as a value.
///
/// # Errors
/// A map key that is no text, number, boolean or character; more than [`MAX_DEPTH`] levels; whatever the type's own
/// `Serialize` refuses.
pub fn to_value<T: Serialize + ?Sized>(from: &T) -> Result<Value, ValueError> {
    from.serialize(Serializer {
        depth: 0,
        human_readable: true,
    })
}

/// Makes a value of what serde tells.
#[derive(Clone, Copy)]
pub(super) struct Serializer {
    depth: usize,
    /// False only for what is inside [`serde_value::NAME`], which thereby knows that it need not become JSON.
    human_readable: bool,
}

impl Serializer {
    fn below(self) -> Result<Self, ValueError> {
        if self.depth == MAX_DEPTH {
            return Err(ValueError::new(format_args!(
                "more than {MAX_DEPTH} levels are inside each other"
            )));
        }
        Ok(Self {
            depth: self.depth + 1,
            ..self
        })
    }

    fn array(self, len: Option<usize>, variant: Option<&'static str>) -> Result<Array, ValueError> {
        // The length is the type's own claim; a wrong one may cost speed, but no memory.
        Ok(Array {
            items: Vec::with_capacity(len.unwrap_or(0).min(4096)),
            inner: self.below()?,
            variant,
        })
    }

    fn object(
        self,
        len: Option<usize>,
        variant: Option<&'static str>,
    ) -> Result<Object, ValueError> {
        Ok(Object {
            entries: Vec::with_capacity(len.unwrap_or(0).min(4096)),
            key: String::new(),
            inner: self.below()?,
            variant,
        })
    }
}

macro_rules! into {
    ($($method:ident: $type:ty),+ $(,)?) => { $(
        fn $method(self, from: $type) -> Result<Value, ValueError> {
            Ok(from.into())
        }
    )+ };
}

impl ser::Serializer for Serializer {
    type Ok = Value;
    type Error = ValueError;
    type SerializeSeq = Array;
    type SerializeTuple = Array;
    type SerializeTupleStruct = Array;
    type SerializeTupleVariant = Array;
    type SerializeMap = Object;
    type SerializeStruct = Object;
    type SerializeStructVariant = Object;

    into! {
        serialize_bool: bool,
        serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64,
        serialize_u8: u8, serialize_u16: u16, serialize_u32: u32, serialize_u64: u64,
        serialize_f32: f32, serialize_f64: f64,
        serialize_str: &str,
    }

    fn serialize_i128(self, from: i128) -> Result<Value, ValueError> {
        Ok(i64::try_from(from).map_or_else(|_| Value::BigInteger(from.into()), Value::Integer))
    }

    fn serialize_u128(self, from: u128) -> Result<Value, ValueError> {
        Ok(i64::try_from(from).map_or_else(|_| Value::BigInteger(from.into()), Value::Integer))
    }

    fn serialize_char(self, from: char) -> Result<Value, ValueError> {
        Ok(Value::String(from.into()))
    }

    fn serialize_bytes(self, from: &[u8]) -> Result<Value, ValueError> {
        Ok(Value::Bytes(from.into()))
    }

    fn serialize_none(self) -> Result<Value, ValueError> {
        Ok(Value::Null)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, some: &T) -> Result<Value, ValueError> {
        some.serialize(self)
    }

    fn serialize_unit(self) -> Result<Value, ValueError> {
        Ok(Value::Null)
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<Value, ValueError> {
        Ok(Value::Null)
    }

    fn serialize_unit_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
    ) -> Result<Value, ValueError> {
        Ok(variant.into())
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        inner: &T,
    ) -> Result<Value, ValueError> {
        if name != serde_value::NAME {
            return inner.serialize(self);
        }
        match inner.serialize(Self {
            human_readable: false,
            ..self
        })? {
            Value::Bytes(bytes) => {
                Value::decode(&bytes).map_err(|malformed| ValueError::new(malformed.fault))
            }
            other => Ok(other),
        }
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        inner: &T,
    ) -> Result<Value, ValueError> {
        let inner = inner
            .serialize(self.below()?)
            .map_err(|error| error.at_key(variant))?;
        Ok(tagged(Some(variant), inner))
    }

    fn serialize_seq(self, len: Option<usize>) -> Result<Array, ValueError> {
        self.array(len, None)
    }

    fn serialize_tuple(self, len: usize) -> Result<Array, ValueError> {
        self.array(Some(len), None)
    }

    fn serialize_tuple_struct(self, _: &'static str, len: usize) -> Result<Array, ValueError> {
        self.array(Some(len), None)
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Array, ValueError> {
        self.below()?.array(Some(len), Some(variant))
    }

    fn serialize_map(self, len: Option<usize>) -> Result<Object, ValueError> {
        self.object(len, None)
    }

    fn serialize_struct(self, _: &'static str, len: usize) -> Result<Object, ValueError> {
        self.object(Some(len), None)
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Object, ValueError> {
        self.below()?.object(Some(len), Some(variant))
    }

    fn is_human_readable(&self) -> bool {
        self.human_readable
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Serialize as Derive;
    use std::collections::BTreeMap;

    #[derive(Derive)]
    enum Shape {
        Empty,
        Circle(f64),
        Line(i32, i32),
        Box { width: u8 },
    }

    #[derive(Derive)]
    struct Wrapped(u16);

    #[derive(Derive)]
    struct Everything {
        shapes: Vec<Shape>,
        wrapped: Wrapped,
        none: Option<i32>,
        some: Option<&'static str>,
        unit: (),
        pair: (bool, char),
        large: u64,
        larger: i128,
    }

    #[test]
    fn a_struct_becomes_an_object_in_its_order() {
        let value = to_value(&Everything {
            shapes: vec![
                Shape::Empty,
                Shape::Circle(0.5),
                Shape::Line(1, 2),
                Shape::Box { width: 3 },
            ],
            wrapped: Wrapped(4),
            none: None,
            some: Some("s"),
            unit: (),
            pair: (true, 'é'),
            large: u64::MAX,
            larger: i128::MIN,
        });
        let line = Value::object([("Line", Value::from(vec![1.into(), 2.into()]))]);
        let square = Value::object([("Box", Value::object([("width", 3.into())]))]);
        assert_eq!(
            value.unwrap(),
            Value::object([
                (
                    "shapes",
                    vec![
                        "Empty".into(),
                        Value::object([("Circle", 0.5.into())]),
                        line,
                        square
                    ]
                    .into()
                ),
                ("wrapped", 4.into()),
                ("none", Value::Null),
                ("some", "s".into()),
                ("unit", Value::Null),
                ("pair", vec![true.into(), "é".into()].into()),
                ("large", Value::BigInteger(u64::MAX.into())),
                ("larger", Value::BigInteger(i128::MIN.into())),
            ])
        );
    }

    #[test]
    fn keys_become_text() {
        let keys = |value: Value| match value {
            Value::Object(entries) => entries.into_iter().map(|(key, _)| key).collect::<Vec<_>>(),
            _ => vec![],
        };
        assert_eq!(
            keys(to_value(&BTreeMap::from([(-1, ()), (2, ())])).unwrap()),
            ["-1", "2"]
        );
        assert_eq!(
            keys(to_value(&BTreeMap::from([(u64::MAX, ())])).unwrap()),
            ["18446744073709551615"]
        );
        assert_eq!(
            keys(to_value(&BTreeMap::from([(true, ())])).unwrap()),
            ["true"]
        );
        assert_eq!(keys(to_value(&BTreeMap::from([('é', ())])).unwrap()), ["é"]);
        assert_eq!(
            to_value(&[BTreeMap::from([((1, 2), ())])])
                .unwrap_err()
                .to_string(),
            "[0]: a key must be a string, a whole number, a boolean or a character, not an array"
        );
    }

    #[test]
    fn bytes_stay_bytes() {
        struct Bytes;
        impl Serialize for Bytes {
            fn serialize<S: ser::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_bytes(&[1, 2])
            }
        }
        assert_eq!(to_value(&Bytes).unwrap(), Value::Bytes(vec![1, 2]));
    }

    #[test]
    fn depth_is_bounded_and_says_where() {
        #[derive(Derive)]
        struct Node {
            next: Option<Box<Node>>,
        }
        let chain = |len: usize| {
            (1..len).fold(Node { next: None }, |next, _| Node {
                next: Some(Box::new(next)),
            })
        };
        assert!(to_value(&chain(MAX_DEPTH)).is_ok());
        let error = to_value(&chain(MAX_DEPTH + 1)).unwrap_err().to_string();
        assert!(
            error.starts_with("next.next.") && error.ends_with("inside each other"),
            "{error}"
        );
    }
}
