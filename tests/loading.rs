//! What a script may be and do while it loads, and what is told where it does not.
//!
//! Setup: scripts are loaded as by `madrpc check`; some are called on a node in this process.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "that is how a test fails"
)]

mod support;

use madrpc_core::value::Value;
use madrpc_core::value::json::to_json;
use madrpc_shard::engine::Script;
use support::Fleet;

fn functions(source: &str) -> Result<Vec<String>, String> {
    let script = Script::new("s.js", source);
    script.functions().map_err(|error| error.message)
}

/// What the function `f` of a script returns when it is called for the first time.
fn first(source: &str) -> String {
    let fleet = Fleet::new();
    let node = fleet.node(source);
    let client = fleet.client(node.address());
    let reply = client.prepare("f").send_blocking(Value::Undefined);
    reply.map_or_else(|error| error.to_string(), |reply| to_json(&reply.result))
}

#[test]
fn what_nobody_awaits_belongs_to_loading() {
    let late = "Promise.resolve().then(() => madrpc.register('late', () => 1));";
    assert_eq!(functions(late).unwrap(), ["late"]);
    let main =
        "async function main() { await null; await null; madrpc.register('f', () => 1); } main();";
    assert_eq!(functions(main).unwrap(), ["f"]);
    let table = "let table; (async () => { await null; await null; table = [7]; })(); madrpc.register('f', () => table[0]);";
    assert_eq!(first(table), "7");
}

#[test]
fn what_goes_wrong_while_nobody_awaits_it_is_told() {
    let told = |source: &str| functions(source).unwrap_err();
    let rejected = "madrpc.register('f', () => 1); (async () => { await null; nonsense(); })();";
    assert_eq!(
        told(rejected),
        "script s.js:1:59: ReferenceError: nonsense is not defined"
    );
    // Built-ins have no place, and a stack can be assigned.
    assert_eq!(
        told("madrpc.register('f', () => 1); 'a'.repeat(-9);"),
        "script s.js:1:35: RangeError: invalid repeat count"
    );
    assert_eq!(
        told("throw Object.assign(new Error('x'), { stack: 'at f (other.js:1:2)' });"),
        "script s.js: at other.js:1:2: Error: x"
    );
    assert_eq!(
        told("throw Object.assign(new Error('x'), { stack: 'at f (native)' });"),
        "script s.js: Error: x"
    );
    assert_eq!(
        told("madrpc.register('f', () => 1); for (;;);"),
        "script s.js: took more than 10 s of CPU time to load"
    );
    for large in [
        "const all = []; for (;;) all.push(new Array(10000).fill(1));",
        // Jobs without an end, each of which leaves something.
        "madrpc.register('f', () => 1); const again = () => Promise.resolve().then(again); again();",
    ] {
        let error = told(large);
        assert!(error.contains("--memory-limit"), "{large}: {error}");
    }
}

#[test]
fn names_are_checked_where_they_are_registered() {
    let register = |name: &str| functions(&format!("madrpc.register({name}, () => 1);"));
    assert_eq!(register("'x'.repeat(256)").unwrap(), ["x".repeat(256)]);
    assert_eq!(register("'é'.repeat(128)").unwrap(), ["é".repeat(128)]);
    for (name, told) in [
        (
            "'x'.repeat(257)",
            "a name of 257 bytes, and none has more than 256: xxxx",
        ),
        ("'é'.repeat(129)", "a name of 258 bytes"),
        (r"'a\ud800b'", "a lone surrogate in the name: a\u{fffd}b"),
        ("''", "a string with a character or more"),
        ("'madrpc.x'", "reserved"),
        ("7", "a string with a character or more"),
    ] {
        let error = register(name).unwrap_err();
        assert!(error.starts_with("script s.js:1:"), "{name}: {error}");
        assert!(error.contains(told), "{name}: {error}");
    }
}

#[test]
fn files_are_read_as_editors_and_systems_write_them() {
    let script = "madrpc.register('f', () => ['a\0b'.length, 'a\0b'.charCodeAt(1), `\0`.length, /\0/.test('\0')]); // \0";
    for source in [
        script.to_owned(),
        format!("\u{feff}{script}"),
        format!("#!/usr/bin/env madrpc\n{script}"),
        format!("\u{feff}#!/usr/bin/env madrpc\r\n{script}\r\n"),
    ] {
        assert_eq!(first(&source), "[3,0,1,true]", "{source:?}");
    }
    let error = functions("madrpc\0.register('f', () => 1);").unwrap_err();
    assert!(error.starts_with("script s.js:1:"), "{error}");
    assert!(error.contains("SyntaxError"), "{error}");
}
