//! The checks: what each calls, and what has to come of it.
//!
//! What was expected and what came are compared as text, which is also what is printed: nothing can differ unseen, and
//! NaN and -0 are told from other numbers.

use madrpc_core::call::CallError;
use madrpc_core::value::{BigInteger, TypedArray, TypedArrayKind, Value};
use madrpc_shard::client::Client;
use std::fmt;
use std::time::Duration;

/// How long the endless loop may run.
const SPIN: Duration = Duration::from_millis(200);

/// Calls that look for what the endless loop has left behind.
const CALLS_AFTER: usize = 200;

/// A check that has been made.
#[derive(Debug)]
pub(crate) struct Check {
    name: String,
    expected: String,
    got: String,
}

impl Check {
    fn new(name: impl Into<String>, expected: impl Into<String>, got: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            expected: expected.into(),
            got: got.into(),
        }
    }

    /// Whether what came is what was expected.
    pub(crate) fn is_ok(&self) -> bool {
        self.expected == self.got
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.is_ok() { "ok" } else { "FAILED" };
        let Self {
            name,
            expected,
            got,
        } = self;
        write!(f, "{verdict:6}  {name}: expected {expected}, got {got}")
    }
}

/// Makes all checks, one after the other as they are asked for.
pub(crate) fn all(client: &Client) -> impl Iterator<Item = Check> {
    let groups: [fn(&Client) -> Vec<Check>; 5] = [echo, add, exception, unknown_function, deadline];
    groups.into_iter().flat_map(move |group| group(client))
}

/// Values of every kind come back as they went.
fn echo(client: &Client) -> Vec<Check> {
    let check = |(name, value): (&str, Value)| {
        let got = client.prepare("echo").send_blocking(value.clone());
        let got = got.map_or_else(
            |error| error.to_string(),
            |reply| format!("{:?}", reply.result),
        );
        Check::new(format!("echo {name}"), format!("{value:?}"), got)
    };
    values().into_iter().map(check).collect()
}

fn values() -> Vec<(&'static str, Value)> {
    let bytes = |range: std::ops::Range<u8>| range.collect::<Vec<u8>>();
    let mut values = vec![
        ("undefined", Value::Undefined),
        ("null", Value::Null),
        ("true", true.into()),
        ("false", false.into()),
        ("an integer", (-42).into()),
        ("2^53", (1_i64 << 53).into()),
        ("a float", 0.1.into()),
        ("-0", (-0.0).into()),
        ("NaN", f64::NAN.into()),
        ("infinity", f64::NEG_INFINITY.into()),
        ("a BigInt", BigInteger::from(u64::MAX).into()),
        ("a negative BigInt", BigInteger::from(i64::MIN).into()),
        ("text", "naïve \u{1f980} \0 \"quoted\"".into()),
        ("empty text", "".into()),
        ("bytes", Value::Bytes(bytes(0..4))),
        ("a date", Value::Date(1_234_567_890_123.0)),
        ("an empty array", Value::Array(Vec::new())),
        (
            "an array",
            Value::Array(vec![
                1.into(),
                "two".into(),
                Value::Array(vec![Value::Null]),
            ]),
        ),
        (
            "an object",
            Value::object(
                [("z", 1), ("a", 2), ("__proto__", 3)].map(|(key, n)| (key, Value::from(n))),
            ),
        ),
    ];
    let typed = TypedArrayKind::ALL.into_iter().filter_map(|kind| {
        let array = TypedArray::new(kind, bytes(0..8)).ok()?;
        Some((kind.name(), array.into()))
    });
    values.extend(typed);
    values
}

/// Typed calls: any serde types go in and come out.
fn add(client: &Client) -> Vec<Check> {
    let sum = client.call_blocking::<_, i64>("add", &(2, 40));
    let text = client.call_blocking::<_, String>("add", &["mad", "rpc"]);
    let later = client.call_blocking::<_, f64>("addLater", &[0.5, 0.25]);
    vec![
        Check::new("add 2 and 40", "42", result(sum)),
        Check::new("add two texts", "madrpc", result(text)),
        Check::new("add in an async function", "0.75", result(later)),
    ]
}

