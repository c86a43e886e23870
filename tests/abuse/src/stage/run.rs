//! One run of one attack.

use super::Cores;
use super::caller::{self, Caller, Demand, Figures, MOST_IN_FLIGHT, Newcomers};
use super::machine::{Others, wait_until_quiet};
use super::row::Row;
use super::sampler::{self, StopAtEnd};
use super::server::{Binary, Server, Servers};
use super::stand_in::{Effort, stand_in, thread_time};
use crate::attack::{Attack, By, Field, Outcome};
use crate::error::AbuseError;
use crate::fleet::Fleet;
use crate::peer::traffic;
use crate::watched::{Usage, Watched};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// What a caller asks for beside another, of what it gets alone: less than the half of a core that each has by right.
const PART: f64 = 1.0 / 3.0;

/// Whoever wants the whole core.
const WHOLE: Demand = Demand::InFlight(MOST_IN_FLIGHT);

/// Whoever waits for each result before the next call.
const LONE: Demand = Demand::InFlight(1);

/// How long it is watched for the most memory.
const SETTLE: Duration = Duration::from_secs(1);

/// How a run goes.
#[derive(Debug, Clone, Copy)]
pub struct Options<'a> {
    /// The `madrpc` that is attacked.
    pub binary: &'a Path,
    /// The longest that one attack may take; by default its own.
    pub time: Option<Duration>,
    /// How long to wait, before each measurement, until nothing else runs on the machine.
    pub patience: Duration,
}

/// What an attack cost the attacker, and what came of it.
struct Attacked {
    outcome: Outcome,
    seconds: f64,
    effort: Effort,
    server_share: f64,
}

/// What was seen while the attack was made for the first time.
struct Seen {
    attacked: Attacked,
    /// Of the caller with many calls in flight.
    figures: Option<Figures>,
    newcomers: Newcomers,
    /// The most memory of each server, in bytes.
    peaks: Vec<u64>,
}

struct Stage<'a> {
    attack: &'a Attack,
    binary: Binary<'a>,
    fleet: Fleet,
    servers: Servers,
    cores: Cores,
    target: SocketAddr,
    time: Duration,
    patience: Duration,
    /// What the caller asks for whose throughput is looked at.
    demand: Demand,
}

/// Runs an attack against servers of its own.
///
/// # Errors
/// Where the servers cannot be started or the attack cannot be made. What the servers do wrong is in the row.
pub fn run(attack: &Attack, options: &Options<'_>) -> Result<Row, AbuseError> {
    let cores = Cores::of_this_machine().ok_or_else(|| {
        AbuseError::not_made("two cores are needed: one for the server, one for the load")
    })?;
    core_affinity::set_for_current(cores.load);
    let binary = Binary::new(options.binary)?;
    let fleet = Fleet::new()?;
    let servers = Servers::start(&binary, &fleet, attack, cores)?;
    let own = attack.amount.time;
    let mut stage = Stage {
        attack,
        binary,
        fleet,
        target: servers.all[0].address,
        servers,
        cores,
        time: options.time.map_or(own, |time| time.min(own)),
        patience: options.patience,
        demand: WHOLE,
    };
    stage.run()
}

