use super::super::lane::{Lane, Progress};
use super::super::{LaneConfig, Preemption, Script, ScriptError};
use madrpc_core::call::{CallError, ErrorKind};
use madrpc_core::value::Value;
use nix::time::{ClockId, clock_gettime};
use std::time::{Duration, Instant};

const SLICE: Duration = Duration::from_micros(500);
pub(super) const LONG: Duration = Duration::from_secs(20);

pub(super) fn script(source: &str) -> Script {
    Script::new("test.js", source)
}

pub(super) fn config(preemption: Preemption) -> LaneConfig {
    LaneConfig {
        preemption,
        ..LaneConfig::default()
    }
}

pub(super) fn load(source: &str) -> Result<Lane, ScriptError> {
    Lane::load(&script(source), "", &LaneConfig::default()).map(|(lane, _)| lane)
}

/// Resumes until the call is over; gives its result and the slices it took.
fn finish(lane: &mut Lane) -> (Result<Value, CallError>, usize) {
    for slices in 1.. {
        match lane.resume(Instant::now(), SLICE) {
            Progress::Done(result) => return (lane.value_of(result), slices),
            Progress::Running => {}
            Progress::Waiting => {
                let at = lane.wakes_at().expect("something to wait for");
                std::thread::sleep(at.saturating_duration_since(Instant::now()));
            }
        }
    }
    unreachable!()
}

pub(super) fn call(
    lane: &mut Lane,
    function: usize,
    timeout: Duration,
) -> (Result<Value, CallError>, usize) {
    lane.assign(function, &[0_u8; 0], Instant::now() + timeout);
    finish(lane)
}

/// What a function's body gives, where these are kernels.
fn run(kernels: &str, body: &str) -> Result<Value, CallError> {
    let source = format!("{kernels}\nmadrpc.register('f', () => {{ {body} }});");
    let mut lane = load(&source).unwrap_or_else(|error| panic!("{source}: {error}"));
    call(&mut lane, 0, LONG).0
}

/// The same as the text of JSON.
pub(super) fn json(kernels: &str, body: &str) -> String {
    let result = run(
        kernels,
        &format!("return JSON.stringify((() => {{ {body} }})());"),
    );
    match result.unwrap_or_else(|error| panic!("{body}: {error}")) {
        Value::String(text) => text,
        other => format!("{other:?}"),
    }
}

pub(super) fn said(kernels: &str, body: &str) -> String {
    let error = run(kernels, body).unwrap_err();
    let exception = error.exception.unwrap();
    format!("{}: {}", exception.name, exception.message)
}

pub(super) const ADD: &str = "const add = madrpc.kernel(function add(a, b) { return a + b; });";
const SUM: &str = "const sum = madrpc.kernel(function sum(list) { let s = 0; for (let i = 0; i < list.length; i++) s += list[i]; return s; });";
const FILL: &str = "const fill = madrpc.kernel(function fill(list, x) { for (let i = 0; i < list.length; i++) list[i] = x; });";

#[test]
fn a_kernel_is_called_as_any_other_function() {
    let body = "return [add(1, 2), add(0.5, 2), add(1e10, 1), add(2 ** 31 - 1, 1), Object.is(add(-0, -0), -0),
                add(1, NaN) !== add(1, NaN), add(1, 2, 'more'), [1, 2].map((x) => add(x, x)), add.name, add.length, typeof add];";
    assert_eq!(
        json(ADD, body),
        "[3,2.5,10000000001,2147483648,true,true,3,[2,4],\"add\",2,\"function\"]"
    );
    let kernels = "const both = madrpc.kernel(function both(a, b) { return a && !b; });
                   const none = madrpc.kernel(function none() {});";
    assert_eq!(
        json(
            kernels,
            "return [both(true, false), both(true, true), none() === undefined];"
        ),
        "[true,false,true]"
    );
}

#[test]
fn arrays_are_used_in_place() {
    let kernels = &format!("{SUM}{FILL}");
    let body = "const b = new ArrayBuffer(64);
        const all = new Float64Array(b), part = new Float64Array(b, 16, 2);
        fill(part, 1.5);
        const first = [...all];
        const small = new Uint8ClampedArray(3);
        fill(small, 300.5);
        return [first, sum(all), [...small], sum(new Float32Array([0.5, 0.25])), sum(new Int16Array([-1, -2])), sum(new Uint32Array([2 ** 32 - 1]))];";
    assert_eq!(
        json(kernels, body),
        "[[0,0,1.5,1.5,0,0,0,0],3,[255,255,255],0.75,-3,4294967295]"
    );
}

