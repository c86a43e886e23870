//! A fleet of three of which one does everything 30 times, under calls that come whether the last are over or not: what the
//! balancers make of it.

use crate::child::Server;
use crate::cores;
use crate::figures::{LATENCY_MAX_US, Work};
use crate::fleet::{CALLS_PER_S, Fleet, FleetCaller, FleetFigure, SLOWDOWN, TIMEOUT};
use crate::madrpc;
use crate::outcome::Outcome;
use crate::peers::grpc;
use crate::report::Setting;
use crate::system::System;
use hdrhistogram::Histogram;
use std::cell::RefCell;
use std::net::SocketAddr;
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::task::LocalSet;

/// Measures one balancer.
pub(crate) fn measure(
    fleet: Fleet,
    setting: &Setting,
    work: &Work,
    dir: &Path,
) -> Outcome<FleetFigure> {
    let (server_core, load_core) = (setting.server_core, setting.load_core);
    let node = match fleet {
        Fleet::RoundRobin | Fleet::LeastLoaded => System::Direct,
        Fleet::TonicP2c => System::Tonic,
    };
    let nodes: Outcome<Vec<_>> = [1, 1, SLOWDOWN]
        .into_iter()
        .map(|slowdown| {
            let slowdown = format!("--slowdown={slowdown}");
            Server::start(node, server_core, dir, &[slowdown])
        })
        .collect();
    let nodes = nodes?;
    let addresses: Vec<_> = nodes.iter().map(|node| node.address).collect();
    let balance = match fleet {
        Fleet::RoundRobin => "round-robin",
        Fleet::LeastLoaded => "least-loaded",
        Fleet::TonicP2c => {
            return cores::on(load_core, || {
                run(setting, work, async || {
                    grpc::Balanced::connect(&addresses, work).await
                })
            });
        }
    };
    let mut arguments = vec![format!("--balance={balance}")];
    arguments.extend(
        addresses
            .iter()
            .map(|address| format!("--upstream={address}")),
    );
    let orchestrator = Server::start(System::Orchestrator, load_core, dir, &arguments)?;
    let address: SocketAddr = orchestrator.address;
    cores::on(load_core, || {
        run(setting, work, async || {
            madrpc::Fleet::connect(address, dir, work)
        })
    })
}

/// Sends calls at a steady pace, and counts those that were to be sent between the warm-up and the end.
fn run<C: FleetCaller>(
    setting: &Setting,
    work: &Work,
    connect: impl AsyncFnOnce() -> Outcome<C>,
) -> Outcome<FleetFigure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    LocalSet::new().block_on(&runtime, async {
        let caller = Rc::new(connect().await?);
        let latency = Rc::new(RefCell::new(Histogram::<u64>::new_with_bounds(
            1,
            LATENCY_MAX_US,
            3,
        )?));
        let failed = Rc::new(RefCell::new(0_u64));
        let begun = Instant::now();
        let (warm, end) = (setting.warm_up, setting.warm_up + setting.fleet_duration);
        let mut tasks = Vec::new();
        for number in 0_u32.. {
            let at = Duration::from_secs(1) * number / CALLS_PER_S;
            if at >= end {
                break;
            }
            tokio::time::sleep_until((begun + at).into()).await;
            let (caller, work) = (caller.clone(), work.clone());
            let (latency, failed) = (latency.clone(), failed.clone());
            tasks.push(tokio::task::spawn_local(async move {
                let result = tokio::time::timeout(TIMEOUT, caller.call()).await;
                if at < warm {
                    return Outcome::Ok(());
                }
                let took = match result {
                    Ok(Ok(result)) => {
                        work.check(&result)?;
                        (begun + at).elapsed()
                    }
                    Ok(Err(_)) | Err(_) => {
                        *failed.borrow_mut() += 1;
                        TIMEOUT
                    }
                };
                let us = took.as_micros() as u64;
                latency.borrow_mut().saturating_record(us.max(1));
                Ok(())
            }));
        }
        for task in tasks {
            task.await??;
        }
        let latency = latency.borrow();
        let failed = *failed.borrow();
        if latency.is_empty() {
            return Err("no call of the fleet has ended".into());
        }
        Ok(FleetFigure {
            p50_us: latency.value_at_quantile(0.5),
            p90_us: latency.value_at_quantile(0.9),
            p99_us: latency.value_at_quantile(0.99),
            failed_percent: 100.0 * failed as f64 / latency.len() as f64,
        })
    })
}
