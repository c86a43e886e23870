//! Nodes come and go with the records of a name server, while calls do, and whatever it says.

#![allow(clippy::unwrap_used, reason = "that is how a test fails")]

#[path = "support/dns.rs"]
#[allow(unreachable_pub, missing_docs, reason = "as the others beside it")]
mod dns;
#[path = "support/mod.rs"]
mod support;

use dns::{NameServer, Zone};
use hickory_proto::op::ResponseCode;
use nix::sys::signal::Signal;
use std::io::Write;
use std::thread::sleep;
use std::time::{Duration, Instant};
use support::eventually;
use support::fleet::RealFleet;
use support::process::{Home, free_port, stderr, stdout};

const SERVICE: &str = "_madrpc._udp.fleet.test";

/// What the records hold for, in seconds.
const TTL: u32 = 1;

/// Nodes of this machine.
fn zone(ports: &[u16]) -> Zone {
    let zone = Zone::default().host("here.fleet.test", TTL, "127.0.0.1");
    ports.iter().fold(zone, |zone, port| {
        zone.srv(SERVICE, TTL, (10, *port), "here.fleet.test")
    })
}

fn port_of(address: &str) -> u16 {
    address.rsplit_once(':').unwrap().1.parse().unwrap()
}

/// A fleet that is found by a name server.
fn fleet(nodes: usize, source: &str) -> (RealFleet, NameServer) {
    let mut server = None;
    let fleet = RealFleet::start_by(nodes, |_, addresses| {
        let ports: Vec<u16> = addresses.iter().map(|address| port_of(address)).collect();
        let started = server.insert(NameServer::start(&zone(&ports)));
        vec!["--discover".into(), format!("{source}@{}", started.address)]
    });
    (fleet, server.unwrap())
}

/// The nodes that have answered what can be called.
fn listed(fleet: &RealFleet) -> String {
    stdout(&fleet.home.run(&["functions", &fleet.front]))
}

/// Past the harness: the figures are of interest whether they are enough or not.
fn note(what: &str, begun: Instant) {
    let _ = writeln!(
        std::io::stderr(),
        "{what}: {} ms",
        begun.elapsed().as_millis()
    );
}

#[test]
fn nodes_of_srv_records_come_and_go_without_a_lost_call() {
    let (mut fleet, server) = fleet(2, &format!("dns:{SERVICE}"));
    let load = fleet.load("once", 2_000, "20s");
    let new = fleet.add();
    let [first, second, third] = [0, 1, 2].map(|number| fleet.ports[number]);

    let begun = Instant::now();
    server.set(&zone(&[first, second, third]));
    fleet.orchestrator.wait_for(&format!("node {new} is there"));
    note("a record more is seen after", begun);
    eventually("the new node gets calls", || listed(&fleet).contains(&new));
    note("its node is asked after", begun);
    // The records' time, and a machine that others use.
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );

    let begun = Instant::now();
    server.set(&zone(&[second, third]));
    fleet
        .orchestrator
        .wait_for(&format!("node 127.0.0.1:{first} is there no more"));
    note("a record less is seen after", begun);
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );
    // It may be stopped now, and nobody notices.
    fleet.nodes[0].signal(Signal::SIGTERM);
    assert!(fleet.nodes[0].end().success());

    // What is no answer takes nobody away.
    let good = zone(&[second, third]);
    let wrong = [
        (
            Zone {
                refuses: Some(ResponseCode::ServFail),
                ..good.clone()
            },
            "the name server refuses to answer (Server Failure)",
        ),
        (Zone::default(), "the name does not exist"),
        (
            Zone::default().host(SERVICE, TTL, "127.0.0.1"),
            "it has no SRV record",
        ),
        (
            Zone::default()
                .alias(SERVICE, "a.fleet.test")
                .alias("a.fleet.test", SERVICE),
            "it has no SRV record",
        ),
    ];
    for (zone, words) in &wrong {
        fleet.orchestrator.seen.clear();
        server.set(zone);
        let line = format!("{words}; the 2 that it named before stay");
        fleet.orchestrator.wait_for(&line);
        server.set(&good);
        // Asked again after a fault, and after the records' time.
        sleep(Duration::from_millis(3_500));
    }
    let outcome = load.end();
    assert!(
        outcome.errors.is_empty() && outcome.results > 20_000,
        "{outcome:?}"
    );

    let (is_silent, begun) = (true, Instant::now());
    server.set(&Zone { is_silent, ..good });
    let silent = "no name server answers; the 2 that it named before stay";
    fleet.orchestrator.wait_for(silent);
    note("a silent name server is told of after", begun);
    let address = server.address;
    drop(server);
    sleep(Duration::from_secs(3));
    let call = fleet.home.call(&[&fleet.front, "once", "1"]);
    assert!(call.status.success(), "{call:?}");
    let _server = NameServer::start_at(address, &zone(&[first, second, third])).unwrap();
    fleet.restart(0);
    fleet
        .orchestrator
        .wait_for(&format!("node 127.0.0.1:{first} is there\n"));
}

