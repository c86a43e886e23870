//! The run: servers up, systems in turns, a report.

use crate::ceiling::script;
use crate::child::Server;
use crate::dispatch::{self, Site};
use crate::figures::{Load, Work};
use crate::fleet::Fleet;
use crate::outcome::Outcome;
use crate::peers::node;
use crate::programs;
use crate::report::{Results, Setting};
use crate::slow_node;
use crate::system::System;
use crate::{chart, cores};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

#[derive(clap::Args)]
pub(crate) struct RunArguments {
    /// One round of 0.5 s instead of three of 2 s
    #[arg(long)]
    pub(crate) quick: bool,
    /// Only these systems
    #[arg(long, value_enum, value_delimiter = ',')]
    pub(crate) only: Vec<System>,
    /// Where the report goes
    #[arg(long, default_value = "target/bench")]
    pub(crate) out: PathBuf,
}

pub(crate) fn run(arguments: &RunArguments) -> Outcome<()> {
    let (server_core, load_core) = cores::ends()?;
    fs::create_dir_all(&arguments.out)?;
    let dir = tempfile::tempdir()?;
    let setting = setting(arguments.quick, server_core, load_core)?;
    let mut results = Results::new(setting.clone());
    let systems = wanted(&arguments.only, dir.path(), &mut results)?;
    let servers = start(&systems, (server_core, load_core), dir.path())?;
    for round in 1..=setting.rounds {
        for work in &setting.works {
            let calls = cores::on(server_core, || {
                script::calls_per_s(work, setting.duration / 2)
            })?;
            results.add_script(work, calls);
            for &concurrency in work.levels {
                let load = Load {
                    concurrency,
                    warm_up: setting.warm_up,
                    duration: setting.duration,
                };
                for (system, server) in servers.iter().filter(|(system, _)| system.runs(work)) {
                    let site = Site {
                        address: server.address,
                        dir: dir.path(),
                        core: load_core,
                    };
                    let figure = dispatch::measure(*system, &site, work, &load)?;
                    let (title, function) = (system.title(), work.function);
                    eprintln!(
                        "round {round} of {}: {function:>7}, {concurrency:>4} in flight, {title:>20}: {:>9.0} calls/s",
                        setting.rounds, figure.calls_per_s
                    );
                    results.add(*system, work, concurrency, figure);
                }
            }
        }
    }
    if let Some((_, server)) = servers
        .iter()
        .find(|(system, _)| *system == System::Programs)
    {
        for round in 1..=setting.rounds {
            let has_node_js = results.node.is_some();
            let how = (server_core, setting.runs);
            let measured = programs::measure(server.address, dir.path(), how, has_node_js)?;
            for (name, runner, ms) in &measured.ms {
                let title = runner.title();
                eprintln!(
                    "round {round} of {}: {name:>11}, {title:>20}: {ms:>9.3} ms",
                    setting.rounds
                );
            }
            results.programs.push(measured);
        }
    }
    drop(servers);
    for round in 1..=setting.rounds {
        for fleet in Fleet::ALL {
            if !arguments.only.is_empty() && !arguments.only.contains(&fleet.system()) {
                continue;
            }
            let Some(work) = setting.works.iter().find(|work| work.function == "compute") else {
                continue;
            };
            let figure = slow_node::measure(fleet, &setting, work, dir.path())
                .map_err(|error| format!("a fleet with a slow node, {}: {error}", fleet.title()))?;
            eprintln!(
                "round {round} of {}: a slow node of three, {}: p99 {} ms",
                setting.rounds,
                fleet.title(),
                figure.p99_us / 1000
            );
            results.add_fleet(fleet, figure);
        }
    }
    let text = results.markdown();
    println!("{text}");
    let (report, drawing) = (
        arguments.out.join("report.md"),
        arguments.out.join("report.svg"),
    );
    fs::write(&report, &text)?;
    chart::draw(&results, &drawing)?;
    println!("written: {} and {}", report.display(), drawing.display());
    Ok(())
}

fn setting(quick: bool, server_core: usize, load_core: usize) -> Outcome<Setting> {
    let rounds = cores::on(server_core, script::rounds_of_a_millisecond)?;
    let (turns, ms) = if quick { (1, 500) } else { (3, 2000) };
    Ok(Setting {
        rounds: turns,
        runs: if quick { 5 } else { 15 },
        warm_up: Duration::from_millis(500.min(ms / 2)),
        duration: Duration::from_millis(ms),
        fleet_duration: Duration::from_millis(4 * ms),
        works: vec![Work::echo(), Work::compute(rounds)],
        server_core,
        load_core,
    })
}

/// The systems that were asked for and can be had.
fn wanted(only: &[System], dir: &Path, results: &mut Results) -> Outcome<Vec<System>> {
    let mut systems: Vec<_> = System::ALL
        .into_iter()
        .filter(|system| only.is_empty() || only.contains(system))
        .collect();
    // An orchestrator needs its node.
    if systems.contains(&System::Orchestrator) && !systems.contains(&System::Direct) {
        systems.insert(0, System::Direct);
    }
    let with_node = [System::NodeHttp, System::NodePiscina];
    if systems.contains(&System::Programs)
        || systems.iter().any(|system| with_node.contains(system))
    {
        let node = node::prepare(dir)?;
        results.node = node.clone().ok();
        let mut skip = |system: System, why: &str| {
            if let Some(at) = systems.iter().position(|other| *other == system) {
                systems.remove(at);
                eprintln!("{} is skipped: {why}", system.title());
                results.skipped.push((system, why.into()));
            }
        };
        if let Err(why) = node {
            for system in with_node {
                skip(system, &why);
            }
        } else if let Err(why) = node::install_piscina(dir) {
            skip(System::NodePiscina, &why);
        }
    }
    Ok(systems)
}

fn start(
    systems: &[System],
    (server_core, load_core): (usize, usize),
    dir: &Path,
) -> Outcome<Vec<(System, Server)>> {
    let mut servers: Vec<(System, Server)> = Vec::new();
    for &system in systems {
        let node = servers
            .iter()
            .find(|(other, _)| *other == System::Direct)
            .map(|(_, server)| server.address);
        let (core, upstream) = match system.is_beside_load() {
            true => (load_core, node),
            false => (server_core, None),
        };
        let upstream = upstream.map(|address| format!("--upstream={address}"));
        let arguments: Vec<_> = upstream.into_iter().collect();
        servers.push((system, Server::start(system, core, dir, &arguments)?));
    }
    Ok(servers)
}
