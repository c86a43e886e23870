//! `madrpc node`: a node in the foreground, until a signal.

use crate::args::{NodeArgs, ServerArgs};
use crate::exit::Failure;
use crate::notify;
use crate::output::say;
use crate::reload::Reloading;
use crate::sandbox;
use crate::signals::Events;
use crate::tls;
use madrpc_core::identity::Role;
use madrpc_shard::engine::Script;
use madrpc_shard::net::address::{resolve_bind, resolve_target};
use madrpc_shard::net::steer::Steering;
use madrpc_shard::node::{LANES_PER_SHARD, NodeConfig};
use madrpc_shard::runtime::cpus;
use madrpc_shard::server::{Server, ServerConfig, StartError};

pub(crate) fn run(args: &NodeArgs) -> Result<(), Failure> {
    let script = Script::read(&args.script).map_err(StartError::Script)?;
    let lane = args.limits.lane();
    let functions = script.registrations(&lane).map_err(StartError::Script)?;
    let names: Vec<_> = functions
        .iter()
        .map(|function| function.name.as_str())
        .collect();
    let names = names.join(", ");
    let orchestrator = args
        .orchestrator
        .as_deref()
        .map(resolve_target)
        .transpose()?;
    if args.server.check {
        return check(
            &args.bind,
            Role::Node,
            &args.server,
            &format!("functions: {names}"),
        );
    }
    let config = config(&args.bind, Role::Node, &args.server)?;
    let cores = cores(&config)?;
    let settings = NodeConfig {
        pool_size: args.pool_size,
        slice: (!args.no_slice).then_some(args.slice),
        queue_max: args.limits.queue_limit,
        lane,
        orchestrator,
    };
    sandbox::enter();
    let node = Server::node(&config, &script, &settings)?;
    let events = Events::catch(true)?;
    let reloading = Reloading::new(&args.script, &script, args.watch, &events)?;
    let lanes = args.pool_size.unwrap_or(LANES_PER_SHARD * node.shards());
    let status = format!(
        "node {}, {lanes} lanes; functions: {names}",
        describe(&node, &cores)
    );
    say(&format!("ready: {status}"));
    notify::ready(&status);
    notify::watch(&node, args.stall_limit);
    let timeout = args.server.drain.drain_timeout;
    let reload = |node: &mut Server| {
        reloading.run(|script| {
            let identity = tls::server_identity(&args.server.tls, Role::Node)?;
            let functions = node.reload(script)?;
            node.set_identity(&identity)?;
            Ok(functions)
        });
    };
    events.serve(node, timeout, reload, Server::drain);
    Ok(())
}

/// `--check`: what is left to look at, and the word that all is right.
pub(crate) fn check(bind: &str, role: Role, args: &ServerArgs, more: &str) -> Result<(), Failure> {
    resolve_bind(bind)?;
    cpus::choose(args.cpus.as_ref(), args.shards).map_err(StartError::Cpus)?;
    let told = tls::check_server(&args.tls, role)?;
    say(&format!("{told}; {more}"));
    Ok(())
}

/// What every server is told.
pub(crate) fn config(bind: &str, role: Role, args: &ServerArgs) -> Result<ServerConfig, Failure> {
    Ok(ServerConfig {
        bind: resolve_bind(bind)?,
        shards: args.shards,
        cpus: args.cpus.clone(),
        steering: args.steering,
        identity: tls::server_identity(&args.tls, role)?,
        spin: args.spin,
        memory_max_bytes: None,
    })
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
