//! `madrpc bench`: throughput and latency of a function.
//!
//! ```text
//! arguments ─▶ load generator (madrpc_shard::client::load) ─▶ report ─▶ document ─▶ text, JSON, bounds
//! ```

mod document;
mod hdr;
mod progress;
mod text;

use super::argument::argument;
use crate::args::{BenchArgs, Bound};
use crate::exit::{Failure, Reason};
use crate::identity;
use crate::output::figures::latency;
use crate::output::{self, say};
use crate::signals::Events;
use document::{Baseline, Document, Settings};
use madrpc_core::identity::Role;
use madrpc_shard::client::load::{self, Pace, Plan, Report, Until};
use progress::Line;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

pub(crate) fn run(args: &BenchArgs) -> Result<(), Failure> {
    let plan = plan(args)?;
    // What can go wrong with files does so before the measuring.
    let baseline = args.baseline.as_deref().map(Baseline::read).transpose()?;
    if let Some(baseline) = &baseline {
        warn_of_difference(&Settings::new(args), &baseline.settings);
    }
    let hdr = args.hdr.as_deref().map(create).transpose()?;
    let line = Line::new(args);
    let report = load::measure(plan, stopper()?, |progress| line.tell(&progress));
    line.clear();
    let report = report?;
    if let (Some(path), Some(file)) = (&args.hdr, hdr) {
        let mut file = BufWriter::new(file);
        hdr::write(&mut file, &report.latency_us)
            .and_then(|()| file.flush())
            .map_err(|error| unwritable(path, &error))?;
    }
    let document = Document::new(args, &report, baseline.as_ref());
    output::result(&match args.json {
        true => document.json()?,
        false => text::report(args, &document, &report, baseline.as_ref()),
    })?;
    verdict(args, &document, &report)
}

fn plan(args: &BenchArgs) -> Result<Plan, Failure> {
    let pace = match args.rate {
        Some(rate) => Pace::Open {
            rate,
            in_flight_max: args.max_in_flight,
        },
        None => Pace::Closed {
            concurrency: args.concurrency,
        },
    };
    let until = match args.count {
        Some(calls) => Until::Calls(calls as u64),
        None => Until::Elapsed(args.duration),
    };
    Ok(Plan {
        address: args.address.clone(),
        args: argument(args.json_argument.as_deref())?,
        identity: identity::of_caller(&args.tls, Role::Client)?,
        function: args.function.clone(),
        pace,
        connections: args.connections,
        warm_up: args.warm_up,
        until,
        timeout: args.timeout,
        idempotent: args.idempotent,
        core: args.pin,
    })
}

/// The first signal is a message, the second ends the process.
fn stopper() -> Result<Receiver<()>, Failure> {
    let mut events = Events::of_command()?;
    let (sender, stopped) = channel();
    let watch = move || {
        events.wait_for_stop();
        // Nobody listens where it has ended already.
        let _ = sender.send(());
    };
    let thread = std::thread::Builder::new()
        .name("signals".into())
        .spawn(watch);
    thread.map_err(|error| Failure::new(Reason::Other, format!("signals: {error}")))?;
    Ok(stopped)
}

fn warn_of_difference(now: &Settings, earlier: &Settings) {
    if now != earlier {
        say(&format!(
            "the baseline was measured otherwise: {} in a {}; now {} in a {}",
            earlier.function,
            earlier.describe(),
            now.function,
            now.describe()
        ));
    }
}

fn create(path: &Path) -> Result<File, Failure> {
    File::create(path).map_err(|error| unwritable(path, &error))
}

fn unwritable(path: &Path, error: &io::Error) -> Failure {
    let path = path.display();
    Failure::new(
        Reason::Usage,
        format!("--hdr {path}: it cannot be written: {error}"),
    )
}

/// What the exit code says.
fn verdict(args: &BenchArgs, document: &Document<'_>, report: &Report) -> Result<(), Failure> {
    if report.results == 0 {
        let mut errors = report.errors.iter();
        let most = errors.by_ref().max_by_key(|(_, failures)| failures.calls);
        return Err(match most {
            Some((kind, failures)) => Failure::new(
                (*kind).into(),
                format!("no call returned; mostly {kind}: {}", failures.example),
            ),
            None => Failure::new(Reason::Other, "no call was measured"),
        });
    }
    if report.unreachable {
        let why = "ended early: the server could no longer be reached";
        return Err(Failure::new(Reason::Unavailable, why));
    }
    let bounds = args.fail_above.iter();
    let passed: Vec<String> = bounds.filter_map(|bound| passed(bound, document)).collect();
    match passed.is_empty() {
        true => Ok(()),
        false => Err(Failure::new(Reason::Bound, passed.join("; "))),
    }
}

/// How a bound was passed, in words; `None` where it was kept.
fn passed(bound: &Bound, document: &Document<'_>) -> Option<String> {
    let errors = document.errors.values().sum::<u64>();
    let passed = match bound {
        Bound::Latency(name, limit) => {
            let figure = document.latency_us.as_ref()?.named(name)?;
            let above = Duration::from_micros(figure) > *limit;
            above.then(|| format!("{name} is {}", latency(figure)))
        }
        Bound::Errors(limit) => (errors > *limit).then(|| format!("there are {errors} errors")),
        Bound::ErrorShare(limit) => {
            let ended = (document.results + errors).max(1);
            let share = errors as f64 * 100.0 / ended as f64;
            (share > *limit).then(|| format!("{share:.3} % of the calls are errors"))
        }
    };
    passed.map(|how| format!("{how} (--fail-above {bound})"))
}
