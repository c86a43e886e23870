//! `madrpc orchestrator`: an orchestrator in the foreground, until a signal.

use crate::args::{OrchestratorArgs, TlsArgs};
use crate::exit::Failure;
use crate::identity;
use crate::output::say;
use crate::sandbox;
use crate::service_manager;
use crate::serving::{
    Fronted, Reload, asked_from_afar, check, config, cores, describe, export, http, revoke, serve,
};
use crate::signals::Events;
use madrpc_core::fleet::Routing;
use madrpc_core::identity::{Identity, Permissions, Role};
use madrpc_shard::discovery::{DNS_PORT, Discovery, Source};
use madrpc_shard::net::address::{Addresses, resolve_bind};
use madrpc_shard::server::{Server, ServerConfig};
use madrpc_shard::traces::Receiver;
use std::sync::Arc;
use std::time::Duration;

/// Nodes that are named at the start.
const NAMES_MAX: usize = 20;

pub(crate) fn run(args: &OrchestratorArgs, events: Option<Events>) -> Result<(), Failure> {
    if args.server.check {
        Discovery::check(&args.discover)?;
    }
    let mut discovery = Discovery::new(&args.nodes, &args.discover)?;
    discovery.leave_out(resolve_bind(&args.bind)?);
    let names = named(discovery.nodes());
    if args.server.check {
        let more = format!("nodes: {names}");
        return check(&args.bind, Role::Orchestrator, &args.server, &more);
    }
    let common = config(&args.bind, Role::Orchestrator, &args.server)?;
    let permissions = Permissions::new(args.server.allow.clone());
    let config = ServerConfig {
        permissions: Arc::new(permissions.with_joiners(args.join.clone())),
        routing: Routing {
            balance: args.balance,
            max_ejected_percent: args.max_ejected,
            hedge_percent: args.hedge,
            try_timeout: args.try_timeout,
            subset: args.subset,
        },
        others_come: discovery.may_change(),
        ..common
    };
    let cores = cores(&config)?;
    let entrance = http::entrance(&args.server.http)?;
    sandbox::enter(&tcp_ports(args, &discovery));
    let mut orchestrator = Server::orchestrator(&config, discovery.nodes())?;
    revoke(&orchestrator, &args.server)?;
    if discovery.may_change() {
        orchestrator.discover(discovery)?;
    }
    let exporter = export(&mut orchestrator, Role::Orchestrator, &args.server)?;
    let orchestrator =
        Fronted::new(orchestrator, |server| server, entrance)?.with_exporter(exporter);
    let events = events.map_or_else(Events::of_server, Ok)?;
    events.serves();
    let status = format!(
        "orchestrator {}; nodes: {names}{}",
        describe(&orchestrator.server, &cores),
        orchestrator.told()
    );
    say(&format!("ready: {status}"));
    service_manager::ready(&status);
    // It runs no functions that could hold a core.
    service_manager::watch(&orchestrator.server, Duration::ZERO);
    let timeout = args.server.drain.drain_timeout;
    let certificates = Certificates(args.server.tls.clone());
    let asked = asked_from_afar(&orchestrator.server, &events);
    serve(
        orchestrator,
        events,
        certificates,
        &asked,
        timeout,
        |server, timeout| server.drain(timeout, Server::drain),
    );
    Ok(())
}

/// The ports of those who are asked for names, as what is long comes by TCP, and of the receiver of spans.
fn tcp_ports(args: &OrchestratorArgs, discovery: &Discovery) -> Vec<u16> {
    let ours = args.discover.iter().filter_map(Source::server_port);
    let systems = discovery.may_change().then_some(DNS_PORT);
    let receiver = args.server.traces.otlp.as_ref().map(Receiver::port);
    ours.chain(systems).chain(receiver).collect()
}

/// The nodes, as far as a line has room for them.
fn named(nodes: &[Addresses]) -> String {
    let names = nodes.iter().take(NAMES_MAX).map(Addresses::first);
    let mut names: Vec<String> = names.map(|node| node.to_string()).collect();
    match nodes.len() {
        0 => names.push("those that announce themselves".into()),
        count if count > NAMES_MAX => names.push(format!("and {} more", count - NAMES_MAX)),
        _ => {}
    }
    names.join(", ")
}

/// What an orchestrator reads anew.
struct Certificates(TlsArgs);

impl Reload for Certificates {
    type Server = Fronted<Server>;
    type New = Identity;

    fn loader(&self) -> impl FnOnce() -> Result<Identity, Failure> + Send + 'static {
        let tls = self.0.clone();
        move || identity::of_server(&tls, Role::Orchestrator)
    }

    fn adopt(
        &mut self,
        orchestrator: &mut Fronted<Server>,
        new: Identity,
    ) -> Result<String, Failure> {
        orchestrator.set_identity(&new)?;
        Ok("certificates".to_owned())
    }
}
