//! Callers at a shard: who has had more than his part waits for the others, and gets through all the same.

use madrpc_abuse::peer::client::{Came, Peer};
use madrpc_abuse::peer::socket::traffic;
use madrpc_core::call::ErrorKind;
use madrpc_core::call::frame;
use madrpc_core::identity::{Authority, Role};
use madrpc_core::limits::MEMORY_MIN_BYTES;
use madrpc_core::session::set_transport;
use madrpc_shard::engine::Script;
use madrpc_shard::internals::NodeShard;
use madrpc_shard::node::NodeConfig;
use madrpc_shard::server::{Server, ServerConfig};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

const SCRIPT: &str = "
madrpc.register('echo', (value) => value);
madrpc.register('large', () => new Uint8Array(2_000_000));
madrpc.register('deep', function deep() { return deep() + 1; }, { stackKb: 64 });
madrpc.register('loop', () => { const end = Date.now() + 50; while (Date.now() < end); });
";

/// Calls that one has under way all the time, and the other.
const MANY: u64 = 4096;
const SOME: u64 = 64;

const TIMEOUT: Duration = Duration::from_secs(3);

struct Fleet {
    authority: Authority,
    node: NodeShard,
}

impl Fleet {
    fn new() -> Self {
        let authority = Authority::create("test").unwrap();
        let script = Script::new("test.js", SCRIPT);
        let identity = authority.issue(Role::Node).unwrap();
        let node = NodeShard::new(&identity, &script, 4, MEMORY_MIN_BYTES).unwrap();
        Self { authority, node }
    }

    /// A caller with a certificate of its own.
    fn join(&mut self) -> Peer {
        let client = self.authority.issue(Role::Client).unwrap();
        let mut config = client.client_config().unwrap();
        set_transport(&mut config, Duration::from_secs(30)).unwrap();
        let mut peer = Peer::begin(self.node.address(), &mut config).unwrap();
        while !peer.quic.is_established() {
            peer.turn(Duration::ZERO).unwrap();
            self.node.turn(Instant::now());
        }
        // It opens the channel, on which its server could not write otherwise.
        peer.send_channel(&frame::NOTHING);
        peer
    }
}

#[test]
fn a_call_of_one_who_is_ahead_is_answered_whoever_came_first() {
    for is_first in [true, false] {
        let mut fleet = Fleet::new();
        let (mut ahead, mut other) = (fleet.join(), fleet.join());
        if !is_first {
            std::mem::swap(&mut ahead, &mut other);
        }
        let (mut calls, mut under_way) = (0, 0);
        for round in 0..3 {
            let (mut unknown, mut answered, mut last) = (0, 0, None);
            while last.is_none() {
                while under_way < SOME {
                    calls += 1;
                    under_way += 1;
                    other.call(calls, "echo", &[0], TIMEOUT * 10);
                }
                while unknown < 10 * MANY && unknown < answered + MANY {
                    unknown += 1;
                    ahead.call(unknown, "nobody", &[], TIMEOUT * 10);
                    if unknown == 10 * MANY {
                        ahead.call(u64::MAX, "echo", &[0], TIMEOUT);
                    }
                }
                ahead.turn(Duration::ZERO).unwrap();
                other.turn(Duration::ZERO).unwrap();
                fleet.node.turn(Instant::now());
                under_way -= other.read().len() as u64;
                for (id, came) in ahead.read() {
                    match id {
                        u64::MAX => last = Some(came),
                        _ => answered += 1,
                    }
                }
            }
            assert_eq!(last, Some(Came::Reply(vec![0])), "round {round}");
        }
    }
}

