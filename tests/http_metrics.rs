//! Metrics: what is counted is told, promtool likes it, and alerts and dashboard speak of nothing else.
//!
//! Setup: a node and an orchestrator as processes; promtool of Debian's package `prometheus` where it is installed.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "that is how a test fails"
)]

mod support;

use serde_json::Value;
use std::collections::BTreeSet;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use support::http::{get, node, orchestrator, post, request};
use support::process::{Home, Served};

fn deploy(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../deploy")
        .join(name)
}

struct Fleet {
    _servers: [Served; 2],
    node: SocketAddr,
    orchestrator: SocketAddr,
}

/// Both have had calls, good and bad.
fn fleet(home: &Home) -> Fleet {
    home.write(
        "script.js",
        "madrpc.register('add', ([a, b]) => a + b);
         madrpc.register('fail', () => { throw new Error('no'); });",
    );
    let (node, bind, http) = node(home, &[]);
    let (server, orchestrator) = orchestrator(home, &bind);
    let fleet = Fleet {
        node: http,
        orchestrator,
        _servers: [node, server],
    };
    for http in [fleet.node, fleet.orchestrator] {
        for _ in 0..3 {
            assert_eq!(post(http, "/call/add", "[1, 2]").body, "3");
        }
        assert_eq!(post(http, "/call/fail", "").status, 500);
        assert_eq!(post(http, "/call/nothing", "").status, 404);
    }
    fleet
}

/// The value of a line.
fn value(text: &str, line: &str) -> Option<f64> {
    let found = text.lines().find_map(|one| one.strip_prefix(line));
    found.map(|value| value.trim().parse().unwrap())
}