/// What a function throws reaches the caller whole.
fn exception(client: &Client) -> Vec<Check> {
    let name = "an exception";
    // The engine's column is that of the last thing evaluated before the error was made: its argument.
    let expected = "RangeError, `7 is out of range`, thrown at simple.js:15:24";
    let got = match client.call_blocking::<_, Value>("fail", &7) {
        Ok(value) => format!("{value:?}"),
        Err(CallError {
            exception: Some(thrown),
            ..
        }) => {
            let place = thrown
                .stack
                .lines()
                .next()
                .map_or("an unknown place", place_of);
            format!("{}, `{}`, thrown at {place}", thrown.name, thrown.message)
        }
        Err(error) => error.to_string(),
    };
    vec![Check::new(name, expected, got)]
}

/// `file:line:column` in a frame of a JavaScript stack; nodes may have loaded the file from any directory.
fn place_of(frame: &str) -> &str {
    let place = frame.rsplit(['(', ' ']).next().unwrap_or(frame);
    let place = place.trim_end_matches(')');
    place.rsplit('/').next().unwrap_or(place)
}

/// A function that nobody registered is known not to have run.
fn unknown_function(client: &Client) -> Vec<Check> {
    let got = match client.call_blocking::<_, Value>("noSuchFunction", &()) {
        Ok(value) => format!("{value:?}"),
        Err(error) => kind(&error),
    };
    vec![Check::new(
        "an unknown function",
        "NoSuchFunction, not run",
        got,
    )]
}

/// A deadline ends an endless loop, and the calls after it find nothing that it has left behind.
fn deadline(client: &Client) -> Vec<Check> {
    let spin = client
        .prepare("spin")
        .timeout(SPIN)
        .send_blocking("left behind".into());
    let got = spin.map_or_else(|error| kind(&error), |reply| format!("{:?}", reply.result));
    let name = format!("an endless loop with {} ms", SPIN.as_millis());
    let ended = Check::new(name, "DeadlineExceeded, may have run", got);

    // More calls than nodes have lanes, so that each of them serves some.
    let after: Result<Vec<Option<String>>, CallError> = (0..CALLS_AFTER)
        .map(|_| client.call_blocking("spun", &()))
        .collect();
    let found = match after {
        Ok(marks) if marks.iter().all(Option::is_none) => "nothing of it".to_owned(),
        Ok(marks) => format!("{:?}", marks.iter().flatten().next()),
        Err(error) => error.to_string(),
    };
    let name = format!("{CALLS_AFTER} calls after that loop");
    vec![ended, Check::new(name, "nothing of it", found)]
}

fn result<T: ToString>(result: Result<T, CallError>) -> String {
    result.map_or_else(|error| error.to_string(), |value| value.to_string())
}

fn kind(error: &CallError) -> String {
    let ran = if error.may_have_run {
        "may have run"
    } else {
        "not run"
    };
    format!("{}, {ran}", error.kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_found_in_any_kind_of_frame() {
        for frame in [
            "at fail (simple.js:14:9)",
            "at fail (/srv/scripts/simple.js:14:9)",
            "at simple.js:14:9",
            "at <anonymous> (../simple.js:14:9)",
        ] {
            assert_eq!(place_of(frame), "simple.js:14:9", "{frame}");
        }
    }

    #[test]
    fn a_check_is_ok_only_where_both_texts_are_equal() {
        let check = Check::new("add", "42", "42");
        assert_eq!(check.to_string(), "ok      add: expected 42, got 42");
        let check = Check::new(
            "echo -0",
            format!("{:?}", Value::from(-0.0)),
            format!("{:?}", Value::from(0.0)),
        );
        assert!(!check.is_ok());
        assert!(check.to_string().starts_with("FAILED  echo -0: expected "));
    }
}
