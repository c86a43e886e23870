//! Lanes: what calls that run for long do to short ones on the same core, what slices cost, and how soon a call ends.
//!
//! A node of one shard is pinned to the first core, all that call it to the last. Figures that are compared
//! are of one run, one after the other or in turns. A call that fails where it should not ends the bench, and so do tiny calls that
//! wait for long beside kernels.
//!
//! `cargo bench -p madrpc-benches --bench lanes [-- fairness|kernels|waiting|cost|endings …]`
#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

use core_affinity::CoreId;
use madrpc_core::call::{CallError, ErrorKind};
use madrpc_core::identity::{Authority, Role};
use madrpc_core::value::Value;
use madrpc_shard::client::load::{self, Load, LoadReport};
use madrpc_shard::client::{Client, ClientConfig, Reply};
use madrpc_shard::engine::Script;
use madrpc_shard::node::NodeConfig;
use madrpc_shard::runtime::memory::CountingAllocator;
use madrpc_shard::server::{Server, ServerConfig};
use std::error::Error;
use std::pin::pin;
use std::task::{Context, Waker};
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

// As the command has it.
#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

const SCRIPT: &str = r#"
madrpc.register("echo", (value) => value);
madrpc.register("spin", () => { for (;;) {} });
const kernel = madrpc.kernel(function kernel(x) { for (;;) x = x * 5 + 1 | 0; });
madrpc.register("kernel", () => kernel(1));
madrpc.register("loop", (ms) => { const end = Date.now() + ms; let n = 0; while (Date.now() < end) n++; return n; });
madrpc.register("compute", (rounds) => {
  let x = 1, inside = 0;
  for (let i = 0; i < rounds; i++) {
    x = (Math.imul(x, 1664525) + 1013904223) | 0;
    const a = (x >>> 8) / 16777216;
    x = (Math.imul(x, 1664525) + 1013904223) | 0;
    const b = (x >>> 8) / 16777216;
    if (a * a + b * b < 1) inside++;
  }
  return inside;
});
"#;

/// Lanes of the node, and how many of them are kept busy.
const POOL: usize = 8;
const LOOPS: usize = 7;

/// How long the busy lanes are busy beside the tiny calls; just under the deadline of their calls.
const BUSY: Duration = Duration::from_millis(9_500);
const DEADLINE: Duration = Duration::from_secs(10);

/// What the slowest tiny calls but one in a hundred may take beside them.
const P99_MAX_MS: f64 = 3.0;

/// Pairs of computations, and how long one is about.
const PAIRS: usize = 3;
const COMPUTATION: Duration = Duration::from_secs(10);

/// Endings of each sort.
const ENDINGS: usize = 50;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;
type Part = fn(&Bench) -> Outcome<()>;

fn main() -> Outcome<()> {
    let parts: [(&str, Part); 5] = [
        ("fairness", fairness),
        ("kernels", kernels),
        ("waiting", waiting),
        ("cost", cost),
        ("endings", endings),
    ];
    // Cargo adds a flag of its own.
    let wanted: Vec<String> = std::env::args()
        .skip(1)
        .filter(|arg| !arg.starts_with("--"))
        .collect();
    if let Some(unknown) = wanted
        .iter()
        .find(|name| parts.iter().all(|(part, _)| part != name))
    {
        return Err(format!("there is no part `{unknown}`").into());
    }
    let bench = Bench::new()?;
    for (name, part) in parts {
        if wanted.is_empty() || wanted.iter().any(|wanted| wanted == name) {
            part(&bench)?;
        }
    }
    Ok(())
}

struct Bench {
    authority: Authority,
    first: CoreId,
    last: CoreId,
}

impl Bench {
    fn new() -> Outcome<Self> {
        let cores = core_affinity::get_core_ids().ok_or("the process' cores cannot be read")?;
        let (Some(&first), Some(&last)) = (cores.first(), cores.last()) else {
            return Err("no core".into());
        };
        println!("node on core {}, generator on core {}", first.id, last.id);
        Ok(Self {
            authority: Authority::create("bench")?,
            first,
            last,
        })
    }

    fn node(&self, settings: &NodeConfig) -> Outcome<Server> {
        let config = ServerConfig {
            shards: Some(1),
            cpus: Some([self.first.id].into_iter().collect()),
            ..ServerConfig::new(
                ([127, 0, 0, 1], 0).into(),
                self.authority.issue(Role::Node)?,
            )
        };
        let script = Script::new("lanes.js", SCRIPT);
        Ok(Server::node(&config, &script, settings)?)
    }

