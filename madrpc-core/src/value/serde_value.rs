//! `Value` as a serde type itself, so that a struct can hold one and a typed call can take or return one.
//!
//! serde knows no `undefined`, date or typed array. So a value passes as its wire bytes wherever the format is a
//! binary one (postcard) or our own [`to_value`](super::to_value) and [`from_value`](super::from_value), which
//! recognise it by the name of a newtype struct and take it unchanged; a text format (JSON) gets the
//! [JSON form](super::json). Bytes and not an enum of serde's: a value within a frame is then depth-checked by
//! [`decode`](super::wire::decode) whatever the format around it, where serde would recurse as deep as a peer likes.

use super::Value;
use super::json::{Json, JsonVisitor};
use serde::de::{Deserialize, Deserializer, Visitor};
use serde::ser::{Error as _, Serialize, Serializer};
use std::fmt;

/// The name by which our own serializer and deserializer know a [`Value`].
pub(super) const NAME: &str = "$madrpc::Value";

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_newtype_struct(NAME, &Inner(self))
    }
}

struct Inner<'a>(&'a Value);

impl Serialize for Inner<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            return Json(self.0).serialize(serializer);
        }
        let mut bytes = Vec::new();
        self.0
            .encode(&mut bytes, usize::MAX)
            .map_err(S::Error::custom)?;
        serializer.serialize_bytes(&bytes)
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(NAME, InnerVisitor)
    }
}

struct InnerVisitor;

impl<'de> Visitor<'de> for InnerVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(
        self,
        deserializer: D,
    ) -> Result<Value, D::Error> {
        if deserializer.is_human_readable() {
            deserializer.deserialize_any(JsonVisitor)
        } else {
            deserializer.deserialize_bytes(WireVisitor)
        }
    }
}

struct WireVisitor;

impl Visitor<'_> for WireVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the bytes of a value")
    }

    fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<Value, E> {
        Value::decode(bytes).map_err(E::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::super::generate::{Random, exact, random_value, rounds};
    use super::super::wire::MAX_DEPTH;
    use super::super::{from_value, to_value};
    use super::*;
    use serde::Serialize as Derive;

    /// Arrays inside each other; fewer under Miri, which takes a thousand times as long.
    const BOMB: usize = if cfg!(miri) { 1000 } else { 100_000 };

    #[derive(Derive, serde::Deserialize)]
    struct Holder {
        name: String,
        held: Value,
        more: Option<Vec<Value>>,
    }

    #[test]
    fn a_value_passes_unchanged() {
        let mut random = Random(6);
        for _ in 0..rounds(1000) {
            let value = random_value(&mut random, 3);
            assert_eq!(exact(&to_value(&value).unwrap()), exact(&value));
            assert_eq!(
                exact(&from_value::<Value>(value.clone()).unwrap()),
                exact(&value)
            );

            let held = || {
                Value::object([
                    ("name", "n".into()),
                    ("held", value.clone()),
                    ("more", vec![value.clone()].into()),
                ])
            };
            let holder: Holder = from_value(held()).unwrap();
            assert_eq!(exact(&holder.held), exact(&value));
            assert_eq!(exact(&to_value(&holder).unwrap()), exact(&held()));

            let bytes = postcard::to_stdvec(&holder).unwrap();
            let read: Holder = postcard::from_bytes(&bytes).unwrap();
            assert_eq!(exact(&to_value(&read).unwrap()), exact(&held()));
        }
    }

    #[test]
    fn depth_is_checked_in_any_format() {
        let bomb = [[10, 1].repeat(BOMB), vec![1]].concat();
        let framed = postcard::to_stdvec(&bomb).unwrap();
        assert!(postcard::from_bytes::<Value>(&framed).is_err());
        let deep = (0..=MAX_DEPTH).fold(Value::Null, |inner, _| vec![inner].into());
        assert!(
            to_value(&deep)
                .unwrap_err()
                .to_string()
                .contains("inside each other")
        );
    }

    #[test]
    fn json_inside_a_struct_is_the_json_form() {
        let holder: Holder =
            serde_json::from_str(r#"{"name":"n","held":{"a":[1,2.5,null]}}"#).unwrap();
        assert_eq!(
            holder.held,
            Value::object([("a", vec![1.into(), 2.5.into(), Value::Null].into())])
        );
        assert_eq!(
            serde_json::to_string(&holder).unwrap(),
            r#"{"name":"n","held":{"a":[1,2.5,null]},"more":null}"#
        );
    }
}
