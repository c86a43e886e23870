//! Calls of one client to one node: what a function is given, what it returns, and how it fails.
//!
//! Setup: a node of one shard with two lanes in this process, over real sockets and mutual TLS.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "that is how a test fails"
)]

mod support;

use madrpc_core::call::ErrorKind;
use madrpc_core::value::{BigInteger, TypedArray, Value};
use std::time::{Duration, Instant};
use support::Fleet;

const SCRIPT: &str = r#"
madrpc.register("echo", (value) => value);
madrpc.register("add", ([a, b]) => a + b);
madrpc.register("fail", () => { throw new TypeError("no good"); });
madrpc.register("throwText", () => { throw "just text"; });
madrpc.register("spin", () => { for (;;) {} });
madrpc.register("swallow", () => { for (;;) { try { for (;;) {} } catch {} finally { continue; } } });
madrpc.register("later", async (value) => { await null; return value + 1; });
madrpc.register("reject", async () => { throw new RangeError("later"); });
madrpc.register("never", () => new Promise(() => {}));
madrpc.register("deep", () => { const down = () => down() + 1; return down(); });
madrpc.register("bomb", () => { const all = []; for (;;) all.push(new Array(10000).fill(1)); });
madrpc.register("cycle", () => { const a = {}; a.a = a; return a; });
madrpc.register("map", () => new Map());
madrpc.register("nothing", () => {});
madrpc.register("typeOf", (value) => Object.prototype.toString.call(value));
madrpc.register("lone", () => ["a\ud800b", { "\udc00": 1 }]);
madrpc.register("proto", (value) => Object.getPrototypeOf(value) === Object.prototype);
madrpc.register("fill", (bytes) => "x".repeat(bytes));
let count = 0;
madrpc.register("count", () => ++count);
"#;

#[test]
fn typed_calls_return_typed_results() {
    let fleet = Fleet::new();
    let node = fleet.node(SCRIPT);
    let client = fleet.client(node.address());
    let sum: i64 = client.call_blocking("add", &(2, 40)).unwrap();
    assert_eq!(sum, 42);
    let text: String = client.call_blocking("echo", "grüß dich 🦀").unwrap();
    assert_eq!(text, "grüß dich 🦀");
    let later: f64 = client.call_blocking("later", &1.5).unwrap();
    assert_eq!(later, 2.5);
    let () = client.call_blocking("nothing", &()).unwrap();
}

#[test]
fn every_kind_of_value_comes_back_as_it_went() {
    let fleet = Fleet::new();
    let node = fleet.node(SCRIPT);
    let client = fleet.client(node.address());
    let values = [
        (Value::Undefined, "[object Undefined]"),
        (Value::Null, "[object Null]"),
        (Value::Bool(true), "[object Boolean]"),
        (Value::Integer(-7), "[object Number]"),
        (Value::Integer(1 << 53), "[object Number]"),
        (Value::Float(0.1), "[object Number]"),
        (Value::Float(f64::INFINITY), "[object Number]"),
        (Value::Float(-0.0), "[object Number]"),
        (
            Value::BigInteger(BigInteger::from(-(1i128 << 90))),
            "[object BigInt]",
        ),
        (Value::String("\u{0}a\u{10ffff}".into()), "[object String]"),
        (Value::Bytes(vec![0, 255, 7]), "[object ArrayBuffer]"),
        (
            Value::TypedArray(TypedArray::from(&[1.5f64, -2.0][..])),
            "[object Float64Array]",
        ),
        (
            Value::TypedArray(TypedArray::from(&[u64::MAX][..])),
            "[object BigUint64Array]",
        ),
        (Value::Date(1_700_000_000_123.0), "[object Date]"),
        (
            Value::Array(vec![Value::Integer(1), Value::Undefined, Value::Null]),
            "[object Array]",
        ),
        (
            Value::object([
                ("z", Value::Integer(1)),
                ("__proto__", Value::Null),
                ("a", Value::Array(vec![])),
            ]),
            "[object Object]",
        ),
    ];
    for (value, class) in values {
        let reply = client.prepare("echo").send_blocking(value.clone()).unwrap();
        assert_eq!(reply.result, value);
        let reply = client.prepare("typeOf").send_blocking(value).unwrap();
        assert_eq!(reply.result.as_str(), Some(class));
    }
}

