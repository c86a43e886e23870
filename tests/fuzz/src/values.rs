//! A value on the wire, and as JSON.

use madrpc_core::value::Value;
use madrpc_core::value::json::{from_json, to_json, to_json_pretty};

/// What can be read is written and read again as the same, on the wire and as JSON; what was written once is written the
/// same again.
pub fn run(input: &[u8]) {
    if let Ok(value) = Value::decode(input) {
        hold(&value);
    }
    if let Ok(text) = std::str::from_utf8(input)
        && let Ok(value) = from_json(text)
    {
        let written = to_json(&value);
        // Not the same value: -0 and 0 are written alike.
        assert_eq!(to_json(&from_json(&written).unwrap()), written);
        hold(&value);
    }
}

fn hold(value: &Value) {
    let bytes = encoded(value);
    let again = Value::decode(&bytes).unwrap();
    assert_eq!(encoded(&again), bytes);
    let limit = bytes.len().saturating_sub(1);
    assert!(value.encode(&mut Vec::new(), limit).is_err(), "{limit}");
    let (plain, pretty) = (to_json(value), to_json_pretty(value));
    match (from_json(&plain), from_json(&pretty)) {
        (Ok(plain), Ok(pretty)) => assert_eq!(encoded(&plain), encoded(&pretty)),
        // Deeper than JSON is read.
        (plain, pretty) => assert!(plain.is_err() && pretty.is_err(), "{plain:?} {pretty:?}"),
    }
}

/// Compared in place of the values: NaN differs from itself.
fn encoded(value: &Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    value.encode(&mut bytes, usize::MAX).unwrap();
    bytes
}
