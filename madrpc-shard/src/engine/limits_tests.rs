use super::*;
use crate::engine::{Lane, Options, Progress, Script, ScriptError};
use madrpc_core::value::Value;

const SLICE: Duration = Duration::from_micros(500);

fn load(source: &str, config: &LaneConfig) -> Result<Lane, ScriptError> {
    Lane::load(&Script::new("test.js", source), "", config).map(|(lane, _)| lane)
}

fn call(lane: &mut Lane, function: usize) -> Result<Value, CallError> {
    lane.assign(function, &[], Instant::now() + Duration::from_secs(10));
    loop {
        match lane.resume(Instant::now(), SLICE) {
            Progress::Done(result) => {
                return lane.value_of(result);
            }
            Progress::Waiting => panic!("nothing to wait for"),
            Progress::Running => {}
        }
    }
}

fn options_of(options: &str) -> Result<Options, String> {
    let source = format!("\n  madrpc.register('f', () => 1, {options});");
    let functions = Script::new("test.js", &source).registrations(&LaneConfig::default());
    functions
        .map(|functions| functions[0].options)
        .map_err(|error| error.message)
}

#[test]
fn options_are_read() {
    assert_eq!(options_of("undefined"), Ok(Options::default()));
    assert_eq!(options_of("{}"), Ok(Options::default()));
    let all = "{ idempotent: true, isolate: true, timeoutMs: 5000, cpuMs: 20, memoryMb: 2, stackKb: 64, bodyKb: 3, \
               queue: 7, maxConcurrent: 2, rate: 50, burst: 5 }";
    let expected = Options {
        idempotent: true,
        isolate: true,
        timeout: Some(Duration::from_secs(5)),
        cpu: Some(Duration::from_millis(20)),
        memory_bytes: Some(2 << 20),
        stack_bytes: Some(64 << 10),
        body_bytes: Some(3 << 10),
        queue_max: Some(7),
        max_concurrent: Some(2),
        rate: Some(50),
        burst: Some(5),
    };
    assert_eq!(options_of(all), Ok(expected));
    let some = "{ timeoutMs: undefined, idempotent: false, memoryMb: 1 }";
    let expected = Options {
        memory_bytes: Some(1 << 20),
        ..Options::default()
    };
    assert_eq!(options_of(some), Ok(expected));
}

#[test]
fn options_that_make_no_sense_are_refused_with_their_place() {
    for (options, words) in [
        (
            "{ timeoutMS: 1 }",
            r#"no option "timeoutMS"; did you mean timeoutMs?"#,
        ),
        ("{ timeout: 1 }", "did you mean timeoutMs?"),
        ("{ idempotant: true }", "did you mean idempotent?"),
        ("{ memory: 1 }", "did you mean memoryMb?"),
        (
            "{ priority: 1 }",
            "there are: idempotent, isolate, timeoutMs, cpuMs, memoryMb, stackKb, bodyKb, queue",
        ),
        ("{ isolate: 1 }", "isolate must be true or false, not 1"),
        (
            "{ idempotent: null }",
            "idempotent must be true or false, not an object",
        ),
        (
            "{ timeoutMs: 0 }",
            "timeoutMs must be a whole number from 1 to 86400000, not 0",
        ),
        ("{ timeoutMs: NaN }", "not NaN"),
        (
            "{ cpuMs: '5' }",
            r#"cpuMs must be a whole number from 1 to 86400000, not "5""#,
        ),
        ("{ cpuMs: 0.5 }", "not 0.5"),
        ("{ memoryMb: 4097 }", "from 1 to 4096, not 4097"),
        ("{ memoryMb: 5n }", "not 5"),
        ("{ isolate: Symbol('x') }", "not Symbol(x)"),
        ("null", "its options must be an object"),
        ("[]", "its options must be an object"),
        ("5", "its options must be an object"),
    ] {
        let refusal = options_of(options).unwrap_err();
        assert!(
            refusal.starts_with("script test.js:2:"),
            "{options}: {refusal}"
        );
        assert!(refusal.contains(words), "{options}: {refusal}");
        assert!(refusal.contains("\"f\""), "{options}: {refusal}");
    }
}

