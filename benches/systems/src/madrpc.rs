//! madrpc itself: a node of one shard, and an orchestrator of one shard in front of it.

use crate::child::{self, ServeArguments};
use crate::figures::{Figure, Load, Work, functions};
use crate::fleet::{FleetCaller, TIMEOUT};
use crate::identity::identity;
use crate::outcome::Outcome;
use crate::programs::FOLDER;
use madrpc_core::fleet::Balance;
use madrpc_core::identity::Role;
use madrpc_core::value::Value;
use madrpc_core::value::json::{from_json, to_json};
use madrpc_shard::client::load;
use madrpc_shard::client::{Client, ClientConfig};
use madrpc_shard::engine::Script;
use madrpc_shard::node::NodeConfig;
use madrpc_shard::server::{Server, ServerConfig};
use std::net::SocketAddr;
use std::path::Path;

fn config(serve: &ServeArguments, role: Role) -> Outcome<ServerConfig> {
    Ok(ServerConfig {
        shards: Some(1),
        cpus: Some([serve.core].into_iter().collect()),
        ..ServerConfig::new(([127, 0, 0, 1], 0).into(), identity(&serve.dir, role)?)
    })
}

/// Serves the functions, of which the one that computes may be given otherwise.
pub(crate) fn serve_node(serve: &ServeArguments, compute: &str) -> Outcome<()> {
    let functions = functions(serve.slowdown);
    let source = format!(
        "{functions}\nmadrpc.register('echo', echo);\nmadrpc.register('compute', {compute});\n"
    );
    serve_script(serve, &Script::new("functions.js", source.as_str()))
}

pub(crate) fn serve_programs(serve: &ServeArguments) -> Outcome<()> {
    let script = Script::read(&Path::new(FOLDER).join("webassembly.js"))?;
    serve_script(serve, &script)
}

fn serve_script(serve: &ServeArguments, script: &Script) -> Outcome<()> {
    let config = config(serve, Role::Node)?;
    let server = Server::node(&config, script, &NodeConfig::default())?;
    child::ready(server.address())?;
    child::serve_forever()
}

pub(crate) fn serve_orchestrator(serve: &ServeArguments) -> Outcome<()> {
    let mut config = config(serve, Role::Orchestrator)?;
    config.routing.balance = Balance::of_name(&serve.balance)
        .ok_or_else(|| format!("--balance {}: there is none", serve.balance))?;
    let server = Server::orchestrator(&config, &serve.upstream)?;
    child::ready(server.address())?;
    child::serve_forever()
}

fn args(work: &Work) -> Outcome<Value> {
    Ok(from_json(&work.args)?)
}

/// One call, for its result: the load generator looks at errors only.
pub(crate) fn check(address: SocketAddr, dir: &Path, work: &Work) -> Outcome<()> {
    let config = ClientConfig::with_identity(&address.to_string(), identity(dir, Role::Client)?);
    let client = Client::new(&config)?;
    let reply = client.prepare(work.function).send_blocking(args(work)?)?;
    work.check(&to_json(&reply.result))
}

/// A caller of a fleet behind an orchestrator.
pub(crate) struct Fleet {
    client: Client,
    function: &'static str,
    args: Value,
}

impl Fleet {
    pub(crate) fn connect(address: SocketAddr, dir: &Path, work: &Work) -> Outcome<Self> {
        let identity = identity(dir, Role::Client)?;
        let config = ClientConfig::with_identity(&address.to_string(), identity);
        Ok(Self {
            client: Client::new(&config)?,
            function: work.function,
            args: args(work)?,
        })
    }
}

impl FleetCaller for Fleet {
    async fn call(&self) -> Outcome<String> {
        let call = self.client.prepare(self.function).timeout(TIMEOUT);
        Ok(to_json(&call.send(self.args.clone()).await?.result))
    }
}

pub(crate) fn measure(
    address: SocketAddr,
    dir: &Path,
    core: usize,
    work: &Work,
    load: &Load,
) -> Outcome<Figure> {
    let report = load::run(load::Load {
        address: address.to_string(),
        identity: identity(dir, Role::Client)?,
        function: work.function.into(),
        args: args(work)?,
        concurrency: load.concurrency,
        connections: 1,
        warm_up: load.warm_up,
        duration: load.duration,
        core,
    })?;
    if report.results == 0 || !report.errors.is_empty() {
        return Err(format!("{} results, errors: {:?}", report.results, report.errors).into());
    }
    Ok(Figure {
        calls_per_s: report.calls_per_s(),
        p50_us: report.latency.value_at_quantile(0.5),
        p99_us: report.latency.value_at_quantile(0.99),
    })
}
