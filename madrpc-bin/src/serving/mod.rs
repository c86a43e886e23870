//! What nodes and orchestrators have in common, and the cluster of `madrpc dev`: what they are told at the start, and their
//! time in the foreground.

mod foreground;
pub(crate) mod http;
mod script_file;

pub(crate) use foreground::{Reload, asked_from_afar, serve};
pub(crate) use http::Fronted;
pub(crate) use script_file::{ScriptFile, functions};

use crate::args::ServerArgs;
use crate::exit::{Failure, Reason};
use crate::identity;
use crate::output::say;
use madrpc_core::identity::{Permissions, Role};
use madrpc_shard::net::address::resolve_bind;
use madrpc_shard::net::steer::Steering;
use madrpc_shard::runtime::cpus;
use madrpc_shard::server::{RevokedFile, Server, ServerConfig, StartError};
use madrpc_shard::traces::Exporter;
use std::sync::Arc;

/// `--check`: what is left to look at, and the word that all is right.
pub(crate) fn check(bind: &str, role: Role, args: &ServerArgs, more: &str) -> Result<(), Failure> {
    resolve_bind(bind)?;
    cpus::choose(args.cpus.as_ref(), args.shards).map_err(StartError::Cpus)?;
    if let Some(path) = &args.revoked {
        RevokedFile::open(path)?;
    }
    http::check(&args.http)?;
    recorded(args)?;
    let told = identity::check_server(&args.tls, role)?;
    say(&format!("{told}; {more}"));
    Ok(())
}

/// What every server is told.
pub(crate) fn config(bind: &str, role: Role, args: &ServerArgs) -> Result<ServerConfig, Failure> {
    let identity = identity::of_server(&args.tls, role)?;
    Ok(ServerConfig {
        shards: args.shards,
        cpus: args.cpus.clone(),
        steering: args.steering,
        spin: args.spin,
        slow: args.slow,
        record: recorded(args)?,
        permissions: Arc::new(Permissions::new(args.allow.clone())),
        memory_max_bytes: args.memory_max.map(|bytes| bytes as u64),
        ..ServerConfig::new(resolve_bind(bind)?, identity)
    })
}

/// The share of the calls without a trace context that is recorded, where any call is.
fn recorded(args: &ServerArgs) -> Result<Option<f64>, Failure> {
    let (receiver, share) = (&args.traces.otlp, args.traces.otlp_sample);
    if receiver.is_none() && share > 0.0 {
        let error = "--otlp-sample: there is nowhere that spans are sent (--otlp)";
        return Err(Failure::new(Reason::Usage, error));
    }
    Ok(receiver.as_ref().map(|_| share))
}

/// Keeps those out whose certificates are revoked, where there is a file of them.
pub(crate) fn revoke(server: &Server, args: &ServerArgs) -> Result<(), Failure> {
    if let Some(path) = &args.revoked {
        server.revoke_by(RevokedFile::open(path)?)?;
    }
    Ok(())
}

/// Sends the spans of a server to their receiver, where there is one.
pub(crate) fn export(
    server: &mut Server,
    role: Role,
    args: &ServerArgs,
) -> Result<Option<Exporter>, Failure> {
    let receiver = args.traces.otlp.clone();
    let exporter = receiver.map(|receiver| Exporter::start(receiver, role.name(), server));
    exporter
        .transpose()
        .map_err(|error| Failure::new(Reason::Other, format!("the thread of traces: {error}")))
}

/// The cores of the server to come, in the order of its shards.
pub(crate) fn cores(config: &ServerConfig) -> Result<Vec<usize>, StartError> {
    let cores = cpus::choose(config.cpus.as_ref(), config.shards)?;
    Ok(cores.iter().map(|core| core.id).collect())
}

/// Where a server listens, and on which cores.
pub(crate) fn describe(server: &Server, cores: &[usize]) -> String {
    let (address, shards) = (server.address(), server.shards());
    let used: Vec<_> = cores.iter().take(shards).map(ToString::to_string).collect();
    let cores = used.join(",");
    match server.steering() {
        Steering::Single => format!("{address}, 1 shard on core {cores}"),
        Steering::ConnectionId => {
            format!("{address}, {shards} shards on cores {cores}, steered by connection ID")
        }
        Steering::Relay => {
            format!("{address}, {shards} shards on cores {cores}, relayed between shards")
        }
    }
}
