//! Random kernels and arguments, compiled and interpreted: the result and the bytes of the arrays, bit for bit.
//!
//! `MADRPC_KERNELS_RUNS=1000000` makes so many runs of it, `MADRPC_KERNELS_SECONDS=60` goes on for so long, with new seeds each
//! time, and `MADRPC_KERNELS_SEED=7` begins with that seed. What differs is shown with its seed.

mod common;

use common::cases::{Case, same_arrays};
use common::writer::Functions;
use common::{call, compile, engine, run, setting};
use madrpc_kernels::{Reason, Status};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

const RUNS: u64 = 3_000;
/// How often each kernel is called.
const CALLS: u64 = 12;

#[test]
fn compiled_and_interpreted_kernels_do_the_same() {
    let seconds = setting("MADRPC_KERNELS_SECONDS");
    let end = seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let runs = setting("MADRPC_KERNELS_RUNS").unwrap_or(RUNS);
    // Far from each other, as seeds that follow each other come next.
    let other = || fastrand::u64(1..1 << 32) << 24;
    let first =
        setting("MADRPC_KERNELS_SEED").unwrap_or(if seconds.is_some() { other() } else { 1 });
    let (mut made, mut done, mut different) = (0, 0, 0);
    let mut refused = BTreeMap::<String, u32>::new();
    let mut seed = first;
    let more = |done| match end {
        Some(end) => Instant::now() < end,
        None => done < runs,
    };
    while more(done) && different == 0 {
        // A runtime each, or the engine would keep what it knows of thousands of functions.
        engine(|ctx| {
            for _ in 0..200 {
                let mut case = Case::new(seed, Functions::All);
                made += 1;
                seed += 1;
                let text = case.script();
                let known = match case.kernel() {
                    Ok(known) => known,
                    Err(why) => {
                        assert_eq!(why.reason, Reason::TooLarge, "{why}\n{text}");
                        *refused.entry(why.what).or_default() += 1;
                        continue;
                    }
                };
                let function: rquickjs::Function = ctx.eval(text.as_str()).unwrap();
                // Two kinds of each kernel: compiling takes longer than running.
                for _ in 0..2 {
                    let first = case.arguments();
                    let compiled =
                        compile(&known, &first).unwrap_or_else(|why| panic!("{why}\n{text}"));
                    for _ in 0..CALLS / 2 {
                        let arguments = case.arguments_like(&first);
                        let found = run(&compiled, &arguments, case.random.u32(..50));
                        let (returned, left) = call(&ctx, &function, &arguments);
                        done += 1;
                        let same = found.status == Status::Done
                            && found.returned == returned
                            && same_arrays(&found.arguments, &left);
                        if !same {
                            different += 1;
                            println!(
                                "seed {}: {:?} {:?}, and interpreted {returned:?}\n{arguments:?}\n{text}\n{:?}\n{left:?}",
                                seed - 1,
                                found.status,
                                found.returned,
                                found.arguments
                            );
                            return;
                        }
                    }
                }
            }
        });
    }
    println!(
        "{made} kernels from seed {first}, {done} runs, {different} different, refused {refused:?}"
    );
    assert_eq!(different, 0);
}
