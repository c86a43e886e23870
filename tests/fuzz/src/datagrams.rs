//! What strangers send to a node's socket: junk, Initials with frames of their choice, genuine clients corrupted.

use crate::fleet::{CLIENT, NODE, STRANGER};
use arbitrary::{Result, Unstructured};
use madrpc_abuse::peer::keys::Keys;
use madrpc_abuse::peer::packet::{Frames, InitialHeader};
use madrpc_abuse::peer::socket::Socket;
use madrpc_core::identity::SERVER_NAME_ANY;
use madrpc_core::limits::{CLOSING_MAX, INITIAL_MIN_BYTES, SESSION_COST_BYTES};
use madrpc_core::session::set_transport;
use madrpc_shard::engine::Script;
use madrpc_shard::internals::NodeShard;
use std::cell::RefCell;
use std::time::{Duration, Instant};

const SCRIPT: &str = "madrpc.register('nothing', () => null);";

/// What a node needs at the least.
const MEMORY_MAX_BYTES: usize = 256 << 20;

const SOURCES: usize = 4;

/// What a server may send to an address of which it does not know that anybody is there, for each byte that came from it
/// (RFC 9000, section 8.1).
const FACTOR: usize = 3;

/// Longer than anything is kept for a stranger.
const LONG: Duration = Duration::from_secs(120);

const TURNS_MAX: usize = 100;

/// Sockets of inputs before that are kept.
const PAST_MAX: usize = 200;

thread_local! {
    /// Kept between inputs, as nothing is to be left of one.
    static STAGE: RefCell<Option<Stage>> = const { RefCell::new(None) };
}

/// Nobody gets more than three times what he sent before he has shown that he is there, and in the end nothing is left.
pub fn run(input: &[u8]) {
    STAGE.with_borrow_mut(|stage| {
        let stage = stage.get_or_insert_with(Stage::new);
        let sources = std::array::from_fn(|_| Source::new());
        let before = std::mem::replace(&mut stage.sources, sources);
        stage.past.extend(before.map(|source| source.socket));
        let many = stage.past.len().saturating_sub(PAST_MAX);
        stage.past.drain(..many);
        let mut input = Unstructured::new(input);
        while !input.is_empty() {
            if stage.act(&mut input).is_err() {
                break;
            }
            stage.turn();
        }
        stage.settle();
    });
}

struct Stage {
    node: NodeShard,
    /// How far the node's time is ahead.
    ahead: Duration,
    sources: [Source; SOURCES],
    /// Sockets of inputs before: as long as they are there nobody else gets their ports, and what is late for them.
    past: Vec<Socket>,
}

struct Source {
    socket: Socket,
    sent: usize,
    received: usize,
    client: Option<quiche::Connection>,
    /// It has shown that it is there.
    is_there: bool,
}

impl Source {
    fn new() -> Self {
        Self {
            socket: Socket::new().unwrap(),
            sent: 0,
            received: 0,
            client: None,
            is_there: false,
        }
    }

    fn send(&mut self, datagram: &[u8], node: &NodeShard) {
        self.sent += datagram.len();
        self.socket.send(datagram, node.address());
    }

    /// Takes in what has come.
    fn receive(&mut self) {
        let mut buffer = [0; 65_535];
        while let Some((length, from)) = self.socket.receive(&mut buffer) {
            // One of an earlier input may have had its port, and may be answered late.
            self.received += if self.sent > 0 { length } else { 0 };
            if let Some(client) = &mut self.client {
                let info = quiche::RecvInfo {
                    from,
                    to: self.socket.local(),
                };
                let _ = client.recv(&mut buffer[..length], info);
                self.is_there |= client.is_established();
            }
        }
        let (sent, received) = (self.sent, self.received);
        assert!(
            self.is_there || received <= FACTOR * sent,
            "{received} bytes for {sent}"
        );
    }

    /// The next datagram of its client's.
    fn next(&mut self) -> Option<Vec<u8>> {
        let mut buffer = [0; 65_535];
        let (length, _) = self.client.as_mut()?.send(&mut buffer).ok()?;
        Some(buffer[..length].to_vec())
    }
}

impl Stage {
    fn new() -> Self {
        let script = Script::new("nothing.js", SCRIPT);
        Self {
            node: NodeShard::new(&NODE, &script, 1, MEMORY_MAX_BYTES).unwrap(),
            ahead: Duration::ZERO,
            sources: std::array::from_fn(|_| Source::new()),
            past: Vec::new(),
        }
    }

    fn turn(&mut self) -> bool {
        let has_work = self.node.turn(Instant::now() + self.ahead);
        for source in &mut self.sources {
            source.receive();
        }
        has_work
    }

