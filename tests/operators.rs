//! Who may do what: the roles of certificates, `--allow`, revoked certificates; and what operators do to servers that run.

#![allow(clippy::unwrap_used, reason = "that is how a test fails")]

#[path = "support/mod.rs"]
mod support;

use madrpc_core::call::catalog::{Catalog, FUNCTIONS};
use madrpc_core::call::control::{DRAIN, PING, RELOAD, UNDRAIN};
use madrpc_core::call::{CallError, ErrorKind};
use madrpc_core::identity::{Identity, Permissions, Role};
use madrpc_core::stats::{STATS, Snapshot};
use madrpc_core::value::Value;
use madrpc_shard::client::{Client, ClientConfig};
use madrpc_shard::engine::Script;
use madrpc_shard::node::NodeConfig;
use madrpc_shard::server::{RevokedFile, Server, ServerConfig};
use nix::sys::signal::Signal;
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};
use support::fleet::RealFleet;
use support::process::{free_port, refused, stderr, stdout};
use support::{Fleet, eventually};

const SCRIPT: &str = "madrpc.register('free', () => 1); madrpc.register('pay.refund', () => 2);
madrpc.register('through', () => madrpc.call('pay.refund'));";

fn client(server: &Server, identity: Identity) -> Client {
    let address = server.address().to_string();
    Client::new(&ClientConfig::with_identity(&address, identity)).unwrap()
}

fn call(client: &Client, function: &str) -> Result<Value, CallError> {
    client.call_blocking(function, &())
}

#[test]
fn only_operators_steer_and_read_statistics() {
    let fleet = Fleet::new();
    let node = fleet.node(SCRIPT);
    let orchestrator = fleet.orchestrator(&[node.address()]);
    for server in [&node, &orchestrator] {
        for role in [Role::Node, Role::Orchestrator, Role::Client] {
            let client = client(server, fleet.identity(role));
            for function in [DRAIN, UNDRAIN, RELOAD, STATS] {
                let error = call(&client, function).unwrap_err();
                assert_eq!(error.kind, ErrorKind::Unauthorized, "{role} {error}");
                let told = format!("the role {role}");
                assert!(
                    error.message.contains(&told) && !error.may_have_run,
                    "{error}"
                );
            }
            call(&client, PING).unwrap();
            let catalog: Catalog = client.call_blocking(FUNCTIONS, &()).unwrap();
            assert_eq!(catalog.functions.len(), 3);
        }
        let operator = client(server, fleet.identity(Role::Operator));
        let snapshot: Snapshot = operator.call_blocking(STATS, &()).unwrap();
        assert_eq!(snapshot.state, "serving");
        // There is no file that these could read anew.
        let error = call(&operator, RELOAD).unwrap_err();
        assert!(error.message.contains("nothing that it reads"), "{error}");
        for name in ["madrpc.", "madrpc.shutdown"] {
            let error = call(&operator, name).unwrap_err();
            assert_eq!(error.kind, ErrorKind::NoSuchFunction);
        }
    }
}

#[test]
fn a_rule_says_who_may_call_a_function() {
    let fleet = Fleet::new();
    let rule = "pay.*=client:billing,operator:*,node:*".parse().unwrap();
    let permissions = Arc::new(Permissions::new(vec![rule]));
    let node = fleet.node(SCRIPT);
    let config = ServerConfig {
        permissions: Arc::clone(&permissions),
        ..fleet.config(Role::Orchestrator, 2)
    };
    let orchestrator = Server::orchestrator(&config, &[node.address()]).unwrap();
    let config = ServerConfig {
        permissions,
        ..fleet.config(Role::Node, 1)
    };
    let script = Script::new("s.js", SCRIPT);
    let guarded = Server::node(&config, &script, &NodeConfig::default()).unwrap();
    for server in [&orchestrator, &guarded] {
        let web = client(server, fleet.named("web-3", Role::Client));
        eventually("calls come through", || call(&web, "free").is_ok());
        let error = call(&web, "pay.refund").unwrap_err();
        assert_eq!(
            (error.kind, error.may_have_run),
            (ErrorKind::Unauthorized, false)
        );
        let told = "`pay.refund` may be called by client:billing, operator:*, node:*, and this is client:web-3 (--allow)";
        assert!(error.message.contains(told), "{error}");
        for (name, role) in [
            ("billing", Role::Client),
            ("me", Role::Operator),
            ("n", Role::Node),
        ] {
            let one = client(server, fleet.named(name, role));
            assert_eq!(call(&one, "pay.refund").unwrap(), Value::from(2));
        }
        // A function may call what its caller may not.
        assert_eq!(call(&web, "through").unwrap(), Value::from(2));
    }
}

