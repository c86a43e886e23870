use crate::engine::lane::{Lane, Progress};
use crate::engine::{LaneConfig, Preemption, Script, ScriptError};
use madrpc_core::call::{CallError, ErrorKind};
use madrpc_core::value::Value;
use std::time::{Duration, Instant};

const SLICE: Duration = Duration::from_micros(500);
const LONG: Duration = Duration::from_secs(20);

fn load_with(source: &str, config: &LaneConfig) -> Result<Lane, ScriptError> {
    Lane::load(&Script::new("test.js", source), "", config).map(|(lane, _)| lane)
}

fn load(source: &str) -> Lane {
    load_with(source, &LaneConfig::default()).unwrap_or_else(|error| panic!("{source}: {error}"))
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

fn call(lane: &mut Lane, function: usize, timeout: Duration) -> (Result<Value, CallError>, usize) {
    lane.assign(function, &[0_u8; 0], Instant::now() + timeout);
    finish(lane)
}

/// JavaScript that gives the bytes of a module.
fn bytes(wat: &str) -> String {
    let wasm = wat::parse_str(wat).unwrap_or_else(|error| panic!("{wat}: {error}"));
    format!("new Uint8Array({wasm:?})")
}

/// JavaScript with `bytes`, and `make(imports)` for an instance's exports.
fn module(wat: &str) -> String {
    format!(
        "const bytes = {};
         const module = new WebAssembly.Module(bytes);
         const make = (imports) => new WebAssembly.Instance(module, imports).exports;\n",
        bytes(wat)
    )
}

/// A script whose only function has this body.
fn script(head: &str, body: &str) -> String {
    format!("{head}\nmadrpc.register('f', async () => {{ {body} }});")
}

fn run(head: &str, body: &str) -> Result<Value, CallError> {
    call(&mut load(&script(head, body)), 0, LONG).0
}

/// What a function's body gives, as JSON.
fn json(head: &str, body: &str) -> String {
    let body = format!("return JSON.stringify(await (async () => {{ {body} }})());");
    match run(head, &body).unwrap_or_else(|error| panic!("{body}: {error}")) {
        Value::String(text) => text,
        other => format!("{other:?}"),
    }
}

/// What it throws.
fn said(head: &str, body: &str) -> String {
    let error = run(head, body).expect_err(body);
    let exception = error
        .exception
        .unwrap_or_else(|| panic!("{body}: {}", error.message));
    format!("{}: {}", exception.name, exception.message)
}

const ADD: &str = r#"(module
    (func (export "add") (param i32 i32) (result i32) local.get 0 local.get 1 i32.add)
    (func (export "add64") (param i64 i64) (result i64) local.get 0 local.get 1 i64.add)
    (func (export "half") (param f32) (result f32) local.get 0 f32.const 0.5 f32.mul)
    (func (export "root") (param f64) (result f64) local.get 0 f64.sqrt)
    (func (export "two") (param i32) (result i32 i64) local.get 0 i64.const -1)
    (func (export "none")))"#;

const LOOP: &str = r#"(module (func (export "spin") (loop br 0))
    (func $deep (export "deep") (param i32) (result i32) local.get 0 i32.const 1 i32.add call $deep i32.const 1 i32.add))"#;

const MEMORY: &str = r#"(module (memory (export "memory") 1)
    (func (export "grow") (param i32) (result i32) local.get 0 memory.grow)
    (func (export "load") (param i32) (result i32) local.get 0 i32.load8_u)
    (func (export "store") (param i32 i32) local.get 0 local.get 1 i32.store8)
    (func (export "fill") (param i32 i32 i32) local.get 0 local.get 1 local.get 2 memory.fill)
    (func (export "copy") (param i32 i32 i32) local.get 0 local.get 1 local.get 2 memory.copy))"#;

mod bounds;
mod language;
