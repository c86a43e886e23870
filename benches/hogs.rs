//! Hogs: what functions that keep the core, each in its own way, do to tiny calls beside them, and how soon they end.
//!
//! A node of one shard with four lanes is pinned to the first core, all that call it to the last. Beside as many calls of each
//! hog as there are lanes, and beside three times as many, tiny calls are made 200 times a second, by the hogs' own caller and
//! by another; each is timed from when it was due. Hogs have a deadline; how late one ends is seen by its caller.
//!
//! `cargo bench -p madrpc-benches --bench hogs [-- includes sort …]`
#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

use core_affinity::CoreId;
use hdrhistogram::Histogram;
use madrpc_core::call::{CallError, ErrorKind};
use madrpc_core::identity::{Authority, Role};
use madrpc_core::value::Value;
use madrpc_shard::client::{Client, ClientConfig};
use madrpc_shard::engine::Script;
use madrpc_shard::node::NodeConfig;
use madrpc_shard::runtime::memory::CountingAllocator;
use madrpc_shard::server::{Server, ServerConfig};
use std::error::Error;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

// As the command has it.
#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

const SCRIPT: &str = include_str!("hogs.js");

const LANES: usize = 4;
const DEADLINE: Duration = Duration::from_secs(1);
/// Of those whose arguments have to arrive before.
const TAKERS_DEADLINE: Duration = Duration::from_secs(4);
const ARGUMENT_BYTES: usize = 60_000_000;
const TINY_EACH: Duration = Duration::from_millis(5);

/// The hogs have begun when the tiny calls do.
const HEAD_START: Duration = Duration::from_millis(50);

/// What is promised: of the latency of tiny calls, of how late a hog ends, and of memory beyond the limit of each.
const P99_US: u64 = 5_000;
const LATE_MS: f64 = 10.0;
const MEMORY_MIB: u64 = 64 + 8;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> Outcome<()> {
    // Cargo adds a flag of its own.
    let wanted: Vec<String> = std::env::args()
        .skip(1)
        .filter(|arg| !arg.starts_with("--"))
        .collect();
    let cores = core_affinity::get_core_ids().ok_or("the process' cores cannot be read")?;
    let (Some(&first), Some(&last)) = (cores.first(), cores.last()) else {
        return Err("no core".into());
    };
    let bench = Bench::new(first)?;
    thread::scope(|scope| {
        let pinned = scope.spawn(move || {
            if !core_affinity::set_for_current(last) {
                return Err("the callers cannot be pinned".into());
            }
            bench.run(&wanted)
        });
        pinned.join().map_err(|_| "a caller has panicked")?
    })
}

struct Bench {
    authority: Authority,
    node: Server,
}

/// A function that keeps the core, and what it is called with.
struct Hog {
    name: String,
    argument: Value,
    argument_bytes: usize,
    deadline: Duration,
}

impl Hog {
    fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            argument: Value::Null,
            argument_bytes: 0,
            deadline: DEADLINE,
        }
    }

    fn taker(name: &str) -> Outcome<Self> {
        let bytes = ARGUMENT_BYTES;
        let argument = match name {
            "textArgument" => Value::String("é".repeat(bytes / 2)),
            "keyArgument" => Value::object([("x".repeat(bytes).as_str(), Value::Null)]),
            // Two bytes each, of which the lane makes sixteen.
            "listArgument" => Value::Array(vec![Value::Integer(1); bytes / 20]),
            "bytesArgument" => Value::Bytes(vec![1; bytes]),
            other => return Err(format!("what is `{other}` called with?").into()),
        };
        let mut encoded = Vec::new();
        argument.encode(&mut encoded, usize::MAX)?;
        Ok(Self {
            argument,
            argument_bytes: encoded.len(),
            deadline: TAKERS_DEADLINE,
            ..Self::new(name)
        })
    }

    /// What the caller and the sessions have of the argument, in the same process.
    fn copies_mib(&self) -> u64 {
        match self.argument {
            Value::Null => 0,
            _ => (3 * ARGUMENT_BYTES as u64) >> 20,
        }
    }
}

/// What was seen beside some calls of a hog.
struct Seen {
    tiny: Histogram<u64>,
    errors: usize,
    first_error: Option<CallError>,
    late_ms: f64,
    grown_mib: u64,
}

impl Bench {
    fn new(core: CoreId) -> Outcome<Self> {
        let authority = Authority::create("bench")?;
        let config = ServerConfig {
            shards: Some(1),
            cpus: Some([core.id].into_iter().collect()),
            ..ServerConfig::new(([127, 0, 0, 1], 0).into(), authority.issue(Role::Node)?)
        };
        let settings = NodeConfig {
            pool_size: Some(LANES),
            ..NodeConfig::default()
        };
        let script = Script::new("hogs.js", SCRIPT);
        let node = Server::node(&config, &script, &settings)?;
        Ok(Self { authority, node })
    }

    fn client(&self) -> Outcome<Client> {
        Ok(Client::new(&ClientConfig::with_identity(
            &self.node.address().to_string(),
            self.authority.issue(Role::Client)?,
        ))?)
    }

