//! Many large arguments at a node that has memory for few of them.
#![allow(clippy::unwrap_used, reason = "that is how a test fails")]

mod support;

use madrpc_core::call::ErrorKind;
use madrpc_core::identity::Role;
use madrpc_core::value::Value;
use madrpc_shard::engine::Script;
use madrpc_shard::node::NodeConfig;
use madrpc_shard::runtime::memory::CountingAllocator;
use madrpc_shard::server::Server;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use support::Fleet;

/// As the command has it: the node knows what QUIC keeps.
#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

const SCRIPT: &str = r#"
madrpc.register("echo", (value) => value);
madrpc.register("size", (bytes) => bytes.byteLength, { memoryMb: 512 });
"#;

/// Half read, with a part of the memory each, none of the bodies would ever be whole. The windows of those who are not read are
/// full then, which is no attack.
#[test]
fn of_many_large_bodies_each_comes_whole_or_is_refused_and_newcomers_are_served() {
    let fleet = Fleet::new();
    let mut config = fleet.config(Role::Node, 1);
    config.memory_max_bytes = Some(256 << 20);
    let script = Script::new("test.js", SCRIPT);
    let node = Server::node(&config, &script, &NodeConfig::default()).unwrap();
    let address = node.address();
    let [done, refused, newcomers] = [const { AtomicUsize::new(0) }; 3];
    let over = Instant::now() + Duration::from_secs(12);
    let body = Value::Bytes(vec![7; 48 << 20]);
    thread::scope(|scope| {
        for _ in 0..12 {
            scope.spawn(|| {
                let client = fleet.client(address);
                while Instant::now() < over {
                    let call = client.prepare("size").timeout(Duration::from_secs(60));
                    match call.send_blocking(body.clone()) {
                        Ok(reply) => {
                            assert_eq!(reply.result, Value::Integer(48 << 20));
                            done.fetch_add(1, Ordering::Relaxed);
                        }
                        Err(error) => {
                            assert_eq!(error.kind, ErrorKind::Overloaded, "{error}");
                            assert!(!error.message.contains("session"), "{error}");
                            refused.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                }
            });
        }
        scope.spawn(|| {
            while Instant::now() < over {
                let newcomer = fleet.client(address);
                let one: u32 = newcomer.call_blocking("echo", &1).unwrap();
                assert_eq!(one, 1);
                newcomers.fetch_add(1, Ordering::Relaxed);
            }
        });
    });
    let [done, refused, newcomers] = [done, refused, newcomers].map(AtomicUsize::into_inner);
    assert!(
        done >= 4 && newcomers > 20,
        "{done} results, {refused} refused, {newcomers} newcomers"
    );
}
