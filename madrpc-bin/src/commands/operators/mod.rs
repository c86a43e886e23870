//! Commands with which an operator looks after a running server: `madrpc nodes`, `drain`, `undrain` and `reload`.

mod drain;
mod nodes;
mod reload;

pub(super) use drain::{drain, undrain};
pub(super) use nodes::nodes;
pub(super) use reload::reload;

use crate::args::OperatorArgs;
use crate::exit::{Failure, Reason};
use crate::identity;
use crate::output::say;
use madrpc_core::identity::Role;
use madrpc_core::stats::{STATS, Snapshot};
use madrpc_shard::client::{Client, ClientConfig};
use madrpc_shard::net::address::resolve_servers;
use serde::Serialize;
use std::collections::HashSet;
use std::time::Duration;

/// How long a server may take to answer what it does at once.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// The servers that a command is for, each of which is asked by itself: what is said to one is not for another.
///
/// # Errors
/// Where an address cannot be resolved; nobody is asked then.
fn servers(list: &str) -> Result<Vec<String>, Failure> {
    let mut all: Vec<String> = Vec::new();
    for text in list.split(',').map(str::trim) {
        for server in resolve_servers(text)? {
            let addresses: Vec<String> = server.all().iter().map(ToString::to_string).collect();
            all.push(addresses.join(","));
        }
    }
    let mut known = HashSet::new();
    all.retain(|one| known.insert(one.clone()));
    if all.len() == 1 {
        // As it was given: errors speak of it so.
        return Ok(vec![list.to_owned()]);
    }
    Ok(all)
}

/// Carries a command out on each of the servers, at its address, whatever becomes of it on the others.
///
/// # Errors
/// The first that has failed, of so many; the others are said.
fn on_each(
    args: &OperatorArgs,
    timeout: Duration,
    carry_out: impl Fn(&str, Client) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let identity = identity::of_caller(&args.tls, Role::Operator)?;
    let servers = servers(&args.address)?;
    let mut failures = Vec::new();
    for server in &servers {
        let client = Client::new(&ClientConfig {
            connections: Some(1),
            timeout,
            one_at_a_time: true,
            ..ClientConfig::with_identity(server, identity.clone())
        })?;
        if let Err(failure) = carry_out(server, client) {
            failures.push((server, failure));
        }
    }
    let (failed, count) = (failures.len(), servers.len());
    let mut failures = failures.into_iter();
    let Some((server, first)) = failures.next() else {
        return Ok(());
    };
    if count == 1 {
        return Err(first);
    }
    for (server, failure) in failures {
        say(&format!("{server}: {}", failure.reason()));
    }
    let before = format!("{failed} of {count} servers have failed, first {server}: ");
    Err(first.after(&before))
}

fn snapshot(client: &Client) -> Result<Snapshot, Failure> {
    Ok(client.call_blocking(STATS, &())?)
}

/// In words, whether a server takes new calls, and what it has left to do.
fn describe(snapshot: &Snapshot) -> String {
    let Snapshot {
        role,
        name,
        state,
        under_way,
        ..
    } = snapshot;
    format!("{role} {name} is {state}; calls under way: {under_way}")
}

fn json(document: &impl Serialize) -> Result<String, Failure> {
    serde_json::to_string(document)
        .map_err(|error| Failure::new(Reason::Other, format!("JSON: {error}")))
}
