//! Arrays: what many bytes cost on the way into a lane and out of it again, against plain copies of them in the same run.
//!
//! A body as it came from the network becomes an array of JavaScript's, and the array that a function returns a body as it goes
//! there. Beside each call the same is done by hand: new memory, the bytes copied to it, the same pass over them, new
//! memory, the bytes copied again.
//!
//! `cargo bench -p madrpc-benches --bench arrays`
#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

use bytes::Bytes;
use madrpc_core::value::{TypedArray, TypedArrayKind, Value};
use madrpc_shard::engine::{LaneConfig, Preemption, Script};
use madrpc_shard::internals::OneLane;
use madrpc_shard::runtime::memory::CountingAllocator;
use std::error::Error;
use std::hint::black_box;
use std::time::{Duration, Instant};

// As the command has it.
#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

const SCRIPT: &str = r#"
madrpc.register("echo", (array) => array, { memoryMb: 512 });
"#;

/// Bytes of an array, and rounds of which the median is told.
const SIZES: [usize; 4] = [100 << 10, 1 << 20, 8 << 20, 64_000_000];
const ROUNDS: usize = 21;

fn main() -> Result<(), Box<dyn Error>> {
    let script = Script::new("arrays.js", SCRIPT);
    let config = LaneConfig {
        memory_bytes: 512 << 20,
        preemption: Preemption::Polling,
        ..LaneConfig::default()
    };
    let mut lane = OneLane::new(&script, &config)?;
    println!(
        "{:>10} {:>12} {:>12} {:>6}",
        "bytes", "lane us", "copies us", "ratio"
    );
    for bytes in SIZES {
        let array = TypedArray::new(TypedArrayKind::Float64, vec![7; bytes / 8 * 8])?;
        let mut body = Vec::new();
        Value::TypedArray(array).encode(&mut body, usize::MAX)?;
        let body = Bytes::from(body);
        let (mut calls, mut copies) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let begun = Instant::now();
            let ended = lane.call(0, &body, Duration::from_secs(30))?;
            let result = ended.result?;
            calls.push(begun.elapsed());
            // A figure of other bytes is no figure.
            if result != body {
                return Err("the result is not what was sent".into());
            }
            drop(result);
            let begun = Instant::now();
            let copied = copy(&copy(&body));
            copies.push(begun.elapsed());
            drop(black_box(copied));
        }
        let [calls, copies] = [calls, copies].map(median_us);
        println!(
            "{bytes:>10} {calls:>12.0} {copies:>12.0} {:>6.2}",
            calls / copies
        );
    }
    Ok(())
}

fn copy(bytes: &[u8]) -> Vec<u8> {
    black_box(black_box(bytes).to_vec())
}

fn median_us(mut times: Vec<Duration>) -> f64 {
    times.sort();
    times[times.len() / 2].as_secs_f64() * 1e6
}