    fn run(&self, wanted: &[String]) -> Outcome<()> {
        let (hog, other) = (self.client()?, self.client()?);
        let names: Vec<String> = hog.call_blocking("hogs", &())?;
        let takers: Vec<String> = hog.call_blocking("takers", &())?;
        if let Some(unknown) = wanted
            .iter()
            .find(|name| !names.contains(name) && !takers.contains(name))
        {
            return Err(format!("there is no hog `{unknown}`").into());
        }
        let is_wanted = |name: &&String| wanted.is_empty() || wanted.contains(name);
        let takers = takers.iter().filter(is_wanted).map(|name| Hog::taker(name));
        let hogs = names
            .iter()
            .filter(is_wanted)
            .map(|name| Ok(Hog::new(name)));
        println!(
            "{:>16} {:>6} {:>6} {:>6} {:>8} {:>8} {:>8} {:>7} {:>8} {:>8}",
            "hog",
            "arg MB",
            "calls",
            "tiny",
            "p50 us",
            "p99 us",
            "max us",
            "errors",
            "late ms",
            "MiB more"
        );
        let mut missed = [0; 4];
        let mut rows = 0;
        for one in hogs.chain(takers) {
            let one = one?;
            for calls in [LANES, 3 * LANES] {
                for (whose, tiny) in [("own", &hog), ("other", &other)] {
                    let seen = beside(&one, calls, &hog, tiny)?;
                    let p99 = seen.tiny.value_at_quantile(0.99);
                    println!(
                        "{:>16} {:>6} {calls:>6} {whose:>6} {:>8} {p99:>8} {:>8} {:>7} {:>8.1} {:>8}",
                        one.name,
                        one.argument_bytes / 1_000_000,
                        seen.tiny.value_at_quantile(0.5),
                        seen.tiny.max(),
                        seen.errors,
                        seen.late_ms,
                        seen.grown_mib,
                    );
                    if let Some(error) = &seen.first_error {
                        println!("{:>24} {error}", "");
                    }
                    let is_missed = [
                        p99 > P99_US,
                        seen.errors > 0,
                        seen.late_ms > LATE_MS,
                        seen.grown_mib > (MEMORY_MIB + one.copies_mib()) * calls as u64,
                    ];
                    for (count, is_missed) in missed.iter_mut().zip(is_missed) {
                        *count += usize::from(is_missed);
                    }
                    rows += 1;
                }
            }
        }
        let promises = [
            format!("p99 above {P99_US} us"),
            "errors of tiny calls".to_owned(),
            format!("ended more than {LATE_MS} ms late"),
            format!("more than {MEMORY_MIB} MiB for each"),
        ];
        for (promise, missed) in promises.iter().zip(missed) {
            let word = if missed == 0 { "met" } else { "MISSED" };
            println!("{promise:>36}: {missed} of {rows} rows: {word}");
        }
        match missed {
            [0, 0, 0, 0] => Ok(()),
            _ => Err("a promise is not kept".into()),
        }
    }
}

/// Makes tiny calls beside so many of a hog, until those have ended.
fn beside(one: &Hog, calls: usize, hog: &Client, tiny: &Client) -> Outcome<Seen> {
    let before = resident_bytes()?;
    let is_over = Arc::new(AtomicBool::new(false));
    let most = Arc::new(AtomicU64::new(before));
    let mut seen = Seen {
        tiny: Histogram::new(3)?,
        errors: 0,
        first_error: None,
        late_ms: 0.0,
        grown_mib: 0,
    };
    thread::scope(|scope| {
        let hogs: Vec<_> = (0..calls)
            .map(|_| {
                scope.spawn(|| {
                    give_way();
                    lateness(hog, one)
                })
            })
            .collect();
        let (over, peak) = (Arc::clone(&is_over), Arc::clone(&most));
        scope.spawn(move || {
            while !over.load(Ordering::Relaxed) {
                peak.fetch_max(resident_bytes().unwrap_or_default(), Ordering::Relaxed);
                thread::sleep(Duration::from_millis(10));
            }
        });
        thread::sleep(HEAD_START);
        let begun = Instant::now();
        for count in 0.. {
            let due = begun + TINY_EACH * count;
            if due > begun + one.deadline - 2 * HEAD_START {
                break;
            }
            thread::sleep(due.saturating_duration_since(Instant::now()));
            let answer = tiny.call_blocking::<_, u32>("ping", &count);
            seen.tiny.record(due.elapsed().as_micros() as u64)?;
            if let Err(error) = answer {
                seen.errors += 1;
                seen.first_error.get_or_insert(error);
            }
        }
        for hog in hogs {
            let late = hog.join().map_err(|_| "a caller of a hog has panicked")?;
            seen.late_ms = seen.late_ms.max(late.as_secs_f64() * 1e3);
        }
        is_over.store(true, Ordering::Relaxed);
        Outcome::Ok(())
    })?;
    seen.grown_mib = most.load(Ordering::Relaxed).saturating_sub(before) >> 20;
    Ok(seen)
}

/// The present thread reads the hogs' results, on the core from which the tiny calls are made: what those wait for is the node,
/// and not it.
fn give_way() {
    // SAFETY: it changes a number of this thread.
    unsafe { libc::nice(19) };
}

/// How long after its deadline a call of a hog has ended; zero where it ended before, as some do at another limit.
fn lateness(hog: &Client, one: &Hog) -> Duration {
    let begun = Instant::now();
    let call = hog.prepare(&one.name).timeout(one.deadline);
    let ended = call.send_blocking(one.argument.clone());
    match ended {
        Err(error) if error.kind == ErrorKind::Unavailable => Duration::MAX,
        _ => begun.elapsed().saturating_sub(one.deadline),
    }
}

fn resident_bytes() -> Outcome<u64> {
    let statm = fs::read_to_string("/proc/self/statm")?;
    let pages = statm.split_whitespace().nth(1).ok_or("no resident pages")?;
    Ok(pages.parse::<u64>()? * 4096)
}
