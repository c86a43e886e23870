//! The parts of a Rust type on their way into a value: elements, properties, keys.
//!
//! Owns the path of an error: each part adds its place to what went wrong inside it. Called by [`ser`](super::ser).

use super::ser::{Serializer, to_value};
use super::{Value, ValueError};
use serde::ser::{self, Serialize};

/// A variant with content, as serde_json writes it.
pub(super) fn tagged(variant: Option<&'static str>, content: Value) -> Value {
    match variant {
        Some(name) => Value::object([(name, content)]),
        None => content,
    }
}
pub(super) struct Array {
    pub(super) items: Vec<Value>,
    pub(super) inner: Serializer,
    pub(super) variant: Option<&'static str>,
}

impl Array {
    fn push<T: Serialize + ?Sized>(&mut self, item: &T) -> Result<(), ValueError> {
        let item = item
            .serialize(self.inner)
            .map_err(|error| error.at_index(self.items.len()))?;
        self.items.push(item);
        Ok(())
    }
}

macro_rules! array {
    ($($of:ident: $method:ident),+) => { $(
        impl ser::$of for Array {
            type Ok = Value;
            type Error = ValueError;

            fn $method<T: Serialize + ?Sized>(&mut self, item: &T) -> Result<(), ValueError> {
                self.push(item)
            }

            fn end(self) -> Result<Value, ValueError> {
                Ok(tagged(self.variant, Value::Array(self.items)))
            }
        }
    )+ };
}

array! {
    SerializeSeq: serialize_element,
    SerializeTuple: serialize_element,
    SerializeTupleStruct: serialize_field,
    SerializeTupleVariant: serialize_field
}

pub(super) struct Object {
    pub(super) entries: Vec<(String, Value)>,
    /// The one whose value comes next, in a map.
    pub(super) key: String,
    pub(super) inner: Serializer,
    pub(super) variant: Option<&'static str>,
}

impl Object {
    fn insert<T: Serialize + ?Sized>(&mut self, key: String, value: &T) -> Result<(), ValueError> {
        let value = value
            .serialize(self.inner)
            .map_err(|error| error.at_key(&key))?;
        self.entries.push((key, value));
        Ok(())
    }
}

impl ser::SerializeMap for Object {
    type Ok = Value;
    type Error = ValueError;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), ValueError> {
        self.key = self::key(key)?;
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), ValueError> {
        let key = std::mem::take(&mut self.key);
        self.insert(key, value)
    }

    fn end(self) -> Result<Value, ValueError> {
        Ok(Value::Object(self.entries))
    }
}

macro_rules! object {
    ($($of:ident),+) => { $(
        impl ser::$of for Object {
            type Ok = Value;
            type Error = ValueError;

            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                key: &'static str,
                value: &T,
            ) -> Result<(), ValueError> {
                self.insert(key.into(), value)
            }

            fn end(self) -> Result<Value, ValueError> {
                Ok(tagged(self.variant, Value::Object(self.entries)))
            }
        }
    )+ };
}

object!(SerializeStruct, SerializeStructVariant);

/// A map's key as text; JavaScript too has only keys that are text.
fn key<T: Serialize + ?Sized>(key: &T) -> Result<String, ValueError> {
    match to_value(key)? {
        Value::String(text) => Ok(text),
        Value::Integer(integer) => Ok(integer.to_string()),
        Value::BigInteger(big) => Ok(big.to_string()),
        Value::Bool(bool) => Ok(bool.to_string()),
        other => Err(ValueError::new(format_args!(
            "a key must be a string, a whole number, a boolean or a character, not {}",
            other.kind()
        ))),
    }
}
