//! Calls in a second: of a function (`rate` at register) and of a caller (`--caller-rate`), on all shards of a node together.
//!
//! Setup: nodes of two shards in this process, callers with certificates of their own, directly and through an orchestrator.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "that is how a test fails"
)]

mod support;

use madrpc_core::call::{CallError, ErrorKind};
use madrpc_core::identity::Role;
use madrpc_core::value::Value;
use madrpc_shard::client::{Client, ClientConfig};
use madrpc_shard::engine::Script;
use madrpc_shard::node::NodeConfig;
use madrpc_shard::server::Server;
use std::time::{Duration, Instant};
use support::Fleet;

const SCRIPT: &str = r#"
madrpc.register("metered", () => 1, { rate: 50, burst: 5 });
madrpc.register("once", () => 1, { rate: 1 });
madrpc.register("echo", (value) => value);
madrpc.register("parent", () => madrpc.call("once"));
"#;

fn node(fleet: &Fleet, caller_rate: Option<usize>) -> Server {
    let settings = NodeConfig {
        caller_rate,
        ..NodeConfig::default()
    };
    let script = Script::new("test.js", SCRIPT);
    Server::node(&fleet.config(Role::Node, 2), &script, &settings).unwrap()
}

/// Calls as fast as they come back for so long: how many were taken, and why the others were not.
fn flood(clients: &[Client], function: &str, time: Duration) -> (usize, Vec<CallError>) {
    let begun = Instant::now();
    let (mut taken, mut refused) = (0, Vec::new());
    while begun.elapsed() < time {
        for client in clients {
            match client.call_blocking::<_, Value>(function, &1) {
                Ok(_) => taken += 1,
                Err(error) => refused.push(error),
            }
        }
        // What is refused at once costs little, and the figures are the same.
        std::thread::sleep(Duration::from_millis(1));
    }
    (taken, refused)
}

fn check(refused: &[CallError], word: &str, of_caller: bool) {
    assert!(!refused.is_empty());
    for error in refused {
        assert_eq!(error.kind, ErrorKind::Overloaded, "{error}");
        assert!(
            error.message.contains(word) && !error.may_have_run,
            "{error}"
        );
        let after = error.retry_after.unwrap();
        assert!(after <= Duration::from_millis(100), "{after:?}");
        assert_eq!(error.of_caller, of_caller);
    }
}

#[test]
fn a_function_is_called_so_often_on_all_shards_together() {
    let fleet = Fleet::new();
    let node = node(&fleet, None);
    let clients: Vec<_> = (0..4).map(|_| fleet.client(node.address())).collect();
    let begun = Instant::now();
    let (taken, refused) = flood(&clients, "metered", Duration::from_secs(2));
    let most = 5.0 + 50.0 * begun.elapsed().as_secs_f64();
    assert!(
        (60..=most as usize + 1).contains(&taken),
        "{taken} of {most}"
    );
    check(&refused, "50 times a second", false);
    // Others are not in its way, and who comes back when he was told is let in.
    assert!(clients[0].call_blocking::<_, Value>("echo", &1).is_ok());
    let error = loop {
        if let Err(error) = clients[0].call_blocking::<_, Value>("metered", &1) {
            break error;
        }
    };
    std::thread::sleep(error.retry_after.unwrap() + Duration::from_millis(1));
    assert!(clients[0].call_blocking::<_, Value>("metered", &1).is_ok());
    // A call of a call counts as well.
    assert!(clients[0].call_blocking::<_, Value>("once", &1).is_ok());
    let error = clients[0].call_blocking::<_, Value>("parent", &1);
    assert!(error.unwrap_err().message.contains("1 times a second"));
}

#[test]
fn a_caller_calls_so_often_whatever_sessions_it_has_and_by_whatever_way() {
    let fleet = Fleet::new();
    let node = node(&fleet, Some(40));
    let orchestrator = fleet.orchestrator(&[node.address()]);
    for address in [node.address(), orchestrator.address()] {
        let identity = fleet.identity(Role::Client);
        let client = || {
            let config = ClientConfig::with_identity(&address.to_string(), identity.clone());
            Client::new(&config).unwrap()
        };
        let many: Vec<_> = (0..4).map(|_| client()).collect();
        let modest = fleet.client(address);
        let begun = Instant::now();
        let (taken, refused) = flood(&many, "echo", Duration::from_secs(1));
        let most = 40.0 + 40.0 * begun.elapsed().as_secs_f64();
        assert!(
            (50..=most as usize + 1).contains(&taken),
            "{taken} of {most}"
        );
        check(&refused, "--caller-rate", true);
        for _ in 0..20 {
            assert!(modest.call_blocking::<_, Value>("echo", &1).is_ok());
        }
    }
}

#[test]
fn a_call_that_one_node_refuses_goes_to_another_at_once() {
    let fleet = Fleet::new();
    let nodes = [(); 2].map(|()| node(&fleet, None));
    let orchestrator = fleet.orchestrator(&[nodes[0].address(), nodes[1].address()]);
    let client = fleet.client(orchestrator.address());
    let call = || client.call_blocking::<_, Value>("once", &1);
    support::eventually("both are known", || {
        let (taken, _) = flood(
            std::slice::from_ref(&client),
            "echo",
            Duration::from_millis(5),
        );
        taken > 0
    });
    std::thread::sleep(Duration::from_millis(200));
    let (first, second, third) = (call(), call(), call());
    assert!(first.is_ok() && second.is_ok(), "{first:?}, {second:?}");
    let error = third.unwrap_err();
    assert!(
        error
            .retry_after
            .is_some_and(|after| after > Duration::from_millis(200)),
        "{error}"
    );
    assert!(error.to_string().contains("try again in"), "{error}");
}