    /// A client that has its session already. It and its callers have to be pinned: see [`Bench::on_last`].
    fn client(&self, server: &Server) -> Outcome<Client> {
        let client = Client::new(&ClientConfig {
            connections: Some(1),
            ..ClientConfig::with_identity(
                &server.address().to_string(),
                self.authority.issue(Role::Client)?,
            )
        })?;
        client.call_blocking::<_, i64>("echo", &1)?;
        Ok(client)
    }

    /// Runs `body`, and the threads that it starts, on the last core: one that the system puts on the node's core waits
    /// for milliseconds there before it runs at all.
    fn on_last<T: Send>(&self, body: impl FnOnce() -> Outcome<T> + Send) -> Outcome<T>
where {
        thread::scope(|scope| {
            let pinned = scope.spawn(|| {
                if !core_affinity::set_for_current(self.last) {
                    return Err("the callers cannot be pinned".into());
                }
                body()
            });
            pinned.join().map_err(|_| "a caller has panicked")?
        })
    }

    fn tiny(&self, server: &Server, concurrency: usize) -> Outcome<LoadReport> {
        let report = load::run(Load {
            address: server.address().to_string(),
            identity: self.authority.issue(Role::Client)?,
            function: "echo".into(),
            args: Value::Integer(7),
            concurrency,
            connections: 1,
            warm_up: Duration::from_millis(500),
            duration: Duration::from_secs(3),
            core: self.last.id,
        })?;
        if report.results == 0 || !report.errors.is_empty() {
            return Err(format!("{} results, errors: {:?}", report.results, report.errors).into());
        }
        Ok(report)
    }
}

fn pool(lanes: usize) -> NodeConfig {
    NodeConfig {
        pool_size: Some(lanes),
        ..NodeConfig::default()
    }
}

fn unsliced(lanes: usize) -> NodeConfig {
    NodeConfig {
        slice: None,
        ..pool(lanes)
    }
}

/// Tiny calls beside busy lanes: the latency and the throughput they keep, and what the busy ones get.
fn fairness(bench: &Bench) -> Outcome<()> {
    let node = bench.node(&pool(POOL))?;
    bench.on_last(move || {
        let client = bench.client(&node)?;
        println!("\ntiny calls on one shard; pool of {POOL}, {LOOPS} of them in loops");
        println!(
            "{:>10} {:>10} {:>10} {:>8} {:>8} {:>8}",
            "in flight", "loops", "calls/s", "p50 us", "p99 us", "max us"
        );
        let row = |concurrency: usize, loops: usize, report: &LoadReport| {
            println!(
                "{concurrency:>10} {loops:>10} {:>10.0} {:>8} {:>8} {:>8}",
                report.calls_per_s(),
                report.latency.value_at_quantile(0.5),
                report.latency.value_at_quantile(0.99),
                report.latency.max(),
            );
        };
        let levels = [1, 64];
        let mut free = Vec::new();
        for concurrency in levels {
            let report = bench.tiny(&node, concurrency)?;
            row(concurrency, 0, &report);
            free.push(report);
        }
        let (busy, loops) = thread::scope(|scope| {
            let loops: Vec<_> = (0..LOOPS)
                .map(|_| scope.spawn(|| looping(&client, BUSY)))
                .collect();
            thread::sleep(Duration::from_millis(200));
            let mut busy = Vec::new();
            for concurrency in levels {
                let report = bench.tiny(&node, concurrency)?;
                row(concurrency, LOOPS, &report);
                busy.push(report);
            }
            if loops.iter().any(ScopedJoinHandle::is_finished) {
                return Err("a loop ended before the tiny calls did".into());
            }
            Outcome::Ok((busy, joined(loops)?))
        })?;
        for (concurrency, report) in levels.into_iter().zip(&busy) {
            let p99 = report.latency.value_at_quantile(0.99);
            verdict(
                &format!("p99 with {concurrency} in flight, ms"),
                p99 as f64 / 1e3,
                P99_MAX_MS,
            );
        }
        let kept = 100.0 * busy[1].calls_per_s() / free[1].calls_per_s();
        verdict("throughput lost with 64 in flight, %", 100.0 - kept, 70.0);
        let shares = loops
            .iter()
            .map(|reply| 100.0 * reply.bill.cpu_us as f64 / BUSY.as_micros() as f64);
        let (least, most, sum) = shares
            .fold((f64::MAX, 0.0f64, 0.0), |(least, most, sum), share| {
                (least.min(share), most.max(share), sum + share)
            });
        println!("the loops had {sum:.1}% of the core in all, each {least:.1}% to {most:.1}%");
        Ok(())
    })
}

