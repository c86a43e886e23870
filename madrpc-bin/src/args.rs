//! The command line: every flag with its unit, its default and its bounds.
//!
//! What is wrong in itself is refused here, as a usage error; what turns out wrong on this machine is found by the
//! commands.

use crate::bench::BenchArgs;
use crate::limits::LimitArgs;
use crate::manual::{CompletionsArgs, ManArgs};
use crate::settings::ConfigArgs;
use crate::tls::{TlsArgs, TlsCommand};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Parser, Subcommand};
use madrpc_core::limits::TIMEOUT_MAX;
use madrpc_shard::net::steer::SteeringChoice;
use madrpc_shard::runtime::cpus::CpuSet;
use std::path::PathBuf;
use std::time::Duration;

const EXIT_CODES: &str = "\
Exit codes:
  0   done; a server: ended by a signal, after draining
  2   wrong usage, or settings that cannot be read
  78  a server: certificates, script, address or machine do not fit; to start it again does not help
  1   anything else
`madrpc call` and `madrpc bench` have more of them, see their --help.

Without --tls-* flags, all processes of a user on a machine trust each other and nobody else, by an
authority that the first of them creates: in $MADRPC_TLS_DIR, else $XDG_STATE_HOME/madrpc/tls, else
~/.local/state/madrpc/tls. A directory that `madrpc tls issue` has written works there too.";

const CALL_EXIT_CODES: &str = "\
Exit codes:
  0  the function returned; its result is on stdout as JSON
  2  wrong usage, or JSON that cannot be read
  3  the function threw
  4  there is no such function
  5  the deadline passed
  6  nobody to run the call: unreachable, refused or overloaded
  1  anything else

Example:
  madrpc call 127.0.0.1:8080 monte_carlo_sample '{\"samples\": 1000, \"seed\": 1}' --timeout 5s";

const CHECK_EXIT_CODES: &str = "\
Exit codes:
  0  it loads; what it registers is on stdout
  1  it does not; where and why is on stderr, as file:line:column and the JavaScript stack
  2  wrong usage";

const NODE_NOTES: &str = "\
Settings:
  Every flag is also a key of the settings file (--slice is slice, --no-slice is no_slice) and a variable
  (MADRPC_SLICE). Flags go before variables, and those before the file; `madrpc config node` shows the result,
  `madrpc config --template node` a file with every key.

Signals:
  SIGTERM, SIGINT  take no new calls, let those under way end, exit 0
  a second one     end at once; exit code 143 or 130
  SIGHUP           read certificates and script anew. Sessions that are open go on, calls under way end as they
                   began, later ones run the new script; what cannot be used changes nothing and is reported";

const ORCHESTRATOR_NOTES: &str = "\
Settings:
  Every flag is also a key of the settings file (--drain-timeout is drain_timeout) and a variable
  (MADRPC_DRAIN_TIMEOUT). Flags go before variables, and those before the file; `madrpc config orchestrator` shows
  the result, `madrpc config --template orchestrator` a file with every key.

Signals:
  SIGTERM, SIGINT  take no new calls, let those under way end, exit 0
  a second one     end at once; exit code 143 or 130
  SIGHUP           read the certificates anew; sessions that are open go on";

const DEV_NOTES: &str = "\
Signals:
  SIGTERM, SIGINT  take no new calls, let those under way end, exit 0
  a second one     end at once; exit code 143 or 130
  SIGHUP           load the script anew";

