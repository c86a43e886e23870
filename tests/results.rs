//! What a function returns, and what of that its caller gets: whole, or refused with the way to what cannot travel.
//!
//! Setup: a node of one shard in this process; each expression of a table is a function of its script.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "that is how a test fails"
)]

mod support;

use madrpc_core::call::ErrorKind;
use madrpc_core::value::Value;
use madrpc_core::value::json::to_json;
use std::time::{Duration, Instant};
use support::Functions;

/// What is returned, and the JSON of what arrives.
const WHOLE: &[(&str, &str)] = &[
    ("new Error('boom')", r#"{"name":"Error","message":"boom"}"#),
    (
        "new AppError('boom', 42)",
        r#"{"name":"AppError","message":"boom","code":42}"#,
    ),
    ("new OldError('old')", r#"{"name":"Error","message":"old"}"#),
    (
        "new Error('outer', { cause: new TypeError('inner') })",
        r#"{"name":"Error","message":"outer","cause":{"name":"TypeError","message":"inner"}}"#,
    ),
    (
        "new AggregateError([new Error('a'), 7], 'all')",
        r#"{"name":"AggregateError","message":"all","errors":[{"name":"Error","message":"a"},7]}"#,
    ),
    (
        "Promise.allSettled([1, Promise.reject(new TypeError('bad row'))])",
        r#"[{"status":"fulfilled","value":1},{"status":"rejected","reason":{"name":"TypeError","message":"bad row"}}]"#,
    ),
    (
        "new DOMException('m', 'AbortError')",
        r#"{"name":"AbortError","message":"m","code":20}"#,
    ),
    (
        "Object.assign(new Error('m'), { rows: [1], stack: 's' })",
        r#"{"name":"Error","message":"m","rows":[1]}"#,
    ),
    (
        "new Proxy(new Error('behind'), {})",
        r#"{"name":"Error","message":"behind"}"#,
    ),
    (
        "[new Number(5), new String('hi'), new Boolean(false)]",
        r#"[5,"hi",false]"#,
    ),
    ("new Point(3, 4)", r#"{"x":3,"y":4}"#),
    ("Object.assign(Object.create(null), { a: 1 })", r#"{"a":1}"#),
    (
        "[{}, Object.create(null), new Proxy({}, {}), []]",
        "[{},{},{},[]]",
    ),
    ("arguments", "[5]"),
    ("new Money()", r#"{"cents":150}"#),
    ("[{ a: 1, toJSON() { return [this.a]; } }]", "[[1]]"),
    (
        "({ total: new Keyed(), 7: new Keyed(), é: [new Keyed(), [1, new Keyed()]], gone: Object.assign(new Date(0), { toJSON: said }) })",
        r#"{"7":"key: 7","total":"key: total","é":["key: 0",[1,"key: 1"]],"gone":"key: gone"}"#,
    ),
    ("new Keyed()", r#""key: ""#),
    (
        "({ ['k'.repeat(50)]: { toJSON: said } })",
        r#"{"kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk":"key: kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk"}"#,
    ),
    (
        "Object.defineProperty({ a: 1 }, 'toJSON', { value: () => 'hidden' })",
        r#""hidden""#,
    ),
    ("Object.assign([1], { toJSON: () => 'list' })", r#""list""#),
    (
        "({ toJSON() { return { toJSON: 1 }; } })",
        r#"{"toJSON":1}"#,
    ),
    (
        "new (class extends Date { toJSON() { return 'mine'; } })(0)",
        r#""mine""#,
    ),
    (
        "Object.assign(new Uint8Array(2), { toJSON: () => 'bytes' })",
        r#""bytes""#,
    ),
    ("[new Date(0)]", r#"["1970-01-01T00:00:00.000Z"]"#),
    ("new URL('http://a.b/c?d=1')", r#""http://a.b/c?d=1""#),
    ("new Proxy([1, 2, 3], {})", "[1,2,3]"),
    (
        "({ rows: new Proxy([{ a: 1 }], {}) })",
        r#"{"rows":[{"a":1}]}"#,
    ),
    ("new Proxy(new Point(1, 2), {})", r#"{"x":1,"y":2}"#),
    ("new (class extends Array {})(3).fill(0)", "[0,0,0]"),
    ("Float16Array.of(1.5, -0.25)", "[1.5,-0.25]"),
    ("new Uint8Array([1, 2, 3, 4]).subarray(1, 3)", "[2,3]"),
    ("new (class extends Uint8Array {})([1, 2])", "[1,2]"),
    (
        "(([buffer, resize]) => { const view = new Uint16Array(buffer); resize(); view[2] = 7; return view; })(resizable(2, 6))",
        "[0,0,7]",
    ),
    ("[new Uint8Array(0), new Float64Array(0)]", "[[],[]]"),
    ("new Query()", "[1,2]"),
    ("new Lazy()", r#""rows""#),
    ("({ then(yes) { yes(5); } })", "5"),
    (
        "Object.create({ then(yes) { yes('inherited'); } })",
        r#""inherited""#,
    ),
    (
        "new (class P extends Promise {})((yes) => yes('ok'))",
        r#""ok""#,
    ),
    ("({ a: 1, [Symbol('s')]: 2 })", r#"{"a":1}"#),
    (
        "(() => { const list = [1]; Object.defineProperty(list, 0, { get() { list.push(9); return 1; } }); return list; })()",
        "[1]",
    ),
];

/// What is returned, and what the caller is told.
const REFUSED: &[(&str, &str)] = &[
    (
        "new Map([[1, 2]])",
        "the result cannot be sent: it is a Map (send [...map], or Object.fromEntries(map))",
    ),
    (
        "({ tags: new Set([1]) })",
        "the result cannot be sent: result.tags is a Set (send [...set])",
    ),
    (
        "({ rows: [0, 1, 2, { total: () => 1 }] })",
        "result.rows[3].total is a function",
    ),
    (
        "({ 'first name': { '': /x/ } })",
        r#"result["first name"][""] is a RegExp"#,
    ),
    ("Symbol('s')", "it is a symbol"),
    ("() => 1", "it is a function"),
    ("class A {}", "it is a function"),
    ("new Proxy(() => 1, {})", "it is a function"),
    ("[Object(Symbol('x'))]", "result[0] is a Symbol"),
    (
        "(function* () { yield 1; })()",
        "it is a Generator (send what it yields: [...it])",
    ),
    (
        "(async function* () { yield 1; })()",
        "it is an AsyncGenerator",
    ),
    ("[1].values()", "it is an Array Iterator"),
    ("[1].values().map((n) => n)", "Iterator"),
    ("Iterator.from({ next() {} })", "Iterator"),
    ("new Map().entries()", "it is a Map Iterator"),
    ("'x'.matchAll(/x/g)", "Iterator"),
    ("new WeakMap()", "it is a WeakMap"),
    ("new WeakRef({})", "it is a WeakRef"),
    (
        "new FinalizationRegistry(() => {})",
        "it is a FinalizationRegistry",
    ),
    ("[Promise.resolve(1)]", "result[0] is a Promise (await it)"),
    (
        "({ rows: new Proxy(Promise.resolve(1), {}) })",
        "result.rows is an object that only looks like a Promise",
    ),
    ("new SharedArrayBuffer(4)", "it is a SharedArrayBuffer"),
    (
        "new Int32Array(new SharedArrayBuffer(8))",
        "it is a view of a SharedArrayBuffer",
    ),
    (
        "new DataView(new ArrayBuffer(4))",
        "it is a DataView (send its buffer)",
    ),
    (
        "(() => { const buffer = new ArrayBuffer(8); buffer.transfer(); return buffer; })()",
        "it is a detached ArrayBuffer",
    ),
    (
        "(() => { const view = new Uint8Array(8); view.buffer.transfer(); return [view]; })()",
        "result[0] is a view of a detached ArrayBuffer",
    ),
    (
        "(([buffer, resize]) => { const view = new Uint8Array(buffer, 4, 4); resize(); return view; })(resizable(8, 2))",
        "it is a view beyond the end of its ArrayBuffer",
    ),
    (
        "({ get a() { this.view.buffer.transfer(); return 1; }, view: new Uint8Array(8) })",
        "result.view is a view of a detached ArrayBuffer",
    ),
    (
        "new Hidden()",
        "it is a Hidden without properties of its own: give its class a toJSON method",
    ),
    (
        "Object.assign(new URLSearchParams('a=1'), { x: 1 })",
        "it is a URLSearchParams (send its text: String(it))",
    ),
    (
        "({ a: Object.assign(new TextDecoder(), { x: 1 }) })",
        "result.a is a TextDecoder",
    ),
    (
        "new (class Query extends URLSearchParams { x = 1 })('a=1')",
        "it is a URLSearchParams (send its text: String(it))",
    ),
    (
        "[new URLSearchParams('a=1')]",
        "result[0] is a URLSearchParams (send its text: String(it))",
    ),
    ("new TextEncoder()", "it is a TextEncoder"),
    (
        "Math",
        "it is an object whose properties are hidden or symbols",
    ),
    (
        "[JSON, Reflect]",
        "result[0] is an object whose properties are hidden",
    ),
    (
        "({ [Symbol('only')]: 1 })",
        "it is an object whose properties are hidden or symbols",
    ),
    ("globalThis", " is a function"),
    (
        "Object.create(Date.prototype)",
        "it is an object that only looks like a Date",
    ),
    (
        "Object.create(ArrayBuffer.prototype)",
        "it is an object that only looks like an ArrayBuffer",
    ),
    (
        "Object.assign(Object.create(Uint8Array.prototype), { a: 1 })",
        "it is an object that only looks like a TypedArray",
    ),
    (
        "Object.create(Array.prototype)",
        "it is an object that only looks like an Array",
    ),
    (
        "new Proxy(new Date(0), {})",
        "it is an object that only looks like a Date",
    ),
    (
        "new Proxy(new Uint8Array(2), {})",
        "it is an object that only looks like a TypedArray",
    ),
    (
        "new Proxy({}, { getPrototypeOf: () => Map.prototype })",
        "it is an object that only looks like a Map",
    ),
    (
        "(() => { const error = new Error('m'); error.cause = error; return error; })()",
        "result.cause.cause.cause",
    ),
    (
        "(() => { const list = []; list[0] = list; return list; })()",
        "128 arrays and objects are inside each other; is there a cycle?",
    ),
    (
        "(() => { const list = []; list.length = 2 ** 32 - 1; return list; })()",
        "it is larger than 67108864 bytes",
    ),
    (
        "new Proxy([], { get: (_, key) => key === 'length' ? Infinity : 0 })",
        "it is a proxied array whose length is none",
    ),
    (
        "new Proxy([], { get: (_, key) => key === 'length' ? 'many' : 0 })",
        "it is a proxied array whose length is none",
    ),
];

/// What throws while it is asked for what it has, and the exception that the caller gets.
const THROWS: &[(&str, &str)] = &[
    ("Date.prototype", "TypeError: not a Date object"),
    (
        "({ ok: 1, get bad() { throw new RangeError('lazy'); } })",
        "RangeError: lazy",
    ),
    (
        "new Proxy({}, { ownKeys() { throw new TypeError('no keys'); } })",
        "TypeError: no keys",
    ),
    (
        "[new Proxy([1], { get() { throw new TypeError('no elements'); } })]",
        "TypeError: no elements",
    ),
    (
        "new Proxy({}, { getPrototypeOf() { throw new TypeError('no class'); } })",
        "TypeError: no class",
    ),
    ("revoked({})", "TypeError: revoked proxy"),
    ("[revoked([])]", "TypeError: revoked proxy"),
    (
        "({ toJSON() { throw new RangeError('no JSON'); } })",
        "RangeError: no JSON",
    ),
    (
        "({ get toJSON() { throw new RangeError('no toJSON'); } })",
        "RangeError: no toJSON",
    ),
    (
        "({ get then() { throw new RangeError('no then'); } })",
        "RangeError: no then",
    ),
    (
        "({ then(_, no) { no(new RangeError('from then')); } })",
        "RangeError: from then",
    ),
];

fn returned(expressions: &[(&str, &str)]) -> Functions {
    let bodies = expressions.iter().map(|(one, _)| format!("return {one};"));
    let bodies: Vec<_> = bodies.collect();
    Functions::new(bodies.iter().map(String::as_str))
}

#[test]
fn what_a_function_returns_arrives_whole() {
    let functions = returned(WHOLE);
    for (place, (expression, json)) in WHOLE.iter().enumerate() {
        match functions.call(place) {
            Ok(value) => assert_eq!(to_json(&value), *json, "{expression}"),
            Err(error) => panic!("{expression}: {error}"),
        }
    }
}

#[test]
fn what_cannot_arrive_whole_is_refused_with_the_way_to_it() {
    let functions = returned(REFUSED);
    for (place, (expression, told)) in REFUSED.iter().enumerate() {
        match functions.call(place) {
            Ok(value) => panic!("{expression}: {}", to_json(&value)),
            Err(error) => {
                assert!(error.message.contains(told), "{expression}: {error}");
                assert!(error.message.len() < 300, "{expression}: {error}");
                assert_eq!(error.exception, None, "{expression}");
            }
        }
    }
}

#[test]
fn what_is_thrown_while_a_result_is_read_is_the_calls_exception() {
    let functions = returned(THROWS);
    for (place, (expression, told)) in THROWS.iter().enumerate() {
        let error = functions.call(place).unwrap_err();
        let got = (error.kind, error.message.as_str());
        assert_eq!(got, (ErrorKind::JavaScript, *told), "{expression}");
    }
}

/// A value of which there is little, and which is large where it is written out: the deadline holds meanwhile, and others
/// have their turn.
#[test]
fn a_vast_result_is_written_in_slices_and_ends_with_its_call() {
    let functions = Functions::new([
        "let value = 1; for (let depth = 0; depth < 40; depth++) value = [value, value]; return value;",
        "const value = {}; for (let key = 0; key < 100; key++) value['k' + key] = new Number(1); return Array(30000).fill(value);",
        "return 'small';",
    ]);
    let error = functions.call(0).unwrap_err();
    assert_eq!(error.kind, ErrorKind::PayloadTooLarge, "{error}");
    let call = functions.client.prepare("f1");
    let call = call.timeout(Duration::from_millis(60));
    std::thread::scope(|scope| {
        let large = scope.spawn(|| call.send_blocking(Value::Undefined));
        let (begun, mut small) = (Instant::now(), 0);
        while !large.is_finished() {
            assert_eq!(functions.call(2).unwrap(), Value::from("small"));
            small += 1;
        }
        let ended = begun.elapsed();
        let error = large.join().unwrap().unwrap_err();
        assert_eq!(error.kind, ErrorKind::DeadlineExceeded, "{error}");
        assert!(
            small > 3 && ended < Duration::from_secs(2),
            "{small} in {ended:?}"
        );
    });
}