#[test]
fn a_function_has_its_own_limits_or_those_of_the_lane() {
    let config = LaneConfig {
        cpu: Duration::from_millis(30),
        memory_bytes: 3 << 20,
        ..LaneConfig::default()
    };
    let own = "{ cpuMs: 60, memoryMb: 9 }";
    let source = format!(
        "madrpc.register('spin', () => {{ for (;;) {{}} }});
         madrpc.register('spinOwn', () => {{ for (;;) {{}} }}, {own});
         madrpc.register('take', () => new ArrayBuffer(6e6));
         madrpc.register('takeOwn', () => new ArrayBuffer(6e6).byteLength, {own});"
    );
    for (function, limit) in [(0, "limit is 30 ms"), (1, "limit is 60 ms")] {
        let mut lane = load(&source, &config).unwrap();
        let error = call(&mut lane, function).unwrap_err();
        assert_eq!(error.kind, ErrorKind::CpuLimit);
        assert!(error.message.contains(limit), "{error}");
        assert!(lane.is_spoilt());
    }
    let mut lane = load(&source, &config).unwrap();
    let error = call(&mut lane, 2).unwrap_err();
    assert_eq!(error.kind, ErrorKind::MemoryLimit);
    assert!(
        error
            .message
            .contains("asked for 5.7 MiB more; its limit is 3 MiB"),
        "{error}"
    );
    let mut lane = load(&source, &config).unwrap();
    assert_eq!(call(&mut lane, 3), Ok(Value::Integer(6_000_000)));
    assert!(!lane.is_spoilt());
    assert!(lane.heap_peak_bytes() > 6_000_000);
}

#[test]
fn a_script_cannot_swallow_the_end_of_its_memory() {
    let config = LaneConfig {
        memory_bytes: 2 << 20,
        ..LaneConfig::default()
    };
    let source = "madrpc.register('once', () => { try { new ArrayBuffer(1e8); } catch {} return 'all is well'; });
         madrpc.register('async', async () => { try { new ArrayBuffer(1e8); } catch {} await null; return 'still'; });
         madrpc.register('forever', () => { for (;;) { try { new ArrayBuffer(1e8); } catch {} } });
         madrpc.register('one', () => 1);";
    for function in 0..3 {
        let mut lane = load(source, &config).unwrap();
        assert_eq!(call(&mut lane, 3), Ok(Value::Integer(1)));
        let error = call(&mut lane, function).unwrap_err();
        assert_eq!(
            error.kind,
            ErrorKind::MemoryLimit,
            "function {function}: {error}"
        );
        assert!(lane.is_spoilt());
    }
}

#[test]
fn garbage_with_cycles_is_collected_before_memory_runs_out() {
    let config = LaneConfig {
        memory_bytes: 4 << 20,
        ..LaneConfig::default()
    };
    let source = |held: usize| {
        format!(
            "madrpc.register('f', () => {{
                const held = Array.from({{ length: {held} }}, () => new Uint8Array(10_000));
                for (let n = 0; n < 20_000; n++) {{ const a = {{ bytes: new Uint8Array(1000) }}; a.a = a; }}
                return held.length;
            }});"
        )
    };
    for held in [0, 40, 80, 120, 160, 200, 240, 280, 320, 340] {
        let mut lane = load(&source(held), &config).unwrap();
        for _ in 0..2 {
            let result = call(&mut lane, 0);
            assert_eq!(result, Ok(Value::Integer(held as i64)), "{held}0 KB held");
        }
    }
    let error = call(&mut load(&source(430), &config).unwrap(), 0).unwrap_err();
    assert_eq!(error.kind, ErrorKind::MemoryLimit);
}

#[test]
fn a_script_that_needs_more_memory_than_it_has_does_not_load() {
    let config = LaneConfig {
        memory_bytes: 2 << 20,
        ..LaneConfig::default()
    };
    let source = "const big = new Uint8Array(3e6); madrpc.register('f', () => big.length);";
    let error = load(source, &config).err().unwrap();
    assert!(error.message.contains("while it loads"), "{error}");
    assert!(error.message.contains("limit is 2 MiB"), "{error}");
    assert!(load(source, &LaneConfig::default()).is_ok());
}

#[test]
fn a_lane_that_is_worn_says_so() {
    let mut lane = load(
        "const kept = [];
         madrpc.register('keep', () => kept.push(new Uint8Array(1e6)));
         madrpc.register('cycle', () => { const a = [new Uint8Array(3e6)]; a.push(a); });
         madrpc.register('alone', () => 1, { isolate: true });
         madrpc.register('throw', () => { throw new Error('as any'); });",
        &LaneConfig {
            memory_bytes: 4 << 20,
            recycle_after: Some(8),
            ..LaneConfig::default()
        },
    )
    .unwrap();
    let mut wears = |function: usize| {
        let _ = call(&mut lane, function);
        lane.is_spoilt()
    };
    assert!(!wears(3), "an exception is nothing unusual");
    assert!(wears(2), "isolated");
    assert!(!wears(1), "garbage is collected");
    assert!(!wears(0) && !wears(0), "one and two megabytes of two");
    assert!(wears(0), "three megabytes");
    assert!(wears(3), "it stays so");
    assert!(wears(3), "the eighth call");
}

#[test]
fn bytes_are_shown_as_people_count_them() {
    let shown =
        [0, 1023, 1024, 5000, 1 << 20, (3 << 20) + (1 << 19)].map(|bytes| Mib(bytes).to_string());
    assert_eq!(
        shown,
        [
            "0 bytes",
            "1023 bytes",
            "1 KiB",
            "4 KiB",
            "1 MiB",
            "3.5 MiB"
        ]
    );
}