/// Runs JavaScript functions on nodes and calls them: QUIC with mutual TLS, one shard for each core
#[derive(Debug, Parser)]
#[command(name = "madrpc", version, after_help = EXIT_CODES, disable_help_subcommand = true)]
pub(crate) struct Args {
    /// What to log to stderr: a level (error, warn, info, debug, trace), or directives as
    /// `info,madrpc_shard::upstream=debug` [default: info for servers, error otherwise]
    #[arg(
        long,
        global = true,
        env = "RUST_LOG",
        hide_env_values = true,
        value_name = "FILTER",
        display_order = 100
    )]
    pub(crate) log: Option<String>,

    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a node: it executes the functions that a script registers
    Node(NodeArgs),
    /// Run an orchestrator: it passes calls on to nodes, in turn
    Orchestrator(OrchestratorArgs),
    /// Run a whole cluster in this process, on loopback, and go over to the script whenever it is saved
    Dev(DevArgs),
    /// Call a function and print its result as JSON
    Call(CallArgs),
    /// Measure throughput and latency of a function
    Bench(BenchArgs),
    /// Show calls, errors and latency as they happen
    Top(TopArgs),
    /// List what can be called at a server
    Functions(FunctionsArgs),
    /// Load a script as a node does, and list what it registers
    Check(CheckArgs),
    /// Show the settings that a server would have, and where each comes from
    Config(ConfigArgs),
    /// Make and show the certificates of a fleet
    #[command(subcommand)]
    Tls(TlsCommand),
    /// Print a shell's completions
    Completions(CompletionsArgs),
    /// Write the manual pages
    #[command(hide = true)]
    Man(ManArgs),
}

#[derive(Debug, clap::Args)]
#[command(after_help = NODE_NOTES)]
pub(crate) struct NodeArgs {
    /// The script: JavaScript that calls madrpc.register(name, function)
    #[arg(short, long, value_name = "FILE")]
    pub(crate) script: PathBuf,

    /// Where to listen (UDP); port 0 chooses a free one
    #[arg(short, long, value_name = "HOST:PORT", default_value = "0.0.0.0:9001", value_parser = address)]
    pub(crate) bind: String,

    /// The orchestrator that madrpc.call() goes through [default: the calls of a call stay on its shard]
    #[arg(long, value_name = "HOST:PORT", value_parser = address)]
    pub(crate) orchestrator: Option<String>,

    /// Lanes (JavaScript contexts) of the node, spread over its shards [default: 4 for each shard]
    #[arg(long, value_name = "N", value_parser = count)]
    pub(crate) pool_size: Option<usize>,

    /// How long a call holds the core before others have their turn, as 500us; the engine looks about each 300us
    #[arg(long, value_name = "TIME", default_value = "500us", value_parser = timeout)]
    pub(crate) slice: Duration,

    /// Let each call hold the core until it is over, whatever waits; for comparisons
    #[arg(long, conflicts_with = "slice")]
    pub(crate) no_slice: bool,

    /// Load the script anew whenever it, or a module that it imports, is saved
    #[arg(long)]
    pub(crate) watch: bool,

    /// How long a function may hold a core in a built-in that cannot be interrupted, before a watchdog has the node
    /// started anew, as 60s
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = timeout)]
    pub(crate) stall_limit: Duration,

    #[command(flatten)]
    pub(crate) limits: LimitArgs,

    #[command(flatten)]
    pub(crate) server: ServerArgs,
}

#[derive(Debug, clap::Args)]
#[command(after_help = ORCHESTRATOR_NOTES)]
pub(crate) struct OrchestratorArgs {
    /// Where to listen (UDP); port 0 chooses a free one
    #[arg(short, long, value_name = "HOST:PORT", default_value = "0.0.0.0:8080", value_parser = address)]
    pub(crate) bind: String,

    /// A node to pass calls on to; once for each. 0.0.0.0 means this machine
    #[arg(short, long = "node", value_name = "HOST:PORT", required = true, value_parser = target)]
    pub(crate) nodes: Vec<String>,

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

    /// How long a shard that has calls all the time looks for more before it sleeps, as 200us; 0s: not at all
    #[arg(long, value_name = "TIME", default_value = "200us", value_parser = span)]
    pub(crate) spin: Duration,

    /// How a datagram finds its shard: by the kernel's filter, or from shard to shard; auto takes the kernel's where it can
    #[arg(long, value_name = "HOW", default_value = "auto", value_parser = steering())]
    pub(crate) steering: SteeringChoice,

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
#[command(after_help = DEV_NOTES)]
pub(crate) struct DevArgs {
    /// The script: JavaScript that calls madrpc.register(name, function)
    #[arg(value_name = "SCRIPT")]
    pub(crate) script: PathBuf,