#[test]
fn an_array_is_as_long_as_it_is_at_the_moment() {
    let kernels = "const length = madrpc.kernel(function length(list) { return list.length; });
                   const first = madrpc.kernel(function first(list) { return list[0]; });";
    let body = "const b = new ArrayBuffer(16, { maxByteLength: 64 });
        const tracking = new Uint8Array(b), fixed = new Uint8Array(b, 8, 8), lengths = [];
        const look = () => lengths.push([length(tracking), length(fixed)]);
        look(); b.resize(48); look(); b.resize(12); look(); b.resize(16); look();
        const moved = b.transfer();
        look();
        const shared = new Int32Array(new SharedArrayBuffer(20));
        return [lengths, length(new Uint8Array(moved)), length(shared)];";
    assert_eq!(
        json(kernels, body),
        "[[[16,8],[48,8],[12,0],[16,8],[0,0]],16,5]"
    );
    let detached = "const list = new Float64Array(4); list.buffer.transfer(); return first(list);";
    let words = said(kernels, detached);
    assert!(words.starts_with("RangeError: test.js:2:"), "{words}");
    assert!(
        words.contains("list[0]") && words.contains("0 elements"),
        "{words}"
    );
}

#[test]
fn an_argument_of_no_fitting_kind_is_told() {
    for (body, words) in [
        (
            "add(1)",
            "TypeError: kernel add: argument 2 (b) is undefined, and must be a number or a boolean",
        ),
        ("add('1', 2)", "argument 1 (a) is a string"),
        ("add(1, 2n)", "argument 2 (b) is a BigInt"),
        ("add({}, 2)", "argument 1 (a) is an Object"),
        (
            "add(new Float64Array(2), 2)",
            "argument 1 (a) is a typed array, and must be a number or a boolean",
        ),
        (
            "sum(3)",
            "kernel sum: argument 1 (list) is a number, and must be a typed array of numbers",
        ),
        ("sum([1, 2])", "argument 1 (list) is an Array"),
        (
            "sum(new BigInt64Array(1))",
            "argument 1 (list) is a BigInt64Array",
        ),
        (
            "sum(new DataView(new ArrayBuffer(8)))",
            "argument 1 (list) is a DataView",
        ),
        (
            "sum(new Uint8Array(new Uint8Array(4).buffer.transferToImmutable()))",
            "immutable",
        ),
        ("sum()", "argument 1 (list) is undefined"),
    ] {
        let told = said(&format!("{ADD}{SUM}"), &format!("return {body};"));
        assert!(told.contains(words), "{body}: {told}");
        assert!(told.starts_with("TypeError: "), "{body}: {told}");
    }
}

/// However many parameters there are, and wherever it shows which of them are truth values.
#[test]
fn truth_values_are_known_from_what_they_meet() {
    let kernels = "const f = madrpc.kernel(function f(p0, p1, p2, p3, p4, p5, p6) { let t = p0 < 1; t = p6; return t; });";
    let body = "return [f(0, 0, 0, 0, 0, 0, true), f(0, 0, 0, 0, 0, 0, false)];";
    assert_eq!(json(kernels, body), "[true,false]");
}

#[test]
fn what_is_no_kernel_is_refused_where_it_is_made() {
    for (made, words) in [
        (
            "madrpc.kernel()",
            "what is given must be a function, and is undefined",
        ),
        (
            "madrpc.kernel('x')",
            "what is given must be a function, and is a string",
        ),
        ("madrpc.kernel(Math.sin)", "the function has no text"),
        (
            "madrpc.kernel((function f(a) { return a; }).bind(null))",
            "the function has no text",
        ),
        (
            "madrpc.kernel(madrpc.kernel(function f() {}))",
            "is a kernel already",
        ),
        ("madrpc.kernel(function f() {}, [1])", "and is an array"),
        ("madrpc.kernel(function f() {}, 'x')", "and is a string"),
        (
            "madrpc.kernel(function f() {}, { X: 'x' })",
            "X is a string; numbers, booleans and kernels can be captured",
        ),
        (
            "madrpc.kernel(function f() {}, { g: () => 1 })",
            "g is a function that is no kernel",
        ),
        ("madrpc.kernel((a) => a)", "test.js:2:"),
        (
            "madrpc.kernel(function f(a) { return Math.random(); })",
            "test.js:2:",
        ),
        (
            "madrpc.kernel(function f(a) { return unknown; })",
            "test.js:2:",
        ),
        (
            "madrpc.kernel(new Function('a', `return a${' + 1'.repeat(40000)};`))",
            "bytes of text, and none has more than",
        ),
    ] {
        let source = format!("\n{made};\nmadrpc.register('f', () => 1);");
        let error = load(&source)
            .err()
            .unwrap_or_else(|| panic!("{made} is a kernel"));
        assert!(error.message.contains(words), "{made}: {error}");
        assert!(
            error.message.starts_with("script test.js:2:"),
            "{made}: {error}"
        );
    }
}

