//! A value on the wire, through JavaScript and back.

use madrpc_core::call::ErrorKind;
use madrpc_core::value::Value;
use madrpc_shard::engine::{LaneConfig, Script};
use madrpc_shard::internals::OneLane;
use std::cell::RefCell;
use std::time::Duration;

const SCRIPT: &str = "madrpc.register('echo', (value) => value);";

const PATIENCE: Duration = Duration::from_secs(10);

thread_local! {
    static LANE: RefCell<Option<OneLane>> = const { RefCell::new(None) };
}

/// What JavaScript makes of a value is that value, as JavaScript has it; and what that is again is the same in every byte.
pub fn run(input: &[u8]) {
    let Ok(value) = Value::decode(input) else {
        return;
    };
    if let Some(back) = echo(input) {
        let read = Value::decode(&back).unwrap();
        assert!(is_same(&value, &read), "{value:?} {read:?}");
        assert_eq!(echo(&back), Some(back));
    }
}

fn echo(body: &[u8]) -> Option<Vec<u8>> {
    LANE.with_borrow_mut(|lane| {
        let lane = lane.get_or_insert_with(|| {
            let script = Script::new("echo.js", SCRIPT);
            OneLane::new(&script, &LaneConfig::default()).unwrap()
        });
        let ended = lane.call(0, body, PATIENCE).unwrap();
        assert_eq!(ended.fault, None);
        match ended.result {
            Ok(body) => Some(body),
            // Nothing that is small enough to be an input is too much, but a shape can be too deep.
            Err(error) => {
                assert!(
                    matches!(error.kind, ErrorKind::BadArguments | ErrorKind::JavaScript),
                    "{error}"
                );
                None
            }
        }
    })
}

/// Whether the second is how JavaScript has the first.
fn is_same(value: &Value, read: &Value) -> bool {
    if let (Some(value), Some(read)) = (number(value), number(read)) {
        return value.total_cmp(&read).is_eq() || value.is_nan() && read.is_nan();
    }
    match (value, read) {
        (Value::Array(values), Value::Array(read)) => {
            values.len() == read.len() && values.iter().zip(read).all(|(a, b)| is_same(a, b))
        }
        // The last of one key counts, and keys that are indices come first.
        (Value::Object(entries), Value::Object(read)) => {
            let last = |key: &str| entries.iter().rev().find(|(own, _)| own == key);
            let is_there = |key: &str| read.iter().any(|(own, _)| own == key);
            entries.iter().all(|(key, _)| is_there(key))
                && read
                    .iter()
                    .all(|(key, read)| last(key).is_some_and(|(_, value)| is_same(value, read)))
        }
        (Value::Date(value), Value::Date(read)) => {
            // ECMA-262, TimeClip.
            let clipped = match value.abs() <= 8.64e15 {
                true => value.trunc() + 0.0,
                false => f64::NAN,
            };
            clipped == *read || clipped.is_nan() && read.is_nan()
        }
        _ => value == read,
    }
}

fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Integer(integer) => Some(*integer as f64),
        Value::Float(float) => Some(*float),
        _ => None,
    }
}
