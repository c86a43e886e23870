//! The scripts of `examples/`: each can be loaded, and those that no program of the workspace calls do what their READMEs say.

#![expect(
    clippy::unwrap_used,
    reason = "clippy knows tests only by their attribute, and this has helpers"
)]

mod support;

use madrpc_core::identity::Role;
use madrpc_core::value::Value;
use madrpc_core::value::json::{from_json, to_json};
use madrpc_shard::engine::Script;
use madrpc_shard::node::NodeConfig;
use madrpc_shard::server::Server;
use std::path::{Path, PathBuf};
use support::Fleet;
use support::process::{Home, stderr};

fn scripts(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(scripts(&path));
        } else if path.extension().is_some_and(|kind| kind == "js") {
            found.push(path);
        }
    }
    found
}

#[test]
fn every_script_can_be_loaded() {
    let home = Home::new();
    let scripts = scripts(Path::new(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../examples"
    )));
    assert!(scripts.len() >= 5, "{scripts:?}");
    for script in scripts {
        let output = home.run(&["check", script.to_str().unwrap()]);
        let said = stderr(&output);
        match script.ends_with("webassembly.js") && !cfg!(feature = "wasm") {
            true => assert!(said.contains("build it with --features wasm"), "{said}"),
            false => assert!(output.status.success(), "{said}"),
        }
    }
}

fn call(script: &str, function: &str, args: &str) -> Value {
    let fleet = Fleet::new();
    let node = fleet.node(script);
    let client = fleet.client(node.address());
    client
        .call_blocking(function, &from_json(args).unwrap())
        .unwrap()
}

#[test]
fn words_are_counted() {
    let words = include_str!("../examples/word-count/words.js");
    let count = |args| to_json(&call(words, "words", args));
    let text = r#"{"text": "Freedom, FREEDOM; straße\nis constructor"}"#;
    assert_eq!(count(text), r#"{"freedom":2,"straße":1,"constructor":1}"#);
    let short = r#"{"text": "a b a", "letters": 1}"#;
    assert_eq!(count(short), r#"{"a":2,"b":1}"#);
}

#[test]
fn a_network_learns_and_one_that_cannot_does_not() {
    let train = include_str!("../examples/hyperparameter-search/train.js");
    let accuracy = |args| match call(train, "train", args) {
        Value::Float(share) => share,
        Value::Integer(whole) => whole as f64,
        other => panic!("{other:?}"),
    };
    assert!(accuracy(r#"{"rate": 0.1, "hidden": 16}"#) > 0.9);
    assert!(accuracy(r#"{"rate": 0.1, "hidden": 2}"#) < 0.8);
}

#[test]
fn programs_give_as_kernels_what_node_js_says() {
    let fleet = Fleet::new();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/kernels");
    let script = Script::read(&folder.join("app.js")).unwrap();
    let config = fleet.config(Role::Node, 1);
    let node = Server::node(&config, &script, &NodeConfig::default()).unwrap();
    let client = fleet.client(node.address());
    let args = from_json(r#"{"part": 20}"#).unwrap();
    for (name, said_by_node_js) in [
        ("pi", 39132.0),
        ("matmul", -1304677700.0),
        ("dot", -53.27706160145209),
        ("mandelbrot", -1520399947.0),
        ("nbody", -1661076084.0),
        ("sha256", -596700280.0),
        ("levenshtein", 56.0),
        ("histogram", 967980416.0),
    ] {
        for function in [name, &format!("{name}_plain")] {
            let result: Value = client.call_blocking(function, &args).unwrap();
            let result: serde_json::Value = serde_json::from_str(&to_json(&result)).unwrap();
            assert_eq!(
                result["digest"].as_f64(),
                Some(said_by_node_js),
                "{function}"
            );
        }
    }
}
