//! What a function throws, and what of that its caller gets.
//!
//! Setup: a node of one shard in this process; each expression of a table is thrown by a function of its script.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "that is how a test fails"
)]

mod support;

use madrpc_core::call::ErrorKind;
use madrpc_core::value::json::to_json;
use support::Functions;

/// What is thrown; the error's message; and the JSON of the value that goes with it, where one does.
const THROWN: &[(&str, &str, Option<&str>)] = &[
    (
        "new Error('row 7', { cause: new TypeError('x is undefined') })",
        "Error: row 7",
        Some(
            r#"{"name":"Error","message":"row 7","cause":{"name":"TypeError","message":"x is undefined"}}"#,
        ),
    ),
    (
        "Object.assign(new Error('quota'), { code: 'QUOTA', retryAfter: 5 })",
        "Error: quota",
        Some(r#"{"name":"Error","message":"quota","code":"QUOTA","retryAfter":5}"#),
    ),
    (
        "new AppError('bad row', 'E_ROW')",
        "AppError: bad row",
        Some(r#"{"name":"AppError","message":"bad row","code":"E_ROW"}"#),
    ),
    (
        "new AggregateError([new Error('disk a')], 'no replica')",
        "AggregateError: no replica",
        Some(
            r#"{"name":"AggregateError","message":"no replica","errors":[{"name":"Error","message":"disk a"}]}"#,
        ),
    ),
    (
        "({ code: 5, reason: 'plain' })",
        r#"object: {"code":5,"reason":"plain"}"#,
        Some(r#"{"code":5,"reason":"plain"}"#),
    ),
    (
        "new RangeError('Maximum call stack size exceeded')",
        "RangeError: Maximum call stack size exceeded",
        Some(r#"{"name":"RangeError","message":"Maximum call stack size exceeded"}"#),
    ),
    (
        "Object.assign(new Error('stack overflow'), { name: 'InternalError' })",
        "InternalError: stack overflow",
        Some(r#"{"name":"InternalError","message":"stack overflow"}"#),
    ),
    ("'just text'", "string: just text", Some(r#""just text""#)),
    ("''", "string", Some(r#""""#)),
    ("42", "number: 42", Some("42")),
    ("1e21", "number: 1e+21", Some("1e+21")),
    ("NaN", "number: NaN", Some("null")),
    ("null", "null", Some("null")),
    ("undefined", "undefined", Some("null")),
    (
        "10n ** 30n",
        "bigint: 1000000000000000000000000000000",
        Some(r#""1000000000000000000000000000000""#),
    ),
    ("false", "boolean: false", Some("false")),
    ("Symbol('why')", "symbol: Symbol(why)", None),
    ("[1, 2]", "object: [1,2]", Some("[1,2]")),
    ("(function named() {})", "named", None),
    (
        "new Error()",
        "Error",
        Some(r#"{"name":"Error","message":""}"#),
    ),
    (
        "Object.assign(new Error(), { message: { a: 1 } })",
        "Error: object",
        Some(r#"{"name":"Error","message":{"a":1}}"#),
    ),
    (
        "Object.assign(new Error('m'), { name: 7 })",
        "7: m",
        Some(r#"{"name":7,"message":"m"}"#),
    ),
    (
        r"new Error('a\ud800b')",
        "Error: a\u{fffd}b",
        Some("{\"name\":\"Error\",\"message\":\"a\u{fffd}b\"}"),
    ),
    (
        "Object.assign(new Error('kept'), { fn() {} })",
        "Error: kept",
        None,
    ),
    (
        "new Proxy({}, { get() { throw new Error('inner'); } })",
        "object",
        None,
    ),
    ("revoked({})", "object", None),
    (
        "new (class Evil extends Error { get code() { throw new Evil('again'); } })('first')",
        "Error: first",
        None,
    ),
];

#[test]
fn what_is_thrown_arrives() {
    let bodies = THROWN.iter().map(|(one, ..)| format!("throw {one};"));
    let bodies: Vec<_> = bodies.collect();
    let functions = Functions::new(bodies.iter().map(String::as_str));
    for (place, (expression, message, json)) in THROWN.iter().enumerate() {
        let error = functions.call(place).unwrap_err();
        let got = (error.kind, error.message.as_str());
        assert_eq!(got, (ErrorKind::JavaScript, *message), "{expression}");
        let value = error.exception.unwrap().value();
        let value = value.as_ref().map(to_json);
        assert_eq!(value.as_deref(), *json, "{expression}");
    }
}

#[test]
fn what_is_thrown_is_bounded() {
    let functions = Functions::new([
        "throw new Error('m'.repeat(1 << 20));",
        r"throw Object.assign(new Error('m'), { stack: 's\n'.repeat(1 << 19) });",
        "throw Object.assign(new Error('m'), { rows: 'x'.repeat(1 << 20) });",
        "throw 'é'.repeat(1 << 20);",
    ]);
    for place in 0..4 {
        let error = functions.call(place).unwrap_err();
        let exception = error.exception.unwrap();
        let bytes = [&error.message, &exception.message, &exception.stack].map(String::len);
        let bytes = bytes.iter().sum::<usize>() + exception.value.len();
        assert!(bytes < 80_000, "{place}: {bytes} bytes");
    }
    let error = functions.call(0).unwrap_err();
    assert!(error.message.ends_with("m… (1048576 characters)"));
}

/// What the function that called it sees of an error.
#[test]
fn an_error_of_a_call_has_what_was_thrown_there() {
    let see = |call: &str| {
        format!(
            "return madrpc.call({call}).catch((e) => ({{ is: e instanceof Error, name: e.name, message: e.message, \
             kind: e.kind, code: e.code, cause: e.cause, thrown: e.thrown, keys: Object.keys(e) }}));"
        )
    };
    let throws = [
        "throw Object.assign(new RangeError('quota', { cause: 'full' }), { code: 'QUOTA' });",
        "throw 42;",
        "for (;;);",
        "return madrpc.call('f0');",
        "return madrpc.call('f3');",
    ];
    let sees = [
        see("'f0'"),
        see("'f1'"),
        see("'f2', null, { timeoutMs: 50 }"),
        see("'f4'"),
        see("'f9', [() => 1]"),
    ];
    let bodies = throws.into_iter().chain(sees.iter().map(String::as_str));
    let functions = Functions::new(bodies);
    let seen = |place: usize| to_json(&functions.call(place).unwrap());
    let quota = r#"{"is":true,"name":"RangeError","message":"quota","kind":"JavaScript","code":"QUOTA","cause":"full","keys":["kind","mayHaveRun","remoteStack","code"]}"#;
    assert_eq!(seen(5), quota);
    let number = r#"{"is":true,"name":"number","message":"42","kind":"JavaScript","thrown":42,"keys":["kind","mayHaveRun","remoteStack","thrown"]}"#;
    assert_eq!(seen(6), number);
    let timeout = seen(7);
    assert!(
        timeout.contains(r#""name":"DeadlineExceeded""#),
        "{timeout}"
    );
    // Passed on by two others, it is still the same.
    assert_eq!(seen(8), quota);
    assert_eq!(functions.call(4).unwrap_err().message, "RangeError: quota");
    let argument = seen(9);
    let told = "the argument cannot be sent: argument[0] is a function";
    assert!(argument.contains(told), "{argument}");
}
