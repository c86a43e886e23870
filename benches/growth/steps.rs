//! Counting instructions: a child runs a case, and its parent takes it through what is to be measured step by step.
//!
//! The processor's own counter would be quicker, but many virtual machines have none, and valgrind has to be installed.
//! Single steps (ptrace) are there on every Linux and count exactly what runs, at some ten microseconds each; what is not
//! measured, such as the setting up of 100,000 things, runs at full speed.
//!
//! The child says where it stands by a signal that its parent takes away.

use nix::sys::ptrace;
use nix::sys::signal::{Signal, raise};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;
use std::error::Error;
use std::hint::black_box;
use std::io::Read;
use std::process::{Command, Stdio};

/// What tells a child the case and the size, one variable for each.
const CASE: &str = "MADRPC_GROWTH_CASE";
const SIZE: &str = "MADRPC_GROWTH_SIZE";

/// Stands before and after what is measured.
const MARK: Signal = Signal::SIGUSR1;

/// Steps of one measurement after which it is given up, and they are its cost: a quarter of a minute.
pub(crate) const STEPS_MAX: u64 = 2_000_000;

/// What a case measures with.
pub(crate) struct Gauge {
    /// What the costs are to be divided by, in the order of the measurements.
    units: Vec<usize>,
}

impl Gauge {
    /// Counts the instructions of `operation`.
    pub(crate) fn measure<R>(&mut self, operation: impl FnOnce() -> R) -> R {
        self.measure_units(1, operation)
    }

    /// Counts the instructions of `operation`, which does so many things of the same kind; the cost of one counts.
    pub(crate) fn measure_units<R>(&mut self, units: usize, operation: impl FnOnce() -> R) -> R {
        self.units.push(units.max(1));
        mark();
        let result = black_box(operation());
        mark();
        result
    }
}

/// It fails for no signal that exists.
fn mark() {
    let _ = raise(MARK);
}

/// The case and the size that this process is to run, where it is a child.
pub(crate) fn asked() -> Option<(String, usize)> {
    let case = std::env::var(CASE).ok()?;
    Some((case, std::env::var(SIZE).ok()?.parse().ok()?))
}

/// Runs a case as the child.
pub(crate) fn serve(case: impl FnOnce(&mut Gauge)) -> nix::Result<()> {
    ptrace::traceme()?;
    let mut gauge = Gauge { units: Vec::new() };
    // The first ones say what it takes to measure nothing.
    for _ in 0..2 {
        gauge.measure(|| {});
    }
    case(&mut gauge);
    let units: Vec<String> = gauge.units.iter().map(ToString::to_string).collect();
    println!("{}", units.join(" "));
    Ok(())
}

/// The instructions of a case's measurements.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cost {
    pub(crate) median: u64,
    pub(crate) most: u64,
}

/// Has a child run a case.
pub(crate) fn count(case: &str, size: usize) -> Result<Cost, Box<dyn Error>> {
    let failed = |why: &str| format!("{case}, {size}: {why}");
    let mut child = Command::new(std::env::current_exe()?)
        .env(CASE, case)
        .env(SIZE, size.to_string())
        // What is resolved at its first use would be counted there.
        .env("LD_BIND_NOW", "1")
        .stdout(Stdio::piped())
        .spawn()?;
    let followed = follow(Pid::from_raw(child.id() as i32));
    let Ok(Some(counted)) = followed else {
        child.kill()?;
        child.wait()?;
        followed.map_err(|error| failed(&error.to_string()))?;
        let (median, most) = (STEPS_MAX, STEPS_MAX);
        return Ok(Cost { median, most });
    };
    let mut units = String::new();
    if let Some(mut said) = child.stdout.take() {
        said.read_to_string(&mut units)?;
    }
    let units = units.split_whitespace().map(str::parse::<u64>);
    let units = units.collect::<Result<Vec<_>, _>>()?;
    let (Some(nothing), true) = (counted.get(1), counted.len() == units.len()) else {
        return Err(failed("the measurements were not told").into());
    };
    let costs = counted.iter().zip(&units).skip(2);
    let costs = costs.map(|(cost, units)| cost.saturating_sub(*nothing) / units);
    let mut costs: Vec<u64> = costs.collect();
    costs.sort_unstable();
    match (costs.get(costs.len() / 2), costs.last()) {
        (Some(&median), Some(&most)) => Ok(Cost { median, most }),
        _ => Err(failed("nothing was measured").into()),
    }
}

/// Follows a child to its end; gives the instructions between the two marks of each measurement, or nothing where one has
/// too many.
fn follow(child: Pid) -> Result<Option<Vec<u64>>, Box<dyn Error>> {
    let mut counted = Vec::new();
    let mut steps = None;
    loop {
        match waitpid(child, None)? {
            WaitStatus::Exited(_, 0) => return Ok(Some(counted)),
            WaitStatus::Stopped(_, MARK) if counted.is_empty() && steps.is_none() => {
                // It must not go on by itself where this process ends.
                ptrace::setoptions(child, ptrace::Options::PTRACE_O_EXITKILL)?;
                steps = Some(0);
            }
            WaitStatus::Stopped(_, MARK) => match steps.take() {
                Some(steps) => counted.push(steps),
                None => steps = Some(0),
            },
            WaitStatus::Stopped(_, Signal::SIGTRAP) if steps.is_some() => {
                steps = steps.map(|steps| steps + 1);
            }
            other => return Err(format!("its process: {other:?}").into()),
        }
        match steps {
            None => ptrace::cont(child, None)?,
            Some(STEPS_MAX) => return Ok(None),
            Some(_) => ptrace::step(child, None)?,
        }
    }
}
