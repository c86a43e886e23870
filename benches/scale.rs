//! Scale: what a second core adds, and what many connections cost.
//!
//! The node is a process of its own, this program started again, so that its memory and its CPU time are its own.
//!
//! `cargo bench -p madrpc-benches --bench scale [-- shards|connections …]`
#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

use madrpc_core::identity::{Authority, Role};
use madrpc_core::stats::STATS;
use madrpc_core::stats::Snapshot;
use madrpc_core::value::Value;
use madrpc_shard::client::load::{self, Load, Pace, Plan, Report, Until};
use madrpc_shard::client::{Client, ClientConfig};
use madrpc_shard::engine::Script;
use madrpc_shard::node::NodeConfig;
use madrpc_shard::runtime::memory::CountingAllocator;
use madrpc_shard::server::{Server, ServerConfig};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use std::collections::BTreeSet;
use std::error::Error;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

// As the command has it.
#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

const SCRIPT: &str = r#"
madrpc.register("echo", (value) => value);
madrpc.register("compute", (rounds) => {
  let x = 1;
  for (let i = 0; i < rounds; i++) x = (Math.imul(x, 1664525) + 1013904223) | 0;
  return x;
});
"#;

/// How long a computation of the part `shards` takes.
const COMPUTATION_US: u64 = 100;
const ROUNDS: usize = 5;

/// The connections that are open, those of them that call, and the calls of each in a second.
const CONNECTIONS: usize = 10_000;
const CALLING: usize = 100;
const RATE_OF_EACH: f64 = 100.0;
/// Connections opened by one generator at once.
const OPENED_AT_ONCE: usize = 450;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> Outcome<()> {
    // Cargo adds a flag of its own.
    let args: Vec<String> = std::env::args()
        .skip(1)
        .filter(|arg| !arg.starts_with("--"))
        .collect();
    if let [word, dir, cores] = args.as_slice()
        && word == "node"
    {
        return serve(Path::new(dir), cores);
    }
    let parts = [
        ("shards", shards as fn() -> Outcome<()>),
        ("connections", connections),
    ];
    if let Some(unknown) = args
        .iter()
        .find(|name| parts.iter().all(|(part, _)| part != name))
    {
        return Err(format!("there is no part `{unknown}`").into());
    }
    for (name, part) in parts {
        if args.is_empty() || args.iter().any(|wanted| wanted == name) {
            part()?;
        }
    }
    Ok(())
}

