//! Calls that panic, on a shard that has others.

use super::{Server, ServerConfig};
use crate::client::{Client, ClientConfig};
use crate::engine::Script;
use crate::node::NodeConfig;
use madrpc_core::call::ErrorKind;
use madrpc_core::identity::{Authority, Role};
use madrpc_core::value::Value;
use std::sync::atomic::{AtomicBool, Ordering};

const SCRIPT: &str = "
    madrpc.register('double', (n) => n * 2);
    madrpc.register('panics', () => hostPanics('on purpose'));
    madrpc.register('swallows', async () => { await null; try { hostPanics('on purpose'); } catch {} return 1; });
";

/// The resident memory of this process.
fn resident_kib() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next());
    kib.unwrap().parse().unwrap()
}

const ROUNDS: usize = 4;

/// In a round. Lanes that were forgotten would be 3 KiB each at the least.
const GROWN_MAX_KIB: usize = 256;

#[test]
fn a_thousand_calls_that_panic_disturb_no_others_and_leave_nothing() {
    let authority = Authority::create("test").unwrap();
    let config = ServerConfig {
        shards: Some(1),
        ..ServerConfig::new(
            ([127, 0, 0, 1], 0).into(),
            authority.issue(Role::Node).unwrap(),
        )
    };
    let script = Script::new("test.js", SCRIPT);
    let node = Server::node(&config, &script, &NodeConfig::default()).unwrap();
    let address = node.address().to_string();
    let client = || {
        let identity = authority.issue(Role::Client).unwrap();
        Client::new(&ClientConfig::with_identity(&address, identity)).unwrap()
    };
    let (panicking, other) = (client(), client());
    let panic_times = |times: usize| {
        for round in 0..times {
            let name = ["panics", "swallows"][round % 2];
            let error = panicking
                .call_blocking::<_, Value>(name, &1)
                .expect_err(name);
            assert_eq!(error.kind, ErrorKind::Internal, "{error}");
        }
    };
    let is_over = AtomicBool::new(false);
    let answered = std::thread::scope(|scope| {
        let others = scope.spawn(|| {
            let mut answered = 0_u32;
            while !is_over.load(Ordering::Relaxed) {
                let double: u32 = other.call_blocking("double", &answered).unwrap();
                assert_eq!(double, answered * 2);
                answered += 1;
            }
            answered
        });
        panic_times(200);
        // Other tests of this process take memory too, but not all the time.
        let rounds = (0..ROUNDS).map(|_| {
            let before = resident_kib();
            panic_times(1000 / ROUNDS);
            resident_kib().saturating_sub(before)
        });
        let grown = rounds.min().unwrap();
        is_over.store(true, Ordering::Relaxed);
        assert!(grown <= GROWN_MAX_KIB, "{grown} KiB");
        others.join().unwrap()
    });
    assert!(answered > 100, "{answered} others");
}
