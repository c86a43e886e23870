//! `madrpc functions`: what can be called at a server, with the options of each function.

use super::options::{Options, describe};
use crate::args::FunctionsArgs;
use crate::exit::{Failure, Reason};
use crate::identity;
use crate::output::{self, say, table::columns};
use madrpc_core::call::catalog::{Catalog, FUNCTIONS};
use madrpc_core::identity::Role;
use madrpc_shard::client::{Client, ClientConfig};
use serde::Serialize;
use std::time::Duration;

/// How long a server may take; an orchestrator gives each of its nodes a second of it.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// The document of `--json`. Keys are only ever added.
#[derive(Serialize)]
struct Document<'a> {
    /// `node` or `orchestrator`.
    role: &'a str,
    /// The address that the server goes by.
    name: &'a str,
    /// By name; one that nodes have registered with different options is here for each.
    functions: Vec<Function<'a>>,
    /// Nodes that did not answer.
    silent: Vec<Silent<'a>>,
}

#[derive(Serialize)]
struct Function<'a> {
    name: &'a str,
    options: Options,
    nodes: &'a [String],
}

#[derive(Serialize)]
struct Silent<'a> {
    node: &'a str,
    reason: &'a str,
}

pub(crate) fn run(args: &FunctionsArgs) -> Result<(), Failure> {
    let identity = identity::of_caller(&args.tls, Role::Operator)?;
    let client = Client::new(&ClientConfig {
        connections: Some(1),
        timeout: ANSWER_TIMEOUT,
        one_at_a_time: true,
        ..ClientConfig::with_identity(&args.address, identity)
    })?;
    let answer = client.call_blocking(FUNCTIONS, &());
    client.close_blocking();
    let catalog: Catalog = answer?;
    for silent in &catalog.silent {
        say(&format!(
            "node {} did not answer: {}",
            silent.node, silent.reason
        ));
    }
    let text = match args.json {
        true => json(&catalog)?,
        false => table(&catalog),
    };
    Ok(output::result(&text)?)
}

fn json(catalog: &Catalog) -> Result<String, Failure> {
    let functions = catalog.functions.iter().map(|entry| Function {
        name: &entry.name,
        options: Options::from(&entry.options),
        nodes: &entry.nodes,
    });
    let silent = catalog.silent.iter().map(|silent| Silent {
        node: &silent.node,
        reason: &silent.reason,
    });
    let document = Document {
        role: &catalog.role,
        name: &catalog.name,
        functions: functions.collect(),
        silent: silent.collect(),
    };
    serde_json::to_string(&document)
        .map_err(|error| Failure::new(Reason::Other, format!("JSON: {error}")))
}

fn table(catalog: &Catalog) -> String {
    let rows = catalog.functions.iter().map(|entry| {
        [
            entry.name.clone(),
            describe(&entry.options),
            entry.nodes.join(", "),
        ]
    });
    columns(["FUNCTION", "OPTIONS", "NODES"], rows)
}