#[test]
fn a_revoked_certificate_ends_its_sessions_and_opens_none() {
    let fleet = Fleet::new();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("revoked");
    std::fs::write(&path, "# nobody\n").unwrap();
    let node = fleet.node(SCRIPT);
    let orchestrator = fleet.orchestrator(&[node.address()]);
    for server in [&node, &orchestrator] {
        server.revoke_by(RevokedFile::open(&path).unwrap()).unwrap();
    }
    let lost = fleet.named("laptop", Role::Client);
    let clients = [&node, &orchestrator].map(|server| client(server, lost.clone()));
    let others = [&node, &orchestrator].map(|server| fleet.client(server.address()));
    for client in clients.iter().chain(&others) {
        eventually("calls come through", || call(client, "free").is_ok());
    }
    lost.save(&dir.path().join("laptop")).unwrap();
    let shown = madrpc_core::identity::inspect(&dir.path().join("laptop/cert.pem")).unwrap();
    std::fs::write(&path, format!("{} # lost\n", shown[0].serial)).unwrap();
    for (client, server) in clients.iter().zip([&node, &orchestrator]) {
        eventually("its session ends", || call(client, "free").is_err());
        let again = self::client(server, lost.clone());
        let error = call(&again, "free").unwrap_err();
        assert_eq!(error.kind, ErrorKind::Unauthorized, "{error}");
        assert!(error.message.contains("has been revoked"), "{error}");
    }
    for client in &others {
        call(client, "free").unwrap();
    }
}

#[test]
fn a_revoked_node_gets_no_calls() {
    let fleet = Fleet::new();
    let script = Script::new("s.js", SCRIPT);
    let identity = fleet.named("stolen", Role::Node);
    let config = ServerConfig::new(([127, 0, 0, 1], 0).into(), identity.clone());
    let config = ServerConfig {
        shards: Some(1),
        ..config
    };
    let node = Server::node(&config, &script, &NodeConfig::default()).unwrap();
    let orchestrator = fleet.orchestrator(&[node.address()]);
    let client = fleet.client(orchestrator.address());
    eventually("calls come through", || call(&client, "free").is_ok());
    let dir = tempfile::tempdir().unwrap();
    identity.save(dir.path()).unwrap();
    let shown = madrpc_core::identity::inspect(&dir.path().join("cert.pem")).unwrap();
    let path = dir.path().join("revoked");
    std::fs::write(&path, &shown[0].serial).unwrap();
    orchestrator
        .revoke_by(RevokedFile::open(&path).unwrap())
        .unwrap();
    eventually("the node is left", || call(&client, "free").is_err());
    let error = call(&client, "free").unwrap_err();
    assert!(!error.may_have_run, "{error}");
}

/// Of the orchestrator's nodes, their states.
fn states(fleet: &RealFleet) -> Vec<String> {
    let told = fleet.home.run(&["nodes", &fleet.front, "--json"]);
    let document: serde_json::Value = serde_json::from_str(&stdout(&told)).unwrap();
    let nodes = document["nodes"].as_array().unwrap().iter();
    nodes
        .map(|node| {
            node["states"]
                .as_object()
                .unwrap()
                .keys()
                .next()
                .unwrap()
                .clone()
        })
        .collect()
}

#[test]
fn no_call_is_lost_where_nodes_are_drained_and_taken_back_one_by_one() {
    let fleet = RealFleet::start(3);
    let load = fleet.load("once", 5_000, "6s");
    sleep(Duration::from_millis(500));
    for (number, port) in fleet.ports.iter().enumerate() {
        let node = format!("127.0.0.1:{port}");
        let began = Instant::now();
        let drained = fleet.home.run(&["drain", &node]);
        assert!(drained.status.success(), "{}", stderr(&drained));
        assert!(stdout(&drained).contains("is drained; calls under way: 0"));
        assert!(began.elapsed() < Duration::from_secs(5));
        assert_eq!(states(&fleet)[number], "draining");
        let refusing = fleet.home.call(&[&node, "once", "1"]);
        refused(
            &refusing,
            6,
            &["Unavailable", "is drained", "madrpc undrain"],
        );
        let back = fleet.home.run(&["undrain", &node]);
        assert!(back.status.success(), "{}", stderr(&back));
        eventually("it gets calls again", || states(&fleet)[number] == "up");
    }
    let outcome = load.end();
    assert!(
        outcome.errors.is_empty() && outcome.results > 20_000,
        "{outcome:?}"
    );
}