#[test]
fn a_start_does_not_wait_for_a_silent_name_server() {
    let home = Home::new();
    let (port, front) = (free_port(), format!("127.0.0.1:{}", free_port()));
    let [node, found] = [port, free_port()];
    let _nodes = [home.node(node), home.node(found)];
    let is_silent = true;
    let server = NameServer::start(&Zone {
        is_silent,
        ..Zone::default()
    });
    let source = format!("dns:{SERVICE}@{}", server.address);
    let flags = ["-n", &format!("127.0.0.1:{node}"), "--discover", &source];
    let args = ["orchestrator", "-b", &front, "--shards", "1"];
    let begun = Instant::now();
    let mut orchestrator = home.serve(&[&args[..], &flags].concat());
    note("a start beside a silent name server takes", begun);
    assert!(
        orchestrator.seen.contains("no answer yet"),
        "{}",
        orchestrator.seen
    );
    let output = home.call(&[&front, "add", "[1, 2]"]);
    assert_eq!(stdout(&output).trim(), "3");
    server.set(&zone(&[found]));
    orchestrator.wait_for(&format!("node 127.0.0.1:{found} is there"));
}

#[test]
fn long_answers_and_odd_records_disturb_nobody() {
    let (mut fleet, server) = fleet(2, &format!("dns:{SERVICE}"));
    let ports = fleet.ports.clone();
    let long = |hosts: usize| {
        (0..hosts).fold(Zone::default(), |zone, number| {
            let host = format!("host-{number}.fleet.test");
            let zone = zone.host(&host, TTL, "127.0.0.1");
            zone.srv(SERVICE, TTL, (10, ports[number % 2]), &host)
        })
    };
    // So many are cut off by UDP, and each target has to be asked for.
    server.set(&long(1_000));
    let odd = zone(&ports)
        .srv(SERVICE, TTL, (10, 0), "here.fleet.test")
        .srv(SERVICE, TTL, (10, 9), "nobody.fleet.test")
        .srv(SERVICE, TTL, (10, 9), ".")
        .srv(SERVICE, TTL, (20, 9), "here.fleet.test");
    sleep(Duration::from_secs(4));
    let has_glue = true;
    server.set(&Zone {
        has_glue,
        ..long(300)
    });
    sleep(Duration::from_secs(2));
    server.set(&odd);
    for words in [
        "here.fleet.test.:0: port 0 cannot be called",
        "nobody.fleet.test.:9: the name does not exist",
        "there is no such service",
    ] {
        fleet.orchestrator.wait_for(words);
    }
    for _ in 0..10 {
        assert!(
            fleet
                .home
                .call(&[&fleet.front, "once", "1"])
                .status
                .success()
        );
    }
    let said = &fleet.orchestrator.seen;
    assert!(!said.contains("is there no more"), "{said}");
    assert_eq!(said.matches("port 0").count(), 1, "{said}");
    assert!(!said.contains("stay"), "{said}");
}

#[test]
fn a_host_with_several_addresses_is_several_nodes() {
    let home = Home::new();
    let (port, front) = (free_port(), format!("127.0.0.1:{}", free_port()));
    let node = |ip: &str| {
        let bind = format!("{ip}:{port}");
        home.serve(&["node", "-s", "script.js", "-b", &bind, "--shards", "1"])
    };
    let hosts = |ips: &[&str]| {
        let zone = Zone::default();
        ips.iter()
            .fold(zone, |zone, ip| zone.host("nodes.fleet.test", TTL, ip))
    };
    let server = NameServer::start(&Zone::default());
    let source = format!("dns:nodes.fleet.test:{port}@{}", server.address);
    let args = [
        "orchestrator",
        "-b",
        &front,
        "--shards",
        "1",
        "--discover",
        &source,
    ];
    let mut orchestrator = home.serve(&args);
    let says = &orchestrator.seen;
    assert!(says.contains("the name does not exist"), "{says}");
    assert!(
        says.contains("nodes: those that announce themselves"),
        "{says}"
    );
    let nodes = ["127.0.0.1", "127.0.0.2"].map(node);
    server.set(&hosts(&["127.0.0.1", "127.0.0.2"]));
    let listed = || stdout(&home.run(&["functions", &front]));
    eventually("both are asked", || {
        let listed = listed();
        nodes.len() == 2
            && ["127.0.0.1", "127.0.0.2"]
                .iter()
                .all(|ip| listed.contains(*ip))
    });
    server.set(&hosts(&["127.0.0.2"]));
    orchestrator.wait_for(&format!("node 127.0.0.1:{port} is there no more"));
    eventually("one is asked", || !listed().contains("127.0.0.1"));
    let output = home.call(&[&front, "add", "[1, 2]"]);
    assert_eq!(stdout(&output).trim(), "3");
}

#[test]
fn what_is_no_source_is_refused_in_one_line() {
    let home = Home::new();
    for (source, words) in [
        ("dns:", "dns:_madrpc._udp.example.org"),
        ("dns:no spaces", "dns:_madrpc._udp.example.org"),
        (
            "dns:x@nobody",
            "the name server after the @ has to be an address",
        ),
        ("dns:127.0.0.1:9001", "--node"),
        ("srv:x", "expected file:PATH, dns:NAME or dns:HOST:PORT"),
    ] {
        refuses(&home, source, words);
    }
    let long = format!("dns:{}.org", "a".repeat(64));
    refuses(&home, &long, "1 to 63 bytes");
}

fn refuses(home: &Home, source: &str, words: &str) {
    let output = home.run(&["orchestrator", "-b", "127.0.0.1:0", "--discover", source]);
    assert_eq!(output.status.code(), Some(2));
    let said = stderr(&output);
    // The command's own second line is the way to its help.
    let first = said.lines().next().unwrap();
    assert!(
        first.contains(words) && first.contains("--discover"),
        "{said}"
    );
}
