//! What kernels may take: of memory, of the compiler's time, of the core.

use super::super::lane::{Lane, Loaded, Loading};
use super::super::{LaneConfig, Preemption};
use super::compiler::NICENESS;
use super::table::KERNELS_MAX;
use super::tests::{ADD, LONG, call, config, json, load, said, script};
use madrpc_core::value::Value;
use std::fs::{read_dir, read_to_string};
use std::time::Instant;

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
    let kinds = "Int8Array Uint8Array Uint8ClampedArray Int16Array Uint16Array Int32Array Uint32Array Float32Array Float64Array";
    let kernels = "const pair = madrpc.kernel(function pair(a, b) { return a[0] + b[0]; });";
    let body = format!(
        "const kinds = '{kinds}'.split(' ').map((name) => globalThis[name]);
         for (const A of kinds) for (const B of kinds) pair(new A(1), new B(1));"
    );
    let words = said(kernels, &body);
    assert!(
        words.starts_with("TypeError: kernel pair: called with more than 32"),
        "{words}"
    );
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