#[test]
fn what_is_captured_is_constant_and_kernels_call_each_other() {
    let kernels = "const SCALE = 3;
        const twice = madrpc.kernel(function twice(x) { return x * 2; });
        const scaled = madrpc.kernel(function scaled(x) { return IS_ON ? twice(x) * SCALE : 0; }, { SCALE, IS_ON: true, twice });
        const make = (by) => madrpc.kernel(function times(x) { return x * BY; }, { BY: by });
        const [three, five] = [make(3), make(5)];";
    assert_eq!(
        json(
            kernels,
            "return [scaled(7), three(2), five(2), three(0.5)];"
        ),
        "[42,6,10,1.5]"
    );
}

#[test]
fn an_index_that_is_none_is_a_range_error() {
    let kernels = "const at = madrpc.kernel(function at(list, i) { return list[i]; });
                   const put = madrpc.kernel(function put(list, i) { list[i] = 1; });";
    for body in [
        "at(list, 4)",
        "at(list, -1)",
        "at(list, 0.5)",
        "at(list, NaN)",
        "put(list, 4)",
        "put(list, 1e300)",
    ] {
        let words = said(
            kernels,
            &format!("const list = new Float64Array(4); return {body};"),
        );
        assert!(words.starts_with("RangeError: test.js:"), "{body}: {words}");
        assert!(
            words.contains("out of bounds: the array has 4 elements"),
            "{body}: {words}"
        );
    }
}

#[test]
fn recursion_without_an_end_is_a_range_error() {
    let kernels =
        "const deep = madrpc.kernel(function deep(n) { return n < 1 ? 0 : deep(n + 1) + 1; });";
    let caught = "try { deep(1); } catch (error) { return `${error instanceof RangeError} ${error.message}`; }";
    let words = run(kernels, caught).unwrap();
    assert_eq!(words, Value::from("true Maximum call stack size exceeded"));
    let error = run(kernels, "return deep(1);").unwrap_err();
    assert_eq!(error.kind, ErrorKind::StackLimit, "{error}");
}

#[test]
fn a_renewed_lane_gives_kernels_the_whole_stack_again() {
    let mut lane = load(
        "const deep = madrpc.kernel(function deep(n) { return n < 1 ? 0 : deep(n - 1) + 1; });
         madrpc.register('small', () => 1, { isolate: true, stackKb: 16 });
         madrpc.register('deep', () => deep(2000));",
    )
    .unwrap();
    lane.keep_image();
    assert_eq!(call(&mut lane, 1, LONG).0, Ok(Value::Integer(2000)));
    assert_eq!(call(&mut lane, 0, LONG).0, Ok(Value::Integer(1)));
    assert!(lane.is_spoilt() && lane.renew());
    assert_eq!(call(&mut lane, 1, LONG).0, Ok(Value::Integer(2000)));
}

const ENDLESS: &str = "const spin = madrpc.kernel(function spin(n) { let x = 1; while (x > 0) { x = x % 7 + n; } return x; });
    const busy = madrpc.kernel(function busy(n) { let s = 0.5; for (let i = 0; i < n; i++) s = s * 0.999 + i; return s; });
    madrpc.register('spin', () => spin(1));
    madrpc.register('stubborn', () => { for (;;) { try { spin(1); } catch { continue; } } });
    madrpc.register('busy', () => busy(1e8));";

