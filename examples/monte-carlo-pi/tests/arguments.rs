//! What `monte_carlo_sample` says to arguments that it cannot use, and that it gives what it gives uncompiled.

use madrpc_core::call::CallError;
use madrpc_core::identity::{Authority, Role};
use madrpc_core::value::Value;
use madrpc_core::value::json::from_json;
use madrpc_shard::client::{Client, ClientConfig};
use madrpc_shard::engine::Script;
use madrpc_shard::node::NodeConfig;
use madrpc_shard::server::{Server, ServerConfig};

const PI_JS: &str = include_str!("../scripts/pi.js");

#[test]
fn arguments_are_checked_in_words() {
    let authority = Authority::create("test").unwrap();
    let config = ServerConfig {
        shards: Some(1),
        ..ServerConfig::new(
            "127.0.0.1:0".parse().unwrap(),
            authority.issue(Role::Node).unwrap(),
        )
    };
    let node = Server::node(
        &config,
        &Script::new("pi.js", PI_JS),
        &NodeConfig::default(),
    )
    .unwrap();
    let identity = authority.issue(Role::Client).unwrap();
    let client = Client::new(&ClientConfig::with_identity(
        &node.address().to_string(),
        identity,
    ))
    .unwrap();
    let sample = |args: Value| client.call_blocking::<_, Value>("monte_carlo_sample", &args);

    for (args, thrown) in [
        ("null", "TypeError: expected an object: {samples, seed}"),
        ("7", "TypeError: expected an object: {samples, seed}"),
        (
            r#"{"seed": 1}"#,
            "TypeError: samples must be a number, not undefined",
        ),
        (
            r#"{"samples": "9", "seed": 1}"#,
            "TypeError: samples must be a number, not string",
        ),
        (
            r#"{"samples": 0, "seed": 1}"#,
            "RangeError: samples must be a whole number from 1 to 2^53 - 1, not 0",
        ),
        (
            r#"{"samples": 1.5, "seed": 1}"#,
            "RangeError: samples must be a whole number from 1 to 2^53 - 1, not 1.5",
        ),
        (
            r#"{"samples": 1, "seed": -1}"#,
            "RangeError: seed must be a whole number from 0 to 2^53 - 1, not -1",
        ),
        (
            r#"{"samples": 1, "seed": 9007199254740992}"#,
            "RangeError: seed must be a whole number from 0 to 2^53 - 1, not 9007199254740992",
        ),
    ] {
        let error: CallError = sample(from_json(args).unwrap()).unwrap_err();
        assert_eq!(error.message, thrown, "{args}");
    }
    // The lane that threw all these serves on. 785 is what V8 computes, too.
    let result =
        sample(from_json(r#"{"seed": 9007199254740991, "samples": 1000}"#).unwrap()).unwrap();
    assert_eq!(result.get("total"), Some(&Value::Integer(1000)));
    assert_eq!(result.get("inside"), Some(&Value::Integer(785)));
    // Interpreted or compiled, the points are the same.
    for seed in [0, 1, 7, 1_u64 << 33] {
        let args = format!(r#"{{"samples": 20000, "seed": {seed}}}"#);
        let args = from_json(&args).unwrap();
        let plain = client.call_blocking::<_, Value>("monte_carlo_sample_plain", &args);
        assert_eq!(sample(args).unwrap(), plain.unwrap(), "seed {seed}");
    }
}
