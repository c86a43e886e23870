//! That the core is given back in the middle of what the host does with the values of a call, however large one of them is.

use crate::engine::{Lane, LaneConfig, Progress, Script, preempt};
use bytes::Bytes;
use madrpc_core::value::Value;
use std::time::{Duration, Instant};

const SLICE: Duration = Duration::from_micros(200);

/// So long nobody is held up by much, even where this is built without optimisation.
const SHORT: Duration = Duration::from_millis(10);

/// What the present thread has had of the processor: how busy the machine is does not matter.
fn cpu_time() -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: it writes to `time`.
    let done = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    assert_eq!(done, 0);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Runs the function; no slice may have had much of the time.
fn assert_sliced(body: &str, argument: &Value) {
    assert_sliced_in(body, argument, 8);
}

/// The same, of which no slice may have had as much as that part.
fn assert_sliced_in(body: &str, argument: &Value, parts: u32) {
    let config = LaneConfig {
        memory_bytes: 1 << 30,
        ..LaneConfig::default()
    };
    let source = format!("madrpc.register('f', (value) => {{ {body} }});");
    let (mut lane, _) = Lane::load(&Script::new("test.js", &source), "", &config).unwrap();
    let mut bytes = Vec::new();
    argument.encode(&mut bytes, usize::MAX).unwrap();
    lane.assign(
        0,
        &Bytes::from(bytes),
        Instant::now() + Duration::from_secs(60),
    );
    let begun = cpu_time();
    let (mut longest, mut end) = (Duration::ZERO, begun);
    loop {
        let before = end;
        let progress = lane.resume(Instant::now(), SLICE);
        end = cpu_time();
        longest = longest.max(end - before);
        if let Progress::Done(_) = progress {
            break;
        }
    }
    let all = end - begun;
    assert!(
        longest < SHORT || longest * parts < all,
        "{body}: {longest:?} of {all:?} in one slice"
    );
}

#[test]
fn no_text_of_a_call_is_looked_at_in_one_go() {
    if preempt::set_up().is_err() {
        return;
    }
    for body in [
        r"throw new Error('\ud800'.repeat(9e6));",
        r"throw Object.assign(new Error(), { name: '\ud800'.repeat(9e6), stack: 'é'.repeat(9e6) });",
        "throw Symbol('é'.repeat(9e6));",
        r"const e = new Error('\ud800'.repeat(9e6)); for (let i = 0; i < 20; i++) Promise.reject(e);",
        "throw new Error('é'.repeat(3e7));",
        r"const name = '\ud800'.repeat(9e6); for (let i = 0; i < 20; i++) try { madrpc.callSync(name); } catch {}",
        r"return '\ud800'.repeat(15e6);",
        "class A {}; Object.defineProperty(A, 'name', { value: 'é'.repeat(2e7) }); return new A();",
    ] {
        assert_sliced(body, &Value::Null);
    }
}

#[test]
fn no_key_is_written_or_read_in_one_go() {
    if preempt::set_up().is_err() {
        return;
    }
    for body in [
        "return { ['x'.repeat(6e7)]: 1 };",
        r"return { ['\ud800'.repeat(15e6)]: 1 };",
        "return { ['é'.repeat(2e7)]: () => 1 };",
    ] {
        assert_sliced(body, &Value::Null);
    }
    for key in ["x".repeat(60_000_000), "é".repeat(30_000_000)] {
        assert_sliced("return 1;", &Value::object([(key.as_str(), Value::Null)]));
    }
}

#[test]
fn what_has_very_many_parts_is_not_made_in_one_go() {
    if preempt::set_up().is_err() {
        return;
    }
    let keys: Vec<_> = (0..1_000_000).map(|key| format!("key {key}")).collect();
    let entries = keys.iter().map(|key| (key.as_str(), Value::Null));
    let inner = || Value::object([("a", Value::Array(Vec::new()))]);
    for argument in [
        Value::Array((0..4_000_000).map(Value::Integer).collect()),
        Value::object(entries),
        Value::Array((0..600_000).map(|_| inner()).collect()),
    ] {
        assert_sliced_in("return 1;", &argument, 40);
    }
}

/// What is written in parts is what was there.
#[test]
fn long_keys_arrive_as_they_are() {
    let source =
        "madrpc.register('f', (value) => ({ ...value, ['a\\ud800é漢🦀'.repeat(70000)]: 'end' }));";
    let (mut lane, _) =
        Lane::load(&Script::new("test.js", source), "", &LaneConfig::default()).unwrap();
    for length in [1, 32, 33, 4096, 4097, 524_288, 700_000] {
        let entries =
            ["k", "é", "漢"].map(|key| (key.repeat(length), Value::Integer(length as i64)));
        let argument = Value::Object(entries.to_vec());
        let mut bytes = Vec::new();
        argument.encode(&mut bytes, usize::MAX).unwrap();
        lane.assign(0, &bytes, Instant::now() + Duration::from_secs(60));
        loop {
            match lane.resume(Instant::now(), Duration::from_millis(1)) {
                Progress::Done(done) => break done.unwrap(),
                Progress::Running | Progress::Waiting => {}
            }
        }
        let long = "a\u{fffd}é漢🦀".repeat(70_000);
        let expected = [&entries[..], &[(long, Value::String("end".into()))]].concat();
        lane.with_output(|bytes| {
            assert!(
                Value::decode(bytes) == Ok(Value::Object(expected)),
                "{length}"
            );
        });
    }
}