    /// Nodes behind the orchestrator, which share the cores
    #[arg(long, value_name = "N", default_value = "2", value_parser = count)]
    pub(crate) nodes: usize,

    #[command(flatten)]
    pub(crate) limits: LimitArgs,

    #[command(flatten)]
    pub(crate) drain: DrainArgs,
}

#[derive(Debug, clap::Args)]
#[command(after_help = CALL_EXIT_CODES)]
pub(crate) struct CallArgs {
    /// The orchestrator or node to ask
    #[arg(value_name = "HOST:PORT", value_parser = target)]
    pub(crate) address: String,

    /// The function's registered name
    #[arg(value_name = "NAME")]
    pub(crate) function: String,

    /// Its argument; `-` reads it from stdin [default: undefined]
    #[arg(value_name = "JSON", allow_negative_numbers = true)]
    pub(crate) json: Option<String>,

    /// Time until the deadline, as 5s or 200ms; at most 24h
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = timeout)]
    pub(crate) timeout: Duration,

    /// Say on stderr what the call cost and where it ran
    #[arg(short, long)]
    pub(crate) verbose: bool,

    #[command(flatten)]
    pub(crate) tls: TlsArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct TopArgs {
    /// The orchestrator or node to watch
    #[arg(value_name = "HOST:PORT", value_parser = target)]
    pub(crate) address: String,

    /// Milliseconds between looks, 50 to 60000
    #[arg(short, long, value_name = "MS", default_value = "250", value_parser = clap::value_parser!(u64).range(50..=60_000))]
    pub(crate) interval: u64,

    /// Print the totals since the server's start as a table, and end
    #[arg(long)]
    pub(crate) once: bool,

    /// With --once: as one JSON document. Times end in _us or _ms, the rest are counts
    #[arg(long, requires = "once")]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) tls: TlsArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct FunctionsArgs {
    /// The node to ask, or the orchestrator, which asks its nodes
    #[arg(value_name = "HOST:PORT", value_parser = target)]
    pub(crate) address: String,

    /// Print one JSON document
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) tls: TlsArgs,
}

#[derive(Debug, clap::Args)]
#[command(after_help = CHECK_EXIT_CODES)]
pub(crate) struct CheckArgs {
    /// The script: JavaScript that calls madrpc.register(name, function)
    #[arg(value_name = "SCRIPT")]
    pub(crate) script: PathBuf,

    /// Print one JSON document
    #[arg(long)]
    pub(crate) json: bool,
}

fn steering() -> impl TypedValueParser<Value = SteeringChoice> {
    PossibleValuesParser::new(SteeringChoice::NAMES).try_map(|name| name.parse())
}

pub(crate) fn count(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|&number| number > 0);
    number.ok_or_else(|| "expected a whole number from 1 on".to_owned())
}

/// A span of time that deadlines can be made of.
pub(crate) fn span(text: &str) -> Result<Duration, String> {
    let span =
        humantime::parse_duration(text).map_err(|error| format!("{error}; write 5s or 200ms"))?;
    if span > TIMEOUT_MAX {
        return Err(format!(
            "at most {}",
            humantime::format_duration(TIMEOUT_MAX)
        ));
    }
    Ok(span)
}

pub(crate) fn timeout(text: &str) -> Result<Duration, String> {
    let span = span(text)?;
    if span.is_zero() {
        return Err("more than 0 is needed".to_owned());
    }
    Ok(span)
}

/// The form of an address; what its host means is found out later.
fn address(text: &str) -> Result<String, String> {
    let port = text
        .rsplit_once(':')
        .and_then(|(host, port)| (!host.is_empty()).then_some(port));
    match port.map(str::parse::<u16>) {
        Some(Ok(_)) => Ok(text.to_owned()),
        _ => Err("expected HOST:PORT, as in 127.0.0.1:9001".to_owned()),
    }
}