    fn act(&mut self, input: &mut Unstructured<'_>) -> Result<()> {
        let at = input.int_in_range(0..=SOURCES - 1)?;
        match input.int_in_range(0..=8)? {
            0 => {
                let mut junk = some_bytes(input, 64)?;
                if input.arbitrary()? {
                    junk.resize(INITIAL_MIN_BYTES, 0);
                }
                self.sources[at].send(&junk, &self.node);
            }
            1 => {
                let packet = initial(input)?;
                self.sources[at].send(&packet, &self.node);
            }
            2 => {
                let source = &mut self.sources[at];
                source.client = Some(client(input, source.socket.local(), &self.node)?);
            }
            3 | 4 => {
                for _ in 0..input.int_in_range(1..=4)? {
                    let Some(mut datagram) = self.sources[at].next() else {
                        break;
                    };
                    corrupt(input, &mut datagram)?;
                    let from = if input.ratio(1, 8)? {
                        (at + 1) % SOURCES
                    } else {
                        at
                    };
                    self.sources[from].send(&datagram, &self.node);
                }
            }
            5 => self.ahead += Duration::from_millis(input.int_in_range(0..=5000)?),
            6 => {
                // A packet of no session, or of one that its sender cannot have sealed.
                let known = self.sources[at].client.as_ref();
                let known = known.map(|client| client.destination_id().to_vec());
                let mut packet = vec![0x40 | input.arbitrary::<u8>()? & 0x3f];
                packet.extend(
                    known
                        .filter(|_| at != 0)
                        .unwrap_or_else(|| vec![at as u8; 16]),
                );
                packet.extend(some_bytes(input, 64)?);
                packet.resize(packet.len() + input.int_in_range(0..=100)?, 0);
                self.sources[at].send(&packet, &self.node);
            }
            7 => {
                let mut packet = vec![0x80 | input.arbitrary::<u8>()?];
                packet.extend(input.arbitrary::<u32>()?.to_be_bytes());
                packet.extend(some_bytes(input, 64)?);
                packet.resize(*input.choose(&[60, 1199, 1200, 1500])?, 0);
                self.sources[at].send(&packet, &self.node);
            }
            _ => {
                let reason = some_bytes(input, 64)?;
                let is_application = input.arbitrary()?;
                if let Some(client) = &mut self.sources[at].client {
                    let _ = client.close(is_application, u64::from(reason.len() as u8), &reason);
                }
            }
        }
        Ok(())
    }

    /// All are gone, and a long time passes: nothing is left of them.
    fn settle(&mut self) {
        for source in &mut self.sources {
            if let Some(client) = &mut source.client {
                let _ = client.close(true, 0, b"");
            }
            // quiche 0.30 writes packets without end where it is closed while a probe is due.
            for _ in 0..16 {
                let Some(datagram) = source.next() else {
                    break;
                };
                source.send(&datagram, &self.node);
            }
            source.client = None;
        }
        for _ in 0..TURNS_MAX {
            self.ahead += LONG / TURNS_MAX as u32;
            if !self.turn() && self.node.head(Instant::now()).handshakes == 0 {
                break;
            }
        }
        let head = self.node.head(Instant::now());
        assert_eq!(head.handshakes, 0);
        // Sessions that were open end by quiche's clock, and those that are closing a moment later.
        let held_max = (head.sessions as usize + CLOSING_MAX) * SESSION_COST_BYTES;
        assert!(
            self.node.held_bytes() <= held_max,
            "{} bytes",
            self.node.held_bytes()
        );
    }
}

fn some_bytes(input: &mut Unstructured<'_>, most: usize) -> Result<Vec<u8>> {
    let length = input.int_in_range(0..=most)?;
    Ok(input.bytes(length.min(input.len()))?.to_vec())
}

/// An Initial that its server can open, with any frames in it.
fn initial(input: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let (destination, source) = (some_bytes(input, 20)?, some_bytes(input, 20)?);
    let token = some_bytes(input, 40)?;
    let header = InitialHeader {
        destination: &destination,
        source: &source,
        token: &token,
    };
    let frames = Frames(some_bytes(input, 255)?);
    let mut keys = Keys::of_client(&destination).unwrap();
    Ok(header
        .seal(&mut keys, input.int_in_range(0..=7)?, &frames)
        .unwrap())
}

/// A client that may come in, or of another authority, or of another protocol.
fn client(
    input: &mut Unstructured<'_>,
    local: std::net::SocketAddr,
    node: &NodeShard,
) -> Result<quiche::Connection> {
    let kind = input.int_in_range(0..=3)?;
    let identity = if kind == 1 { &STRANGER } else { &CLIENT };
    let mut config = identity.client_config().unwrap();
    set_transport(&mut config, Duration::from_secs(30)).unwrap();
    if kind == 2 {
        config.set_application_protos(&[b"h3"]).unwrap();
    }
    let id = [kind; 16];
    let id = quiche::ConnectionId::from_ref(&id);
    let name = Some(SERVER_NAME_ANY);
    Ok(quiche::connect(name, &id, local, node.address(), &mut config).unwrap())
}

/// Changes, cuts or prolongs a datagram, or leaves it as it is.
fn corrupt(input: &mut Unstructured<'_>, datagram: &mut Vec<u8>) -> Result<()> {
    match input.int_in_range(0..=7)? {
        0 => {
            let at = input.int_in_range(0..=datagram.len() - 1)?;
            datagram[at] ^= input.arbitrary::<u8>()?;
        }
        1 => datagram.truncate(input.int_in_range(1..=datagram.len())?),
        2 => datagram.extend(some_bytes(input, 64)?),
        3 => datagram.extend_from_within(..),
        _ => {}
    }
    Ok(())
}