impl Stage<'_> {
    fn run(&mut self) -> Result<Row, AbuseError> {
        let mut row = Row {
            attack: self.attack.name.to_owned(),
            ..Row::default()
        };
        // What a server needs for its first calls is none of the attack's.
        row.calls_per_s_before = self
            .call_for(self.demand, Duration::from_secs(1))?
            .calls_per_s;
        if self.attack.by != By::Strangers && row.calls_per_s_before > 0.0 {
            self.demand = Demand::PerSecond(row.calls_per_s_before * PART);
        }
        std::thread::sleep(Duration::from_millis(500));
        let watched = self.watched();
        let before: Vec<Usage> = watched
            .iter()
            .map(|server| server.usage())
            .collect::<Result<_, _>>()?;
        let lines = self.lines();
        let seen = self.first(&mut row)?;
        std::thread::sleep(self.attack.bounds.rest.saturating_sub(SETTLE));
        self.note_memory(&mut row, &before, &seen.peaks);
        row.lines = self.lines() - lines;
        let again = self.ratios(&mut row, &seen)?;
        self.judge_servers(&mut row)?;
        let attacked = seen.attacked;
        row.did = attacked.outcome.did;
        row.seconds = attacked.seconds;
        row.attacker_share = attacked.effort.share;
        row.server_share = attacked.server_share;
        for check in attacked.outcome.checks {
            match check.holds {
                true => row.held.push(check.what),
                false => row.failed.push(check.what),
            }
        }
        let again = again.into_iter().flat_map(|again| again.outcome.checks);
        let failed = again.filter(|check| !check.holds);
        row.failed
            .extend(failed.map(|check| format!("the second time: {}", check.what)));
        self.end(&mut row)?;
        row.judge(self.attack);
        Ok(row)
    }

    /// Whether callers are measured.
    fn is_measured(&self) -> bool {
        let bounds = &self.attack.bounds;
        bounds.kept_min.is_some() || bounds.p99_max.is_some()
    }

    /// The attack, beside a caller with many calls in flight and newcomers.
    fn first(&self, row: &mut Row) -> Result<Seen, AbuseError> {
        if self.is_measured() {
            self.wait_until_quiet()?;
        }
        let watched = self.watched();
        let [stop, stop_looking] = &[AtomicBool::new(false), AtomicBool::new(false)];
        let Self { binary, fleet, .. } = self;
        let target = self.target;
        std::thread::scope(|scope| -> Result<Seen, AbuseError> {
            let _ends = [stop, stop_looking].map(StopAtEnd);
            let sampler = scope.spawn(|| sampler::peaks(&watched, stop_looking));
            let measured = self.is_measured();
            let caller = measured.then(|| self.caller(self.demand)).transpose()?;
            let newcomers = measured
                .then(|| scope.spawn(move || caller::newcomers(binary, fleet, target, stop)));
            let others = Others::since_now(&watched)?;
            let attacked = self.attack()?;
            stop.store(true, Ordering::Relaxed);
            let figures = caller.map(Caller::stop).transpose()?;
            let newcomers = match newcomers {
                Some(newcomers) => newcomers.join().map_err(|_| thread_lost())??,
                None => Newcomers::default(),
            };
            row.others_share = others.share(&watched)?;
            row.note_newcomers(&newcomers);
            // The server may still work on what it was sent.
            std::thread::sleep(SETTLE);
            stop_looking.store(true, Ordering::Relaxed);
            Ok(Seen {
                attacked,
                figures,
                newcomers,
                peaks: sampler.join().map_err(|_| thread_lost())?,
            })
        })
    }

    fn note_memory(&self, row: &mut Row, before: &[Usage], peaks: &[u64]) {
        let watched = self.watched();
        let growth = |now: &dyn Fn(usize) -> u64| {
            let growths = (0..watched.len()).map(|at| now(at).saturating_sub(before[at].rss_bytes));
            growths.max().unwrap_or(0)
        };
        // One that has ended has none.
        let after = watched
            .iter()
            .map(|server| server.usage().unwrap_or_default());
        let after: Vec<Usage> = after.collect();
        row.before_bytes = before[0].rss_bytes;
        row.grown_bytes = growth(&|at| peaks[at].max(after[at].rss_bytes));
        row.left_bytes = growth(&|at| after[at].rss_bytes);
        row.pss_bytes = watched[0].pss_bytes().unwrap_or(0);
        row.descriptors_left = after[0].descriptors as i64 - before[0].descriptors as i64;
    }

    /// The attack again beside a lone caller, and both callers beside the stand-in.
    fn ratios(&mut self, row: &mut Row, seen: &Seen) -> Result<Option<Attacked>, AbuseError> {
        let Some(figures) = seen.figures.filter(|_| self.servers.all[0].is_alive()) else {
            return Ok(None);
        };
        let effort = seen.attacked.effort;
        let newcomers = seen.newcomers.tried > 0;
        let beside = self.beside_stand_in(self.demand, newcomers, effort, row)?;
        row.calls_per_s = Some([beside.calls_per_s, figures.calls_per_s]);
        // Before the attack is made again: a server that still works on it is no measure.
        let beside = self.beside_stand_in(LONE, false, effort, row)?;
        self.wait_until_quiet()?;
        let watched = self.watched();
        let others = Others::since_now(&watched)?;
        let caller = self.caller(LONE)?;
        let again = self.attack()?;
        let lone = caller.stop()?;
        // The caller counts as another until it has ended.
        row.others_share = others.share(&watched)?.max(row.others_share);
        row.p99_us = beside.p99_us.zip(lone.p99_us).map(|(a, b)| [a, b]);
        Ok(Some(again))
    }

    /// Does it, on a thread of its own.
    fn attack(&self) -> Result<Attacked, AbuseError> {
        let field = Field {
            target: self.target,
            nodes: &self.servers.nodes,
            fleet: &self.fleet,
            amount: crate::attack::Amount {
                time: self.time,
                ..self.attack.amount
            },
            watched: self.servers.watched(),
            bad_node: self.servers.bad_node.as_ref(),
        };
        let target = self.servers.all[0].watched();
        let cpu = || target.usage().map(|usage| usage.cpu).unwrap_or_default();
        let (started, server) = (Instant::now(), cpu());
        let attacker = std::thread::scope(|scope| {
            let attacker = scope.spawn(|| -> Result<_, AbuseError> {
                let (used, carried) = (thread_time()?, traffic());
                let outcome = match (self.attack.run)(&field) {
                    // The servers answered when they were started: that they do not now is their doing.
                    Err(AbuseError::NotMade(why)) => Outcome::did("cut short").check(false, why),
                    outcome => outcome?,
                };
                let (sent, now) = (traffic().sent - carried.sent, traffic());
                let bytes = (now.sent_bytes - carried.sent_bytes) as usize / sent.max(1) as usize;
                Ok((outcome, thread_time()? - used, sent, bytes))
            });
            attacker.join().map_err(|_| thread_lost())
        });
        let (outcome, used, sent, bytes) = attacker??;
        let seconds = started.elapsed().as_secs_f64();
        Ok(Attacked {
            outcome,
            seconds,
            effort: Effort {
                share: (used.as_secs_f64() / seconds).min(1.0),
                datagrams_per_s: sent as f64 / seconds,
                datagram_bytes: bytes,
            },
            server_share: cpu().saturating_sub(server).as_secs_f64() / seconds,
        })
    }

    fn caller(&self, demand: Demand) -> Result<Caller, AbuseError> {
        let core = self.cores.load.id;
        Caller::start(&self.binary, &self.fleet, self.target, demand, core)
    }

    fn call_for(&self, demand: Demand, time: Duration) -> Result<Figures, AbuseError> {
        let caller = self.caller(demand)?;
        std::thread::sleep(time);
        caller.stop()
    }

    /// A caller beside somebody who takes as much of its core as the attacker did, and beside newcomers where those were.
    fn beside_stand_in(
        &self,
        demand: Demand,
        newcomers: bool,
        effort: Effort,
        row: &mut Row,
    ) -> Result<Figures, AbuseError> {
        const TIME: Duration = Duration::from_millis(3000);
        self.wait_until_quiet()?;
        let watched = self.watched();
        let others = Others::since_now(&watched)?;
        let stop = &AtomicBool::new(false);
        let Self { binary, fleet, .. } = self;
        let target = self.target;
        let figures = std::thread::scope(|scope| {
            let _ends = StopAtEnd(stop);
            let stand_in = scope.spawn(move || stand_in(effort, stop));
            let newcomers = newcomers
                .then(|| scope.spawn(move || caller::newcomers(binary, fleet, target, stop)));
            let figures = self.call_for(demand, TIME);
            stop.store(true, Ordering::Relaxed);
            stand_in.join().map_err(|_| thread_lost())??;
            if let Some(newcomers) = newcomers {
                newcomers.join().map_err(|_| thread_lost())??;
            }
            figures
        })?;
        row.others_share = others.share(&watched)?.max(row.others_share);
        Ok(figures)
    }

    fn watched(&self) -> Vec<Watched> {
        self.servers.all.iter().map(Server::watched).collect()
    }

    fn wait_until_quiet(&self) -> Result<(), AbuseError> {
        wait_until_quiet(&self.watched(), self.patience)
    }

    fn lines(&mut self) -> u64 {
        let logs = self.servers.all.iter_mut();
        logs.map(|server| server.log.count().lines).sum()
    }

    /// Whether the servers are there and serve.
    fn judge_servers(&mut self, row: &mut Row) -> Result<(), AbuseError> {
        if !self.servers.all.iter_mut().all(Server::is_alive) {
            row.failed.push("a server has ended".to_owned());
            return Ok(());
        }
        if let Some(top) = caller::top(&self.binary, &self.fleet, self.target)? {
            row.retries_and_resets = [top.retries, top.resets];
            row.sessions_max = row.sessions_max.max(top.sessions);
        }
        if !caller::is_served(&self.binary, &self.fleet, self.target)? {
            row.failed.push("nobody is served afterwards".to_owned());
        }
        Ok(())
    }

    /// Ends the attacked server as a service manager would, and reads what is left of its log.
    fn end(&mut self, row: &mut Row) -> Result<(), AbuseError> {
        let target = &mut self.servers.all[0];
        if target.is_alive() {
            let (took, well) = target.end()?;
            row.end_ms = took.as_millis() as u64;
            if !well {
                row.failed.push("it does not end by SIGTERM".to_owned());
            }
        }
        target.log.read_on();
        std::thread::sleep(Duration::from_millis(100));
        for server in &mut self.servers.all {
            let counted = server.log.count();
            row.forged += counted.forged;
            row.some_lines.extend(counted.kept.iter().cloned());
        }
        Ok(())
    }
}

fn thread_lost() -> AbuseError {
    AbuseError::not_made("a thread of the harness has panicked")
}
