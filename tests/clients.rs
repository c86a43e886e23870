//! Many clients in one process, which share its client thread.
//!
//! Setup: a node in this process, over real sockets and mutual TLS.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "that is how a test fails"
)]

mod support;

use futures_lite::future::block_on;
use futures_util::future::try_join_all;
use madrpc_core::identity::Role;
use madrpc_core::value::Value;
use madrpc_shard::client::{Client, ClientConfig};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use support::{Fleet, eventually};

const SCRIPT: &str = "madrpc.register('echo', (value) => value);";

fn echo(client: &Client, number: i64) {
    let call = client.prepare("echo").timeout(Duration::from_secs(20));
    let reply = call.send_blocking(Value::Integer(number)).unwrap();
    assert_eq!(reply.result, Value::Integer(number));
}

fn sockets() -> usize {
    let files = std::fs::read_dir("/proc/self/fd").unwrap();
    let targets = files.filter_map(|file| std::fs::read_link(file.unwrap().path()).ok());
    targets
        .filter(|target| target.to_string_lossy().starts_with("socket:"))
        .count()
}

/// CPU time of the client thread so far.
fn time_of_client_thread() -> Duration {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    for task in tasks {
        let path = task.unwrap().path();
        let name = std::fs::read_to_string(path.join("comm")).unwrap_or_default();
        if name.trim() == "madrpc-client" {
            let stat = std::fs::read_to_string(path.join("schedstat")).unwrap();
            let ns = stat.split_whitespace().next().unwrap().parse().unwrap();
            return Duration::from_nanos(ns);
        }
    }
    panic!("there is no client thread");
}

#[test]
fn many_clients_share_a_thread() {
    let fleet = Fleet::new();
    let node = fleet.node(SCRIPT);
    let identity = fleet.identity(Role::Client);
    let address = node.address().to_string();
    let client = || Client::new(&ClientConfig::with_identity(&address, identity.clone())).unwrap();
    let before = sockets();
    let clients: Vec<Client> = (0..100).map(|_| client()).collect();
    assert_eq!(sockets(), before + 100);
    for round in 0..3 {
        for (number, client) in clients.iter().enumerate() {
            echo(client, round * 1000 + number as i64);
        }
    }

    // All of them idle: the thread sleeps. Their sessions' keep-alives are some wake-ups in a second.
    std::thread::sleep(Duration::from_millis(300));
    let (used, since) = (time_of_client_thread(), Instant::now());
    std::thread::sleep(Duration::from_secs(1));
    let used = time_of_client_thread() - used;
    assert!(used < since.elapsed() / 5, "{used:?}");

    // Two that are busy leave room for the calls of one that is not, and for new ones.
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for client in &clients[..2] {
            let is_over = &is_over;
            scope.spawn(move || {
                while !is_over.load(Ordering::Relaxed) {
                    let calls = (0..64).map(|_| {
                        let call = client.prepare("echo").timeout(Duration::from_secs(20));
                        call.send(Value::Undefined)
                    });
                    block_on(try_join_all(calls)).unwrap();
                }
            });
        }
        for number in 0..50 {
            echo(&clients[50], number);
            let newcomer = client();
            echo(&newcomer, number);
            newcomer.close_blocking();
        }
        is_over.store(true, Ordering::Relaxed);
    });

    // With the clients go their sockets; those that are left go on.
    let last = clients.into_iter().next_back().unwrap();
    eventually("the sockets of the others are closed", || {
        sockets() == before + 1
    });
    echo(&last, 1);
    drop(last);
    eventually("all sockets are closed", || sockets() == before);
}
