//! An echo over QUIC: madrpc's TLS, transport settings and frames, on one stream of one connection; no JavaScript.

use super::wire::{Wire, on_time};
use crate::child::{self, ServeArguments};
use crate::cores;
use crate::figures::{Clock, Figure, Load, Work};
use crate::identity::identity;
use crate::outcome::Outcome;
use madrpc_core::call::frame::{self, Header, PREFIX_BYTES};
use madrpc_core::identity::{Role, SERVER_NAME_ANY};
use madrpc_core::limits::{BODY_MAX_BYTES, DEFAULT_TIMEOUT};
use madrpc_core::session::cid::ID_BYTES;
use madrpc_core::session::set_transport;
use madrpc_core::value::json::from_json;
use quiche::{Connection, ConnectionId, RecvInfo};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

/// The client's first stream.
const STREAM: u64 = 0;

const IDLE: Duration = Duration::from_secs(10);

const READ_BYTES: usize = 1 << 16;

/// Bytes on their way into a stream.
#[derive(Default)]
struct Outbox {
    bytes: Vec<u8>,
    sent: usize,
}

impl Outbox {
    fn push_into(&mut self, quic: &mut Connection) -> Outcome<()> {
        if self.sent < self.bytes.len() {
            match quic.stream_send(STREAM, &self.bytes[self.sent..], false) {
                Ok(sent) => self.sent += sent,
                Err(quiche::Error::Done) => {}
                Err(error) => return Err(error.into()),
            }
        }
        if self.sent == self.bytes.len() {
            self.bytes.clear();
            self.sent = 0;
        }
        Ok(())
    }
}

/// Bytes out of a stream, up to the end of the last whole frame.
struct Inbox {
    bytes: Vec<u8>,
    read: Box<[u8]>,
}

impl Inbox {
    fn new() -> Self {
        Self {
            bytes: Vec::new(),
            read: vec![0; READ_BYTES].into_boxed_slice(),
        }
    }

    /// Takes what has come on the stream, and shows each frame that is whole.
    fn pull_from(&mut self, quic: &mut Connection, mut each: impl FnMut(&[u8])) -> Outcome<()> {
        loop {
            match quic.stream_recv(STREAM, &mut self.read) {
                Ok((length, _)) => self.bytes.extend_from_slice(&self.read[..length]),
                // Nothing more, or nothing yet.
                Err(quiche::Error::Done | quiche::Error::InvalidStreamState(_)) => break,
                Err(error) => return Err(error.into()),
            }
        }
        let mut at = 0;
        while let Some(length) = frame::announced(&self.bytes[at..]) {
            let end = at + PREFIX_BYTES + length;
            let Some(frame) = self.bytes.get(at..end) else {
                break;
            };
            each(frame);
            at = end;
        }
        self.bytes.drain(..at);
        Ok(())
    }
}

/// The caller that is served: one at a time.
struct Peer {
    quic: Connection,
    ids: [Vec<u8>; 2],
    inbox: Inbox,
    outbox: Outbox,
}

pub(crate) fn serve(serve: &ServeArguments) -> Outcome<()> {
    cores::pin(serve.core)?;
    let mut config = identity(&serve.dir, Role::Node)?.server_config()?;
    set_transport(&mut config, IDLE)?;
    let mut wire = Wire::bind()?;
    child::ready(wire.local)?;
    let mut peer: Option<Peer> = None;
    let mut accepted: u128 = 0;
    loop {
        let received = wire.receive(|datagram, info| {
            take(&mut peer, datagram, info, &mut accepted, &mut config)
        })?;
        if received {
            wire.on_work();
        }
        let Some(Peer {
            quic,
            inbox,
            outbox,
            ..
        }) = &mut peer
        else {
            wire.rest(None)?;
            continue;
        };
        on_time(quic);
        inbox.pull_from(quic, |frame| outbox.bytes.extend_from_slice(frame))?;
        outbox.push_into(quic)?;
        wire.flush(quic)?;
        let timeout = quic.timeout();
        if quic.is_closed() {
            peer = None;
        }
        if !received {
            wire.rest(timeout)?;
        }
    }
}

