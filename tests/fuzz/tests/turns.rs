//! A shard's turns are short, whatever strangers send.

use madrpc_abuse::peer::socket::Socket;
use madrpc_core::identity::{Authority, Role, SERVER_NAME_ANY};
use madrpc_core::limits::RETRY_ABOVE;
use madrpc_core::session::set_transport;
use madrpc_shard::engine::Script;
use madrpc_shard::internals::NodeShard;
use std::time::{Duration, Instant};

const SCRIPT: &str = "madrpc.register('nothing', () => null);";

#[test]
fn a_crowd_of_newcomers_is_let_in_a_few_in_each_turn() {
    let authority = Authority::create("turns").unwrap();
    let node = authority.issue(Role::Node).unwrap();
    let mut shard = NodeShard::new(&node, &Script::new("s.js", SCRIPT), 1, 256 << 20).unwrap();
    let mut config = authority
        .issue(Role::Client)
        .unwrap()
        .client_config()
        .unwrap();
    set_transport(&mut config, Duration::from_secs(30)).unwrap();
    // As many as come in without having to prove their addresses.
    let crowd = RETRY_ABOVE;
    for number in 0..crowd {
        let socket = Socket::new().unwrap();
        let id = quiche::ConnectionId::from_vec(vec![number as u8; 16]);
        let (local, to) = (socket.local(), shard.address());
        let name = Some(SERVER_NAME_ANY);
        let mut client = quiche::connect(name, &id, local, to, &mut config).unwrap();
        let mut datagram = [0; 2048];
        while let Ok((length, _)) = client.send(&mut datagram) {
            socket.send(&datagram[..length], to);
        }
    }
    let handshakes = |shard: &NodeShard| shard.head(Instant::now()).handshakes as usize;
    let mut turns = 0;
    while handshakes(&shard) < crowd {
        let before = handshakes(&shard);
        shard.turn(Instant::now());
        let new = handshakes(&shard) - before;
        // A handshake takes a tenth of a millisecond at the very least, and a turn has half of one for them.
        assert!(new <= 8, "{new} in one turn");
        turns += 1;
        assert!(turns < 1000, "{before} of {crowd} were let in");
    }
}
