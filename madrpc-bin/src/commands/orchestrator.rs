//! `madrpc orchestrator`: an orchestrator in the foreground, until a signal.

use crate::args::{OrchestratorArgs, TlsArgs};
use crate::exit::Failure;
use crate::identity;
use crate::output::say;
use crate::sandbox;
use crate::service_manager;
use crate::serving::{Reload, check, config, cores, describe, serve};
use crate::signals::Events;
use madrpc_core::identity::{Identity, Role};
use madrpc_shard::net::address::{AddressError, Addresses, resolve_target};
use madrpc_shard::server::{Server, ServerConfig};
use std::time::Duration;

pub(crate) fn run(args: &OrchestratorArgs, events: Option<Events>) -> Result<(), Failure> {
    let nodes = args.nodes.iter().map(|node| resolve_target(node));
    let nodes: Vec<Addresses> = nodes.collect::<Result<_, AddressError>>()?;
    let names: Vec<_> = nodes.iter().map(|node| node.first().to_string()).collect();
    let names = names.join(", ");
    if args.server.check {
        let more = format!("nodes: {names}");
        return check(&args.bind, Role::Orchestrator, &args.server, &more);
    }
    let config = ServerConfig {
        balance: args.balance,
        ..config(&args.bind, Role::Orchestrator, &args.server)?
    };
    let cores = cores(&config)?;
    sandbox::enter();
    let orchestrator = Server::orchestrator(&config, &nodes)?;
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