/// Tiny calls beside kernels that never end, which look at a flag at each turn and at no clock.
fn kernels(bench: &Bench) -> Outcome<()> {
    let node = bench.node(&pool(POOL))?;
    let p99 = bench.on_last(move || {
        let client = bench.client(&node)?;
        thread::scope(|scope| {
            let endless: Vec<_> = (0..LOOPS)
                .map(|_| {
                    let call = client.prepare("kernel").timeout(DEADLINE);
                    scope.spawn(move || call.send_blocking(Value::Null))
                })
                .collect();
            thread::sleep(Duration::from_millis(200));
            let report = bench.tiny(&node, 1)?;
            if endless.iter().any(ScopedJoinHandle::is_finished) {
                return Err("a kernel ended before the tiny calls did".into());
            }
            for call in endless {
                let ended = call.join().map_err(|_| "a caller has panicked")?;
                match ended {
                    Err(error) if error.kind == ErrorKind::DeadlineExceeded => {}
                    other => return Err(format!("a kernel without an end: {other:?}").into()),
                }
            }
            Outcome::Ok(report.latency.value_at_quantile(0.99) as f64 / 1e3)
        })
    })?;
    match verdict(&format!("p99 beside {LOOPS} kernels, ms"), p99, P99_MAX_MS) {
        true => Ok(()),
        false => Err("tiny calls wait for kernels".into()),
    }
}

/// The same without slices: how long one tiny call waits.
fn waiting(bench: &Bench) -> Outcome<()> {
    let node = bench.node(&unsliced(POOL))?;
    bench.on_last(move || {
        let client = bench.client(&node)?;
        let busy = Duration::from_secs(1);
        let waited = thread::scope(|scope| {
            let loops: Vec<_> = (0..LOOPS)
                .map(|_| scope.spawn(|| looping(&client, busy)))
                .collect();
            thread::sleep(Duration::from_millis(200));
            let begun = Instant::now();
            client.call_blocking::<_, i64>("echo", &1)?;
            let waited = begun.elapsed();
            joined(loops)?;
            Outcome::Ok(waited)
        })?;
        println!(
            "without slices and {LOOPS} loops of {} s, a tiny call waits {:.2} s",
            busy.as_secs(),
            waited.as_secs_f64()
        );
        Ok(())
    })
}

/// A long computation with slices and without, in turns.
fn cost(bench: &Bench) -> Outcome<()> {
    let nodes = [bench.node(&pool(1))?, bench.node(&unsliced(1))?];
    bench.on_last(move || {
        let clients = [bench.client(&nodes[0])?, bench.client(&nodes[1])?];
        let time = |client: &Client, rounds: i64| {
            let begun = Instant::now();
            let inside: i64 = client.call_blocking("compute", &rounds)?;
            Outcome::Ok((begun.elapsed(), inside))
        };
        let trial = 2_000_000;
        let (trial_time, _) = time(&clients[1], trial)?;
        let rounds = (trial as f64 * COMPUTATION.div_duration_f64(trial_time)) as i64;
        let mut sums = [Duration::ZERO; 2];
        let mut ratios = Vec::new();
        let mut results = Vec::new();
        for pair in 0..PAIRS {
            let mut times = [Duration::ZERO; 2];
            // Which comes first changes from pair to pair, so that a machine that slows down harms both.
            for way in [pair % 2, 1 - pair % 2] {
                let (elapsed, inside) = time(&clients[way], rounds)?;
                times[way] = elapsed;
                sums[way] += elapsed;
                results.push(inside);
            }
            ratios.push(times[0].div_duration_f64(times[1]));
        }
        if results.iter().any(|result| *result != results[0]) {
            return Err(format!("the computations differ: {results:?}").into());
        }
        ratios.sort_by(f64::total_cmp);
        println!(
            "\na computation of {:.2} s without slices takes {:.2} s with them; {PAIRS} pairs, ratios {:.3} to {:.3}",
            sums[1].as_secs_f64() / PAIRS as f64,
            sums[0].as_secs_f64() / PAIRS as f64,
            ratios[0],
            ratios[PAIRS - 1]
        );
        verdict(
            "slices cost, % (median)",
            100.0 * (ratios[PAIRS / 2] - 1.0),
            3.0,
        );
        Ok(())
    })
}

