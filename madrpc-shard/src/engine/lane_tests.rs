use super::super::limits::JS_STACK_BYTES;
use super::super::stack::is_used_up;
use super::*;
use madrpc_core::value::{TypedArray, TypedArrayKind, Value};

const SLICE: Duration = Duration::from_micros(500);

fn lane(source: &str) -> Lane {
    Lane::load(&Script::new("test.js", source), "", &LaneConfig::default())
        .unwrap()
        .0
}

fn refusal(source: &str) -> ScriptError {
    Lane::load(&Script::new("test.js", source), "", &LaneConfig::default())
        .err()
        .unwrap()
}

fn assign(lane: &mut Lane, function: usize, argument: &Value, timeout: Duration) {
    let mut body = Vec::new();
    argument.encode(&mut body, usize::MAX).unwrap();
    lane.assign(function, &body, Instant::now() + timeout);
}

/// Resumes until the call is over; gives its result and the slices it took.
fn finish(lane: &mut Lane) -> (Result<Value, CallError>, usize) {
    for slices in 1.. {
        if let Progress::Done(result) = lane.resume(Instant::now(), SLICE) {
            return (lane.value_of(result), slices);
        }
    }
    unreachable!()
}

fn call(lane: &mut Lane, function: usize, argument: &Value) -> Result<Value, CallError> {
    assign(lane, function, argument, Duration::from_secs(10));
    finish(lane).0
}

#[test]
fn a_script_says_what_it_registers_in_its_order() {
    let script = Script::new(
        "test.js",
        "for (const name of ['z', 'a']) madrpc.register(name, () => name);",
    );
    assert_eq!(script.functions().unwrap(), ["z", "a"]);
}

#[test]
fn a_script_that_does_not_load_says_where() {
    let error = refusal("madrpc.register('a', () => 1);\n  let = 1;");
    assert!(
        error.message.starts_with("script test.js:2:"),
        "{}",
        error.message
    );
    let error = refusal("\nthrow new RangeError('today');");
    assert!(
        error.message.starts_with("script test.js:2:"),
        "{}",
        error.message
    );
    assert!(
        error.message.ends_with("RangeError: today"),
        "{}",
        error.message
    );
    let error = refusal("await new Promise(() => {});");
    assert!(error.message.contains("promise"), "{}", error.message);
}

#[test]
fn what_cannot_be_registered_is_refused() {
    for (source, words) in [
        ("madrpc.register('', () => 1)", "name must be"),
        ("madrpc.register('a', 1)", "no function"),
        ("madrpc.register('madrpc.a', () => 1)", "reserved"),
        (
            "madrpc.register('a', () => 1); madrpc.register('a', () => 2)",
            "twice",
        ),
        ("1", "registers no function"),
    ] {
        let error = refusal(source);
        assert!(error.message.contains(words), "{source}: {}", error.message);
    }
    let mut lane = lane("madrpc.register('late', () => madrpc.register('b', () => 1))");
    let error = call(&mut lane, 0, &Value::Null).unwrap_err();
    assert!(error.message.contains("while the script loads"), "{error}");
}

#[test]
fn a_long_call_gives_the_core_back_each_slice() {
    let mut lane = lane(
        "madrpc.register('sum', (n) => { let s = 0; for (let i = 0; i < n; i++) s += i % 7; return s; })",
    );
    assign(
        &mut lane,
        0,
        &Value::Integer(3_000_000),
        Duration::from_secs(10),
    );
    let (result, slices) = finish(&mut lane);
    assert_eq!(
        result,
        Ok(Value::Integer((0..3_000_000).map(|i: i64| i % 7).sum()))
    );
    assert!(slices > 10, "{slices} slices");
}

