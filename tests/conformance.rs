//! The language where the host touches it: promises, modules and typed arrays, each claim a call of a real node.
//!
//! Setup: each file of `conformance` is the script of a node of one shard, over real sockets and mutual TLS. A file
//! registers its claims as functions; one that throws has failed. The language itself is the engine's concern: its
//! own project runs test262.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "that is how a test fails"
)]

mod support;

use madrpc_core::identity::Role;
use madrpc_core::value::Value;
use madrpc_shard::engine::Script;
use madrpc_shard::node::NodeConfig;
use madrpc_shard::server::Server;
use std::path::Path;
use support::Fleet;

/// Calls every claim of a file; there must be as many as are expected at least, so that none is lost unseen.
fn run(file: &str, at_least: usize) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../tests/conformance")
        .join(file);
    let script = Script::read(&path).unwrap();
    let fleet = Fleet::new();
    let settings = NodeConfig {
        pool_size: Some(2),
        ..NodeConfig::default()
    };
    let node = Server::node(&fleet.config(Role::Node, 1), &script, &settings).unwrap();
    let client = fleet.client(node.address());
    // Claims are sentences, and the functions they use are single words.
    let names = script.functions().unwrap();
    let claims: Vec<&String> = names.iter().filter(|name| name.contains(' ')).collect();
    let failed: Vec<String> = claims
        .iter()
        .filter_map(|claim| match client.call_blocking::<_, Value>(claim, &()) {
            Ok(Value::Bool(true)) => None,
            other => Some(format!("{claim}: {other:?}")),
        })
        .collect();
    assert!(
        failed.is_empty(),
        "{file}: {} of {} claims failed:\n{}",
        failed.len(),
        claims.len(),
        failed.join("\n")
    );
    assert!(
        claims.len() >= at_least,
        "{file}: only {} claims",
        claims.len()
    );
}

#[test]
fn promises() {
    run("promises.js", 12);
}

#[test]
fn modules() {
    run("modules.js", 10);
}

#[test]
fn typed_arrays() {
    run("typed-arrays.js", 31);
}