/// What the other process does: a node on these cores, until its input ends.
fn serve(dir: &Path, cores: &str) -> Outcome<()> {
    let cpus: Result<BTreeSet<usize>, _> = cores.split(',').map(str::parse).collect();
    let config = ServerConfig {
        cpus: Some(cpus?.into_iter().collect()),
        ..ServerConfig::new(
            ([127, 0, 0, 1], 0).into(),
            Authority::load(dir)?.issue(Role::Node)?,
        )
    };
    let script = Script::new("scale.js", SCRIPT);
    let node = Server::node(&config, &script, &NodeConfig::default())?;
    println!("{}", node.address());
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

/// A node in its own process, which ends with this.
struct Node {
    child: Child,
    /// Closed to end it.
    _input: Option<ChildStdin>,
    address: String,
}

impl Node {
    fn start(dir: &Path, cores: &str) -> Outcome<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg("node")
            .arg(dir)
            .arg(cores)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let output = child.stdout.take().ok_or("the node has no output")?;
        let mut address = String::new();
        BufReader::new(output).read_line(&mut address)?;
        if address.is_empty() {
            return Err("the node did not start".into());
        }
        Ok(Self {
            _input: child.stdin.take(),
            child,
            address: address.trim().to_owned(),
        })
    }

    /// What the system holds for it in memory.
    fn resident_bytes(&self) -> Outcome<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.split_whitespace().next());
        Ok(kib.ok_or("the node's memory is not told")?.parse::<u64>()? * 1024)
    }

    /// The CPU time it has had, as all its threads count it.
    fn cpu(&self) -> Outcome<Duration> {
        let mut sum = 0;
        for task in std::fs::read_dir(format!("/proc/{}/task", self.child.id()))? {
            let stat = std::fs::read_to_string(task?.path().join("schedstat"))?;
            sum += stat.split(' ').next().ok_or("no time")?.parse::<u64>()?;
        }
        Ok(Duration::from_nanos(sum))
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The first and the last core, and a directory with an authority.
struct Ground {
    first: usize,
    last: usize,
    dir: tempfile::TempDir,
    authority: Authority,
}

impl Ground {
    fn new() -> Outcome<Self> {
        let cores = core_affinity::get_core_ids().ok_or("the process' cores cannot be read")?;
        let (Some(first), Some(last)) = (cores.first(), cores.last()) else {
            return Err("no core".into());
        };
        if first == last {
            return Err("two cores are needed".into());
        }
        let dir = tempfile::tempdir()?;
        let authority = Authority::load_or_create(&dir.path().join("tls"))?;
        Ok(Self {
            first: first.id,
            last: last.id,
            dir,
            authority,
        })
    }

    fn node(&self, cores: &[usize]) -> Outcome<Node> {
        let cores: Vec<String> = cores.iter().map(usize::to_string).collect();
        Node::start(&self.dir.path().join("tls"), &cores.join(","))
    }

    fn client(&self, node: &Node) -> Outcome<Client> {
        let identity = self.authority.issue(Role::Operator)?;
        Ok(Client::new(&ClientConfig {
            connections: Some(1),
            ..ClientConfig::with_identity(&node.address, identity)
        })?)
    }
}

/// A computation of 100 µs on two shards and on one.
///
/// With two cores, the generator takes a part `g` of one from the second shard: of two cores, the shards have `2 - g`.
/// What two shards would do on two whole cores is the measured throughput times `2 / (2 - g)`, and `g` is the CPU time of
/// this process in the same run.
fn shards() -> Outcome<()> {
    let ground = Ground::new()?;
    let nodes = [
        ground.node(&[ground.first])?,
        ground.node(&[ground.first, ground.last])?,
    ];
    let trial = 10_000;
    let client = ground.client(&nodes[0])?;
    let mut times = Vec::new();
    for _ in 0..50 {
        let reply = client
            .prepare("compute")
            .send_blocking(Value::Integer(trial))?;
        times.push(reply.bill.cpu_us);
    }
    drop(client);
    times.sort_unstable();
    let rounds = trial * COMPUTATION_US as i64 / times[times.len() / 2].max(1) as i64;
    println!(
        "\na computation of {COMPUTATION_US} us ({rounds} rounds), 16 in flight, generator on core {}",
        ground.last
    );
    println!(
        "{:>10} {:>10} {:>12} {:>14}",
        "1 shard/s", "2 shards/s", "generator", "ratio, even"
    );
    let mut ratios = Vec::new();
    for _ in 0..ROUNDS {
        let mut rates = [0.0; 2];
        let mut generator = 0.0;
        for (way, node) in nodes.iter().enumerate() {
            let (begun, before) = (Instant::now(), own_cpu()?);
            let report = load::run(Load {
                address: node.address.clone(),
                identity: ground.authority.issue(Role::Client)?,
                function: "compute".into(),
                args: Value::Integer(rounds),
                concurrency: 16,
                connections: way + 1,
                warm_up: Duration::from_millis(500),
                duration: Duration::from_secs(3),
                core: ground.last,
            })?;
            if report.results == 0 || !report.errors.is_empty() {
                return Err(
                    format!("{} results, errors: {:?}", report.results, report.errors).into(),
                );
            }
            generator = (own_cpu()? - before).div_duration_f64(begun.elapsed());
            rates[way] = report.calls_per_s();
        }
        let ratio = rates[1] / rates[0] * 2.0 / (2.0 - generator);
        println!(
            "{:>10.0} {:>10.0} {:>11.1}% {ratio:>14.3}",
            rates[0],
            rates[1],
            100.0 * generator
        );
        ratios.push(ratio);
    }
    ratios.sort_by(f64::total_cmp);
    let word = if ratios[ROUNDS / 2] >= 1.8 {
        "met"
    } else {
        "MISSED"
    };
    println!(
        "two shards for one (median): {:.3}   target >= 1.8: {word}",
        ratios[ROUNDS / 2]
    );
    Ok(())
}

/// CPU time of this process.
fn own_cpu() -> Outcome<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_SELF)?;
    let us = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    Ok(Duration::from_micros(us.try_into()?))
}