#[test]
fn a_long_kernel_gives_the_core_back_each_slice() {
    for preemption in [Preemption::Forced, Preemption::Polling] {
        let (mut lane, _) = Lane::load(&script(ENDLESS), "", &config(preemption)).unwrap();
        lane.assign(2, &[0_u8; 0], Instant::now() + LONG);
        let mut slices = Vec::new();
        loop {
            let before = cpu();
            let progress = lane.resume(Instant::now(), SLICE);
            match progress {
                Progress::Running => slices.push(cpu() - before),
                Progress::Waiting => std::thread::yield_now(),
                Progress::Done(result) => break assert!(result.is_ok(), "{result:?}"),
            }
        }
        slices.sort();
        let median = slices.get(slices.len() / 2);
        assert!(
            slices.len() > 10 && median.is_some_and(|median| *median < 4 * SLICE),
            "{preemption:?}: {} slices, {median:?}",
            slices.len()
        );
    }
}

/// What this thread has had of a core: a slice may be longer than it should be where another process has it.
fn cpu() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)
        .unwrap()
        .into()
}

#[test]
fn an_endless_kernel_ends_at_its_deadline_and_when_it_is_stopped() {
    for preemption in [Preemption::Forced, Preemption::Polling] {
        let (mut lane, _) = Lane::load(&script(ENDLESS), "", &config(preemption)).unwrap();
        lane.keep_image();
        for function in [0, 1] {
            let begun = Instant::now();
            let (result, _) = call(&mut lane, function, Duration::from_millis(50));
            assert_eq!(result.unwrap_err().kind, ErrorKind::DeadlineExceeded);
            assert!(begun.elapsed() < Duration::from_secs(5));
            assert!(lane.is_spoilt());
            if !lane.renew() {
                lane = Lane::load(&script(ENDLESS), "", &config(preemption))
                    .unwrap()
                    .0;
            }
            lane.assign(function, &[0_u8; 0], Instant::now() + LONG);
            let mut slices = 0;
            while slices < 5 {
                match lane.resume(Instant::now(), SLICE) {
                    Progress::Running => slices += 1,
                    // For the compiler.
                    Progress::Waiting => std::thread::yield_now(),
                    Progress::Done(ended) => panic!("{ended:?}"),
                }
            }
            lane.stop(ErrorKind::Cancelled);
            assert_eq!(finish(&mut lane).0.unwrap_err().kind, ErrorKind::Cancelled);
            if !lane.renew() {
                lane = Lane::load(&script(ENDLESS), "", &config(preemption))
                    .unwrap()
                    .0;
            }
        }
        let (result, _) = call(&mut lane, 2, LONG);
        assert!(result.is_ok(), "{result:?}");
    }
}

#[test]
fn a_kernel_is_compiled_once_for_all_lanes_of_a_script() {
    let script = script(&format!(
        "{ADD}{SUM} madrpc.register('f', () => add(1, 0.5) + sum(new Int8Array(2)));"
    ));
    let mut lanes = Vec::new();
    for _ in 0..3 {
        let (mut lane, _) = Lane::load(&script, "", &LaneConfig::default()).unwrap();
        assert_eq!(call(&mut lane, 0, LONG).0, Ok(Value::Float(1.5)));
        lanes.push(lane);
    }
    let kernels = script.kernels();
    let told: Vec<_> = kernels
        .iter()
        .map(|kernel| (kernel.name.as_str(), kernel.arguments.join(" ")))
        .collect();
    assert_eq!(
        told,
        [
            ("add", "number number".to_owned()),
            ("sum", "Float64Array".to_owned())
        ]
    );
    assert!(
        kernels
            .iter()
            .all(|kernel| kernel.code_bytes > 0 && kernel.place.starts_with("test.js:1:"))
    );
}

#[test]
fn code_goes_with_its_script() {
    let weak = {
        let script = script(&format!("{ADD} madrpc.register('f', () => add(1, 2));"));
        let (mut lane, _) = Lane::load(&script, "", &LaneConfig::default()).unwrap();
        assert_eq!(call(&mut lane, 0, LONG).0, Ok(Value::Integer(3)));
        let weak = script.kernels.watch();
        drop(script);
        assert!(weak.upgrade().is_some());
        weak
    };
    // The compiler may have the last of it in its hands.
    let until = Instant::now() + LONG;
    while weak.upgrade().is_some() {
        assert!(
            Instant::now() < until,
            "the kernels of a script that is gone are kept"
        );
        std::thread::yield_now();
    }
}