/// Keys are remembered by the lane, in few places: they are told apart whatever was there before.
#[test]
fn keys_come_back_as_they_went_whichever_came_before() {
    let fleet = Fleet::new();
    let node = fleet.node(SCRIPT);
    let client = fleet.client(node.address());
    // The bytes of the second are the letters of the first, where each byte is a letter.
    let odd = ["Ã©", "é", "", "0", "-1", "__proto__", "length", "漢字"];
    let long = "k".repeat(10_000);
    let many = (0..500).map(|number| format!("key{}", number * 7));
    let keys: Vec<String> = odd
        .map(String::from)
        .into_iter()
        .chain([long])
        .chain(many)
        .collect();
    for round in 0..3 {
        for some in keys.chunks(6) {
            // JavaScript has whole numbers first.
            let mut some: Vec<_> = some.iter().collect();
            some.sort_by_key(|key| key.parse::<u32>().is_err());
            let sent = Value::object(some.iter().map(|key| (key.as_str(), Value::Integer(round))));
            let call = client.prepare("echo").send_blocking(sent.clone()).unwrap();
            assert_eq!(call.result, sent);
            let plain = client.prepare("proto").send_blocking(sent).unwrap();
            assert_eq!(plain.result, Value::Bool(true));
        }
    }
}

#[test]
fn a_surrogate_that_stands_alone_arrives_as_a_replacement_character() {
    let fleet = Fleet::new();
    let node = fleet.node(SCRIPT);
    let client = fleet.client(node.address());
    let lone: Value = client.call_blocking("lone", &()).unwrap();
    let object = Value::object([("\u{fffd}", Value::Integer(1))]);
    assert_eq!(lone, Value::Array(vec!["a\u{fffd}b".into(), object]));
}

#[test]
fn an_exception_has_its_name_message_and_place() {
    let fleet = Fleet::new();
    let node = fleet.node(SCRIPT);
    let client = fleet.client(node.address());
    let error = client.call_blocking::<_, Value>("fail", &()).unwrap_err();
    assert_eq!(error.kind, ErrorKind::JavaScript);
    let exception = error.exception.unwrap();
    assert_eq!(
        (exception.name.as_str(), exception.message.as_str()),
        ("TypeError", "no good")
    );
    assert!(
        exception.stack.contains("test.js:4:"),
        "{}",
        exception.stack
    );
    let error = client.call_blocking::<_, Value>("reject", &()).unwrap_err();
    assert_eq!(error.exception.unwrap().name, "RangeError");
    let error = client
        .call_blocking::<_, Value>("throwText", &())
        .unwrap_err();
    assert_eq!(error.exception.unwrap().message, "just text");
}

#[test]
fn an_unknown_function_certainly_did_not_run_and_the_known_ones_are_named() {
    let fleet = Fleet::new();
    let node = fleet.node(r#"madrpc.register("only", () => 1)"#);
    let client = fleet.client(node.address());
    let error = client
        .call_blocking::<_, Value>("missing", &())
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::NoSuchFunction);
    assert!(!error.may_have_run);
    assert!(
        error.message.contains("`missing`") && error.message.contains("only"),
        "{error}"
    );
}

#[test]
fn an_endless_loop_ends_at_its_deadline_and_its_lane_serves_the_next_call() {
    let fleet = Fleet::new();
    let node = fleet.node(SCRIPT);
    let client = fleet.client(node.address());
    for function in ["spin", "swallow"] {
        // More often than there are lanes, so that each has to serve again.
        for _ in 0..3 {
            let timeout = Duration::from_millis(100);
            let begun = Instant::now();
            let call = client.prepare(function).timeout(timeout);
            let error = call.send_blocking(Value::Undefined).unwrap_err();
            assert_eq!(
                error.kind,
                ErrorKind::DeadlineExceeded,
                "{function}: {error}"
            );
            assert!(begun.elapsed() >= timeout);
        }
        let sum: i64 = client.call_blocking("add", &(1, 1)).unwrap();
        assert_eq!(sum, 2);
    }
}

#[test]
fn tiny_calls_pass_endless_ones_on_the_same_shard() {
    let fleet = Fleet::new();
    let node = fleet.node(SCRIPT);
    let client = fleet.client(node.address());
    std::thread::scope(|scope| {
        let endless = scope.spawn(|| {
            let call = client.prepare("spin").timeout(Duration::from_secs(2));
            call.send_blocking(Value::Undefined).unwrap_err().kind
        });
        std::thread::sleep(Duration::from_millis(100));
        for number in 0..100 {
            let sum: i64 = client.call_blocking("add", &(number, 1)).unwrap();
            assert_eq!(sum, number + 1);
        }
        assert!(
            !endless.is_finished(),
            "the endless call ended before the tiny ones"
        );
        assert_eq!(endless.join().unwrap(), ErrorKind::DeadlineExceeded);
    });
}

