//! Packages of npm give in a lane what they give in Node.
//!
//! Setup: `packages/install` bundles each of `packages/programs` with esbuild, as a user would. A bundle runs in Node, and as the
//! function of a node of one shard, over real sockets and mutual TLS; both say in JSON what each of its programs gives, which
//! has to be the same. Without Node.js and npm, or without a registry to install from, all of it is skipped, with a word.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "that is how a test fails"
)]

mod support;

use madrpc_core::identity::Role;
use madrpc_shard::engine::Script;
use madrpc_shard::node::NodeConfig;
use madrpc_shard::server::Server;
use serde_json::{Map, Value};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use support::Fleet;

/// Where the bundles are; `None` where they cannot be had.
fn folder() -> Option<&'static Path> {
    static FOLDER: OnceLock<Option<PathBuf>> = OnceLock::new();
    let made = FOLDER.get_or_init(|| {
        let install = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/packages/install");
        let output = Command::new(install).output().unwrap();
        if output.status.success() {
            return Some(String::from_utf8(output.stdout).unwrap().trim_end().into());
        }
        let why = String::from_utf8_lossy(&output.stderr).into_owned();
        // Past the harness, which shows only what failing tests print.
        let _ = writeln!(std::io::stderr(), "skipping all that need npm: {why}");
        None
    });
    made.as_deref()
}

fn in_node(folder: &Path, name: &str) -> Map<String, Value> {
    let output = Command::new("node")
        .current_dir(folder)
        .args(["node.js", &format!("{name}.mjs")])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name} in Node: {said}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn in_a_lane(folder: &Path, name: &str) -> Map<String, Value> {
    let script = Script::read(&folder.join(format!("{name}.js"))).unwrap();
    let fleet = Fleet::new();
    let settings = NodeConfig {
        pool_size: Some(1),
        ..NodeConfig::default()
    };
    let node = Server::node(&fleet.config(Role::Node, 1), &script, &settings).unwrap();
    let client = fleet.client(node.address());
    let json: String = client.call_blocking("run", &()).unwrap();
    serde_json::from_str(&json).unwrap()
}

/// Compares what the programs of a bundle give; there are so many.
fn same(name: &str, programs: usize) {
    let Some(folder) = folder() else {
        return;
    };
    let (node, lane) = (in_node(folder, name), in_a_lane(folder, name));
    let mut differing = Vec::new();
    for (program, expected) in &node {
        let is = lane.get(program);
        let threw = expected
            .as_str()
            .is_some_and(|text| text.starts_with("threw"));
        if is != Some(expected) || threw {
            let is = is.map(Value::to_string).unwrap_or_default();
            differing.push(format!("{program}:\n  Node {expected}\n  here {is}"));
        }
    }
    assert!(differing.is_empty(), "{name}: {}", differing.join("\n"));
    assert_eq!((node.len(), lane.len()), (programs, programs), "{name}");
}

#[test]
fn lodash_es() {
    same("lodash-es", 11);
}

#[test]
fn dayjs() {
    same("dayjs", 8);
}

#[test]
fn date_fns() {
    same("date-fns", 8);
}

#[test]
fn ajv() {
    same("ajv", 7);
}

#[test]
fn big_js_decimal_js_ml_matrix_and_seedrandom() {
    same("numbers", 8);
}

#[test]
fn acorn_immer_papaparse_and_uuid() {
    same("text", 10);
}

#[test]
fn the_language() {
    same("language", 6);
}
