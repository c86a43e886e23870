//! What travels arrives as Node.js's `structuredClone` gives it, and prints as its `JSON.stringify` writes it.
//!
//! Setup: `clones/values.js` makes values by number, in Node and as the script of a node of one shard. `MADRPC_CLONES=100000`
//! tries as many of them, beginning with a number by chance, which a failure names. Skipped with a word where there is no Node.js.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "that is how a test fails"
)]

mod support;

use madrpc_core::value::Value;
use madrpc_core::value::json::to_json;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use support::Fleet;

/// How many are tried where nothing else is said.
const COUNT: u32 = 1_500;

#[test]
fn what_travels_is_what_node_clones() {
    let asked = std::env::var("MADRPC_CLONES").map(|count| count.parse().unwrap());
    let (from, count) = match asked {
        Ok(count) => (std::process::id().wrapping_mul(7_919) % (1 << 30), count),
        Err(_) => (0, COUNT),
    };
    let script = Path::new(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../tests/clones/values.js"
    ));
    let arguments = [from.to_string(), count.to_string()];
    let Ok(in_node) = Command::new("node").arg(script).args(arguments).output() else {
        // Past the harness, which shows only what failing tests print.
        let _ = writeln!(
            std::io::stderr(),
            "skipping the comparison with Node.js: it is not there"
        );
        return;
    };
    let said = String::from_utf8_lossy(&in_node.stderr);
    assert!(in_node.status.success(), "in Node: {said}");

    let fleet = Fleet::new();
    let node = fleet.node(&std::fs::read_to_string(script).unwrap());
    let client = fleet.client(node.address());
    let (mut refused, mut tried) = (0, 0);
    for (seed, line) in (from..).zip(String::from_utf8(in_node.stdout).unwrap().lines()) {
        let [cloned, json]: [String; 2] = serde_json::from_str(line).unwrap();
        let seed_value = Value::Integer(seed.into());
        for way in ["sent", "given", "cloned"] {
            let got: Value = client.call_blocking(way, &seed_value).unwrap();
            assert_eq!(got, Value::String(cloned.clone()), "{way}, seed {seed}");
        }
        let printed = to_json(&client.call_blocking("plain", &seed_value).unwrap());
        assert_eq!(printed, json, "seed {seed}");
        refused += u32::from(cloned == "refused");
        tried += 1;
    }
    assert_eq!(tried, count);
    assert!(
        refused > 0 && refused < count / 5,
        "{refused} refused of {count}"
    );
}
