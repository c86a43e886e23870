//! Those who should not get in: handshakes that lead nowhere, and datagrams that mean nothing. A burst in each cycle,
//! of a fixed number, to both servers.

use super::CallerArguments;
use crate::Outcome;
use crate::clock::STRANGERS_AT;
use crate::load::Load;
use crate::record::Word;
use fastrand::Rng;
use madrpc_core::identity::{Authority, Identity, Role, SERVER_NAME_ANY};
use madrpc_core::session::set_transport;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

/// First packets whose senders are never heard of again.
const UNANSWERED: usize = 600;
/// Handshakes that end in a refusal: of a peer without a certificate, and of one that speaks something else.
const REFUSED: usize = 100;
/// Sessions whose peer goes without a word.
const ABANDONED: usize = 30;
/// Datagrams of noise, and as many broken first packets.
const NOISE: usize = 1000;

/// A first packet has at least this size (RFC 9000, section 14.1).
const DATAGRAM_BYTES: usize = 1350;

pub(super) fn run(arguments: &CallerArguments) -> Outcome<()> {
    let clock = arguments.clock();
    let identity = Authority::load_or_create(&arguments.home.join("tls"))?.issue(Role::Client)?;
    let mut rng = Rng::with_seed(1);
    let mut last = None;
    loop {
        std::thread::sleep(Duration::from_millis(100));
        let (cycle, second) = clock.now();
        if second < STRANGERS_AT || last == Some(cycle) {
            continue;
        }
        last = Some(cycle);
        for server in [arguments.addresses.node, arguments.addresses.orchestrator] {
            if arguments.loads.contains(&Load::Handshakes) {
                Word::Sent(Load::Handshakes, handshakes(server, &identity, &mut rng)?).say()?;
            }
            if arguments.loads.contains(&Load::Junk) {
                Word::Sent(Load::Junk, junk(server, &identity, &mut rng)?).say()?;
            }
        }
    }
}

/// Where nobody reads.
fn socket() -> Outcome<UdpSocket> {
    Ok(UdpSocket::bind("127.0.0.1:0")?)
}

fn connection(
    socket: &UdpSocket,
    server: SocketAddr,
    config: &mut quiche::Config,
    rng: &mut Rng,
) -> Outcome<quiche::Connection> {
    let id = rng.u128(..).to_be_bytes();
    let id = quiche::ConnectionId::from_ref(&id);
    let local = socket.local_addr()?;
    Ok(quiche::connect(
        Some(SERVER_NAME_ANY),
        &id,
        local,
        server,
        config,
    )?)
}

fn member(identity: &Identity) -> Outcome<quiche::Config> {
    let mut config = identity.client_config()?;
    set_transport(&mut config, Duration::from_secs(5))?;
    Ok(config)
}

/// The datagrams of a client's first flight.
fn first_flight(
    server: SocketAddr,
    socket: &UdpSocket,
    config: &mut quiche::Config,
    rng: &mut Rng,
) -> Outcome<Vec<Vec<u8>>> {
    let mut quic = connection(socket, server, config, rng)?;
    let mut datagrams = Vec::new();
    let mut buffer = [0; DATAGRAM_BYTES];
    while let Ok((length, _)) = quic.send(&mut buffer) {
        datagrams.push(buffer[..length].to_vec());
    }
    Ok(datagrams)
}

fn handshakes(server: SocketAddr, identity: &Identity, rng: &mut Rng) -> Outcome<u64> {
    let mut config = member(identity)?;
    let sockets = (0..8).map(|_| socket()).collect::<Outcome<Vec<_>>>()?;
    for socket in sockets.iter().cycle().take(UNANSWERED) {
        for datagram in first_flight(server, socket, &mut config, rng)? {
            socket.send_to(&datagram, server)?;
        }
        std::thread::sleep(Duration::from_micros(500));
    }
    let mut foreign = member(identity)?;
    foreign.set_application_protos(&[b"something/else"])?;
    let mut nobody = quiche::Config::new(quiche::PROTOCOL_VERSION)?;
    set_transport(&mut nobody, Duration::from_secs(5))?;
    for config in [&mut foreign, &mut nobody] {
        for _ in 0..REFUSED {
            exchange(server, config, rng, quiche::Connection::is_closed)?;
        }
    }
    for _ in 0..ABANDONED {
        exchange(server, &mut config, rng, quiche::Connection::is_established)?;
    }
    Ok((UNANSWERED + 2 * REFUSED + ABANDONED) as u64)
}

/// Exchanges datagrams until `done`, for at most half a second, and goes away without a word.
fn exchange(
    server: SocketAddr,
    config: &mut quiche::Config,
    rng: &mut Rng,
    done: impl Fn(&quiche::Connection) -> bool,
) -> Outcome<()> {
    let socket = socket()?;
    socket.set_read_timeout(Some(Duration::from_millis(20)))?;
    let local = socket.local_addr()?;
    let mut quic = connection(&socket, server, config, rng)?;
    let mut buffer = [0; 65_535];
    let end = Instant::now() + Duration::from_millis(500);
    while !done(&quic) && quic.peer_error().is_none() && Instant::now() < end {
        while let Ok((length, info)) = quic.send(&mut buffer) {
            socket.send_to(&buffer[..length], info.to)?;
        }
        match socket.recv_from(&mut buffer) {
            Ok((length, from)) => {
                let info = quiche::RecvInfo { from, to: local };
                // What cannot be used ends the connection, which is then `done`.
                let _ = quic.recv(&mut buffer[..length], info);
            }
            Err(_) => quic.on_timeout(),
        }
    }
    Ok(())
}

fn junk(server: SocketAddr, identity: &Identity, rng: &mut Rng) -> Outcome<u64> {
    let mut config = member(identity)?;
    let socket = socket()?;
    for _ in 0..NOISE {
        let mut noise = vec![0; rng.usize(1..1400)];
        rng.fill(&mut noise);
        socket.send_to(&noise, server)?;
        for mut datagram in first_flight(server, &socket, &mut config, rng)? {
            match rng.u8(..4) {
                // Of another version, cut, changed at one place, or changed in its header.
                0 => datagram[1..5].fill(0x1a),
                1 => datagram.truncate(rng.usize(1..datagram.len())),
                2 => {
                    let at = rng.usize(..datagram.len());
                    datagram[at] ^= 1 << rng.u8(..8);
                }
                _ => datagram[rng.usize(..30)] = rng.u8(..),
            }
            socket.send_to(&datagram, server)?;
        }
        std::thread::sleep(Duration::from_micros(300));
    }
    Ok(2 * NOISE as u64)
}
