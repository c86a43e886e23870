//! The command line: every flag with its unit, its default and its bounds.
//!
//! What is wrong in itself is refused here, as a usage error; what turns out wrong on this machine is found by the
//! commands.

mod bench;
mod call_limits;
mod callers;
mod fail_above;
mod help;
mod http;
mod map;
mod operators;
mod parse;
mod servers;
mod tls;
mod tools;
mod traces;

pub(crate) use bench::BenchArgs;
pub(crate) use callers::{CallArgs, FunctionsArgs, TopArgs};
pub(crate) use fail_above::Bound;
pub(crate) use http::HttpArgs;
pub(crate) use map::MapArgs;
pub(crate) use operators::{DrainServerArgs, OperatorArgs};
pub(crate) use servers::{DevArgs, NodeArgs, OrchestratorArgs, ServerArgs};
pub(crate) use tls::{InitArgs, IssueArgs, ShowArgs, TlsArgs, TlsCommand};
pub(crate) use tools::{
    CheckArgs, CompletionsArgs, ConfigArgs, InitScriptArgs, ManArgs, ServerKind,
};
pub(crate) use traces::CallTraceArgs;

use clap::{Parser, Subcommand};
use std::ffi::OsString;

/// Runs JavaScript functions on nodes and calls them: QUIC with mutual TLS, one shard for each core
#[derive(Debug, Parser)]
#[command(name = "madrpc", version = version(), after_help = help::ROOT, disable_help_subcommand = true)]
pub(crate) struct Args {
    /// What to log to stderr: a level (error, warn, info, debug, trace), or directives as
    /// `info,madrpc_shard=debug` [default: info for servers, error otherwise]
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
    /// Call a function for each line of stdin, and print the results
    Map(MapArgs),
    /// Measure throughput and latency of a function
    Bench(BenchArgs),
    /// Show calls, errors and latency as they happen
    Top(TopArgs),
    /// List what can be called at a server
    Functions(FunctionsArgs),
    /// List an orchestrator's nodes: how each is, since when and why
    #[command(after_help = help::NODES)]
    Nodes(OperatorArgs),
    /// Have a server take no new calls, and wait until those under way have ended
    #[command(after_help = help::DRAIN)]
    Drain(DrainServerArgs),
    /// Have a server that was drained take calls again
    Undrain(OperatorArgs),
    /// Have a server read its script and its certificates anew
    #[command(after_help = help::RELOAD)]
    Reload(OperatorArgs),
    /// Write a first script, and what an editor needs to complete and check it
    Init(InitScriptArgs),
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

/// The version, the commit that it was built from, and what is compiled in.
pub(crate) fn version() -> String {
    format!(
        "{} (commit {}, features: {})",
        env!("CARGO_PKG_VERSION"),
        env!("MADRPC_COMMIT"),
        madrpc_shard::FEATURES.join(", ")
    )
}

/// Whether this command line starts a server: known before all of it has been read, for what has to be in place by then.
/// One that only checks starts none.
pub(crate) fn starts_server(line: impl Iterator<Item = OsString>) -> bool {
    let mut words = line.skip(1);
    while let Some(word) = words.next() {
        match word.to_str() {
            // The only flag before a command that has a value.
            Some("--log") => drop(words.next()),
            Some(flag) if flag.starts_with('-') => {}
            Some("node" | "orchestrator" | "dev") => return words.all(|word| word != "--check"),
            _ => return false,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;
    use clap::error::ErrorKind;
    use madrpc_shard::net::steer::SteeringChoice;
    use std::time::Duration;

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
    fn times_that_would_end_everything_are_refused() {
        for (line, least) in [
            ("orchestrator --try-timeout 1ns", "at least 1ms"),
            ("orchestrator --try-timeout 999us", "at least 1ms"),
            ("node -s a.js --wait-limit 0s", "at least 1ms"),
            ("node -s a.js --cpu-limit 1us", "at least 1ms"),
            ("node -s a.js --slice 1ns", "at least 10us"),
            ("node -s a.js --stall-limit 1ms", "at least 100ms"),
        ] {
            let error = parse(&format!("madrpc {line}")).unwrap_err().to_string();
            assert!(error.contains(least), "{line}: {error}");
        }
        assert!(parse("madrpc orchestrator --try-timeout 1ms").is_ok());
    }

    #[test]
    fn a_server_is_known_by_its_command() {
        let starts = |line: &str| starts_server(line.split(' ').map(OsString::from));
        for line in [
            "madrpc node -s a.js",
            "madrpc --log debug orchestrator",
            "madrpc --log=node dev a.js",
        ] {
            assert!(starts(line), "{line}");
        }
        for line in [
            "madrpc",
            "madrpc config node",
            "madrpc node -s a.js --check",
            "madrpc call a:1 node",
            "madrpc --log node call a:1 f",
            "madrpc --help",
        ] {
            assert!(!starts(line), "{line}");
        }
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
            "madrpc node -s a.js --pool-size 65537",
            "madrpc node -s a.js --pool-size 18446744073709551615",
            "madrpc dev a.js --nodes 0",
            "madrpc dev a.js --nodes 257",
            "madrpc bench a:1 add --connections 4294967296",
            "madrpc bench a:1 add --concurrency 18446744073709551615",
            "madrpc bench a:1 add --rate 1e-300",
            "madrpc bench a:1 add --fail-above errors=1e300%",
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
            "madrpc node",
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
