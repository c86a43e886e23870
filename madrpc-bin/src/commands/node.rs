//! `madrpc node`: a node in the foreground, until a signal.

use crate::args::{NodeArgs, TlsArgs};
use crate::exit::Failure;
use crate::identity;
use crate::output::say;
use crate::sandbox;
use crate::service_manager;
use crate::serving::{
    self, Fronted, Reload, ScriptFile, asked_from_afar, check, config, cores, describe, export,
    http, revoke, serve,
};
use crate::signals::Events;
use madrpc_core::identity::{Identity, Permissions, Role};
use madrpc_shard::engine::Script;
use madrpc_shard::net::address::{AddressError, resolve_target};
use madrpc_shard::node::{LANES_PER_SHARD, NodeConfig};
use madrpc_shard::runtime::helpers;
use madrpc_shard::server::{Server, StartError};
use madrpc_shard::traces::Receiver;
use std::path::{Path, PathBuf};
use tracing::warn;

pub(crate) fn run(args: &NodeArgs, events: Option<Events>) -> Result<(), Failure> {
    // Before the script: its kernels are compiled on such a thread.
    helpers::on_start(|| drop(sandbox::give_up_tcp()));
    let script = Script::read(&args.script).map_err(StartError::Script)?;
    let lane = args.limits.lane();
    let functions = script.registrations(&lane).map_err(StartError::Script)?;
    let names: Vec<_> = functions
        .into_iter()
        .map(|function| function.name)
        .collect();
    let permissions = Permissions::new(args.server.allow.clone());
    tell_idle(&permissions, &names, &args.script);
    let functions = serving::functions(&names);
    let orchestrators = args.orchestrator.iter();
    let orchestrators = orchestrators.map(|front| resolve_target(front));
    let orchestrators = orchestrators.collect::<Result<Vec<_>, AddressError>>()?;
    if args.server.check {
        return check(&args.bind, Role::Node, &args.server, &functions);
    }
    let config = config(&args.bind, Role::Node, &args.server)?;
    let cores = cores(&config)?;
    let settings = NodeConfig {
        pool_size: args.pool_size,
        slice: (!args.no_slice).then_some(args.slice),
        queue_max: args.limits.queue_limit,
        wait_max: args.limits.wait_limit,
        caller_rate: args.limits.caller_rate,
        lane: lane.clone(),
        announces: !orchestrators.is_empty(),
        orchestrators,
    };
    let entrance = http::entrance(&args.server.http)?;
    let receiver = args.server.traces.otlp.as_ref();
    sandbox::enter(&Vec::from_iter(receiver.map(Receiver::port)));
    let mut node = Server::node(&config, &script, &settings)?;
    revoke(&node, &args.server)?;
    let exporter = export(&mut node, Role::Node, &args.server)?;
    let node = Fronted::new(node, |node| node, entrance)?.with_exporter(exporter);
    let events = events.map_or_else(Events::of_server, Ok)?;
    events.serves();
    let script = ScriptFile::new(&args.script, &script, &lane, args.watch, &events)?;
    let lanes = args
        .pool_size
        .unwrap_or(LANES_PER_SHARD * node.server.shards());
    let status = format!(
        "node {}, {lanes} lanes; {functions}{}",
        describe(&node.server, &cores),
        node.told()
    );
    say(&format!("ready: {status}"));
    service_manager::ready(&status);
    service_manager::watch(&node.server, args.stall_limit);
    let timeout = args.server.drain.drain_timeout;
    let tls = args.server.tls.clone();
    let files = NodeFiles {
        script,
        tls,
        permissions,
        path: args.script.clone(),
    };
    let asked = asked_from_afar(&node.server, &events);
    serve(node, events, files, &asked, timeout, |node, timeout| {
        node.drain(timeout, Server::drain)
    });
    Ok(())
}

/// What a node reads anew.
struct NodeFiles {
    script: ScriptFile,
    tls: TlsArgs,
    permissions: Permissions,
    path: PathBuf,
}

/// Says which rules speak of no function of a script.
fn tell_idle(permissions: &Permissions, names: &[String], script: &Path) {
    let rules: Vec<String> = permissions
        .idle(names)
        .map(|rule| format!("'{rule}'"))
        .collect();
    if !rules.is_empty() {
        warn!(
            "--allow {}: {} has no such function",
            rules.join(" and "),
            script.display()
        );
    }
}

impl Reload for NodeFiles {
    type Server = Fronted<Server>;
    type New = (Script, Identity);

    fn loader(&self) -> impl FnOnce() -> Result<Self::New, Failure> + Send + 'static {
        let (script, tls) = (self.script.loader(), self.tls.clone());
        move || {
            let identity = identity::of_server(&tls, Role::Node)?;
            Ok((script()?, identity))
        }
    }

    fn adopt(
        &mut self,
        node: &mut Fronted<Server>,
        (script, identity): Self::New,
    ) -> Result<String, Failure> {
        let names = node.server.reload(&script)?;
        node.set_identity(&identity)?;
        self.script.follow(&script);
        tell_idle(&self.permissions, &names, &self.path);
        Ok(serving::functions(&names))
    }

    fn failed(&mut self) {
        self.script.failed();
    }
}