#[test]
fn a_drain_waits_for_calls_and_says_what_is_left() {
    let mut fleet = RealFleet::start(1);
    let script = "madrpc.register('slow', async () => { await new Promise((done) => setTimeout(done, 3000)); return 1; });";
    fleet.home.write("fleet.js", script);
    let node = format!("127.0.0.1:{}", fleet.ports[0]);
    let reloaded = fleet.home.run(&["reload", &node, "--json"]);
    let expected = format!(r#"{{"server":"{node}","reloaded":"functions: slow"}}"#);
    assert_eq!(stdout(&reloaded).trim(), expected);
    let call = fleet.home.command(&["call", &fleet.front, "slow"]).spawn();
    let mut call = call.unwrap();
    sleep(Duration::from_millis(700));
    let soon = fleet.home.run(&["drain", &node, "--timeout", "300ms"]);
    assert_eq!(soon.status.code(), Some(5));
    let told = stderr(&soon);
    assert!(told.contains("did not end within 300ms"), "{told}");
    assert!(stdout(&soon).contains("is draining; calls under way: 1"));
    let drained = fleet.home.run(&["drain", &node, "--json"]);
    assert!(stdout(&drained).contains(r#""state":"drained","under_way":0"#));
    assert!(call.wait().unwrap().success());
    // What cannot be used changes nothing, and who asked for it hears why.
    fleet.home.write("fleet.js", "madrpc.register('broken', ");
    let broken = fleet.home.run(&["reload", &node]);
    refused(&broken, 1, &["not reloaded", "SyntaxError"]);
    // Drained is what it was, and not what it is once it runs anew.
    fleet.home.write("fleet.js", script);
    fleet.nodes[0].signal(Signal::SIGTERM);
    assert!(fleet.nodes[0].end().success());
    fleet.restart(0);
    eventually("it serves", || states(&fleet) == ["up"]);
}

#[test]
fn an_orchestrator_is_drained_too() {
    let fleet = RealFleet::start(1);
    let told = fleet.home.run(&["drain", &fleet.front]);
    assert!(stdout(&told).contains("orchestrator"), "{}", stderr(&told));
    let refusing = fleet.home.call(&[&fleet.front, "once", "1"]);
    refused(&refusing, 6, &["orchestrator", "is drained"]);
    assert!(fleet.home.run(&["undrain", &fleet.front]).status.success());
    assert!(
        fleet
            .home
            .call(&[&fleet.front, "once", "1"])
            .status
            .success()
    );
}

#[test]
fn rules_and_files_that_make_no_sense_are_refused_in_a_line() {
    let fleet = RealFleet::start(1);
    let home = &fleet.home;
    home.write("bad", "ab\nweb-3\n");
    for (args, words) in [
        (
            ["--allow", "f=root:me"],
            ["no role is called `root`", "operator"],
        ),
        (["--allow", "f"], ["expected FUNCTION=ROLE:NAME", "as in"]),
        (["--revoked", "missing"], ["missing: ", "No such file"]),
        (["--revoked", "bad"], ["bad:2: ", "no serial number"]),
    ] {
        let line = ["orchestrator", "--check", "-n", "127.0.0.1:1"];
        let output = home.run(&[&line[..], &args[..]].concat());
        assert!(!output.status.success());
        let told = stderr(&output);
        assert!(words.iter().all(|word| told.contains(word)), "{told}");
    }
    let line = [
        "node",
        "--check",
        "-s",
        "fleet.js",
        "--allow",
        "nothing=client:a;once=client:b",
    ];
    let output = home.run(&line);
    assert!(output.status.success());
    let told = stderr(&output);
    let warned = "--allow 'nothing=client:a': fleet.js has no such function";
    assert!(
        told.contains(warned) && !told.contains("client:b"),
        "{told}"
    );
}

#[test]
fn a_rule_of_a_function_that_no_node_has_is_told_once() {
    let rules = ["--allow", "onc=client:*;tw*=*:*;nil*=*:*;once=*:*"];
    let mut fleet = RealFleet::start_by(1, |_, addresses| {
        let nodes = ["-n", &addresses[0]];
        nodes.into_iter().chain(rules).map(str::to_owned).collect()
    });
    let orchestrator = &mut fleet.orchestrator;
    orchestrator.wait_for("no node has such a function");
    let _ = orchestrator.says("never", Duration::from_millis(500));
    let told = orchestrator
        .seen
        .lines()
        .filter(|line| line.contains("--allow"));
    let told: Vec<&str> = told.collect();
    assert!(
        told.len() == 1 && told[0].contains("--allow 'onc=client:*': no node"),
        "{told:?}"
    );
    // At a node at once, and again with another script.
    let home = &fleet.home;
    home.write("other.js", SCRIPT);
    let mut node = home.serve(&[
        "node",
        "-s",
        "other.js",
        "-b",
        "127.0.0.1:0",
        "--shards",
        "1",
        "--allow",
        "free=*:*",
    ]);
    assert!(!node.seen.contains("--allow"), "{}", node.seen);
    home.write("other.js", "madrpc.register('other', () => 1);");
    node.signal(Signal::SIGHUP);
    node.wait_for("--allow 'free=*:*': other.js has no such function");
}

/// What an operator says to several servers is carried out by each of them, and by nobody else.
/// Whose the documents are that a command has told.
fn servers_of(told: &std::process::Output) -> Vec<String> {
    let documents = stdout(told);
    let documents = documents.lines().map(serde_json::from_str);
    let documents = documents.map(Result::<serde_json::Value, _>::unwrap);
    documents
        .map(|one| one["server"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn what_is_said_to_several_servers_each_of_them_does() {
    let fleet = RealFleet::start(3);
    let nodes: Vec<String> = fleet
        .ports
        .iter()
        .map(|port| format!("127.0.0.1:{port}"))
        .collect();
    let two = nodes[..2].join(",");
    let state = |server: &str| {
        let told = stdout(&fleet.home.run(&["nodes", server, "--json"]));
        let document: serde_json::Value = serde_json::from_str(&told).unwrap();
        document["state"].as_str().unwrap().to_owned()
    };
    let drained = fleet.home.run(&["drain", &two]);
    assert!(drained.status.success(), "{}", stderr(&drained));
    assert_eq!(stdout(&drained).lines().count(), 2, "{}", stdout(&drained));
    let states: Vec<String> = nodes.iter().map(|node| state(node)).collect();
    assert_eq!(states, ["drained", "drained", "serving"]);
    let undrained = fleet.home.run(&["undrain", &two, "--json"]);
    assert!(undrained.status.success(), "{}", stderr(&undrained));
    assert_eq!(servers_of(&undrained), nodes[..2]);
    assert!(nodes.iter().all(|node| state(node) == "serving"));

    // An orchestrator and a node are no less two servers.
    let both = format!("{},{}", fleet.front, nodes[0]);
    assert!(fleet.home.run(&["drain", &both]).status.success());
    assert_eq!(
        [state(&fleet.front), state(&nodes[0])],
        ["drained", "drained"]
    );
    assert!(fleet.home.run(&["undrain", &both]).status.success());

    fleet.home.write(
        "fleet.js",
        "madrpc.register('once', (x) => x); madrpc.register('later', () => 2);",
    );
    let reloaded = fleet.home.run(&["reload", &two]);
    assert!(reloaded.status.success(), "{}", stderr(&reloaded));
    let told = stdout(&reloaded);
    let expected =
        [&nodes[0], &nodes[1]].map(|node| format!("{node}: reloaded: functions: once, later"));
    let mut lines: Vec<&str> = told.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, expected);
    for command in ["reload", "drain", "undrain", "nodes"] {
        let told = fleet.home.run(&[command, &two, "--json"]);
        assert_eq!(servers_of(&told), nodes[..2], "{command}");
    }
    for node in &nodes[..2] {
        assert!(fleet.home.call(&[node, "later"]).status.success());
    }

    // One that is not there keeps nobody else from doing it, and counts.
    let with_dead = format!("127.0.0.1:{},{}", free_port(), nodes[2]);
    let drained = fleet.home.run(&["drain", &with_dead]);
    let told = stderr(&drained);
    assert_eq!(drained.status.code(), Some(6), "{told}");
    assert!(
        told.contains("1 of 2 servers have failed, first 127.0.0.1:"),
        "{told}"
    );
    assert_eq!(state(&nodes[2]), "drained");
}

/// Every server answers reserved functions, whatever it has said of its own.
#[test]
fn reserved_functions_are_called_at_whichever_of_several_servers_speaks() {
    let fleet = RealFleet::start(2);
    let nodes: Vec<String> = fleet
        .ports
        .iter()
        .map(|port| format!("127.0.0.1:{port}"))
        .collect();
    let lines = fleet.home.write("lines", &"null\n".repeat(20));
    let mut map = fleet
        .home
        .command(&["map", &nodes.join(","), "madrpc.ping"]);
    map.stdin(std::fs::File::open(lines).unwrap());
    let output = map.output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(stdout(&output).lines().count(), 20);
}
