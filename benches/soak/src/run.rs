//! The run: servers and callers up, a look at all of them each second, and what is to happen in each cycle.

use crate::callers::{self, Caller};
use crate::clock::{BAD_RELOAD_AT, CYCLE_S, Clock, KILLED_BY, KILLED_FROM, RELOAD_AT};
use crate::fleet::{Fleet, client, runs_version};
use crate::judge::{Verdict, checks};
use crate::load::Load;
use crate::process::Process;
use crate::record::{Record, Word};
use crate::sample::{Sample, cpu_of_others_s};
use crate::{Outcome, RunArguments, chart, report};
use madrpc_shard::client::Client;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

/// A second that comes so late says that the machine does not run: this process does next to nothing.
const STALL: Duration = Duration::from_secs(2);

/// How long a server may take to end.
const END_PATIENCE: Duration = Duration::from_secs(10);

/// Where threads put what they have for the run.
type Mailbox<T> = (Sender<T>, Receiver<T>);

/// A run under way.
struct Run {
    clock: Clock,
    begin_ms: u64,
    wanted: Vec<Load>,
    fleet: Fleet,
    /// Callers that live as long as the run.
    steady: Vec<Process>,
    /// The one that is to be killed.
    doomed: Option<Process>,
    operator: Client,
    words: Mailbox<(Caller, Word)>,
    /// Whether scripts that were replaced run.
    reloads: Mailbox<Outcome<()>>,
    record: Record,
}

/// Runs it and writes the report: whether all held.
pub(crate) fn run(arguments: &RunArguments) -> Outcome<bool> {
    let interrupted = Arc::new(AtomicBool::new(false));
    for signal in [SIGHUP, SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&interrupted))?;
    }
    if fs::exists(&arguments.out)? {
        fs::remove_dir_all(&arguments.out)?;
    }
    let warm_up = arguments.warm_up.unwrap_or(arguments.duration / 3);
    let wanted = Load::wanted(&arguments.only, &arguments.without);
    let mut run = Run::start(arguments, wanted, warm_up)?;
    run.go_on_until(arguments.duration, &interrupted)?;
    let (record, wanted) = run.end();
    let checks = checks(&record, &wanted);
    let (text, drawing) = (
        arguments.out.join("report.md"),
        arguments.out.join("report.svg"),
    );
    fs::write(&text, report::markdown(&record, &checks, &wanted))?;
    fs::write(arguments.out.join("samples.csv"), report::csv(&record))?;
    chart::draw(&record, &drawing)?;
    let failed: Vec<_> = checks
        .iter()
        .filter(|check| check.verdict == Verdict::Fails)
        .collect();
    for check in &failed {
        println!(
            "FAILED: {}: {} (bound: {})",
            check.what, check.measured, check.bound
        );
    }
    let open = checks
        .iter()
        .filter(|check| check.verdict == Verdict::Open)
        .count();
    println!(
        "{} checks hold, {} failed, {open} were not judged, for want of cycles; written: {} and {}",
        checks.len() - failed.len() - open,
        failed.len(),
        text.display(),
        drawing.display()
    );
    Ok(failed.is_empty())
}

impl Run {
    fn start(arguments: &RunArguments, wanted: Vec<Load>, warm_up: Duration) -> Outcome<Self> {
        let fleet = Fleet::start(arguments)?;
        let operator = client(&fleet.home, fleet.addresses.orchestrator)?;
        runs_version(&operator, 0)?;
        let (clock, begin_ms) = Clock::start();
        let words = channel();
        let mut steady = Vec::new();
        for caller in [Caller::Probe, Caller::Mixed, Caller::Strangers] {
            steady.push(callers::start(caller, &fleet, begin_ms, &wanted, &words.0)?);
        }
        Ok(Self {
            clock,
            begin_ms,
            wanted,
            fleet,
            steady,
            doomed: None,
            operator,
            words,
            reloads: channel(),
            record: Record {
                warm_up,
                ..Record::default()
            },
        })
    }

    /// Looks at everything each second, until the time is over, a process has died or somebody interrupts.
    fn go_on_until(&mut self, duration: Duration, interrupted: &AtomicBool) -> Outcome<()> {
        for second in 1..=duration.as_secs() {
            let due = self.clock.at(Duration::from_secs(second));
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            let late = due.elapsed();
            if late > STALL && !self.is_catching_up(second) {
                let to = self.clock.elapsed().as_secs_f64();
                self.record.stalls.push((to - late.as_secs_f64(), to));
            }
            self.look();
            if interrupted.load(Ordering::Relaxed) {
                self.record.wrongs.push("ended early by a signal".into());
                return Ok(());
            }
            if self.somebody_died() {
                return Ok(());
            }
            self.act(second % CYCLE_S)?;
            if second % CYCLE_S == 0 {
                self.say(second);
            }
        }
        Ok(())
    }