/// The timer tells it when its slice is over: force is for where that does not help.
#[test]
fn a_kernel_gives_the_core_back_by_itself() {
    if !is_forced() {
        return;
    }
    let mut lane = lane(
        "const busy = madrpc.kernel(function busy(n) { let s = 0.5; for (let i = 0; i < n; i++) s = s * 0.999 + i; return s; });
         const once = busy(1);
         madrpc.register('busy', () => busy(1e8) + once);",
    );
    assign(&mut lane, 0, &Value::Null, Duration::from_secs(60));
    let (mut slices, mut forced) = (0, 0);
    while let Progress::Running | Progress::Waiting = lane.resume(Instant::now(), SLICE) {
        slices += 1;
        forced += u32::from(lane.is_stopped);
    }
    assert!(slices > 20, "{slices} slices");
    // Where the system takes the core away in between, it looks as if it had not helped.
    assert!(
        forced < slices / 2,
        "{forced} of {slices} slices were ended by force"
    );
}

/// Of many bytes: the core is given back between the parts, and a call that has to end meanwhile does.
#[test]
fn a_large_array_comes_in_part_by_part() {
    let mut lane = lane(
        "madrpc.register('sum', (a) => a[0] + a[4 << 20] + a[a.length - 1]);
         madrpc.register('back', (a) => a);",
    );
    let mut bytes = vec![0; 16 << 20];
    for (at, byte) in [(0, 1), (4 << 20, 2), ((16 << 20) - 1, 4)] {
        bytes[at] = byte;
    }
    let array = TypedArray::new(TypedArrayKind::Uint8, bytes).unwrap();
    let array = Value::TypedArray(array);
    assign(&mut lane, 0, &array, Duration::from_secs(10));
    let mut slices = 1;
    let result = loop {
        match lane.resume(Instant::now(), Duration::from_nanos(1)) {
            Progress::Done(result) => break lane.value_of(result),
            _ => slices += 1,
        }
    };
    assert_eq!(result, Ok(Value::Integer(7)));
    assert!(slices > 20, "{slices} slices");
    assert!(call(&mut lane, 1, &array) == Ok(array.clone()));
    assign(&mut lane, 0, &array, Duration::from_secs(10));
    assert!(matches!(
        lane.resume(Instant::now(), Duration::from_nanos(1)),
        Progress::Running
    ));
    lane.stop(ErrorKind::Cancelled);
    assert_eq!(finish(&mut lane).0.unwrap_err().kind, ErrorKind::Cancelled);
}

#[test]
fn lanes_suspended_in_the_middle_finish_in_any_order() {
    const SOURCE: &str = "madrpc.register('list', (n) => { const l = []; for (let i = 0; i < n; i++) l.push(i % 10); return l; })";
    let mut lanes: Vec<Lane> = (0..4).map(|_| lane(SOURCE)).collect();
    for lane in &mut lanes {
        assign(lane, 0, &Value::Integer(400_000), Duration::from_secs(10));
        assert!(matches!(
            lane.resume(Instant::now(), SLICE),
            Progress::Running
        ));
    }
    for index in [2, 0, 3, 1] {
        let (result, _) = finish(&mut lanes[index]);
        let Ok(Value::Array(list)) = result else {
            panic!("{result:?}");
        };
        assert!(
            list.iter()
                .enumerate()
                .all(|(at, value)| *value == Value::Integer(at as i64 % 10))
        );
    }
}

/// Jobs of such a call can be left in the queue: the lane is not to be used again.
#[test]
fn a_stopped_call_ends_and_spoils_its_lane() {
    let script = "madrpc.register('spin', () => { for (;;) {} });
         madrpc.register('stubborn', () => { for (;;) { try { for (;;) {} } finally { continue; } } });
         madrpc.register('jobs', () => { const again = () => Promise.resolve().then(again); return again(); });
         madrpc.register('trap', () => { Error.prepareStackTrace = () => 'swallowed'; for (;;) { new Error().stack; } });";
    for function in 0..4 {
        let mut given_up = lane(script);
        assign(
            &mut given_up,
            function,
            &Value::Null,
            Duration::from_secs(60),
        );
        let progress = given_up.resume(Instant::now(), SLICE);
        assert!(matches!(progress, Progress::Running), "{function}");
        given_up.stop(ErrorKind::Cancelled);
        let mut late = lane(script);
        assign(&mut late, function, &Value::Null, Duration::from_millis(20));
        for (mut lane, kind) in [
            (given_up, ErrorKind::Cancelled),
            (late, ErrorKind::DeadlineExceeded),
        ] {
            let error = finish(&mut lane).0.unwrap_err();
            assert_eq!(error.kind, kind, "function {function}");
            assert!(lane.is_spoilt(), "function {function}");
        }
    }
}