#[test]
fn limits_have_their_own_errors_and_leave_the_node_serving() {
    let fleet = Fleet::new();
    let node = fleet.node(SCRIPT);
    let client = fleet.client(node.address());
    let kind = |function: &str| {
        client
            .call_blocking::<_, Value>(function, &())
            .unwrap_err()
            .kind
    };
    for _ in 0..3 {
        assert_eq!(kind("deep"), ErrorKind::StackLimit);
        assert_eq!(kind("bomb"), ErrorKind::MemoryLimit);
        let sum: i64 = client.call_blocking("add", &(1, 1)).unwrap();
        assert_eq!(sum, 2);
    }
}

#[test]
fn results_that_cannot_travel_say_why() {
    let fleet = Fleet::new();
    let node = fleet.node(SCRIPT);
    let client = fleet.client(node.address());
    let message = |function: &str| {
        client
            .call_blocking::<_, Value>(function, &())
            .unwrap_err()
            .message
    };
    assert!(message("cycle").contains("cycle"), "{}", message("cycle"));
    assert!(message("map").contains("Map"), "{}", message("map"));
    assert!(message("never").contains("promise"), "{}", message("never"));
}

#[test]
fn a_dropped_call_is_cancelled_and_frees_its_lane() {
    let fleet = Fleet::new();
    let node = fleet.node(SCRIPT);
    let client = fleet.client(node.address());
    // Both lanes of the node are taken by calls that nobody waits for any more.
    for _ in 0..2 {
        let call = client.prepare("spin").timeout(Duration::from_secs(60));
        let endless = call.send(Value::Undefined);
        let short = async {
            std::thread::sleep(Duration::from_millis(50));
            futures_lite::future::yield_now().await;
        };
        futures_lite::future::block_on(futures_lite::future::or(
            async { drop(endless.await) },
            short,
        ));
    }
    let begun = Instant::now();
    let call = client.prepare("add").timeout(Duration::from_secs(10));
    let args = Value::Array(vec![Value::Integer(1), Value::Integer(2)]);
    assert_eq!(call.send_blocking(args).unwrap().result, Value::Integer(3));
    assert!(begun.elapsed() < Duration::from_secs(5));
}

#[test]
fn a_lane_keeps_its_globals_between_calls() {
    let fleet = Fleet::new();
    let node = fleet.node(SCRIPT);
    let client = fleet.client(node.address());
    let counts: Vec<i64> = (0..10)
        .map(|_| client.call_blocking("count", &()).unwrap())
        .collect();
    assert!(counts.iter().max() > Some(&4), "{counts:?}");
}

#[test]
fn the_bill_names_node_and_shard_and_counts_the_work() {
    let fleet = Fleet::new();
    let node = fleet.node("madrpc.register('work', (n) => { for (let i = 0; i < n; i++); })");
    let client = fleet.client(node.address());
    let bill = |n: i64| {
        client
            .prepare("work")
            .send_blocking(Value::Integer(n))
            .unwrap()
            .bill
    };
    let (little, much) = (bill(1), bill(5_000_000));
    assert_eq!((much.node.as_str(), much.shard), (node.name(), 0));
    assert!(
        little.slices >= 1 && little.slices < much.slices,
        "{little:?}"
    );
    assert!(much.slices > 10, "{much:?}");
    // A slice is half a millisecond at least; the last one may be shorter.
    assert!(much.cpu_us >= u64::from(much.slices - 1) * 500, "{much:?}");
}

#[test]
fn a_call_that_failed_has_its_bill_too() {
    let fleet = Fleet::new();
    let node = fleet.node(SCRIPT);
    let client = fleet.client(node.address());
    let bill = |function: &str| {
        let call = client.prepare(function).timeout(Duration::from_millis(300));
        *call.send_blocking(Value::Null).unwrap_err().bill.unwrap()
    };
    let spin = bill("spin");
    assert_eq!(spin.node, node.name());
    assert!(spin.cpu_us >= 20_000 && spin.slices > 10, "{spin:?}");
    // One slice, and more where the machine takes the core away within it.
    assert!(bill("fail").slices >= 1);
    assert_eq!((bill("missing").slices, bill("missing").cpu_us), (0, 0));
}

#[test]
fn a_thousand_calls_at_once_are_all_answered() {
    let fleet = Fleet::new();
    let node = fleet.node(SCRIPT);
    let client = fleet.client(node.address());
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let client = client.clone();
            scope.spawn(move || {
                for number in 0..1000 {
                    let sum: i64 = client.call_blocking("add", &(thread, number)).unwrap();
                    assert_eq!(sum, thread + number);
                }
            });
        }
    });
}
