//! `madrpc orchestrator`: an orchestrator in the foreground, until a signal.

use crate::args::OrchestratorArgs;
use crate::exit::Failure;
use crate::node::{check, config, cores, describe};
use crate::notify;
use crate::output::say;
use crate::reload;
use crate::sandbox;
use crate::signals::Events;
use crate::tls;
use madrpc_core::identity::Role;
use madrpc_shard::net::address::{AddressError, resolve_target};
use madrpc_shard::server::Server;
use std::net::SocketAddr;
use std::time::Duration;

pub(crate) fn run(args: &OrchestratorArgs) -> Result<(), Failure> {
    let nodes = args.nodes.iter().map(|node| resolve_target(node));
    let nodes: Vec<SocketAddr> = nodes.collect::<Result<_, AddressError>>()?;
    let names: Vec<_> = nodes.iter().map(ToString::to_string).collect();
    let names = names.join(", ");
    if args.server.check {
        let more = format!("nodes: {names}");
        return check(&args.bind, Role::Orchestrator, &args.server, &more);
    }
    let config = config(&args.bind, Role::Orchestrator, &args.server)?;
    let cores = cores(&config)?;
    sandbox::enter();
    let orchestrator = Server::orchestrator(&config, &nodes)?;
    let events = Events::catch(true)?;
    let status = format!(
        "orchestrator {}; nodes: {names}",
        describe(&orchestrator, &cores)
    );
    say(&format!("ready: {status}"));
    notify::ready(&status);
    // It runs no functions that could hold a core.
    notify::watch(&orchestrator, Duration::ZERO);
    let timeout = args.server.drain.drain_timeout;
    let reload = |orchestrator: &mut Server| {
        reload::say_outcome(
            || {
                let identity = tls::server_identity(&args.server.tls, Role::Orchestrator)?;
                Ok(orchestrator.set_identity(&identity)?)
            },
            |()| "certificates".to_owned(),
        );
    };
    events.serve(orchestrator, timeout, reload, Server::drain);
    Ok(())
}