/// How long after its deadline, or after its caller gave it up, an endless loop is over: alone and in a full pool.
fn endings(bench: &Bench) -> Outcome<()> {
    println!("\nan endless loop's end, latest of {ENDINGS}");
    for lanes in [1, POOL] {
        let node = bench.node(&pool(lanes))?;
        bench.on_last(move || {
            let client = bench.client(&node)?;
            let others = lanes - 1;
            let busy = DEADLINE - Duration::from_millis(100);
            thread::scope(|scope| {
                let loops: Vec<_> = (0..others)
                    .map(|_| scope.spawn(|| looping(&client, busy)))
                    .collect();
                thread::sleep(Duration::from_millis(100));
                let (late, median) = latest(|| past_deadline(&client, Duration::from_millis(60)))?;
                verdict(
                    &format!("after its deadline, ms, beside {others} loops (median {median:.2})"),
                    late,
                    5.0,
                );
                let (late, median) = latest(|| past_cancel(&client))?;
                verdict(
                    &format!("after its cancel, ms, beside {others} loops (median {median:.2})"),
                    late,
                    5.0,
                );
                if loops.iter().any(ScopedJoinHandle::is_finished) {
                    return Err("a loop ended before the endings were measured".into());
                }
                joined(loops)?;
                Outcome::Ok(())
            })
        })?;
    }
    Ok(())
}

/// The latest and the median of some endings, in milliseconds.
fn latest(mut once: impl FnMut() -> Outcome<Duration>) -> Outcome<(f64, f64)> {
    let endings: Outcome<Vec<Duration>> = (0..ENDINGS).map(|_| once()).collect();
    let mut endings = endings?;
    endings.sort_unstable();
    let ms = |at: usize| endings[at].as_secs_f64() * 1e3;
    Ok((ms(ENDINGS - 1), ms(ENDINGS / 2)))
}

/// From the deadline of an endless loop to the reply that says so, as its caller sees it.
fn past_deadline(client: &Client, timeout: Duration) -> Outcome<Duration> {
    let begun = Instant::now();
    let call = client.prepare("spin").timeout(timeout);
    let ended = call.send_blocking(Value::Undefined);
    let elapsed = begun.elapsed();
    match ended {
        Err(error) if error.kind == ErrorKind::DeadlineExceeded => Ok(elapsed - timeout),
        other => Err(format!("an endless loop ended with {other:?}").into()),
    }
}

/// From the cancel of an endless loop in the last free lane to the reply of the next call in that lane.
fn past_cancel(client: &Client) -> Outcome<Duration> {
    {
        let mut call = pin!(
            client
                .prepare("spin")
                .timeout(DEADLINE)
                .send(Value::Undefined)
        );
        // Polled once, it is sent; nobody waits for more.
        if call
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
            .is_ready()
        {
            return Err("an endless loop ended at once".into());
        }
        thread::sleep(Duration::from_millis(20));
        // It is cancelled here, where it is dropped.
    }
    let begun = Instant::now();
    client.call_blocking::<_, i64>("echo", &1)?;
    Ok(begun.elapsed())
}

fn looping(client: &Client, busy: Duration) -> Result<Reply<Value>, CallError> {
    let call = client.prepare("loop").timeout(DEADLINE);
    call.send_blocking(Value::Integer(busy.as_millis() as i64))
}

fn joined(
    loops: Vec<ScopedJoinHandle<'_, Result<Reply<Value>, CallError>>>,
) -> Outcome<Vec<Reply<Value>>> {
    let replies = loops.into_iter().map(|call| match call.join() {
        Ok(reply) => Ok(reply?),
        Err(_) => Err("a caller of a loop has panicked".into()),
    });
    replies.collect()
}

fn verdict(what: &str, value: f64, target: f64) -> bool {
    let is_met = value <= target;
    let word = if is_met { "met" } else { "MISSED" };
    println!("{what:>46}: {value:>7.2}   target <= {target}: {word}");
    is_met
}