/// Gives a datagram to its connection; the first of another caller replaces the one before.
fn take(
    peer: &mut Option<Peer>,
    datagram: &mut [u8],
    info: RecvInfo,
    accepted: &mut u128,
    config: &mut quiche::Config,
) -> Outcome<()> {
    let Ok(header) = quiche::Header::from_slice(datagram, ID_BYTES) else {
        return Ok(());
    };
    let known = |peer: &Peer| peer.ids.iter().any(|id| *id == *header.dcid);
    if !peer.as_ref().is_some_and(known) {
        if header.ty != quiche::Type::Initial {
            return Ok(());
        }
        *accepted += 1;
        let id = accepted.to_be_bytes();
        let server_id = ConnectionId::from_ref(&id);
        *peer = Some(Peer {
            quic: quiche::accept(&server_id, None, info.to, info.from, config)?,
            ids: [header.dcid.to_vec(), id.to_vec()],
            inbox: Inbox::new(),
            outbox: Outbox::default(),
        });
    }
    if let Some(peer) = peer {
        // What cannot be read is dropped, as QUIC wants it.
        let _ = peer.quic.recv(datagram, info);
    }
    Ok(())
}

pub(crate) fn measure(
    address: SocketAddr,
    dir: &Path,
    core: usize,
    load: &Load,
) -> Outcome<Figure> {
    let mut config = identity(dir, Role::Client)?.client_config()?;
    set_transport(&mut config, IDLE)?;
    let mut body = Vec::new();
    from_json(&Work::echo().args)?.encode(&mut body, BODY_MAX_BYTES)?;
    cores::on(core, || {
        let mut wire = Wire::bind()?;
        let id = [7; ID_BYTES];
        let id = ConnectionId::from_ref(&id);
        let name = Some(SERVER_NAME_ANY);
        let mut quic = quiche::connect(name, &id, wire.local, address, &mut config)?;
        let figure = echo(&mut wire, &mut quic, &body, load)?;
        // It fails where the connection is closed already.
        let _ = quic.close(true, 0, b"");
        wire.flush(&mut quic)?;
        Ok(figure)
    })
}

fn echo(wire: &mut Wire, quic: &mut Connection, body: &[u8], load: &Load) -> Outcome<Figure> {
    let mut clock = Clock::start(load)?;
    let mut in_flight: VecDeque<Instant> = VecDeque::new();
    let (mut inbox, mut outbox) = (Inbox::new(), Outbox::default());
    // Of the next call, and of the next reply: a stream keeps the order.
    let (mut next, mut awaited) = (0, 0);
    let mut wrong = None;
    wire.flush(quic)?;
    loop {
        let received = wire.receive(|datagram, info| {
            let _ = quic.recv(datagram, info);
            Ok(())
        })?;
        if received {
            wire.on_work();
        }
        on_time(quic);
        if quic.is_closed() {
            return Err("the connection was closed".into());
        }
        let now = Instant::now();
        if now >= clock.end {
            return clock.figure();
        }
        inbox.pull_from(quic, |frame| {
            match frame::read_header(frame) {
                Ok(Header::Call { id, .. }) if id == awaited && frame.ends_with(body) => {
                    awaited += 1;
                }
                other => {
                    wrong = Some(format!(
                        "the echo of call {awaited} expected, got {other:?}"
                    ));
                }
            }
            if let Some(sent) = in_flight.pop_front() {
                clock.record(sent, now);
            }
        })?;
        if let Some(wrong) = wrong.take() {
            return Err(wrong.into());
        }
        while quic.is_established() && in_flight.len() < load.concurrency {
            let header = Header::Call {
                id: next,
                function: "echo",
                timeout_us: DEFAULT_TIMEOUT.as_micros() as u64,
                depth: 0,
                account: None,
            };
            frame::write(&mut outbox.bytes, &header, body);
            in_flight.push_back(now);
            next += 1;
        }
        outbox.push_into(quic)?;
        wire.flush(quic)?;
        if !received {
            wire.rest(quic.timeout())?;
        }
    }
}
