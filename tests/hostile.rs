//! What strangers and broken peers can do to a server: nothing that others would notice.
//!
//! Setup: a node of one shard in this process; the attackers use plain sockets, or quiche without our session.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "that is how a test fails"
)]

mod support;

use madrpc_core::call::ErrorKind;
use madrpc_core::identity::{Authority, Identity, Role};
use madrpc_core::session::set_transport;
use madrpc_core::stats::Snapshot;
use madrpc_core::value::Value;
use madrpc_shard::client::{Client, ClientConfig};
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};
use support::{Fleet, eventually};

const SCRIPT: &str = r#"madrpc.register("echo", (value) => value);"#;

fn serves(client: &Client) {
    let call = client.prepare("echo").timeout(Duration::from_secs(10));
    assert_eq!(
        call.send_blocking(Value::Integer(1)).unwrap().result,
        Value::Integer(1)
    );
}

/// A QUIC connection without our session on it, which can break its rules.
struct RawPeer {
    socket: UdpSocket,
    quic: quiche::Connection,
}

impl RawPeer {
    fn connect(server: SocketAddr, mut config: quiche::Config) -> Self {
        set_transport(&mut config, Duration::from_secs(5)).unwrap();
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket
            .set_read_timeout(Some(Duration::from_millis(20)))
            .unwrap();
        let id = quiche::ConnectionId::from_ref(&[7; 16]);
        let local = socket.local_addr().unwrap();
        let name = madrpc_core::identity::SERVER_NAME_ANY;
        let quic = quiche::connect(Some(name), &id, local, server, &mut config).unwrap();
        Self { socket, quic }
    }

    /// Exchanges datagrams until `done`, for at most five seconds.
    fn drive(&mut self, done: impl Fn(&quiche::Connection) -> bool) -> bool {
        let mut buffer = [0; 65_535];
        let end = Instant::now() + Duration::from_secs(5);
        while Instant::now() < end && !done(&self.quic) {
            while let Ok((length, info)) = self.quic.send(&mut buffer) {
                self.socket.send_to(&buffer[..length], info.to).unwrap();
            }
            match self.socket.recv_from(&mut buffer) {
                Ok((length, from)) => {
                    let to = self.socket.local_addr().unwrap();
                    let _ = self
                        .quic
                        .recv(&mut buffer[..length], quiche::RecvInfo { from, to });
                }
                Err(_) => self.quic.on_timeout(),
            }
        }
        done(&self.quic)
    }

    fn said(&self) -> String {
        let error = self.quic.peer_error();
        error.map_or(String::new(), |error| {
            String::from_utf8_lossy(&error.reason).into_owned()
        })
    }
}

#[test]
fn datagrams_of_garbage_disturb_nobody() {
    let fleet = Fleet::new();
    let node = fleet.node(SCRIPT);
    let client = fleet.client(node.address());
    serves(&client);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut seed = 1u64;
    for round in 0..2000usize {
        let bytes: Vec<u8> = (0..round % 1400 + 1)
            .map(|_| {
                seed = seed
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                (seed >> 56) as u8
            })
            .collect();
        socket.send_to(&bytes, node.address()).unwrap();
        // And some that look like the beginning of a connection.
        let mut initial = bytes;
        initial[0] = 0xc3;
        socket.send_to(&initial, node.address()).unwrap();
    }
    serves(&client);
}

#[test]
fn a_frame_that_lies_about_its_length_ends_only_its_own_session() {
    let fleet = Fleet::new();
    let node = fleet.node(SCRIPT);
    let client = fleet.client(node.address());
    serves(&client);
    let config = fleet.identity(Role::Client).client_config().unwrap();
    let mut liar = RawPeer::connect(node.address(), config);
    assert!(liar.drive(quiche::Connection::is_established));
    liar.quic.stream_send(0, &[0xff; 64], false).unwrap();
    assert!(liar.drive(|quic| quic.peer_error().is_some()));
    assert!(
        liar.said().contains("2147483647 bytes announced"),
        "{}",
        liar.said()
    );
    serves(&client);
}

