//! What is called, how long, and what came of it.

use crate::outcome::Outcome;
use hdrhistogram::Histogram;
use std::time::{Duration, Instant};

/// The text of the functions that every system runs.
pub(crate) const FUNCTIONS: &str = include_str!("../functions.js");

/// The text of the functions of a server that does everything so many times.
pub(crate) fn functions(slowdown: u32) -> String {
    match slowdown {
        1 => FUNCTIONS.into(),
        _ => format!(
            "{FUNCTIONS}\nconst once = compute;\ncompute = rounds => {{\n  let x;\n  for (let i = 0; i < {slowdown}; i++) x = once(rounds);\n  return x;\n}};\n"
        ),
    }
}

/// The longest latency that is told apart: a minute, in microseconds.
pub(crate) const LATENCY_MAX_US: u64 = 60_000_000;

/// One of the functions, with the arguments it is called with and the result it has to give, as JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Work {
    pub(crate) function: &'static str,
    pub(crate) args: String,
    pub(crate) result: String,
    /// Calls in flight to measure it with.
    pub(crate) levels: &'static [usize],
}

impl Work {
    pub(crate) fn echo() -> Self {
        let value = r#"{"a":1,"b":2}"#;
        Self {
            function: "echo",
            args: value.into(),
            result: value.into(),
            levels: &[1, 64, 512, 1024],
        }
    }

    pub(crate) fn compute(rounds: u64) -> Self {
        let result = (0..rounds).fold(1, |x: u64, _| x * 48_271 % 2_147_483_647);
        Self {
            function: "compute",
            args: rounds.to_string(),
            result: result.to_string(),
            levels: &[1, 64],
        }
    }

    /// A figure made of wrong results is no figure.
    pub(crate) fn check(&self, result: &str) -> Outcome<()> {
        match result == self.result {
            true => Ok(()),
            false => Err(format!(
                "{} of {}: {} expected, got {result}",
                self.function, self.args, self.result
            )
            .into()),
        }
    }
}

/// A closed loop: how many calls are in flight, and how long.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    pub(crate) concurrency: usize,
    pub(crate) warm_up: Duration,
    pub(crate) duration: Duration,
}

/// What a load measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Figure {
    pub(crate) calls_per_s: f64,
    pub(crate) p50_us: u64,
    pub(crate) p99_us: u64,
}

/// Counts the calls that end between the warm-up and the end.
pub(crate) struct Clock {
    pub(crate) begin: Instant,
    pub(crate) end: Instant,
    latency: Histogram<u64>,
}

impl Clock {
    pub(crate) fn start(load: &Load) -> Outcome<Self> {
        let begin = Instant::now() + load.warm_up;
        Ok(Self {
            begin,
            end: begin + load.duration,
            latency: Histogram::new_with_bounds(1, LATENCY_MAX_US, 3)?,
        })
    }

    /// A call that was sent at `sent` has ended at `now`.
    pub(crate) fn record(&mut self, sent: Instant, now: Instant) {
        if now >= self.begin && now < self.end {
            let us = now.duration_since(sent).as_micros() as u64;
            self.latency.saturating_record(us.max(1));
        }
    }

    pub(crate) fn figure(&self) -> Outcome<Figure> {
        if self.latency.is_empty() {
            return Err("no call ended within the time that counts".into());
        }
        let elapsed = self.end.duration_since(self.begin);
        Ok(Figure {
            calls_per_s: self.latency.len() as f64 / elapsed.as_secs_f64(),
            p50_us: self.latency.value_at_quantile(0.5),
            p99_us: self.latency.value_at_quantile(0.99),
        })
    }
}
