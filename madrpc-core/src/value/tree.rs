//! The builder that makes a [`Value`] of the wire form.

use super::wire::{Build, DecodeError, Malformed, decode};
use super::{BigInteger, TypedArray, TypedArrayKind, Value};
use std::convert::Infallible;

impl Value {
    /// Reads the wire form.
    ///
    /// # Errors
    /// Bytes that are not the form of exactly one value.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        decode(bytes, &mut Tree).map_err(|error| match error {
            DecodeError::Malformed(malformed) => malformed,
            DecodeError::Build(never) => match never {},
        })
    }
}

/// Builds a [`Value`].
struct Tree;

/// How many elements are reserved at most on a peer's word; more come as they arrive.
const RESERVED: usize = 64;

impl Build for Tree {
    type Value = Value;
    type Array = Vec<Value>;
    type Object = Vec<(String, Value)>;
    type Error = Infallible;

    fn undefined(&mut self) -> Result<Value, Infallible> {
        Ok(Value::Undefined)
    }

    fn null(&mut self) -> Result<Value, Infallible> {
        Ok(Value::Null)
    }

    fn bool(&mut self, bool: bool) -> Result<Value, Infallible> {
        Ok(Value::Bool(bool))
    }

    fn integer(&mut self, integer: i64) -> Result<Value, Infallible> {
        Ok(Value::Integer(integer))
    }

    fn float(&mut self, float: f64) -> Result<Value, Infallible> {
        Ok(Value::Float(float))
    }

    fn big_integer(&mut self, big: BigInteger) -> Result<Value, Infallible> {
        Ok(Value::BigInteger(big))
    }

    fn string(&mut self, text: &str) -> Result<Value, Infallible> {
        Ok(Value::String(text.into()))
    }

    fn bytes(&mut self, bytes: &[u8]) -> Result<Value, Infallible> {
        Ok(Value::Bytes(bytes.into()))
    }

    fn typed_array(&mut self, kind: TypedArrayKind, bytes: &[u8]) -> Result<Value, Infallible> {
        // `decode` has checked the length.
        Ok(Value::TypedArray(TypedArray {
            kind,
            bytes: bytes.into(),
        }))
    }

    fn date(&mut self, ms: f64) -> Result<Value, Infallible> {
        Ok(Value::Date(ms))
    }

    fn begin_array(&mut self, len: usize) -> Result<Vec<Value>, Infallible> {
        Ok(Vec::with_capacity(len.min(RESERVED)))
    }

    fn push(&mut self, array: &mut Vec<Value>, _: usize, value: Value) -> Result<(), Infallible> {
        array.push(value);
        Ok(())
    }

    fn end_array(&mut self, array: Vec<Value>) -> Result<Value, Infallible> {
        Ok(Value::Array(array))
    }

    fn begin_object(&mut self, len: usize) -> Result<Self::Object, Infallible> {
        Ok(Vec::with_capacity(len.min(RESERVED)))
    }

    fn set(
        &mut self,
        object: &mut Self::Object,
        key: &str,
        value: Value,
    ) -> Result<(), Infallible> {
        object.push((key.into(), value));
        Ok(())
    }

    fn end_object(&mut self, object: Self::Object) -> Result<Value, Infallible> {
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn little_is_reserved_on_a_peers_word() {
        let reserved = |value: Value| match value {
            Value::Array(items) => items.capacity(),
            Value::Object(entries) => entries.capacity(),
            _ => 0,
        };
        assert_eq!(
            reserved(Tree.begin_array(1 << 30).map(Value::Array).unwrap()),
            RESERVED
        );
        assert_eq!(
            reserved(Tree.begin_object(1 << 30).map(Value::Object).unwrap()),
            RESERVED
        );
        assert_eq!(reserved(Tree.begin_array(2).map(Value::Array).unwrap()), 2);
    }

    #[test]
    fn more_than_was_reserved_arrives_too() {
        let bytes = [&[10, 200, 1][..], &[1; 200]].concat();
        assert_eq!(
            Value::decode(&bytes),
            Ok((0..200).map(|_| Value::Null).collect())
        );
    }
}