/// What one is sent much stands in the socket before what another says.
#[test]
fn a_small_call_does_not_wait_for_what_another_sends() {
    const BODY_BYTES: usize = 30 << 20;
    let mut fleet = Fleet::new();
    let (mut large, mut small) = (fleet.join(), fleet.join());
    small.call(0, "echo", &[0], TIMEOUT);
    while small.read().is_empty() {
        small.turn(Duration::ZERO).unwrap();
        large.turn(Duration::ZERO).unwrap();
        fleet.node.turn(Instant::now());
    }
    large.send_body(vec![0; BODY_BYTES].into(), false);
    let mut in_flight_max = 0;
    for id in 1..=100 {
        // It fills the network as far as it may by now.
        let before = traffic().sent_bytes;
        large.turn(Duration::ZERO).unwrap();
        in_flight_max = in_flight_max.max(traffic().sent_bytes - before);
        small.call(id, "echo", &[0], TIMEOUT);
        small.turn(Duration::ZERO).unwrap();
        // A second one, where the machine has stopped this process in the first: a slice is half a millisecond of the clock.
        let mut came = Vec::new();
        for _ in 0..2 {
            fleet.node.turn(Instant::now());
            small.turn(Duration::ZERO).unwrap();
            came.extend(small.read());
        }
        assert_eq!(came, [(id, Came::Reply(vec![0]))], "{in_flight_max}");
    }
    assert!(in_flight_max > 400_000, "{in_flight_max} bytes at once");
}

/// Whose calls use up lanes, as one that ends at a limit does, makes new ones himself: some are kept for the others.
#[test]
fn a_small_call_has_a_lane_whoever_uses_up_lanes() {
    let mut fleet = Fleet::new();
    let (mut hog, mut other) = (fleet.join(), fleet.join());
    let (mut asked, mut answered, mut turn) = (0, 0, 0);
    let end = Instant::now() + TIMEOUT * 10;
    // Both get on.
    while turn < 2_000 || answered < 10 {
        assert!(Instant::now() < end, "{answered}");
        turn += 1;
        while asked < answered + SOME {
            asked += 1;
            hog.call(asked, "deep", &[0], TIMEOUT * 10);
        }
        hog.turn(Duration::ZERO).unwrap();
        other.call(turn, "echo", &[0], TIMEOUT * 10);
        other.turn(Duration::ZERO).unwrap();
        fleet.node.turn(Instant::now());
        other.turn(Duration::ZERO).unwrap();
        answered += hog.read().len() as u64;
        let replies = other.read();
        // First it has to be known who has had more than his part, and the lanes to be made that are kept.
        if turn > 1_000 {
            assert_eq!(replies, [(turn, Came::Reply(vec![0]))]);
        }
    }
}

/// What waits until its caller reads counts as waiting, and is not in the way of those who do.
#[test]
fn calls_of_one_who_does_not_read_are_not_in_the_way_in_the_queue() {
    const QUEUE: usize = 8;
    let authority = Authority::create("test").unwrap();
    let address = SocketAddr::from(([127, 0, 0, 1], 0));
    let config = ServerConfig {
        shards: Some(1),
        ..ServerConfig::new(address, authority.issue(Role::Node).unwrap())
    };
    let settings = NodeConfig {
        pool_size: Some(2),
        queue_max: QUEUE,
        ..NodeConfig::default()
    };
    let script = Script::new("test.js", SCRIPT);
    let node = Server::node(&config, &script, &settings).unwrap();
    let join = || {
        let client = authority.issue(Role::Client).unwrap();
        let mut config = client.client_config().unwrap();
        set_transport(&mut config, Duration::from_secs(30)).unwrap();
        let mut peer = Peer::connect(node.address(), &mut config).unwrap();
        peer.send_channel(&frame::NOTHING);
        peer
    };
    let (mut deaf, mut other) = (join(), join());
    for id in 0..64 {
        deaf.call(id, "large", &[], TIMEOUT * 3);
    }
    deaf.turn_until(Duration::from_millis(500), |_| false)
        .unwrap();
    // More than may run at the same time.
    let calls = 6;
    for id in 0..calls {
        other.call(id, "loop", &[], TIMEOUT);
    }
    let mut came = Vec::new();
    let has_all = |peer: &mut Peer| {
        came.extend(peer.read());
        came.len() as u64 == calls
    };
    assert!(other.turn_until(TIMEOUT, has_all).unwrap());
    for (id, came) in &came {
        assert!(matches!(came, Came::Reply(_)), "{id}: {came:?}");
    }
    // It had its calls in the queue, all but those that ran.
    let refused = |(_, came): &(u64, Came)| *came == Came::Failure(ErrorKind::Overloaded);
    let mut seen = Vec::new();
    deaf.turn_until(TIMEOUT, |peer| {
        seen.extend(peer.read());
        seen.len() == 64
    })
    .unwrap();
    assert!(
        seen.iter().filter(|one| refused(one)).count() > QUEUE,
        "{}",
        seen.len()
    );
}
