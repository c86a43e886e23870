//! `madrpc orchestrator`: an orchestrator in the foreground, until a signal.

use crate::args::OrchestratorArgs;
use crate::exit::Failure;
use crate::node::{config, cores, describe};
use crate::output::say;
use crate::signals::Events;
use madrpc_core::identity::Role;
use madrpc_shard::address::{AddressError, resolve_target};
use madrpc_shard::server::Server;
use std::net::SocketAddr;

pub(crate) fn run(args: &OrchestratorArgs) -> Result<(), Failure> {
    let nodes = args.nodes.iter().map(|node| resolve_target(node));
    let nodes: Vec<SocketAddr> = nodes.collect::<Result<_, AddressError>>()?;
    let config = config(&args.bind, Role::Orchestrator, &args.server)?;
    let cores = cores(&config)?;
    let orchestrator = Server::orchestrator(&config, &nodes)?;
    let events = Events::catch(false)?;
    let names: Vec<_> = nodes.iter().map(ToString::to_string).collect();
    say(&format!(
        "ready: orchestrator {}; nodes: {}",
        describe(&orchestrator, &cores),
        names.join(", ")
    ));
    let timeout = args.server.drain.drain_timeout;
    events.serve(orchestrator, timeout, |_| (), Server::drain);
    Ok(())
}