    /// Whether the stall that this second is late by is known already.
    fn is_catching_up(&self, second: u64) -> bool {
        let last = self.record.stalls.last();
        last.is_some_and(|&(_, to)| to > second as f64)
    }

    fn look(&mut self) {
        let at_s = self.clock.elapsed().as_secs_f64();
        self.record.elapsed = self.clock.elapsed();
        let servers = [&self.fleet.node, &self.fleet.orchestrator];
        let callers = self
            .steady
            .iter()
            .filter(|caller| caller.name != "strangers");
        for process in servers.into_iter().chain(callers) {
            // Strangers are no part of madrpc, and hold next to nothing.
            if let Some(sample) = Sample::read(process.id(), at_s) {
                self.record
                    .samples
                    .entry(process.name)
                    .or_default()
                    .push(sample);
            }
        }
        let doomed = self.doomed.as_ref().map(Process::id);
        let ours = [&self.fleet.node, &self.fleet.orchestrator]
            .into_iter()
            .chain(&self.steady)
            .map(Process::id);
        let ours = ours.chain(doomed).chain([std::process::id()]);
        if let Some(cpu_s) = cpu_of_others_s(ours) {
            self.record.others.push((at_s, cpu_s));
        }
        for (caller, word) in self.words.1.try_iter() {
            match word {
                Word::Probe(second) => self.record.probe.push((at_s, second)),
                Word::Calls(calls) => {
                    for (load, outcomes) in calls {
                        self.record.calls.entry(load).or_default().add(&outcomes);
                    }
                }
                Word::UnderWay(count) if caller == Caller::Killed => {
                    self.record.killed.push(count);
                }
                Word::UnderWay(_) => {}
                Word::Sent(load, count) => *self.record.sent.entry(load).or_default() += count,
            }
        }
        for outcome in self.reloads.1.try_iter() {
            match outcome {
                Ok(()) => self.record.reloads += 1,
                Err(error) => self.record.wrongs.push(error.to_string()),
            }
        }
    }

    fn somebody_died(&mut self) -> bool {
        let servers = [&mut self.fleet.node, &mut self.fleet.orchestrator];
        let mut died = Vec::new();
        for process in servers.into_iter().chain(&mut self.steady) {
            if let Some(status) = process.ended() {
                let at = self.record.elapsed.as_secs();
                died.push(format!("{} died after {at} s: {status}", process.name));
            }
        }
        let is_any = !died.is_empty();
        self.record.wrongs.extend(died);
        is_any
    }

    /// What is to happen in this second of the cycle.
    fn act(&mut self, second: u64) -> Outcome<()> {
        let is_wanted = |load| self.wanted.contains(&load);
        match second {
            RELOAD_AT if is_wanted(Load::Reloads) => {
                let version = self.fleet.reload()?;
                self.expect_version(version);
            }
            BAD_RELOAD_AT if is_wanted(Load::Reloads) => {
                let version = self.fleet.reload_nonsense()?;
                self.expect_version(version);
            }
            KILLED_FROM if is_wanted(Load::Killed) => {
                let (fleet, words) = (&self.fleet, &self.words.0);
                let doomed = callers::start(Caller::Killed, fleet, self.begin_ms, &[], words)?;
                self.doomed = Some(doomed);
            }
            KILLED_BY => {
                // Dropping is killing, if a machine was too slow for it to do that itself.
                self.doomed = None;
            }
            _ => {}
        }
        Ok(())
    }

    fn expect_version(&self, version: u64) {
        let (operator, told) = (self.operator.clone(), self.reloads.0.clone());
        std::thread::spawn(move || {
            // Nobody listens once the run has ended.
            let _ = told.send(runs_version(&operator, version));
        });
    }

    fn say(&self, second: u64) {
        let memory = |name: &str| {
            let last = self
                .record
                .samples
                .get(name)
                .and_then(|samples| samples.last());
            last.map_or(0.0, |sample| sample.rss_mib)
        };
        eprintln!(
            "{second:>6} s  node {:.1} MiB, orchestrator {:.1} MiB, {} probes",
            memory("node"),
            memory("orchestrator"),
            self.record.probe.len() * 100
        );
    }

    /// Ends all processes; the servers have to end well.
    fn end(mut self) -> (Record, Vec<Load>) {
        self.doomed = None;
        self.steady.clear();
        self.operator.close_blocking();
        for server in [self.fleet.orchestrator, self.fleet.node] {
            let name = server.name;
            if !server.end(END_PATIENCE) {
                let words = format!("{name} did not end well within {END_PATIENCE:?} of SIGTERM");
                self.record.wrongs.push(words);
            }
        }
        (self.record, self.wanted)
    }
}
