//! `madrpc bench`: throughput and latency of a function.
//!
//! ```text
//! arguments ─▶ load generator (madrpc_shard::client::load) ─▶ report ─▶ document ─▶ text, JSON, bounds
//! ```

mod args;
mod bounds;
mod document;
mod hdr;
mod progress;
mod text;

pub(crate) use args::BenchArgs;

use crate::call::argument;
use crate::exit::{Failure, Reason};
use crate::output::{self, say};
use crate::signals::Events;
use crate::tls;
use document::{Baseline, Document, Settings};
use madrpc_core::identity::Role;
use madrpc_shard::client::load::{self, Pace, Plan, Report, Until};
use progress::Line;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};

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
        identity: tls::identity(&args.tls, Role::Client)?,
        function: args.function.clone(),
        pace,
        connections: args.connections,
        warm_up: args.warm_up,
        until,
        timeout: args.timeout,
        core: args.pin,
    })
}

/// The first signal is a message, the second ends the process.
fn stopper() -> Result<Receiver<()>, Failure> {
    let events = Events::catch(false)?;
    let (sender, stopped) = channel();
    let watch = move || {
        events.wait_for_stop(|| ());
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
            output::printable(&earlier.function),
            earlier.describe(),
            output::printable(&now.function),
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
    let passed: Vec<String> = bounds.filter_map(|bound| bound.passed(document)).collect();
    match passed.is_empty() {
        true => Ok(()),
        false => Err(Failure::new(Reason::Bound, passed.join("; "))),
    }
}