#[test]
fn a_lane_can_be_dropped_in_the_middle_of_a_call() {
    let mut lane = lane(
        "madrpc.register('spin', () => { try { for (;;) {} } finally { for (let i = 0; i < 3; i++) ({ i }); } })",
    );
    assign(&mut lane, 0, &Value::Null, Duration::from_secs(60));
    assert!(matches!(
        lane.resume(Instant::now(), SLICE),
        Progress::Running
    ));
    drop(lane);
}

#[test]
fn arguments_that_cannot_be_decoded_did_not_run() {
    let mut lane = lane("madrpc.register('echo', (value) => value)");
    lane.assign(0, &[250, 1, 2], Instant::now() + Duration::from_secs(10));
    let error = finish(&mut lane).0.unwrap_err();
    assert_eq!(error.kind, ErrorKind::BadArguments);
    assert!(!error.may_have_run);
}

#[test]
fn memory_that_runs_out_spoils_the_lane() {
    let mut lane = lane(
        "madrpc.register('bomb', () => { const all = []; for (;;) all.push('x'.repeat(100000) + all.length); })",
    );
    let error = call(&mut lane, 0, &Value::Null).unwrap_err();
    assert_eq!(error.kind, ErrorKind::MemoryLimit, "{error}");
    assert!(lane.is_spoilt());
}

#[test]
fn a_peer_cannot_replace_a_prototype() {
    let mut lane = lane(
        "madrpc.register('look', (value) => [value.x === undefined, Object.keys(value).length])",
    );
    let argument = Value::object([("__proto__", Value::object([("x", Value::Integer(1))]))]);
    let seen = call(&mut lane, 0, &argument);
    assert_eq!(
        seen,
        Ok(Value::Array(vec![Value::Bool(true), Value::Integer(1)]))
    );
}

#[test]
fn a_result_that_a_getter_makes_is_bound_by_the_deadline() {
    let mut lane = lane("madrpc.register('getter', () => ({ get a() { for (;;) {} } }))");
    assign(&mut lane, 0, &Value::Null, Duration::from_millis(20));
    assert_eq!(
        finish(&mut lane).0.unwrap_err().kind,
        ErrorKind::DeadlineExceeded
    );
}

#[test]
fn a_lane_takes_little_heap() {
    let lane = lane("madrpc.register('f', () => 1);");
    let held = lane.exchange.lane.heap.loaded();
    assert!(held > 50_000 && held < 448 << 10, "{held} bytes");
}

#[test]
fn a_lane_keeps_no_large_body() {
    let mut lane = lane(
        "madrpc.register('echo', (value) => value);
         madrpc.register('cycle', () => { const a = { bytes: new Uint8Array(100_000) }; a.a = a; return a; });",
    );
    let large = Value::String("x".repeat(1 << 20));
    assert_eq!(call(&mut lane, 0, &large), Ok(large.clone()));
    // It is found out in the middle of writing it.
    call(&mut lane, 1, &Value::Null).unwrap_err();
    let buffers = [&lane.exchange.input, &lane.exchange.output];
    let kept: usize = buffers
        .map(|kept| kept.take().unwrap().capacity())
        .iter()
        .sum();
    assert!(kept <= 128 << 10, "{kept} bytes");
}