#[test]
fn a_header_of_garbage_ends_only_its_own_session() {
    let fleet = Fleet::new();
    let node = fleet.node(SCRIPT);
    let client = fleet.client(node.address());
    let config = fleet.identity(Role::Client).client_config().unwrap();
    let mut babbler = RawPeer::connect(node.address(), config);
    assert!(babbler.drive(quiche::Connection::is_established));
    babbler
        .quic
        .stream_send(0, &[4, 0, 0, 0, 0, 1, 9, 99], false)
        .unwrap();
    assert!(babbler.drive(|quic| quic.peer_error().is_some()));
    assert!(babbler.said().contains("header"), "{}", babbler.said());
    serves(&client);
}

#[test]
fn a_peer_without_a_certificate_is_refused() {
    let fleet = Fleet::new();
    let node = fleet.node(SCRIPT);
    let mut config = quiche::Config::new(quiche::PROTOCOL_VERSION).unwrap();
    config.verify_peer(false);
    let mut stranger = RawPeer::connect(node.address(), config);
    assert!(stranger.drive(|quic| quic.peer_error().is_some()));
    let error = stranger.quic.peer_error().unwrap();
    // The TLS alert `certificate_required` (RFC 8446, section 6; RFC 9001, section 4.8).
    assert_eq!((error.is_app, error.error_code), (false, 0x100 + 116));
    serves(&fleet.client(node.address()));
}

fn refusal(server: SocketAddr, identity: Identity) -> madrpc_core::call::CallError {
    let client = Client::new(&ClientConfig::with_identity(&server.to_string(), identity)).unwrap();
    client.call_blocking::<_, Value>("echo", &1).unwrap_err()
}

#[test]
fn a_client_of_another_authority_is_told_so_in_words() {
    let fleet = Fleet::new();
    let node = fleet.node(SCRIPT);
    let stranger = Authority::create("another")
        .unwrap()
        .issue(Role::Client)
        .unwrap();
    let error = refusal(node.address(), stranger);
    assert_eq!(error.kind, ErrorKind::Unauthorized);
    assert!(!error.may_have_run);
    assert!(error.message.contains("authority"), "{error}");
}

#[test]
fn a_client_that_expects_an_orchestrator_refuses_a_node() {
    let fleet = Fleet::new();
    let node = fleet.node(SCRIPT);
    let config = ClientConfig {
        expect: Some(Role::Orchestrator),
        ..fleet.client_config(node.address())
    };
    let error = Client::new(&config)
        .unwrap()
        .call_blocking::<_, Value>("echo", &1)
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unauthorized, "{error}");
}

