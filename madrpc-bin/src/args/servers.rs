//! The flags of servers: `madrpc node`, `madrpc orchestrator` and `madrpc dev`.

use super::call_limits::{CallLimitArgs, memory};
use super::help;
use super::http::HttpArgs;
use super::parse::{
    MILLISECOND, address, at_least, count, count_to, percent, percentile, span, target,
};
use super::tls::TlsArgs;
use super::traces::TraceArgs;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use madrpc_core::fleet::Balance;
use madrpc_core::identity::{Joiner, Rule};
use madrpc_shard::discovery::Source;
use madrpc_shard::net::steer::SteeringChoice;
use madrpc_shard::runtime::cpus::CpuSet;
use std::path::PathBuf;
use std::time::Duration;

/// Some 10 GB of them.
const LANES_MAX: usize = 65_536;

/// Each has a thread and 512 KiB of locked memory at least.
const DEV_NODES_MAX: usize = 256;

/// Below it a call would do little else than be stopped and go on.
const SLICE_MIN: Duration = Duration::from_micros(10);

/// Below it a machine that is busy with something else would look like a function that holds the core.
const STALL_MIN: Duration = Duration::from_millis(100);

#[derive(Debug, clap::Args)]
#[command(after_help = help::NODE)]
pub(crate) struct NodeArgs {
    /// The script: JavaScript, or TypeScript (.ts), that calls madrpc.register(name, function) or exports functions
    #[arg(short, long, value_name = "FILE")]
    pub(crate) script: PathBuf,

    /// Where to listen (UDP); port 0 chooses a free one
    #[arg(short, long, value_name = "HOST:PORT", default_value = "0.0.0.0:9001", value_parser = address)]
    pub(crate) bind: String,

    /// An orchestrator that the node announces itself to, over a session of its own on which calls come, and that madrpc.call()
    /// goes through; repeatable, or several with commas in between [default: none, and the calls of a call stay on its shard]
    #[arg(long, value_name = "HOST:PORT", value_delimiter = ',', value_parser = target)]
    pub(crate) orchestrator: Vec<String>,

    /// Lanes (JavaScript contexts) of the node, spread over its shards: so many calls of each caller want the core at the same
    /// time, and those besides that have had it for a few slices; at most 65536 [default: 4 for each shard]
    #[arg(long, value_name = "N", value_parser = count_to(LANES_MAX))]
    pub(crate) pool_size: Option<usize>,

    /// How long a call holds the core before others have their turn, as 500us, half of it for who has had more than
    /// its part; the engine looks about each 300us
    #[arg(long, value_name = "TIME", default_value = "500us", value_parser = at_least(SLICE_MIN))]
    pub(crate) slice: Duration,

    /// Let each call hold the core until it is over, whatever waits; for comparisons
    #[arg(long, conflicts_with = "slice")]
    pub(crate) no_slice: bool,

    /// Load the script anew whenever it, or a module that it imports, is saved
    #[arg(long)]
    pub(crate) watch: bool,

    /// How long a function may hold a core in a built-in that cannot be interrupted, before a watchdog has the node
    /// started anew, as 60s
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = at_least(STALL_MIN))]
    pub(crate) stall_limit: Duration,

    #[command(flatten)]
    pub(crate) limits: CallLimitArgs,

    #[command(flatten)]
    pub(crate) server: ServerArgs,
}

#[derive(Debug, clap::Args)]
#[command(after_help = help::ORCHESTRATOR)]
pub(crate) struct OrchestratorArgs {
    /// Where to listen (UDP); port 0 chooses a free one
    #[arg(short, long, value_name = "HOST:PORT", default_value = "0.0.0.0:8080", value_parser = address)]
    pub(crate) bind: String,

    /// A node to pass calls on to; repeatable, or several with commas in between. 0.0.0.0 means this machine. A name with several addresses is several nodes, and
    /// is looked up every 5s [default: those that announce themselves, and those of --discover]
    #[arg(short, long = "node", value_name = "HOST:PORT", value_delimiter = ',', value_parser = target)]
    pub(crate) nodes: Vec<String>,

    /// Where further nodes come from: file:PATH, dns:NAME or dns:HOST:PORT, each as often as wanted, see below
    #[arg(long, value_name = "SOURCE")]
    pub(crate) discover: Vec<Source>,

    /// Which of the nodes that have a function gets a call: each in turn, but for those with a far longer backlog than others; the
    /// one that is expected to be through with it first, by what is under way to each, how long it took for others of late, and
    /// whether they had results; or the same one for each key that callers give
    /// (madrpc call --key), and in turn without
    #[arg(long, value_name = "HOW", default_value = "round-robin", value_parser = balance())]
    pub(crate) balance: Balance,

    /// The share of the nodes that get no calls for a while at the most, as they fail or are far slower than the others, as 50%
    /// or 0%; rounded down, and never all of them
    #[arg(long, value_name = "SHARE", default_value = "50%", value_parser = percent)]
    pub(crate) max_ejected: u8,

    /// For functions that are registered as idempotent: ask a second node as well for a call that takes longer than this share of
    /// the calls of its function, as p95, and give up the slower one; p50 to p99 [default: never]
    #[arg(long, value_name = "PERCENTILE", value_parser = percentile)]
    pub(crate) hedge: Option<u8>,

    /// For functions that are registered as idempotent: how long a node may take before another is asked in its place, as 2s or
    /// 200ms [default: up to the call's deadline]
    #[arg(long, value_name = "TIME", value_parser = at_least(MILLISECOND))]
    pub(crate) try_timeout: Option<Duration>,

