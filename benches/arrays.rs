//! Arrays: what many bytes cost on the way into a lane, through a kernel and out again, against plain copies of them in the same
//! run. And what it costs a script to call a kernel, against a function of its own.
//!
//! A body as it came from the network becomes an array of JavaScript's, and the array that a function returns a body as it goes
//! there. Beside each call the same is done by hand: new memory, the bytes copied to it, a pass over them, new memory, the
//! bytes copied again.
//!
//! `cargo bench -p madrpc-benches --bench arrays`
#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

use bytes::Bytes;
use madrpc_core::value::{TypedArray, TypedArrayKind, Value};
use madrpc_shard::engine::{LaneConfig, Script};
use madrpc_shard::internals::OneLane;
use madrpc_shard::runtime::memory::CountingAllocator;
use std::error::Error;
use std::hint::black_box;
use std::time::{Duration, Instant};

// As the command has it.
#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

const SCRIPT: &str = r#"
const scale = madrpc.kernel(function scale(list, by) { for (let i = 0; i < list.length; i++) list[i] *= by; });
const add = madrpc.kernel(function add(a, b) { return a + b; });
function plain(a, b) { return a + b; }
madrpc.register("scaled", (list) => { scale(list, 2); return list; }, { memoryMb: 512 });
madrpc.register("loop", (n) => { let s = 0; for (let i = 0; i < n; i++) s = (s + i) | 0; return s; });
madrpc.register("plain", (n) => { let s = 0; for (let i = 0; i < n; i++) s = plain(s, i) | 0; return s; });
madrpc.register("kernel", (n) => { let s = 0; for (let i = 0; i < n; i++) s = add(s, i) | 0; return s; });
"#;

/// Bytes of an array, and rounds of which the median is told. A lane takes no more than so many times as long as copies of the last:
/// beyond that somebody has copied them once more.
const SIZES: [usize; 4] = [100 << 10, 1 << 20, 8 << 20, 64_000_000];
const RATIO_MAX: f64 = 1.5;
const ROUNDS: usize = 21;

fn main() -> Result<(), Box<dyn Error>> {
    let script = Script::new("arrays.js", SCRIPT);
    let config = LaneConfig {
        memory_bytes: 512 << 20,
        ..LaneConfig::default()
    };
    let mut lane = OneLane::new(&script, &config)?;
    let ratio = arrays(&mut lane)?;
    calls(&mut lane)?;
    match ratio <= RATIO_MAX {
        true => Ok(()),
        false => Err(format!("a ratio of {ratio:.2}, and {RATIO_MAX} is the most").into()),
    }
}

/// The ratio of the last.
fn arrays(lane: &mut OneLane) -> Result<f64, Box<dyn Error>> {
    let mut ratio = f64::NAN;
    println!(
        "{:>10} {:>12} {:>12} {:>6}",
        "bytes", "lane us", "copies us", "ratio"
    );
    for bytes in SIZES {
        let array = TypedArray::new(TypedArrayKind::Float64, one(bytes / 8))?;
        let body = encoded(&Value::TypedArray(array))?;
        let expected = copy_scaled(&body);
        let (mut calls, mut copies) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let begun = Instant::now();
            let ended = lane.call(0, &body, Duration::from_secs(30))?;
            let result = ended.result?;
            calls.push(begun.elapsed());
            // A figure of other bytes is no figure.
            if result != expected {
                return Err("the result is not what was sent, scaled".into());
            }
            drop(result);
            let begun = Instant::now();
            let copied = copy_scaled(&body);
            copies.push(begun.elapsed());
            drop(black_box(copied));
        }
        let [calls, copies] = [calls, copies].map(median_us);
        ratio = calls / copies;
        println!("{bytes:>10} {calls:>12.0} {copies:>12.0} {ratio:>6.2}");
    }
    Ok(ratio)
}

/// So many ones.
fn one(count: usize) -> Vec<u8> {
    1_f64.to_le_bytes().repeat(count)
}

fn encoded(value: &Value) -> Result<Bytes, Box<dyn Error>> {
    let mut body = Vec::new();
    value.encode(&mut body, usize::MAX)?;
    Ok(body.into())
}

/// What the lane does, by hand: the numbers are what is left of the body in whole eights, at its end.
fn copy_scaled(body: &[u8]) -> Vec<u8> {
    let mut copied = copy(body);
    let head = copied.len() % 8;
    for number in copied[head..].chunks_exact_mut(8) {
        let scaled = number.try_into().map_or(0.0, f64::from_le_bytes) * 2.0;
        number.copy_from_slice(&scaled.to_le_bytes());
    }
    copy(&copied)
}

fn copy(bytes: &[u8]) -> Vec<u8> {
    black_box(black_box(bytes).to_vec())
}

const CALLS: i64 = 1_000_000;

fn calls(lane: &mut OneLane) -> Result<(), Box<dyn Error>> {
    let arguments = encoded(&Value::Integer(CALLS))?;
    let mut median_ns = |function: usize| {
        let mut times = Vec::new();
        for _ in 0..ROUNDS {
            let begun = Instant::now();
            lane.call(function, &arguments, Duration::from_secs(60))?
                .result?;
            times.push(begun.elapsed());
        }
        Ok::<_, Box<dyn Error>>(median_us(times) * 1e3 / CALLS as f64)
    };
    let [turn, plain, kernel] = [median_ns(1)?, median_ns(2)?, median_ns(3)?];
    println!(
        "a turn of a loop {turn:.1} ns; with a call of a function {plain:.1}, of a kernel {kernel:.1}"
    );
    Ok(())
}

fn median_us(mut times: Vec<Duration>) -> f64 {
    times.sort();
    times[times.len() / 2].as_secs_f64() * 1e6
}
