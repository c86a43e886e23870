//! QuickJS without a network: the arguments become JavaScript values, the function runs, its result is read.

use crate::figures::{FUNCTIONS, Work};
use crate::outcome::Outcome;
use rquickjs::{Context, Ctx, Function, Object, Runtime};
use std::hint::black_box;
use std::time::{Duration, Instant};

/// How long each computation should take.
const COMPUTATION: Duration = Duration::from_millis(1);

/// Calls between two looks at the clock, for the tiny function.
const TINY_CALLS: u64 = 1000;

fn with<T>(work: impl FnOnce(&Ctx<'_>) -> Outcome<T>) -> Outcome<T> {
    let runtime = Runtime::new()?;
    // A function has to be interruptible; what that costs belongs to the engine.
    runtime.set_interrupt_handler(Some(Box::new(|| false)));
    Context::full(&runtime)?.with(|context| {
        context.eval::<(), _>(FUNCTIONS)?;
        work(&context)
    })
}

/// The rounds of `compute` that take a millisecond on this core.
pub(crate) fn rounds_of_a_millisecond() -> Outcome<u64> {
    with(|context| {
        let compute: Function<'_> = context.globals().get("compute")?;
        let trial: u32 = 20_000;
        let mut times = Vec::new();
        for _ in 0..15 {
            let begun = Instant::now();
            black_box(compute.call::<_, i64>((trial,))?);
            times.push(begun.elapsed());
        }
        times.sort_unstable();
        let rounds = f64::from(trial) * COMPUTATION.div_duration_f64(times[times.len() / 2]);
        Ok(rounds.round() as u64)
    })
}

/// Calls in a second.
pub(crate) fn calls_per_s(work: &Work, duration: Duration) -> Outcome<f64> {
    with(|context| match work.function {
        "echo" => {
            let echo: Function<'_> = context.globals().get("echo")?;
            repeat(duration, TINY_CALLS, || {
                let value = Object::new(context.clone())?;
                value.set("a", 1)?;
                value.set("b", 2)?;
                let result: Object<'_> = echo.call((value,))?;
                let mut sum = 0;
                for property in result.props::<String, i32>() {
                    let (name, value) = property?;
                    sum += value + i32::from(name == "a");
                }
                match sum {
                    4 => Ok(()),
                    _ => Err("the echo is not what was sent".into()),
                }
            })
        }
        _ => {
            let compute: Function<'_> = context.globals().get("compute")?;
            let rounds: f64 = work.args.parse()?;
            repeat(duration, 1, || {
                let result: i64 = compute.call((rounds,))?;
                work.check(&result.to_string())
            })
        }
    })
}

fn repeat(duration: Duration, batch: u64, mut call: impl FnMut() -> Outcome<()>) -> Outcome<f64> {
    for _ in 0..batch {
        call()?;
    }
    let begun = Instant::now();
    let mut calls = 0;
    loop {
        for _ in 0..batch {
            call()?;
        }
        calls += batch;
        let elapsed = begun.elapsed();
        if elapsed >= duration {
            return Ok(calls as f64 / elapsed.as_secs_f64());
        }
    }
}
