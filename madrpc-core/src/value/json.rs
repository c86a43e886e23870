//! Values as JSON, for the command line and HTTP. Nothing inside a cluster speaks it.
//!
//! Written as JavaScript's `JSON.stringify` writes it, and as follows where that fails or loses what was meant:
//!
//! | value | JSON |
//! |---|---|
//! | undefined | `null`; as a property of an object it is left out |
//! | NaN, infinities | `null` |
//! | -0 | `0` |
//! | big integer | a string of its decimal digits (`JSON.stringify` throws) |
//! | bytes | a string: Base64 of RFC 4648, padded (`{}`) |
//! | typed array | an array of its elements, 64-bit integers as strings (an object with the keys `"0"`, `"1"`, …) |
//! | date | a string in ISO 8601, UTC; `null` if invalid |
//!
//! Read as `JSON.parse` reads it: a number without point and exponent that fits 64 bits becomes an integer, any other
//! a float; of two equal keys the second gives the value and the first the place. Differences: a byte order mark is skipped
//! (RFC 8259, section 8.1), a lone surrogate (`"\ud800"`) becomes U+FFFD as everywhere here, a number beyond the largest
//! float is an error, and so are more levels than a value can have.

use super::wire::MAX_DEPTH;
use super::{Value, iso_8601};
use serde::de::{Deserialize, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};
use std::fmt;

/// A text is not JSON.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {message}")]
pub struct JsonError {
    /// Where, from 1.
    pub line: usize,
    /// Where, in bytes from 1; 0 at the start of a line.
    pub column: usize,
    /// What is wrong.
    pub message: String,
}

/// Reads JSON.
///
/// # Errors
/// Anything but exactly one JSON value.
pub fn from_json(text: &str) -> Result<Value, JsonError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if let Some(at) = too_deep(text) {
        let line_start = text[..at].rfind('\n').map_or(0, |end| end + 1);
        return Err(JsonError {
            line: text[..at].matches('\n').count() + 1,
            column: at - line_start + 1,
            message: format!("more than {MAX_DEPTH} arrays and objects are inside each other"),
        });
    }
    let read = match parse(text) {
        Ok(value) => return Ok(value),
        Err(error) => match without_lone_surrogates(text) {
            Some(text) => parse(&text),
            None => Err(error),
        },
    };
    read.map_err(|error| {
        let (line, column) = (error.line(), error.column());
        let message = error.to_string();
        let message = message
            .strip_suffix(&format!(" at line {line} column {column}"))
            .unwrap_or(&message);
        JsonError {
            line,
            column,
            message: match message {
                "number out of range" => {
                    "a number beyond the largest, 1.7976931348623157e308".into()
                }
                message => message.into(),
            },
        }
    })
}

/// Reads JSON that is not too deep.
fn parse(text: &str) -> serde_json::Result<Value> {
    let mut reader = serde_json::Deserializer::from_str(text);
    reader.disable_recursion_limit();
    let value = Value::deserialize(&mut reader)?;
    reader.end().map(|()| value)
}

/// Where the first array or object begins that is too deep. Whatever follows a mistake is not read.
fn too_deep(text: &str) -> Option<usize> {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string && depth == MAX_DEPTH => return Some(at),
            b'[' | b'{' if !in_string => depth += 1,
            b']' | b'}' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    None
}

/// The text with U+FFFD for the escapes of lone surrogates, which takes as many bytes; `None` where there are none.
fn without_lone_surrogates(text: &str) -> Option<String> {
    const ESCAPE_BYTES: usize = "\\ud800".len();
    let unit = |at: usize| {
        let digits = text.get(at..at + ESCAPE_BYTES)?.strip_prefix("\\u")?;
        u16::from_str_radix(digits, 16).ok()
    };
    let (mut mended, mut at) = (String::new(), 0);
    let mut copied = 0;
    while let Some(found) = text[at..].find('\\') {
        at += found;
        let (high, low) = (unit(at), unit(at + ESCAPE_BYTES));
        at = match (high, low) {
            (Some(0xd800..0xdc00), Some(0xdc00..0xe000)) => at + 2 * ESCAPE_BYTES,
            (Some(0xd800..0xe000), _) => {
                mended += &text[copied..at];
                mended += "\\ufffd";
                copied = at + ESCAPE_BYTES;
                copied
            }
            // Whatever is escaped is one character, which may be a backslash.
            _ => at + 1 + text[at + 1..].chars().next().map_or(0, char::len_utf8),
        };
    }
    (copied > 0).then(|| mended + &text[copied..])
}