/// What is returned is whole, or refused in words at once: no length is walked that cannot travel.
#[test]
fn an_array_of_any_length_ends_nobody() {
    let mut lane = lane(
        "madrpc.register('vast', (n) => { const a = []; a.length = n; return a; });
         madrpc.register('claims', (n) => new Proxy([1, 2], { get: (a, k) => k === 'length' ? ({ __proto__: null, two: 2, nan: NaN, vast: 2 ** 53, minus: -1, half: 0.5, text: 'x', none: {}, inf: Infinity })[n] : a[k] }));
         madrpc.register('throws', () => new Proxy([], { get() { throw new RangeError('no length'); } }));",
    );
    for length in [2u64.pow(31) - 1, 2u64.pow(31), 2u64.pow(32) - 1] {
        let begun = Instant::now();
        let error = call(&mut lane, 0, &Value::Integer(length as i64)).unwrap_err();
        assert_eq!(error.kind, ErrorKind::PayloadTooLarge, "{length}: {error}");
        assert!(begun.elapsed() < Duration::from_secs(1));
    }
    let claims = |lane: &mut Lane, what: &str| call(lane, 1, &Value::String(what.into()));
    let two = Value::Array(vec![Value::Integer(1), Value::Integer(2)]);
    assert_eq!(claims(&mut lane, "two"), Ok(two));
    for what in ["nan", "minus", "half", "text", "none", "inf"] {
        let error = claims(&mut lane, what).unwrap_err();
        assert!(error.message.contains("length"), "{what}: {error}");
    }
    let error = claims(&mut lane, "vast").unwrap_err();
    assert_eq!(error.kind, ErrorKind::PayloadTooLarge, "{error}");
    let error = call(&mut lane, 2, &Value::Undefined).unwrap_err();
    assert!(error.message.contains("no length"), "{error}");
}

/// Whoever waits while a lane is made waits for a step, not for the lane.
#[test]
fn a_lane_is_made_in_steps() {
    let script = Script::new("test.js", "madrpc.register('same', (x) => x);");
    let mut loading = Loading::begin(&script, "", &LaneConfig::default()).unwrap();
    for steps in 1.. {
        match loading.resume(Instant::now(), Duration::ZERO) {
            Loaded::Not(on) => loading = on,
            Loaded::Ready(mut lane, _) => {
                assert!(steps > 20, "{steps}");
                assert_eq!(
                    call(&mut lane, 0, &Value::Integer(7)),
                    Ok(Value::Integer(7))
                );
                return;
            }
            Loaded::Failed(error) => panic!("{error}"),
        }
    }
}

/// Each keeps the engine busy in one built-in for far longer than a slice.
const LONG_BUILT_INS: &[&str] = &[
    "'x'.repeat(2e5).includes('x'.repeat(1e5) + 'y')",
    "Array.prototype.join.call({ length: 4e9 }, '')",
    "Array.prototype.reverse.call({ length: 4e9, 0: 1 })",
    "[].concat({ length: 4e9, [Symbol.isConcatSpreadable]: true })",
    "(7n ** 370000n).toString()",
    "{ const a = Array.from({ length: 1e5 }, (_, i) => i); for (;;) JSON.stringify(a); }",
    "{ const a = new Uint8Array(20 << 20); for (;;) a.copyWithin(1, 0); }",
    "{ const a = Array.from({ length: 4e5 }, (_, i) => (i * 7919) % 1000003); for (;;) a.slice().sort(); }",
];

/// Whether lanes can be stopped by force in this build.
fn is_forced() -> bool {
    let is_forced = preempt::set_up();
    assert!(
        is_forced.is_ok() || std::env::var_os("ASAN_OPTIONS").is_some(),
        "{is_forced:?}"
    );
    is_forced.is_ok()
}

#[test]
fn a_long_built_in_gives_the_core_back_and_ends_at_its_deadline() {
    if !is_forced() {
        return;
    }
    for built_in in LONG_BUILT_INS {
        let built_in = match built_in.starts_with('{') {
            true => format!("(() => {built_in})()"),
            false => (*built_in).to_owned(),
        };
        let mut lane = lane(&format!("madrpc.register('f', () => {built_in});"));
        assign(&mut lane, 0, &Value::Null, Duration::from_millis(100));
        let (result, slices) = finish(&mut lane);
        let error = result.unwrap_err();
        assert_eq!(error.kind, ErrorKind::DeadlineExceeded, "{built_in}");
        assert!(
            slices > 5 && lane.is_spoilt(),
            "{built_in}: {slices} slices"
        );
        // It is not resumed any more, whoever tries.
        assert!(matches!(
            lane.resume(Instant::now(), SLICE),
            Progress::Done(Err(_))
        ));
    }
}

