//! What kernels may take: of memory, of the compiler's time, of the core.

use super::super::lane::{Lane, Loaded, Loading, Progress};
use super::super::{LaneConfig, Preemption};
use super::compiler::NICENESS;
use super::specialisations::SPECIALISATIONS_MAX;
use super::table::KERNELS_MAX;
use super::tests::{ADD, LONG, call, config, json, load, script};
use madrpc_core::call::ErrorKind;
use madrpc_core::value::Value;
use std::fs::{read_dir, read_to_string};
use std::time::{Duration, Instant};

#[test]
fn what_is_captured_is_bounded() {
    let captures = |names: usize, characters: usize| {
        format!(
            "madrpc.kernel(function f() {{ return a0; }}, Object.fromEntries(Array.from({{ length: {names} }}, (_, at) =>
                 ['a' + String(at).padEnd(at && {characters}, '_'), at])));
             madrpc.register('f', () => 1);"
        )
    };
    assert!(load(&captures(64, 254)).is_ok());
    let error = load(&captures(65, 1)).err().unwrap();
    assert!(error.message.contains("65 names"), "{error}");
    let error = load(&captures(64, 260)).err().unwrap();
    assert!(error.message.contains("16384 characters"), "{error}");
    let mut lane = load(
        "const all = Object.fromEntries(Array.from({ length: 150000 }, (_, at) => ['a' + at, at]));
         madrpc.register('f', () => {
             try { madrpc.kernel(function f() { return a0; }, all); } catch (error) { return error.name; }
         });",
    )
    .unwrap();
    for _ in 0..3 {
        assert_eq!(call(&mut lane, 0, LONG).0, Ok(Value::from("RangeError")));
    }
}

#[test]
fn a_script_has_a_bounded_number_of_kernels() {
    let source = format!(
        "for (let i = 0; i <= {KERNELS_MAX}; i++) madrpc.kernel(function f(x) {{ return x + C; }}, {{ C: i }});
         madrpc.register('f', () => 1);"
    );
    let error = load(&source).err().unwrap();
    assert!(error.message.contains("at most 1024 kernels"), "{error}");
    let mut lane = load(
        "const make = (by) => madrpc.kernel(function times(x) { return x * BY; }, { BY: by });
         madrpc.register('f', () => { let s = 0; for (let i = 0; i < 3000; i++) s += make(i % 7)(2); return s; });",
    )
    .unwrap();
    // 428 times 0 to 6, and 0 to 3.
    let sum = 2 * (428 * 21 + 6);
    assert_eq!(call(&mut lane, 0, LONG).0, Ok(Value::Integer(sum)));
}

#[test]
fn kinds_of_arguments_beyond_number_share_their_code() {
    // 2^12 mixtures of whole numbers and others.
    let names: Vec<String> = (0..12).map(|at| format!("p{at}")).collect();
    let kernels = format!(
        "const all = madrpc.kernel(function all({}) {{ return {}; }});",
        names.join(", "),
        names.join(" + ")
    );
    let body = "let s = 0; for (let m = 0; m < 4096; m++) s += all(...Array.from({ length: 12 }, (_, at) => m >> at & 1 ? 0.5 : 1)); return s;";
    // Half of the 12 are 0.5, on average.
    assert_eq!(json(&kernels, body), (4096 * 9).to_string());
}

/// `all` calls a kernel with arrays of all kinds, of which there are more combinations than are kept; `own` with the last of them;
/// `one` calls another kernel with a kind that is new to it.
const PAIR: &str = "const pair = madrpc.kernel(function pair(a, b) { return a[0] + b[0]; });
    const kinds = 'Int8 Uint8 Uint8Clamped Int16 Uint16 Int32 Uint32 Float32 Float64'.split(' ').map((name) => globalThis[name + 'Array']);
    madrpc.register('all', () => {
        let sum = 0;
        for (const A of kinds) for (const B of kinds) sum += pair(A.of(1), B.of(2));
        return sum;
    });
    madrpc.register('own', () => pair(Float64Array.of(0.5), Float64Array.of(0.25)));
    const one = madrpc.kernel(function one(a) { return a[0]; });
    madrpc.register('one', () => one(Int8Array.of(3)));";

#[test]
fn a_caller_with_all_kinds_takes_a_kernel_from_nobody() {
    let script = script(PAIR);
    let load = || Lane::load(&script, "", &LaneConfig::default()).unwrap().0;
    let (mut greedy, mut other) = (load(), load());
    let code_bytes = || script.kernels()[0].code_bytes;
    let of_one = code_bytes();
    for _ in 0..2 {
        assert_eq!(call(&mut greedy, 0, LONG).0, Ok(Value::Integer(81 * 3)));
        assert_eq!(call(&mut other, 1, LONG).0, Ok(Value::Float(0.75)));
        // Kept, and what the lanes have.
        let most = SPECIALISATIONS_MAX + 2;
        assert!(
            code_bytes() < 2 * most * of_one,
            "{} of {of_one}",
            code_bytes()
        );
    }
}

#[test]
fn code_that_no_lane_has_makes_room_for_other() {
    let script = script(PAIR);
    let load = || Lane::load(&script, "", &LaneConfig::default()).unwrap().0;
    let (mut greedy, mut other) = (load(), load());
    assert_eq!(call(&mut greedy, 0, LONG).0, Ok(Value::Integer(81 * 3)));
    // All that there is.
    while script.kernels.held().add(1 << 10) {}
    assert_eq!(call(&mut other, 2, LONG).0, Ok(Value::Integer(3)));
    assert_eq!(call(&mut greedy, 0, LONG).0, Ok(Value::Integer(81 * 3)));
}