/// The value as JSON on one line.
#[must_use]
pub fn to_json(value: &Value) -> String {
    Json(value).to_string()
}

/// The value as JSON on several lines, indented by two spaces.
#[must_use]
pub fn to_json_pretty(value: &Value) -> String {
    format!("{:#}", Json(value))
}

/// A value that serde, `{}` and `{:#}` (indented) write as JSON; for a value within a larger JSON document.
#[derive(Debug, Clone, Copy)]
pub struct Json<'a>(pub &'a Value);

impl fmt::Display for Json<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = if f.alternate() {
            serde_json::to_string_pretty(self)
        } else {
            serde_json::to_string(self)
        };
        // Writing to memory, with keys that are text, has no way to fail.
        f.write_str(&text.map_err(|_| fmt::Error)?)
    }
}

impl Serialize for Json<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Undefined | Value::Null => serializer.serialize_unit(),
            Value::Bool(bool) => serializer.serialize_bool(*bool),
            Value::Integer(integer) => serializer.serialize_i64(*integer),
            Value::Float(float) => serialize_float(*float, serializer),
            Value::BigInteger(big) => serializer.collect_str(big),
            Value::String(text) => serializer.serialize_str(text),
            Value::Bytes(bytes) => serializer.serialize_str(&base64(bytes)),
            Value::TypedArray(array) => serializer.collect_seq(array.iter().map(Element)),
            Value::Date(ms) => match iso_8601(*ms) {
                Some(text) => serializer.serialize_str(&text),
                None => serializer.serialize_unit(),
            },
            Value::Array(items) => serializer.collect_seq(items.iter().map(Json)),
            Value::Object(entries) => {
                let there = || {
                    entries
                        .iter()
                        .filter(|(_, value)| !matches!(value, Value::Undefined))
                };
                let mut map = serializer.serialize_map(Some(there().count()))?;
                for (key, value) in there() {
                    map.serialize_entry(key, &Json(value))?;
                }
                map.end()
            }
        }
    }
}

/// An element of a typed array, which is made on the way.
struct Element(Value);

impl Serialize for Element {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Json(&self.0).serialize(serializer)
    }
}

fn serialize_float<S: Serializer>(float: f64, serializer: S) -> Result<S::Ok, S::Error> {
    const EXACT: i64 = 1 << 53;
    match Value::Float(float).as_i64() {
        // `3`, not `3.0`: JavaScript makes no difference, and neither should what it returned.
        Some(integer) if (-EXACT..=EXACT).contains(&integer) => serializer.serialize_i64(integer),
        _ if float.fract() == 0.0 && float.abs() < 1e21 => {
            serializer.serialize_i128(with_zeros(float))
        }
        // serde_json writes null for NaN and infinities.
        _ => serializer.serialize_f64(float),
    }
}

/// The fewest digits that tell a whole number apart from others, and zeros: as JavaScript writes those below 1e21
/// (ECMA-262, section 6.1.6.1.20).
fn with_zeros(whole: f64) -> i128 {
    let text = format!("{whole:e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let decimals = digits.split_once('.').map_or(0, |(_, after)| after.len());
    let digits: i128 = digits.replace('.', "").parse().unwrap_or_default();
    let zeros = exponent.parse().unwrap_or(0_usize).saturating_sub(decimals);
    digits * 10_i128.pow(zeros as u32)
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let bits = (0..3).fold(0, |bits, index| {
            bits << 8 | usize::from(*chunk.get(index).unwrap_or(&0))
        });
        for digit in 0..4 {
            // n bytes fill n + 1 digits.
            let filled = digit <= chunk.len();
            text.push(if filled {
                char::from(DIGITS[bits >> (18 - 6 * digit) & 63])
            } else {
                '='
            });
        }
    }
    text
}