    /// How many of the nodes each shard has sessions to, with very many of both: which ones follows from names, and changes
    /// little as nodes come and go; others stand in for those that are lost, and have calls of what only they have [default: all]
    #[arg(long, value_name = "N", value_parser = count)]
    pub(crate) subset: Option<usize>,

    /// Which nodes may announce themselves, by the names of their certificates, as 'node:web-*,node:gpu'; * stands for any
    /// characters; repeatable. Nodes that are named or discovered need not be among them [default: every node of the authority]
    #[arg(long, value_name = "NODES", value_delimiter = ',', value_parser = joiner)]
    pub(crate) join: Vec<Joiner>,

    #[command(flatten)]
    pub(crate) server: ServerArgs,
}

/// What nodes and orchestrators have in common.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Server")]
pub(crate) struct ServerArgs {
    /// The settings file, in TOML [default: none]
    #[arg(long, env = "MADRPC_CONFIG", hide_env = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    /// Say whether settings, certificates and script are all right, and end
    #[arg(long)]
    pub(crate) check: bool,

    /// How many shards, each a thread on a core of its own [default: one for each core]
    #[arg(long, value_name = "N", value_parser = count)]
    pub(crate) shards: Option<usize>,

    /// The cores to use, as 0,2-5 [default: all that the process may use]
    #[arg(long, value_name = "LIST")]
    pub(crate) cpus: Option<CpuSet>,

    /// How long a shard that has calls all the time looks for more before it sleeps, as 50us; 0s: not at all
    #[arg(long, value_name = "TIME", default_value = "50us", value_parser = span)]
    pub(crate) spin: Duration,

    /// Memory for what callers and nodes send and have not taken, shared by the shards, as 512M or 4G; a node takes half as much
    /// again for what all calls hold together in JavaScript (--memory-limit is for each) [default: half of what the machine or its control group grants]
    #[arg(long, value_name = "SIZE", value_parser = memory)]
    pub(crate) memory_max: Option<usize>,

    /// How a datagram finds its shard: by the kernel's filter, or from shard to shard; auto takes the kernel's where it can
    #[arg(long, value_name = "HOW", default_value = "auto", value_parser = steering())]
    pub(crate) steering: SteeringChoice,

    /// Who may call a function, by role and name of the certificate, as 'refund=client:billing,operator:*'; * stands for any
    /// characters; repeatable, or several with ; between them [default: every role may call every function]
    #[arg(long, value_name = "RULE", value_delimiter = ';', value_parser = rule)]
    pub(crate) allow: Vec<Rule>,

    /// A file of the serial numbers of certificates whose owners are not let in, one on each line; it is looked at four times a
    /// second [default: none]
    #[arg(long, value_name = "FILE")]
    pub(crate) revoked: Option<PathBuf>,

    /// Say in the log which calls take longer than this from when they arrive until they end, as 1s or 200ms: one at a time, and of
    /// those within the next 5s how many. Each call has a number then, for all lines about it, 27 bytes and some allocations here and
    /// where it is passed on to [default: none]
    #[arg(long, value_name = "TIME", value_parser = span)]
    pub(crate) slow: Option<Duration>,

    #[command(flatten)]
    pub(crate) http: HttpArgs,

    #[command(flatten)]
    pub(crate) traces: TraceArgs,

    #[command(flatten)]
    pub(crate) drain: DrainArgs,

    #[command(flatten)]
    pub(crate) tls: TlsArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct DrainArgs {
    /// How long calls under way may take after a signal, as 30s or 500ms; those that take longer are cut off
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = span)]
    pub(crate) drain_timeout: Duration,
}

#[derive(Debug, clap::Args)]
#[command(after_help = help::DEV)]
pub(crate) struct DevArgs {
    /// The script: JavaScript, or TypeScript (.ts), that calls madrpc.register(name, function) or exports functions
    #[arg(value_name = "SCRIPT")]
    pub(crate) script: PathBuf,

    /// Nodes behind the orchestrator, which share the cores; at most 256
    #[arg(long, value_name = "N", default_value = "2", value_parser = count_to(DEV_NODES_MAX))]
    pub(crate) nodes: usize,

    /// Lanes (JavaScript contexts) of each node, as of `madrpc node` [default: 4 for each shard]
    #[arg(long, value_name = "N", value_parser = count_to(LANES_MAX))]
    pub(crate) pool_size: Option<usize>,

    /// How long a call holds the core before others have their turn, as 500us
    #[arg(long, value_name = "TIME", default_value = "500us", value_parser = at_least(SLICE_MIN))]
    pub(crate) slice: Duration,

    /// Say in the log which calls take longer than this from when they arrive until they end, as 1s or 200ms [default: none]
    #[arg(long, value_name = "TIME", value_parser = span)]
    pub(crate) slow: Option<Duration>,

    /// End when stdin does: a pipe from the program that started it ends with that program, however that ends
    #[arg(long)]
    pub(crate) until_stdin_ends: bool,

    #[command(flatten)]
    pub(crate) limits: CallLimitArgs,

    #[command(flatten)]
    pub(crate) http: HttpArgs,

    #[command(flatten)]
    pub(crate) drain: DrainArgs,
}

fn rule(text: &str) -> Result<Rule, String> {
    text.parse()
}

fn joiner(text: &str) -> Result<Joiner, String> {
    text.parse()
}

fn balance() -> impl TypedValueParser<Value = Balance> {
    PossibleValuesParser::new(Balance::NAMES)
        .map(|name| Balance::of_name(&name).unwrap_or_default())
}

fn steering() -> impl TypedValueParser<Value = SteeringChoice> {
    PossibleValuesParser::new(SteeringChoice::NAMES).try_map(|name| name.parse())
}
