//! HTTP beside the calls: calls with JSON, JSON-RPC 2.0, and how it ends with its server.
//!
//! Setup: real processes, raw sockets.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "that is how a test fails"
)]

mod support;

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use support::http::{address, connect, get, node, orchestrator, parse, post, raw, request};
use support::process::{Home, free_port};

/// Asks again until it is so.
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !is_so() {
        assert!(Instant::now() < end, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_call_has_its_result_its_bill_and_its_deadline() {
    let home = Home::new();
    let (_node, bind, http) = node(&home, &[]);
    let answer = post(http, "/call/add", "[1, 2]");
    assert_eq!((answer.status, answer.body.as_str()), (200, "3"));
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("madrpc-node"), Some(bind.as_str()));
    for number in [
        "madrpc-shard",
        "madrpc-queue-us",
        "madrpc-cpu-us",
        "madrpc-slices",
        "madrpc-heap-peak-bytes",
    ] {
        answer.header(number).unwrap().parse::<u64>().unwrap();
    }
    let nothing = post(http, "/call/echo", "");
    assert_eq!((nothing.status, nothing.body.as_str()), (200, "null"));
    // Large enough for the thread beside, there and back.
    let list = format!("[{}1]", "\"é\",".repeat(100_000));
    assert_eq!(post(http, "/call/echo", &list).body, list);
    let chunked = format!(
        "POST /call/add HTTP/1.1\r\nHost: {http}\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n[1,\r\n3\r\n 2]\r\n0\r\n\r\n"
    );
    assert_eq!(parse(&raw(http, chunked.as_bytes())).body, "3");
    let late = request(http, "POST /call/spin", &["Madrpc-Timeout: 100ms"], "");
    assert_eq!(
        (late.status, late.kind().as_str()),
        (504, "DeadlineExceeded")
    );
}

#[test]
fn an_error_is_told_by_status_and_document() {
    let home = Home::new();
    let (_node, _, http) = node(&home, &[]);
    let thrown = post(http, "/call/fail", "");
    assert_eq!((thrown.status, thrown.kind().as_str()), (500, "JavaScript"));
    let error = &thrown.json()["error"];
    assert_eq!(
        (&error["name"], &error["may_have_run"]),
        (&json!("TypeError"), &json!(true))
    );
    assert!(
        error["stack"].as_str().unwrap().contains("script.js:4"),
        "{error}"
    );
    for (path, body, status, kind) in [
        ("/call/nothing", "1", 404, "NoSuchFunction"),
        ("/call/madrpc.stats", "", 403, "Unauthorized"),
        ("/call/madrpc.reload", "", 403, "Unauthorized"),
        ("/call/add", "[1,", 400, "BadArguments"),
        ("/call/add", "\u{0}", 400, "BadArguments"),
        ("/elsewhere", "", 404, "NoSuchFunction"),
        ("/call/", "", 404, "NoSuchFunction"),
        ("/call/%ff", "", 400, "BadArguments"),
    ] {
        let answer = post(http, path, body);
        assert_eq!(
            (answer.status, answer.kind().as_str()),
            (status, kind),
            "{path} {body}"
        );
        assert_eq!(
            answer.json()["error"]["may_have_run"],
            json!(false),
            "{path}"
        );
    }
    for timeout in ["5", "0s", "soon", "-1s"] {
        let header = format!("Madrpc-Timeout: {timeout}");
        let answer = request(http, "POST /call/add", &[&header], "[1, 2]");
        assert_eq!(
            (answer.status, answer.kind().as_str()),
            (400, "BadArguments"),
            "{timeout}"
        );
    }
    for (line, status, kind) in [
        ("GET /page/x", 404, "NoSuchFunction"),
        ("GET /page/%ff", 400, "BadArguments"),
        ("GET /call/add", 405, "BadArguments"),
    ] {
        let answer = request(http, line, &[], "");
        assert_eq!(
            (answer.status, answer.kind().as_str()),
            (status, kind),
            "{line}"
        );
        let allow = (status == 405).then_some("POST");
        assert_eq!(answer.header("allow"), allow, "{line}");
    }
}

#[test]
fn a_name_may_hold_anything_and_is_in_the_openapi_document() {
    let home = Home::new();
    home.write("script.js", r#"madrpc.register("a/b é{}%", (x) => x + 1);"#);
    let (_node, _, http) = node(&home, &[]);
    let path = "/call/a%2Fb%20%C3%A9%7B%7D%25";
    assert_eq!(post(http, path, "1").body, "2");
    let document = get(http, "/openapi.json").json();
    assert_eq!(document["openapi"], "3.1.0");
    let paths: Vec<&String> = document["paths"].as_object().unwrap().keys().collect();
    assert_eq!(paths, [path]);
    assert_eq!(document["paths"][path]["post"]["operationId"], "a/b é{}%");
}

#[test]
fn too_many_calls_are_told_when_to_come_again() {
    let home = Home::new();
    home.write(
        "script.js",
        "madrpc.register('rare', () => 1, { rate: 1, burst: 1 });",
    );
    let (_node, _, http) = node(&home, &[]);
    let mut refused = None;
    until("none is refused", || {
        let answer = post(http, "/call/rare", "");
        let is_refused = answer.status != 200;
        refused = is_refused.then_some(answer);
        is_refused
    });
    let refused = refused.unwrap();
    assert_eq!(refused.kind(), "Overloaded");
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert!(refused.json()["error"]["retry_after_ms"].as_u64().unwrap() <= 1000);
}

#[test]
fn an_orchestrator_passes_calls_on() {
    let home = Home::new();
    let (_node, bind, _) = node(&home, &[]);
    let (_orchestrator, http) = orchestrator(&home, &bind);
    assert_eq!(get(http, "/readyz").status, 200);
    let answer = post(http, "/call/add", "[20, 22]");
    assert_eq!(
        (answer.body.as_str(), answer.header("madrpc-node")),
        ("42", Some(bind.as_str()))
    );
    let document = get(http, "/openapi.json").json();
    assert!(document["paths"]["/call/add"].is_object(), "{document}");
}

#[test]
fn a_cluster_for_development_has_it_too() {
    let home = Home::new();
    let cluster = home.serve(&["dev", "script.js", "--nodes", "1", "--http", "0"]);
    assert_eq!(post(address(&cluster), "/call/add", "[1, 2]").body, "3");
}

fn rpc(http: SocketAddr, body: &Value) -> Value {
    let answer = post(http, "/", &body.to_string());
    assert_eq!(answer.status, 200);
    answer.json()
}

#[test]
fn json_rpc_is_answered_as_its_specification_says() {
    let home = Home::new();
    let (_node, _, http) = node(&home, &[]);
    let call = |id: Value| json!({"jsonrpc": "2.0", "method": "add", "params": [1, 2], "id": id});
    for id in [json!(1), json!("a"), json!(-1.5), json!(null), json!("")] {
        let expected = json!({"jsonrpc": "2.0", "result": 3, "id": id});
        assert_eq!(rpc(http, &call(id)), expected);
    }
    let named = json!({"jsonrpc": "2.0", "method": "echo", "params": {"b": 1, "a": null}, "id": 1});
    assert_eq!(rpc(http, &named)["result"], json!({"b": 1, "a": null}));
    let none = json!({"jsonrpc": "2.0", "method": "echo", "id": 1});
    assert_eq!(
        rpc(http, &none),
        json!({"jsonrpc": "2.0", "result": null, "id": 1})
    );
    for (body, code) in [
        ("{\"jsonrpc\": \"2.0\", \"method\"", -32700),
        ("[1,", -32700),
        ("[]", -32600),
        ("1", -32600),
        (r#"{"jsonrpc": "2.0", "method": 1}"#, -32600),
        (r#"{"jsonrpc": "2.0", "method": "none", "id": 1}"#, -32601),
        (r#"{"jsonrpc": "2.0", "method": "fail", "id": 1}"#, -32003),
        (
            r#"{"jsonrpc": "2.0", "method": "madrpc.drain", "id": 1}"#,
            -32012,
        ),
    ] {
        let answer = post(http, "/", body);
        assert_eq!(
            (answer.status, &answer.json()["error"]["code"]),
            (200, &json!(code)),
            "{body}"
        );
    }
    // No name is told of at its whole length, nor kept.
    for start in ["", "madrpc."] {
        let long = format!("{start}{}", "n".repeat(1 << 20));
        let answer = rpc(http, &json!({"jsonrpc": "2.0", "method": long, "id": 1}));
        assert_eq!(answer["error"]["code"], -32601);
        assert!(answer.to_string().len() < 1_000);
    }
    let thrown = rpc(http, &json!({"jsonrpc": "2.0", "method": "fail", "id": 1}));
    let data = &thrown["error"]["data"];
    assert_eq!(
        (&data["kind"], &data["may_have_run"]),
        (&json!("JavaScript"), &json!(true))
    );
    let late = request(
        http,
        "POST /",
        &["Madrpc-Timeout: 50ms"],
        r#"{"jsonrpc":"2.0","method":"spin","id":1}"#,
    );
    assert_eq!(late.json()["error"]["code"], -32004);
}

#[test]
fn batches_are_answered_in_order_and_bounded() {
    let home = Home::new();
    let (_node, _, http) = node(&home, &[]);
    let one = |id: usize| json!({"jsonrpc": "2.0", "method": "add", "params": [id, 1], "id": id});
    let batch: Vec<Value> = (0..1000).map(one).collect();
    let answers = rpc(http, &json!(batch));
    let expected: Vec<Value> = (0..1000)
        .map(|id| json!({"jsonrpc": "2.0", "result": id + 1, "id": id}))
        .collect();
    assert_eq!(answers, json!(expected));
    let mixed = json!([one(1), {"jsonrpc": "2.0", "method": "add", "params": [1, 1]}, 7, one(2)]);
    let answers = rpc(http, &mixed);
    let ids: Vec<&Value> = answers
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["id"])
        .collect();
    assert_eq!(ids, [&json!(1), &json!(null), &json!(2)]);
    let vast: Vec<Value> = (0..100_000)
        .map(|_| json!({"jsonrpc": "2.0", "method": "f", "id": 1}))
        .collect();
    let refused = rpc(http, &json!(vast));
    assert_eq!(
        (&refused["error"]["code"], &refused["id"]),
        (&json!(-32600), &json!(null))
    );
    assert!(
        refused["error"]["message"]
            .as_str()
            .unwrap()
            .contains("100000"),
        "{refused}"
    );
}

#[test]
fn notifications_are_run_and_not_answered() {
    let home = Home::new();
    home.write(
        "script.js",
        "madrpc.register('say', (word) => console.log(`heard ${word}`));",
    );
    let (mut node, _, http) = node(&home, &[]);
    let say = |word: &str| json!({"jsonrpc": "2.0", "method": "say", "params": [word]});
    for body in [say("one"), json!([say("two"), say("three")])] {
        let answer = post(http, "/", &body.to_string());
        assert_eq!((answer.status, answer.body.as_str()), (204, ""));
    }
    for word in ["heard one", "heard two", "heard three"] {
        node.wait_for(word);
    }
}

#[test]
fn the_port_is_a_setting_and_a_server_that_is_killed_frees_it() {
    let home = Home::new();
    let (port, bind) = (free_port(), free_port());
    home.write(
        "node.toml",
        &format!("script = 'script.js'\nbind = '127.0.0.1:{bind}'\nhttp = {port}\nshards = 1\n"),
    );
    let http = SocketAddr::from(([127, 0, 0, 1], port));
    for _ in 0..2 {
        let mut node = home.serve(&["node", "--config", "node.toml"]);
        assert_eq!(get(http, "/healthz").body, "ok\n");
        node.signal(Signal::SIGKILL);
        node.end();
    }
}

#[test]
fn with_its_server_it_drains_and_a_call_under_way_has_its_answer() {
    let home = Home::new();
    let (mut node, bind, http) = node(&home, &[]);
    // Drained by an operator, and taken back.
    assert_eq!(get(http, "/readyz").status, 200);
    assert_eq!(home.run(&["drain", &bind]).status.code(), Some(0));
    let ready = get(http, "/readyz");
    assert_eq!(
        (ready.status, ready.body.trim()),
        (503, "drained (madrpc undrain)")
    );
    assert_eq!(
        (
            post(http, "/call/add", "[1, 2]").status,
            get(http, "/healthz").status
        ),
        (503, 200)
    );
    assert_eq!(home.run(&["undrain", &bind]).status.code(), Some(0));
    assert_eq!(
        (
            post(http, "/call/add", "[1, 2]").status,
            get(http, "/readyz").status
        ),
        (200, 200)
    );
    // Ended by a signal.
    let mut under_way = connect(http);
    let text = format!("POST /call/work HTTP/1.1\r\nHost: {http}\r\nContent-Length: 4\r\n\r\n3000");
    under_way.write_all(text.as_bytes()).unwrap();
    until("the call does not run", || {
        get(http, "/metrics")
            .body
            .contains("madrpc_calls_under_way 1")
    });
    node.signal(Signal::SIGTERM);
    node.wait_for("taking no new calls");
    until("it is ready still", || get(http, "/readyz").status == 503);
    let answer = post(http, "/call/add", "[1, 2]");
    assert_eq!(
        (answer.status, answer.kind().as_str()),
        (503, "Unavailable")
    );
    assert_eq!(answer.json()["error"]["may_have_run"], json!(false));
    assert_eq!(get(http, "/healthz").status, 200);
    let mut text = String::new();
    under_way.read_to_string(&mut text).unwrap();
    let answer = parse(&text);
    assert_eq!((answer.status, answer.body.as_str()), (200, "\"done\""));
    assert_eq!(node.end().code(), Some(0));
}

#[test]
fn a_client_that_goes_gives_its_call_up() {
    let home = Home::new();
    let (_node, _, http) = node(&home, &[]);
    let mut gone = connect(http);
    let text = format!("POST /call/spin HTTP/1.1\r\nHost: {http}\r\nContent-Length: 0\r\n\r\n");
    gone.write_all(text.as_bytes()).unwrap();
    let under_way = |calls: &str| {
        get(http, "/metrics")
            .body
            .contains(&format!("madrpc_calls_under_way {calls}\n"))
    };
    until("the call does not run", || under_way("1"));
    drop(gone);
    until("the call runs on", || under_way("0"));
    let told = get(http, "/metrics").body;
    let line = r#"madrpc_calls_total{function="spin",outcome="error",error_type="Cancelled"} 1"#;
    assert!(told.contains(line), "{told}");
}