/// Makes a [`Value`] of what a self-describing format holds.
pub(super) struct JsonVisitor;

impl<'de> Visitor<'de> for JsonVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, bool: bool) -> Result<Value, E> {
        Ok(bool.into())
    }

    fn visit_i64<E>(self, integer: i64) -> Result<Value, E> {
        Ok(integer.into())
    }

    #[expect(clippy::cast_precision_loss, reason = "JSON.parse rounds too")]
    fn visit_u64<E>(self, integer: u64) -> Result<Value, E> {
        Ok(i64::try_from(integer).map_or(Value::Float(integer as f64), Value::Integer))
    }

    fn visit_f64<E>(self, float: f64) -> Result<Value, E> {
        Ok(float.into())
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(text.into())
    }

    fn visit_string<E>(self, text: String) -> Result<Value, E> {
        Ok(text.into())
    }

    fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Value, E> {
        Ok(bytes.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            reserve_first(&mut items);
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            reserve_first(&mut entries);
            entries.push(entry);
        }
        Ok(Value::Object(without_duplicates(entries)))
    }
}

/// Room for one, not for four as a list takes at first: a text may be many small ones, `[[0],[0],…]`.
fn reserve_first<T>(list: &mut Vec<T>) {
    if list.is_empty() {
        list.reserve_exact(1);
    }
}

/// Of entries with the same key the first place and the last value.
fn without_duplicates(mut entries: Vec<(String, Value)>) -> Vec<(String, Value)> {
    let mut order: Vec<usize> = (0..entries.len()).collect();
    // Stable, so that the places of a key stay in their order; sorted, for a million keys may come.
    order.sort_by(|a, b| entries[*a].0.cmp(&entries[*b].0));
    let mut dropped = vec![false; entries.len()];
    for at in (1..order.len()).rev() {
        let (earlier, later) = (order[at - 1], order[at]);
        if entries[earlier].0 == entries[later].0 {
            entries[earlier].1 = std::mem::take(&mut entries[later].1);
            dropped[later] = true;
        }
    }
    let mut dropped = dropped.into_iter();
    entries.retain(|_| dropped.next() == Some(false));
    entries
}

#[cfg(test)]
mod tests {
    use super::super::{BigInteger, TypedArray};
    use super::*;

    #[test]
    fn whole_numbers_have_the_digits_that_javascript_gives_them() {
        for (float, text) in [
            (9_007_199_254_740_994.0, "9007199254740994"),
            (-(2_f64.powi(60)), "-1152921504606847000"),
            (2_f64.powi(63), "9223372036854776000"),
            (123_456_789_012_345_680_000.0, "123456789012345680000"),
            (999_999_999_999_999_900_000.0, "999999999999999900000"),
            (1e20, "100000000000000000000"),
            (1e21, "1e+21"),
        ] {
            assert_eq!(to_json(&float.into()), text);
        }
    }