pub(crate) fn target(text: &str) -> Result<String, String> {
    let address = address(text)?;
    if address.ends_with(":0") {
        return Err("port 0 cannot be called".to_owned());
    }
    Ok(address)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;
    use clap::error::ErrorKind;

    fn parse(line: &str) -> Result<Command, clap::Error> {
        Args::try_parse_from(line.split(' ')).map(|args| args.command)
    }

    #[test]
    fn the_definition_is_sound() {
        Args::command().debug_assert();
    }

    #[test]
    fn the_commands_of_the_manual_are_taken() {
        let Ok(Command::Node(node)) = parse(
            "madrpc node -s pi.js -b 0.0.0.0:9001 --pool-size 4 --cpus 0,2-3 --steering relay",
        ) else {
            panic!("a node")
        };
        assert_eq!(node.pool_size, Some(4));
        assert_eq!(node.server.steering, SteeringChoice::Relay);
        assert_eq!(
            (node.slice, node.no_slice),
            (Duration::from_micros(500), false)
        );
        assert_eq!(node.server.cpus, "0,2,3".parse().ok());
        assert_eq!(node.server.drain.drain_timeout, Duration::from_secs(30));
        let Ok(Command::Orchestrator(orchestrator)) =
            parse("madrpc orchestrator -n 0.0.0.0:9001 -n [::1]:9002")
        else {
            panic!("an orchestrator")
        };
        assert_eq!(orchestrator.nodes, ["0.0.0.0:9001", "[::1]:9002"]);
        assert_eq!(orchestrator.bind, "0.0.0.0:8080");
        assert_eq!(orchestrator.server.steering, SteeringChoice::Auto);
        let Ok(Command::Call(call)) = parse("madrpc call a:1 add -5 --timeout 200ms -v") else {
            panic!("a call")
        };
        assert_eq!(call.json.as_deref(), Some("-5"));
        assert_eq!(call.timeout, Duration::from_millis(200));
        assert!(call.verbose);
        let Ok(Command::Call(call)) = parse("madrpc call a:1 add -") else {
            panic!("a call")
        };
        assert_eq!(call.json.as_deref(), Some("-"));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for line in [
            "madrpc node -s a.js --pool-size 0",
            "madrpc node -s a.js --shards x",
            "madrpc node -s a.js --cpus 3-1",
            "madrpc node -s a.js -b 9001",
            "madrpc node -s a.js -b :9001",
            "madrpc node -s a.js --drain-timeout 5",
            "madrpc node -s a.js --drain-timeout 25h",
            "madrpc node -s a.js --slice 0us",
            "madrpc node -s a.js --slice 500",
            "madrpc node -s a.js --memory-limit 1000",
            "madrpc node -s a.js --body-limit 65M",
            "madrpc node -s a.js --cpu-limit 0s",
            "madrpc node -s a.js --queue-limit 0",
            "madrpc node -s a.js --recycle-after 0",
            "madrpc dev a.js --nodes 0",
            "madrpc call a:1 add --timeout 0s",
            "madrpc call localhost add",
            "madrpc call localhost:0 add",
            "madrpc call localhost:70000 add",
            "madrpc top a:1 -i 10",
        ] {
            let kind = parse(line).unwrap_err().kind();
            assert_eq!(kind, ErrorKind::ValueValidation, "{line}");
        }
        for line in [
            "madrpc orchestrator",
            "madrpc tls issue node web-1 --out web-1",
            "madrpc top a:1 --json",
        ] {
            let kind = parse(line).unwrap_err().kind();
            assert_eq!(kind, ErrorKind::MissingRequiredArgument, "{line}");
        }
        let unknown = parse("madrpc node -s a.js --steering hash").unwrap_err();
        assert_eq!(unknown.kind(), ErrorKind::InvalidValue);
        let both = parse("madrpc node -s a.js --slice 1ms --no-slice").unwrap_err();
        assert_eq!(both.kind(), ErrorKind::ArgumentConflict);
    }
}
