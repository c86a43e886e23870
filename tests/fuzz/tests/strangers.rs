//! Strangers at a shard's door: how long they keep it, and whom they keep out.

use madrpc_abuse::peer::socket::Socket;
use madrpc_core::identity::{Authority, Role, SERVER_NAME_ANY};
use madrpc_core::limits::{MEMORY_MIN_BYTES, RETRY_ABOVE, SESSION_WINDOW_BYTES};
use madrpc_core::session::set_transport;
use madrpc_shard::engine::Script;
use madrpc_shard::internals::NodeShard;
use std::time::{Duration, Instant};

const SCRIPT: &str = "madrpc.register('nothing', () => null);";

struct Client {
    quic: quiche::Connection,
    socket: Socket,
}

impl Client {
    fn new(number: usize, shard: &NodeShard, config: &mut quiche::Config) -> Self {
        let socket = Socket::new().unwrap();
        let id = [&number.to_be_bytes()[..], &[0; 8]].concat();
        let id = quiche::ConnectionId::from_vec(id);
        let (local, to) = (socket.local(), shard.address());
        let quic = quiche::connect(Some(SERVER_NAME_ANY), &id, local, to, config).unwrap();
        Self { quic, socket }
    }

    fn send(&mut self) {
        let mut datagram = [0; 2048];
        while let Ok((length, info)) = self.quic.send(&mut datagram) {
            self.socket.send(&datagram[..length], info.to);
        }
    }

    fn receive(&mut self) {
        let mut datagram = [0; 65_535];
        while let Some((length, from)) = self.socket.receive(&mut datagram) {
            let to = self.socket.local();
            let _ = self
                .quic
                .recv(&mut datagram[..length], quiche::RecvInfo { from, to });
        }
    }
}

/// A shard, and with what its callers come.
fn stage() -> (NodeShard, quiche::Config) {
    let authority = Authority::create("turns").unwrap();
    let node = authority.issue(Role::Node).unwrap();
    let script = Script::new("s.js", SCRIPT);
    let shard = NodeShard::new(&node, &script, 1, MEMORY_MIN_BYTES).unwrap();
    let client = authority.issue(Role::Client).unwrap();
    let mut config = client.client_config().unwrap();
    set_transport(&mut config, Duration::from_secs(30)).unwrap();
    (shard, config)
}

fn handshakes(shard: &NodeShard) -> usize {
    shard.head(Instant::now()).handshakes as usize
}

#[test]
fn a_crowd_of_newcomers_is_let_in_a_few_in_each_turn() {
    let (mut shard, mut config) = stage();
    // As many as come in without having to prove their addresses.
    let crowd = RETRY_ABOVE;
    for number in 0..crowd {
        Client::new(number, &shard, &mut config).send();
    }
    let mut turns = 0;
    while handshakes(&shard) < crowd {
        let before = handshakes(&shard);
        shard.turn(Instant::now());
        let new = handshakes(&shard) - before;
        // A handshake takes a tenth of a millisecond at the very least, and they have a quarter of one in a turn.
        assert!(new <= 4, "{new} in one turn");
        turns += 1;
        assert!(turns < 1000, "{before} of {crowd} were let in");
    }
}

#[test]
fn those_who_begin_and_say_no_more_leave_room_for_those_who_come_in() {
    let (mut shard, mut config) = stage();
    let room = MEMORY_MIN_BYTES / SESSION_WINDOW_BYTES as usize;
    // The shard's time runs ahead, so that one address may have so many.
    let mut ahead = Duration::ZERO;
    let mut turn = |shard: &mut NodeShard| {
        ahead += Duration::from_millis(1);
        while shard.turn(Instant::now() + ahead) {}
    };
    let mut silent = Vec::new();
    for number in 0..room + 10 {
        let mut client = Client::new(number, &shard, &mut config);
        client.send();
        turn(&mut shard);
        if handshakes(&shard) == silent.len() {
            // Its address is to be proved.
            client.receive();
            client.send();
            turn(&mut shard);
        }
        silent.push(client);
    }
    assert!(handshakes(&shard) > room, "{}", handshakes(&shard));
    let mut newcomer = Client::new(room + 10, &shard, &mut config);
    for _ in 0..20 {
        newcomer.send();
        turn(&mut shard);
        newcomer.receive();
    }
    let refused = newcomer.quic.peer_error();
    assert!(
        newcomer.quic.is_established() && refused.is_none(),
        "{refused:?}"
    );
    assert_eq!(shard.head(Instant::now()).sessions, 1);
}
