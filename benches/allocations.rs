//! Allocations: how many a tiny call costs a node on its way from datagram to lane and back, and whose they are.
//!
//! Every allocation of Rust code on the node's core is counted, and one in some is asked for its stack. QuickJS and
//! BoringSSL ask the system's allocator themselves and are not counted. The node is pinned to the first core, the
//! generator to the last, so the core tells whose an allocation is.
//!
//! `cargo bench -p madrpc-benches --bench allocations`
#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

use madrpc_core::identity::{Authority, Role};
use madrpc_core::value::Value;
use madrpc_shard::client::load::{self, Load};
use madrpc_shard::engine::Script;
use madrpc_shard::node::NodeConfig;
use madrpc_shard::server::{Server, ServerConfig};
use std::alloc::{GlobalAlloc, Layout, System};
use std::backtrace::Backtrace;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::error::Error;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

const SCRIPT: &str = r#"madrpc.register("echo", (value) => value);"#;

/// One allocation in so many is asked for its stack; a prime, so that it falls into no step with the calls.
const SAMPLE: u64 = 997;

/// Whose an allocation is: the first of these paths that its stack shows, from the inside out.
const OWNERS: [(&str, &str); 5] = [
    ("/quiche-", "quiche"),
    ("/rquickjs-", "rquickjs"),
    ("/glommio-", "glommio"),
    ("madrpc-shard/src/", "madrpc-shard"),
    ("madrpc-core/src/", "madrpc-core"),
];

#[global_allocator]
static ALLOCATOR: Counting = Counting;

static COUNTS: AtomicBool = AtomicBool::new(false);
static NODE_CORE: AtomicUsize = AtomicUsize::new(usize::MAX);
#[expect(
    clippy::disallowed_types,
    reason = "the allocator of a bench belongs to all threads"
)]
static STACKS: std::sync::Mutex<Vec<Backtrace>> = std::sync::Mutex::new(Vec::new());

thread_local! {
    static TAKEN: Cell<u64> = const { Cell::new(0) };
    /// Whether this thread is looking at a stack, which allocates.
    static LOOKS: Cell<bool> = const { Cell::new(false) };
}

/// The number of allocations on the node's core.
static ON_NODE: AtomicU64 = AtomicU64::new(0);

struct Counting;

impl Counting {
    fn count() {
        if !COUNTS.load(Relaxed) || LOOKS.get() {
            return;
        }
        // SAFETY: it has no conditions.
        let core = unsafe { libc::sched_getcpu() };
        if core != NODE_CORE.load(Relaxed) as i32 {
            return;
        }
        ON_NODE.fetch_add(1, Relaxed);
        TAKEN.set(TAKEN.get() + 1);
        if TAKEN.get().is_multiple_of(SAMPLE) {
            LOOKS.set(true);
            let stack = Backtrace::force_capture();
            if let Ok(mut stacks) = STACKS.lock() {
                stacks.push(stack);
            }
            LOOKS.set(false);
        }
    }
}

// SAFETY: every request goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        Self::count();
        // SAFETY: the caller keeps to the conditions.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps to the conditions.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        Self::count();
        // SAFETY: the caller keeps to the conditions.
        unsafe { System.realloc(block, layout, size) }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let cores = core_affinity::get_core_ids().ok_or("the cores of this process cannot be read")?;
    let (Some(first), Some(last)) = (cores.first(), cores.last()) else {
        return Err("no core".into());
    };
    if first == last {
        return Err("the node and its callers need a core each".into());
    }
    NODE_CORE.store(first.id, Relaxed);
    let authority = Authority::create("bench")?;
    let config = ServerConfig {
        shards: Some(1),
        cpus: Some([first.id].into_iter().collect()),
        ..ServerConfig::new(([127, 0, 0, 1], 0).into(), authority.issue(Role::Node)?)
    };
    let script = Script::new("echo.js", SCRIPT);
    let node = Server::node(&config, &script, &NodeConfig::default())?;
    for concurrency in [1, 64, 1024] {
        let load = |seconds: u64| {
            Ok::<_, Box<dyn Error>>(Load {
                address: node.address().to_string(),
                identity: authority.issue(Role::Client)?,
                function: "echo".into(),
                args: Value::Integer(7),
                concurrency,
                connections: 1,
                warm_up: Duration::ZERO,
                duration: Duration::from_secs(seconds),
                core: last.id,
            })
        };
        // What grows once has grown before it is counted.
        load::run(load(1)?)?;
        ON_NODE.store(0, Relaxed);
        COUNTS.store(true, Relaxed);
        let report = load::run(load(2)?)?;
        COUNTS.store(false, Relaxed);
        if report.results == 0 || !report.errors.is_empty() {
            return Err(format!("{} results, errors: {:?}", report.results, report.errors).into());
        }
        let taken = ON_NODE.load(Relaxed);
        let per_call = taken as f64 / report.results as f64;
        println!(
            "{concurrency} in flight: {taken} allocations in {} calls, {per_call:.3} for each",
            report.results
        );
        let stacks = STACKS.lock().map(|mut stacks| std::mem::take(&mut *stacks));
        let stacks = stacks.map_err(|_| "a thread has panicked")?;
        for (place, share) in by_place(&stacks) {
            println!("{:>10.3}  {place}", per_call * share);
        }
    }
    Ok(())
}

/// The share of each place among the stacks, the greatest first.
fn by_place(stacks: &[Backtrace]) -> Vec<(String, f64)> {
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    for stack in stacks {
        *places.entry(place(&stack.to_string())).or_default() += 1;
    }
    let share = |count: usize| count as f64 / stacks.len() as f64;
    let mut places: Vec<_> = places
        .into_iter()
        .map(|(place, count)| (place, share(count)))
        .collect();
    places.sort_by(|a, b| b.1.total_cmp(&a.1));
    places.truncate(15);
    places
}

/// The owner of an allocation, and its innermost function. A stack has a line `N: function` for each frame, the
/// innermost first, and below it `at path:line:column` where that is known. The functions do not name their crate.
fn place(stack: &str) -> String {
    let mut function = "";
    for line in stack.lines().map(str::trim) {
        let Some(path) = line.strip_prefix("at ") else {
            function = line.split_once(": ").map_or(line, |(_, name)| name);
            continue;
        };
        // This bench's own frames lie in no owner's folder.
        if let Some((_, owner)) = OWNERS.iter().find(|(part, _)| path.contains(part)) {
            return format!("{owner}: {function}");
        }
    }
    "(another thread on this core)".to_owned()
}