    #[test]
    fn json_reads_as_in_javascript() {
        for (text, value) in [
            (" null ", Value::Null),
            ("true", true.into()),
            ("9223372036854775807", i64::MAX.into()),
            ("-9223372036854775808", i64::MIN.into()),
            ("9223372036854775808", 9_223_372_036_854_775_808.0.into()),
            ("1.0", 1.0.into()),
            ("1e3", 1000.0.into()),
            (r#""\u00e9\ud83d\ude00\n""#, "é😀\n".into()),
            (r#""\ud800""#, "\u{fffd}".into()),
            (
                r#""\uDC00x\\\ud83d\\ud800\ud83d\ude00""#,
                "\u{fffd}x\\\u{fffd}\\ud800😀".into(),
            ),
            ("\u{feff}7", 7.into()),
            (
                "[1,[],{}]",
                vec![1.into(), vec![].into(), Value::Object(vec![])].into(),
            ),
            (
                r#"{"b":1,"a":2}"#,
                Value::object([("b", 1.into()), ("a", 2.into())]),
            ),
            (
                r#"{"a":1,"b":2,"a":3,"":4,"a":5,"":6}"#,
                Value::object([("a", 5.into()), ("b", 2.into()), ("", 6.into())]),
            ),
        ] {
            assert_eq!(from_json(text), Ok(value), "{text}");
        }
        let Ok(Value::Float(zero)) = from_json("-0") else {
            panic!("-0 is a float")
        };
        assert!(zero.is_sign_negative());
    }

    #[test]
    fn an_error_says_where() {
        for (text, expected) in [
            ("", "line 1, column 0: EOF while parsing a value"),
            ("[1,\n2", "line 2, column 1: EOF while parsing a list"),
            ("{a:1}", "line 1, column 2: key must be a string"),
            ("1 2", "line 1, column 3: trailing characters"),
            (
                r#"{"a":1e400}"#,
                "line 1, column 10: a number beyond the largest, 1.7976931348623157e308",
            ),
        ] {
            assert_eq!(from_json(text).unwrap_err().to_string(), expected, "{text}");
        }
        let deep = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
        let value = from_json(&deep(MAX_DEPTH)).unwrap();
        assert!(value.encode(&mut Vec::new(), usize::MAX).is_ok());
        for (text, place) in [
            (deep(MAX_DEPTH + 1), "line 1, column 129"),
            (format!("[\n{}]", deep(MAX_DEPTH)), "line 2, column 128"),
            ("[".repeat(1 << 20), "line 1, column 129"),
            (r#"{"]\"}":"#.repeat(1 << 20), "line 1, column 1025"),
        ] {
            let error = from_json(&text).unwrap_err().to_string();
            let expected =
                format!("{place}: more than 128 arrays and objects are inside each other");
            assert_eq!(error, expected);
        }
        let beside = format!("[{}1]", r#"[{"[[[{":"]}\\"}],"#.repeat(1000));
        assert!(from_json(&beside).is_ok());
    }

    #[test]
    fn every_kind_is_written_as_the_table_says() {
        let typed = |array: TypedArray| Value::TypedArray(array);
        for (value, json) in [
            (Value::Undefined, "null"),
            (Value::Null, "null"),
            (false.into(), "false"),
            (i64::MIN.into(), "-9223372036854775808"),
            (3.0.into(), "3"),
            ((-0.0).into(), "0"),
            (0.1.into(), "0.1"),
            (9_007_199_254_740_992.0.into(), "9007199254740992"),
            (f64::NAN.into(), "null"),
            (f64::NEG_INFINITY.into(), "null"),
            (
                BigInteger::from(u128::MAX).into(),
                r#""340282366920938463463374607431768211455""#,
            ),
            ("a\"\\\n\u{1}é".into(), r#""a\"\\\n\u0001é""#),
            (b"\xfb\xff".as_slice().into(), r#""+/8=""#),
            (typed([1_u8, 255].as_slice().into()), "[1,255]"),
            (typed([0.5_f32, f32::NAN].as_slice().into()), "[0.5,null]"),
            (typed([-1_i64].as_slice().into()), r#"["-1"]"#),
            (Value::Date(0.0), r#""1970-01-01T00:00:00.000Z""#),
            (Value::Date(f64::NAN), "null"),
            (vec![Value::Undefined, 1.into()].into(), "[null,1]"),
            (
                Value::object([("b", Value::Undefined), ("a", Value::Null)]),
                r#"{"a":null}"#,
            ),
        ] {
            assert_eq!(to_json(&value), json, "{value:?}");
        }
        let nested = Value::object([("a", vec![1.into()].into())]);
        assert_eq!(to_json_pretty(&nested), "{\n  \"a\": [\n    1\n  ]\n}");
    }

    #[test]
    fn base64_is_padded() {
        // The vectors of RFC 4648, section 10.
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
        ] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }

    #[test]
    fn what_is_written_reads_back() {
        assert_eq!(
            from_json("55.393536131272924"),
            Ok(55.393536131272924.into())
        );
        let text = r#"{"z":[1,-2.5,"é",null,true,{"":[]}],"a":{"b":0.1}}"#;
        assert_eq!(to_json(&from_json(text).unwrap()), text);
        for float in [1e300, 5e-324, f64::MAX, 1e21, 1e-7] {
            assert_eq!(from_json(&to_json(&float.into())), Ok(float.into()));
        }
    }
}
