//! `madrpc orchestrator`: an orchestrator in the foreground, until a signal.

use crate::args::{OrchestratorArgs, TlsArgs};
use crate::exit::{Failure, Reason};
use crate::identity;
use crate::output::say;
use crate::sandbox;
use crate::service_manager;
use crate::serving::{Reload, check, config, cores, describe, serve};
use crate::signals::Events;
use madrpc_core::fleet::Routing;
use madrpc_core::identity::{Identity, Role};
use madrpc_shard::discovery::Discovery;
use madrpc_shard::net::address::{AddressError, Addresses, resolve_target};
use madrpc_shard::server::{Server, ServerConfig};
use std::time::Duration;

/// Nodes that are named at the start.
const NAMES_MAX: usize = 20;

pub(crate) fn run(args: &OrchestratorArgs, events: Option<Events>) -> Result<(), Failure> {
    if args.nodes.is_empty() && args.discover.is_empty() {
        let error =
            "whom to pass calls on to is missing: --node HOST:PORT, or --discover file:PATH";
        return Err(Failure::new(Reason::Usage, error));
    }
    let nodes = args.nodes.iter().map(|node| resolve_target(node));
    let always: Vec<Addresses> = nodes.collect::<Result<_, AddressError>>()?;
    let discovery = Discovery::new(always, &args.discover);
    let names = named(discovery.nodes());
    if args.server.check {
        let more = format!("nodes: {names}");
        return check(&args.bind, Role::Orchestrator, &args.server, &more);
    }
    let config = ServerConfig {
        routing: Routing {
            balance: args.balance,
            max_ejected_percent: args.max_ejected,
            subset: args.subset,
        },
        others_come: !args.discover.is_empty(),
        ..config(&args.bind, Role::Orchestrator, &args.server)?
    };
    let cores = cores(&config)?;
    sandbox::enter();
    let orchestrator = Server::orchestrator(&config, discovery.nodes())?;
    if !args.discover.is_empty() {
        orchestrator.discover(discovery)?;
    }
    let events = events.map_or_else(Events::of_server, Ok)?;
    events.serves();
    let status = format!(
        "orchestrator {}; nodes: {names}",
        describe(&orchestrator, &cores)
    );
    say(&format!("ready: {status}"));
    service_manager::ready(&status);
    // It runs no functions that could hold a core.
    service_manager::watch(&orchestrator, Duration::ZERO);
    let timeout = args.server.drain.drain_timeout;
    let certificates = Certificates(args.server.tls.clone());
    serve(orchestrator, events, certificates, timeout, Server::drain);
    Ok(())
}

/// The nodes, as far as a line has room for them.
fn named(nodes: &[Addresses]) -> String {
    let names = nodes.iter().take(NAMES_MAX).map(Addresses::first);
    let mut names: Vec<String> = names.map(|node| node.to_string()).collect();
    match nodes.len() {
        0 => names.push("none yet".into()),
        count if count > NAMES_MAX => names.push(format!("and {} more", count - NAMES_MAX)),
        _ => {}
    }
    names.join(", ")
}

/// What an orchestrator reads anew.
struct Certificates(TlsArgs);

impl Reload for Certificates {
    type Server = Server;
    type New = Identity;

    fn loader(&self) -> impl FnOnce() -> Result<Identity, Failure> + Send + 'static {
        let tls = self.0.clone();
        move || identity::of_server(&tls, Role::Orchestrator)
    }

    fn adopt(&mut self, orchestrator: &mut Server, new: Identity) -> Result<String, Failure> {
        orchestrator.set_identity(&new)?;
        Ok("certificates".to_owned())
    }
}
