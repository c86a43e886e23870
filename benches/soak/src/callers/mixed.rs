//! All kinds of calls, half of them straight to the node and half through the orchestrator. Each is checked.

use super::CallerArguments;
use crate::Outcome;
use crate::clock::{BURST_AT, Clock};
use crate::load::Load;
use crate::record::{Outcomes, Word};
use fastrand::Rng;
use futures_lite::future::{block_on, poll_once};
use madrpc_core::call::{CallError, ErrorKind};
use madrpc_core::value::Value;
use madrpc_shard::client::Client;
use std::collections::BTreeMap;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

/// A kind of call, the threads that make it one after the other, and how long each rests in between.
struct Job {
    load: Load,
    threads: usize,
    rest: Duration,
    call: fn(&Client, &mut Rng) -> Outcomes,
}

const fn job(
    load: Load,
    threads: usize,
    rest_ms: u64,
    call: fn(&Client, &mut Rng) -> Outcomes,
) -> Job {
    Job {
        load,
        threads,
        rest: Duration::from_millis(rest_ms),
        call,
    }
}

/// Together about a third of a core of the node.
const JOBS: [Job; 10] = [
    job(Load::Tiny, 4, 10, tiny),
    job(Load::Compute, 1, 400, compute),
    job(Load::Garbage, 1, 200, garbage),
    job(Load::Large, 1, 500, large),
    job(Load::Throwing, 1, 20, throwing),
    job(Load::Deadlines, 2, 20, deadline),
    job(Load::Timers, 4, 10, timer),
    job(Load::Nested, 1, 100, nested),
    job(Load::Cancels, 1, 100, cancels),
    job(Load::Names, 1, 250, invented_name),
];

pub(super) fn run(arguments: &CallerArguments) -> Outcome<()> {
    let clients = [
        arguments.client(arguments.addresses.node)?,
        arguments.client(arguments.addresses.orchestrator)?,
    ];
    let clock = arguments.clock();
    let (sender, told) = channel();
    let wanted = JOBS
        .iter()
        .filter(|job| arguments.loads.contains(&job.load));
    for (job, seed) in wanted.zip(0..) {
        for thread in 0..job.threads {
            let (clients, sender) = (clients.clone(), sender.clone());
            let rng = Rng::with_seed(seed * 100 + thread as u64);
            std::thread::spawn(move || work(job, &clients, clock, rng, &sender));
        }
    }
    drop(sender);
    loop {
        std::thread::sleep(Duration::from_secs(1));
        let mut calls: BTreeMap<Load, Outcomes> = BTreeMap::new();
        for (load, outcomes) in told.try_iter() {
            calls.entry(load).or_default().add(&outcomes);
        }
        Word::Calls(calls).say()?;
    }
}

fn work(
    job: &Job,
    clients: &[Client; 2],
    clock: Clock,
    mut rng: Rng,
    told: &Sender<(Load, Outcomes)>,
) {
    let mut last_burst = None;
    for client in clients.iter().cycle() {
        while clock.is_quiet() {
            std::thread::sleep(Duration::from_millis(50));
        }
        let (cycle, second) = clock.now();
        let mut outcomes = (job.call)(client, &mut rng);
        if second >= BURST_AT && last_burst != Some(cycle) {
            last_burst = Some(cycle);
            outcomes.add(&match job.load {
                Load::Cancels => cancel(client, 500),
                Load::Large => echo_text(client, &mut rng, 8),
                _ => Outcomes::default(),
            });
        }
        if told.send((job.load, outcomes)).is_err() {
            return;
        }
        std::thread::sleep(job.rest);
    }
}

fn tiny(client: &Client, rng: &mut Rng) -> Outcomes {
    let wanted = [rng.u32(..), rng.u32(..)];
    Outcomes::expect(client.call_blocking("echo", &wanted), &wanted)
}

/// Some 25 ms of JavaScript.
fn compute(client: &Client, rng: &mut Rng) -> Outcomes {
    let rounds = rng.u64(400_000..600_000);
    let wanted = (0..rounds).fold(1, |x: u64, _| x * 48_271 % 2_147_483_647);
    Outcomes::expect(client.call_blocking("compute", &rounds), &wanted)
}

fn garbage(client: &Client, rng: &mut Rng) -> Outcomes {
    let count = rng.u64(5_000..10_000);
    Outcomes::expect(client.call_blocking("churn", &count), &(count / 2))
}

fn large(client: &Client, rng: &mut Rng) -> Outcomes {
    echo_text(client, rng, 1)
}

/// A text of so many MiB there and back.
fn echo_text(client: &Client, rng: &mut Rng, mib: usize) -> Outcomes {
    let wanted = format!("{:08x}", rng.u32(..)).repeat(mib << 17);
    Outcomes::expect(client.call_blocking("echo", &wanted), &wanted)
}

/// A call that has to fail in this way.
fn expect_error<T: std::fmt::Debug>(
    result: Result<T, CallError>,
    kind: ErrorKind,
    words: &str,
) -> Outcomes {
    match result {
        Err(error) if error.kind == kind && error.to_string().contains(words) => Outcomes::right(),
        Err(error) if error.kind == kind => Outcomes::wrong(&format!("no `{words}` in `{error}`")),
        Err(error) => Outcomes::failed(&error),
        Ok(result) => Outcomes::wrong(&format!("{result:.200?} and not {kind:?}")),
    }
}

fn throwing(client: &Client, rng: &mut Rng) -> Outcomes {
    let number = rng.u32(..);
    let result = client.call_blocking::<_, Value>("fail", &number);
    expect_error(
        result,
        ErrorKind::JavaScript,
        &format!("as asked: {number}"),
    )
}

fn deadline(client: &Client, _: &mut Rng) -> Outcomes {
    let call = client.prepare("wait").timeout(Duration::from_millis(80));
    let result = call.send_blocking(Value::Integer(5000));
    expect_error(result, ErrorKind::DeadlineExceeded, "")
}

fn timer(client: &Client, rng: &mut Rng) -> Outcomes {
    let ms = rng.u32(1..100);
    Outcomes::expect(client.call_blocking("wait", &ms), &ms)
}

fn nested(client: &Client, rng: &mut Rng) -> Outcomes {
    let list: Vec<u64> = (0..32).map(|_| rng.u64(..1000)).collect();
    let wanted = list.iter().map(|n| n * n).sum::<u64>();
    Outcomes::expect(client.call_blocking("sumOfSquares", &list), &wanted)
}

fn cancels(client: &Client, _: &mut Rng) -> Outcomes {
    cancel(client, 20)
}

/// Sends so many calls and gives them up while they wait.
fn cancel(client: &Client, count: u64) -> Outcomes {
    let call = || Box::pin(client.prepare("wait").send(Value::Integer(5000)));
    let mut calls: Vec<_> = (0..count).map(|_| call()).collect();
    let mut outcomes = Outcomes::default();
    for _ in 0..2 {
        for call in &mut calls {
            match block_on(poll_once(call)) {
                None => {}
                Some(Ok(_)) => outcomes.add(&Outcomes::wrong("it returned at once")),
                Some(Err(error)) => outcomes.add(&Outcomes::failed(&error)),
            }
        }
        if outcomes != Outcomes::default() {
            return outcomes;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Outcomes {
        right: count,
        ..outcomes
    }
}

fn invented_name(client: &Client, rng: &mut Rng) -> Outcomes {
    let name = format!("invented-{:x}", rng.u64(..));
    let result = client.call_blocking::<_, Value>(&name, &());
    expect_error(result, ErrorKind::NoSuchFunction, "")
}