#[test]
fn what_is_compiled_for_a_call_counts_as_its_time() {
    // More than the loop itself takes, and less than the compiler.
    let long = "s += a[0] * Math.sqrt(b[0]);".repeat(300);
    let long = format!("let s = 0; {long} return s;");
    let source = PAIR.replace("return a[0] + b[0];", &long);
    let source = source.replacen(
        "return sum;\n    });",
        "return sum;\n    }, { cpuMs: 300 });",
        1,
    );
    let mut lane = load(&source).unwrap();
    let error = call(&mut lane, 0, 10 * LONG).0.unwrap_err();
    assert_eq!(error.kind, ErrorKind::CpuLimit, "{error}");
}

/// While its kernel is compiled, new or for further kinds of arguments: a call ends, and the kernel is there for the next.
#[test]
fn a_call_that_waits_for_the_compiler_ends_when_it_has_to() {
    let long = "y += y * Math.pow(list[0], 2.5);".repeat(400);
    for function in [0, 1] {
        for kind in [ErrorKind::Cancelled, ErrorKind::DeadlineExceeded] {
            let script = script(&format!(
                "const make = (by) => madrpc.kernel(function long(list) {{ let y = BY; {long} return y; }}, {{ BY: by }});
                 const made = make(0);
                 madrpc.register('new', () => make(1)(new Float64Array(1)));
                 madrpc.register('further', () => made(new Int8Array(1)));"
            ));
            let load = || Lane::load(&script, "", &LaneConfig::default()).unwrap().0;
            let mut lane = load();
            let timeout = match kind {
                ErrorKind::Cancelled => LONG,
                _ => Duration::from_millis(20),
            };
            let deadline = Instant::now() + timeout;
            lane.assign(function, &[0_u8; 0], deadline);
            loop {
                match lane.resume(Instant::now(), LONG) {
                    Progress::Waiting => break,
                    Progress::Running => {}
                    Progress::Done(ended) => panic!("{function}: {ended:?}"),
                }
            }
            match kind {
                ErrorKind::Cancelled => lane.stop(kind),
                _ => std::thread::sleep(deadline.saturating_duration_since(Instant::now())),
            }
            let ended = match lane.resume(Instant::now(), LONG) {
                Progress::Done(ended) => lane.value_of(ended),
                _ => panic!("{function}: it goes on, {kind:?}"),
            };
            assert_eq!(ended.unwrap_err().kind, kind);
            let result = call(&mut load(), function, LONG).0;
            assert_eq!(result, Ok(Value::Integer(i64::from(function == 0))));
        }
    }
}

#[test]
fn a_script_that_loads_leaves_the_core_to_the_compiler() {
    let script = script(
        "for (let i = 0; i < 20; i++) {
             madrpc.kernel(new Function('x', `let y = ${i}; ${'y += y * Math.pow(x, 2.5);'.repeat(200)} return y;`));
         }
         madrpc.register('f', () => 1);",
    );
    let mut loading = Loading::begin(&script, "", &LaneConfig::default()).unwrap();
    let mut waits = 0;
    loop {
        match loading.resume(Instant::now(), LONG) {
            Loaded::Not(on) => loading = on,
            Loaded::Ready(..) => break,
            Loaded::Failed(error) => panic!("{error}"),
        }
        if let Some(at) = loading.wakes_at() {
            waits += 1;
            std::thread::sleep(at.saturating_duration_since(Instant::now()));
            assert!(loading.is_due());
        }
    }
    assert!(waits > 10, "{waits}");
}

#[test]
fn the_texts_of_kernels_are_bounded_in_all() {
    let load = |kernels: usize| {
        load(&format!(
            "for (let i = 0; i < {kernels}; i++) {{
                 madrpc.kernel(new Function('x', `/*${{'-'.repeat(60000)}}*/ return x + ${{i}};`));
             }}
             madrpc.register('f', () => 1);"
        ))
    };
    assert!(load(100).is_ok());
    let error = load(300).err().unwrap();
    assert!(error.message.contains("more than 16 MiB"), "{error}");
}

#[test]
fn a_loop_of_calls_of_kernels_without_loops_gives_the_core_back() {
    let text = "s += Math.pow(x, 1.5);".repeat(500);
    let source = format!(
        "const long = madrpc.kernel(function long(x) {{ let s = 0; {text} return s; }});
         madrpc.register('f', () => {{ let s = 0; for (let i = 0; i < 3000; i++) s += long(i + 0.5); return s > 0; }});"
    );
    for preemption in [Preemption::Forced, Preemption::Polling] {
        let (mut lane, _) = Lane::load(&script(&source), "", &config(preemption)).unwrap();
        let (result, slices) = call(&mut lane, 0, LONG);
        assert_eq!(result, Ok(Value::Bool(true)));
        assert!(slices > 10, "{preemption:?}: {slices} slices");
    }
}

#[test]
fn the_compiler_comes_after_the_shards() {
    drop(load(&format!("{ADD} madrpc.register('f', () => 1);")).unwrap());
    let nicenesses = read_dir("/proc/self/task").unwrap().filter_map(|thread| {
        let stat = read_to_string(thread.unwrap().path().join("stat")).ok()?;
        let (_, rest) = stat.split_once("(kernels) ")?;
        rest.split(' ').nth(16)?.parse::<i32>().ok()
    });
    let nicenesses: Vec<_> = nicenesses.collect();
    // Who was told to stand back further cannot come forward.
    assert!(
        !nicenesses.is_empty() && nicenesses.iter().all(|niceness| *niceness >= NICENESS),
        "{nicenesses:?}"
    );
}