#[test]
fn what_has_been_called_is_counted() {
    let home = Home::new();
    let fleet = fleet(&home);
    let text = get(fleet.node, "/metrics").body;
    // Three of its own HTTP, and three of the orchestrator.
    for (line, wanted) in [
        (
            r#"madrpc_calls_total{function="add",outcome="ok",error_type=""}"#,
            6.0,
        ),
        (
            r#"madrpc_calls_total{function="fail",outcome="error",error_type="JavaScript"}"#,
            2.0,
        ),
        (
            r#"rpc_server_call_duration_seconds_count{rpc_system_name="madrpc",rpc_method="add"}"#,
            6.0,
        ),
        (
            r#"rpc_server_call_duration_seconds_bucket{le="+Inf",rpc_system_name="madrpc",rpc_method="add"}"#,
            6.0,
        ),
        ("madrpc_queue_wait_seconds_count", 8.0),
        (r#"madrpc_lanes{state="free"}"#, 4.0),
        (r#"madrpc_state{state="serving"}"#, 1.0),
        ("madrpc_calls_under_way", 0.0),
        ("madrpc_shards_silent", 0.0),
        (
            r#"madrpc_http_requests_total{route="/call/",code="200"}"#,
            3.0,
        ),
        (
            r#"madrpc_http_requests_total{route="/call/",code="404"}"#,
            1.0,
        ),
    ] {
        assert_eq!(value(&text, line), Some(wanted), "{line} in\n{text}");
    }
    for line in [
        // The orchestrator knows itself what its node has not, once that has said so.
        r#"madrpc_calls_total{function="(unknown)",outcome="error",error_type="NoSuchFunction"}"#,
        r#"madrpc_call_cpu_seconds_total{function="add"}"#,
        r#"rpc_server_call_duration_seconds_sum{rpc_system_name="madrpc",rpc_method="add"}"#,
        "madrpc_memory_used_bytes",
        r#"madrpc_datagrams_total{direction="received"}"#,
        r#"madrpc_datagram_batches_total{direction="sent"}"#,
    ] {
        assert!(
            value(&text, line).is_some_and(|value| value > 0.0),
            "{line} in\n{text}"
        );
    }
    let text = get(fleet.orchestrator, "/metrics").body;
    for (line, wanted) in [
        (r#"madrpc_members{state="up"}"#, 1.0),
        (r#"madrpc_members{state="down"}"#, 0.0),
        (
            r#"madrpc_calls_total{function="add",outcome="ok",error_type=""}"#,
            3.0,
        ),
        ("madrpc_call_retries_total", 0.0),
    ] {
        assert_eq!(value(&text, line), Some(wanted), "{line} in\n{text}");
    }
    // The first bound is 10 µs.
    let first = text.lines().find(|line| line.contains("_bucket{")).unwrap();
    assert!(first.contains(r#"le="0.00001""#), "{first}");
}

#[test]
fn names_that_callers_invent_make_no_lines() {
    let home = Home::new();
    let (_node, _, http) = node(&home, &[]);
    let batch: Vec<Value> = (0..1000)
        .map(|number| serde_json::json!({"jsonrpc": "2.0", "method": format!("invented {number}"), "id": 1}))
        .collect();
    post(http, "/", &Value::from(batch).to_string());
    for number in 0..20 {
        get(http, &format!("/invented/{number}"));
    }
    let text = get(http, "/metrics").body;
    assert!(!text.contains("invented"), "{text}");
    assert_eq!(
        value(
            &text,
            r#"madrpc_http_requests_total{route="(other)",code="404"}"#
        ),
        Some(20.0)
    );
    let unknown =
        r#"madrpc_calls_total{function="(unknown)",outcome="error",error_type="NoSuchFunction"}"#;
    assert_eq!(value(&text, unknown), Some(1000.0));
}

fn promtool(args: &[&str], stdin: &str) -> Option<(bool, String)> {
    let child = Command::new("promtool")
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut child) = child else {
        eprintln!("skipped: there is no promtool (Debian's package prometheus)");
        return None;
    };
    child
        .stdin
        .take()
        .unwrap()
        .write_all(stdin.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    Some((output.status.success(), said.into_owned()))
}

#[test]
fn promtool_likes_what_it_is_told() {
    let home = Home::new();
    let fleet = fleet(&home);
    for http in [fleet.node, fleet.orchestrator] {
        let text = get(http, "/metrics");
        assert_eq!(
            text.header("content-type"),
            Some("text/plain; version=0.0.4; charset=utf-8")
        );
        if let Some((is_good, said)) = promtool(&["check", "metrics"], &text.body) {
            assert!(is_good && said.is_empty(), "{said}");
        }
        let accept = "Accept: application/openmetrics-text;version=1.0.0,text/plain;q=0.5";
        let open = request(http, "GET /metrics", &[accept], "");
        assert!(
            open.header("content-type")
                .unwrap()
                .starts_with("application/openmetrics-text")
        );
        assert!(open.body.ends_with("# EOF\n"));
        assert!(
            open.body
                .contains("# UNIT rpc_server_call_duration_seconds seconds\n"),
            "{}",
            open.body
        );
    }
}

#[test]
fn promtool_likes_the_alerts() {
    let rules = deploy("prometheus/madrpc.rules.yml");
    if let Some((is_good, said)) = promtool(&["check", "rules", rules.to_str().unwrap()], "") {
        assert!(is_good && said.contains("SUCCESS"), "{said}");
    }
}

/// The metrics that expressions of the query language name: words with our prefixes.
fn named(text: &str) -> BTreeSet<String> {
    let words = text.split(|one: char| !(one.is_ascii_alphanumeric() || one == '_'));
    let ours = words.filter(|word| word.starts_with("madrpc_") || word.starts_with("rpc_server_"));
    ours.map(str::to_owned).collect()
}

/// The expressions of a dashboard.
fn expressions(value: &Value, into: &mut Vec<String>) {
    match value {
        Value::Object(entries) => {
            for (key, value) in entries {
                match (key.as_str(), value) {
                    ("expr" | "definition", Value::String(text)) => into.push(text.clone()),
                    _ => expressions(value, into),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| expressions(item, into)),
        _ => {}
    }
}

#[test]
fn alerts_and_panels_speak_of_metrics_that_there_are() {
    let home = Home::new();
    let fleet = fleet(&home);
    let scraped = get(fleet.node, "/metrics").body + &get(fleet.orchestrator, "/metrics").body;
    let lines = scraped.lines().filter(|line| !line.starts_with('#'));
    let there: BTreeSet<&str> = lines
        .map(|line| line.split(['{', ' ']).next().unwrap())
        .collect();
    let rules = std::fs::read_to_string(deploy("prometheus/madrpc.rules.yml")).unwrap();
    let text = std::fs::read_to_string(deploy("grafana/madrpc.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&text).unwrap();
    let mut panels = Vec::new();
    expressions(&dashboard, &mut panels);
    assert!(panels.len() > 20, "{panels:?}");
    let mut all = named(&panels.join("\n"));
    all.extend(named(&rules));
    assert!(all.len() > 20, "{all:?}");
    for name in all {
        assert!(
            there.contains(name.as_str()),
            "there is no {name} in {there:?}"
        );
    }
}