#[test]
fn a_lane_is_renewed_whatever_it_is_in_the_middle_of() {
    if !is_forced() {
        return;
    }
    let mut lane = lane(
        "globalThis.calls = 0; const held = []; const seen = new Map();
         madrpc.register('state', () => [calls++, held.length, seen.size, typeof URL, Math.random()]);
         madrpc.register('hog', (built_in) => { calls += 100; seen.set({}, 1);
             for (let i = 0; i < 1000; i++) held.push({ i, text: 'x'.repeat(i) });
             const large = new Uint8Array(5 << 20); const f = new Function('return ' + built_in); for (;;) f(large); });
         madrpc.register('deep', (value) => { const f = () => f() + 1; f(); });
         madrpc.register('keys', (value) => { calls += 1; return value; });",
    );
    lane.keep_image();
    assert!(lane.image.is_some());
    let mut random = Vec::new();
    for round in 0..40 {
        let Ok(Value::Array(state)) = call(&mut lane, 0, &Value::Null) else {
            panic!("no state in round {round}");
        };
        assert_eq!(state[0], Value::Integer(0), "round {round}");
        assert_eq!(&state[1..3], [Value::Integer(0), Value::Integer(0)]);
        random.push(state[4].clone());
        match round % 4 {
            0..=1 => {
                let built_in = LONG_BUILT_INS[round % LONG_BUILT_INS.len()];
                let built_in = match built_in.starts_with('{') {
                    true => format!("(() => {built_in})()"),
                    false => built_in.to_owned(),
                };
                assign(
                    &mut lane,
                    1,
                    &Value::String(built_in),
                    Duration::from_millis(15),
                );
                let error = finish(&mut lane).0.unwrap_err();
                assert_eq!(error.kind, ErrorKind::DeadlineExceeded);
            }
            2 => {
                let error = call(&mut lane, 2, &Value::Null).unwrap_err();
                assert_eq!(error.kind, ErrorKind::StackLimit);
            }
            _ => {
                let keys = (0..100).map(|key| (format!("key {round} {key}"), Value::Integer(key)));
                let value = Value::Object(keys.collect());
                assert_eq!(call(&mut lane, 3, &value), Ok(value));
            }
        }
        assert!(lane.renew());
        assert!(!lane.is_spoilt() && lane.is_fresh());
    }
    random.dedup();
    assert_eq!(random.len(), 40, "{random:?}");
    let begun = Instant::now();
    let before = lane.exchange.lane.heap.taken();
    (0..100).for_each(|_| assert!(lane.renew()));
    println!(
        "renewed in {:?}, with {before} bytes",
        begun.elapsed() / 100
    );
    assert_eq!(
        Rc::strong_count(&lane.exchange),
        lane.image.as_ref().map_or(0, Image::counts)
    );
}

#[test]
fn a_stack_that_was_deep_goes_back_while_the_call_waits() {
    let mut lane = lane(
        "const down = (n) => n === 0 ? 0 : 1 + down(n - 1);
        madrpc.register('deep', async () => {
            let last = 0;
            try { for (let n = 100; ; n = (n * 1.2) | 0) last = down(n); } catch { /* As deep as it goes. */ }
            await new Promise((wake) => setTimeout(wake, 10));
            return last > 100 && down(last) === last;
        });",
    );
    assign(&mut lane, 0, &Value::Null, Duration::from_secs(20));
    while !matches!(
        lane.resume(Instant::now(), Duration::from_millis(10)),
        Progress::Waiting
    ) {}
    let is_deep = |lane: &Lane| is_used_up(&lane.exchange, JS_STACK_BYTES);
    assert!(is_deep(&lane));
    lane.give_back_stack();
    assert!(!is_deep(&lane));
    std::thread::sleep(Duration::from_millis(10));
    assert_eq!(finish(&mut lane).0, Ok(Value::Bool(true)));
}
