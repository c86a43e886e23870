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
use madrpc_core::identity::Role;
use madrpc_core::stats::{STATS, Snapshot};
use madrpc_shard::client::{Client, ClientConfig};
use serde::Serialize;
use std::time::Duration;

/// How long a server may take to answer what it does at once.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// A client that asks as an operator.
fn operator(args: &OperatorArgs, timeout: Duration) -> Result<Client, Failure> {
    let identity = identity::of_caller(&args.tls, Role::Operator)?;
    Ok(Client::new(&ClientConfig {
        connections: Some(1),
        timeout,
        ..ClientConfig::with_identity(&args.address, identity)
    })?)
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