#[test]
fn handshakes_that_never_end_do_not_keep_others_out() {
    let fleet = Fleet::new();
    let node = fleet.node(SCRIPT);
    // More than a shard keeps open; each sends its first flight and falls silent.
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut config = fleet.identity(Role::Client).client_config().unwrap();
    set_transport(&mut config, Duration::from_secs(5)).unwrap();
    let mut buffer = [0; 1500];
    for number in 0..1200u32 {
        let mut id = [0; 16];
        id[..4].copy_from_slice(&number.to_be_bytes());
        let id = quiche::ConnectionId::from_ref(&id);
        let local = socket.local_addr().unwrap();
        let mut quic = quiche::connect(Some("x"), &id, local, node.address(), &mut config).unwrap();
        while let Ok((length, info)) = quic.send(&mut buffer) {
            socket.send_to(&buffer[..length], info.to).unwrap();
        }
    }
    // They are dropped at the end of their time, and then there is room again.
    let end = Instant::now() + Duration::from_secs(15);
    let client = fleet.client(node.address());
    while client.call_blocking::<_, Value>("echo", &1).is_err() {
        assert!(Instant::now() < end, "no room after the handshakes' time");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Beginnings of handshakes, each from a port of its own, which nobody goes on with; each is two datagrams.
fn flood(fleet: &Fleet, server: SocketAddr, count: u32) {
    let mut config = fleet.identity(Role::Client).client_config().unwrap();
    set_transport(&mut config, Duration::from_secs(5)).unwrap();
    let mut buffer = [0; 1500];
    for number in 0..count {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut id = [1; 16];
        id[..4].copy_from_slice(&number.to_be_bytes());
        let id = quiche::ConnectionId::from_ref(&id);
        let local = socket.local_addr().unwrap();
        let mut quic = quiche::connect(Some("x"), &id, local, server, &mut config).unwrap();
        while let Ok((length, info)) = quic.send(&mut buffer) {
            socket.send_to(&buffer[..length], info.to).unwrap();
        }
    }
}

#[test]
fn a_flood_of_handshakes_is_asked_for_its_address_and_keeps_nobody_out() {
    let fleet = Fleet::new();
    let node = fleet.node(SCRIPT);
    let address = node.address();
    let watcher = fleet.client(address);
    serves(&watcher);
    let seen = || -> Snapshot {
        watcher
            .call_blocking(madrpc_core::stats::STATS, &())
            .unwrap()
    };
    assert_eq!(seen().retries, 0);
    flood(&fleet, address, 1000);
    // New clients get through while it lasts, by way of a Retry.
    for _ in 0..3 {
        flood(&fleet, address, 100);
        let before = seen();
        serves(&fleet.client(address));
        let after = seen();
        assert!(before.retries > 500, "{before:?}");
        assert!(after.retries > before.retries, "{after:?}");
        // Who does not come back leaves nothing behind.
        let most = madrpc_core::limits::RETRY_ABOVE as u64 + 2;
        assert!(before.handshakes <= most && after.handshakes <= most);
    }
    // Once it is over, nobody is asked any more.
    eventually("the handshakes are given up", || seen().handshakes == 0);
    eventually("the flood is forgotten", || {
        let before = seen().retries;
        serves(&fleet.client(address));
        seen().retries == before
    });
}

#[test]
fn a_token_that_is_not_the_servers_opens_nothing() {
    let fleet = Fleet::new();
    let node = fleet.node(SCRIPT);
    let watcher = fleet.client(node.address());
    serves(&watcher);
    // An address's answer to a Retry that this server has not sent.
    let other = fleet.node(SCRIPT);
    let theirs = fleet.client(other.address());
    serves(&theirs);
    flood(&fleet, other.address(), 500);
    let config = fleet.identity(Role::Client).client_config().unwrap();
    let mut peer = RawPeer::connect(other.address(), config);
    let mut buffer = [0; 1500];
    while let Ok((length, info)) = peer.quic.send(&mut buffer) {
        peer.socket.send_to(&buffer[..length], info.to).unwrap();
    }
    let (length, from) = peer.socket.recv_from(&mut buffer).unwrap();
    // The long header's type for a Retry (RFC 9000, section 17.2.5).
    assert_eq!(buffer[0] & 0xf0, 0xf0, "a Retry");
    let to = peer.socket.local_addr().unwrap();
    let _ = peer
        .quic
        .recv(&mut buffer[..length], quiche::RecvInfo { from, to });
    let before: Snapshot = watcher
        .call_blocking(madrpc_core::stats::STATS, &())
        .unwrap();
    while let Ok((length, _)) = peer.quic.send(&mut buffer) {
        peer.socket
            .send_to(&buffer[..length], node.address())
            .unwrap();
    }
    serves(&watcher);
    let after: Snapshot = watcher
        .call_blocking(madrpc_core::stats::STATS, &())
        .unwrap();
    assert_eq!((before.handshakes, after.handshakes), (0, 0));
}