/// Many connections, of which some call.
fn connections() -> Outcome<()> {
    let ground = Ground::new()?;
    let node = ground.node(&[ground.first])?;
    let client = ground.client(&node)?;
    let sessions = || Outcome::Ok(client.call_blocking::<_, Snapshot>(STATS, &())?.sessions);
    sessions()?;
    let before = node.resident_bytes()?;
    let plan = |connections: usize, rate: f64, until: Duration| {
        Outcome::Ok(Plan {
            address: node.address.clone(),
            identity: ground.authority.issue(Role::Client)?,
            function: "echo".into(),
            args: Value::Integer(7),
            pace: Pace::Open {
                rate,
                in_flight_max: 10_000,
            },
            connections,
            warm_up: Duration::ZERO,
            until: Until::Elapsed(until),
            timeout: Duration::from_secs(10),
            idempotent: false,
            core: Some(ground.last),
        })
    };
    thread::scope(|scope| {
        let begun = Instant::now();
        let mut open = Vec::new();
        let mut opened = 0;
        while opened < CONNECTIONS - CALLING {
            let count = OPENED_AT_ONCE.min(CONNECTIONS - CALLING - opened);
            // They only stay: a call now and then.
            let plan = plan(count, 0.1, Duration::from_secs(600))?;
            let ((stop, stopped), (is_open, opens)) = (channel(), channel());
            open.push((
                stop,
                scope.spawn(move || {
                    load::measure(plan, stopped, |_| {
                        // It fails once nobody waits any more.
                        let _ = is_open.send(());
                    })
                }),
            ));
            opens.recv().map_err(|_| "connections were not opened")?;
            opened += count;
        }
        println!(
            "\n{} connections opened in {:.1} s",
            sessions()?,
            begun.elapsed().as_secs_f64()
        );
        thread::sleep(Duration::from_secs(1));
        let (memory, cpu) = (node.resident_bytes()?, node.cpu()?);
        let idle = Duration::from_secs(5);
        thread::sleep(idle);
        let share = (node.cpu()? - cpu).div_duration_f64(idle);
        println!(
            "{:.1} KiB of the node's memory for each; idle, they cost {:.2}% of a core",
            (memory - before) as f64 / 1024.0 / opened as f64,
            100.0 * share
        );
        let (_stop, stopped) = channel();
        let rate = CALLING as f64 * RATE_OF_EACH;
        let cpu = node.cpu()?;
        // Counted while they call: those of this generator close with it.
        let mut there = None;
        let plan = plan(CALLING, rate, Duration::from_secs(10))?;
        let report = load::measure(plan, stopped, |_| {
            there.get_or_insert_with(sessions);
        })?;
        let share = (node.cpu()? - cpu).div_duration_f64(report.elapsed);
        let there = there.ok_or("the calls were over at once")??;
        tell(&report, there, share);
        for (stop, _) in &open {
            let _ = stop.send(());
        }
        for (_, thread) in open {
            let report = thread.join().map_err(|_| "a generator has panicked")??;
            if !report.errors.is_empty() {
                return Err(format!("errors on idle connections: {:?}", report.errors).into());
            }
        }
        if there < CONNECTIONS as u64 || !report.errors.is_empty() || report.cut_off > 0 {
            return Err("connections or calls were lost".into());
        }
        Ok(())
    })
}

fn tell(report: &Report, sessions: u64, share: f64) {
    println!(
        "beside them {CALLING} with {RATE_OF_EACH} calls/s each: {} results, errors {:?}, p50 {} us, p99 {} us, max {} us, \
         {:.0}% of a core; {sessions} sessions are open",
        report.results,
        report.errors,
        report.latency_us.value_at_quantile(0.5),
        report.latency_us.value_at_quantile(0.99),
        report.latency_us.max(),
        100.0 * share
    );
}
