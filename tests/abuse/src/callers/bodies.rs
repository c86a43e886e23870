//! Bytes that a server has to keep: arguments that nobody takes, bodies that do not end, replies that nobody reads.

use super::lanes::take_lanes;
use crate::attack::{Field, Outcome};
use crate::error::AbuseError;
use crate::peer::client::Peer;
use crate::peer::wire;
use std::rc::Rc;
use std::time::{Duration, Instant};

const MIB: usize = 1 << 20;
const LONG: Duration = Duration::from_secs(60);
const TURN: Duration = Duration::from_millis(2);

/// Bodies that are on their way at the same time: each has a stream of its own, and so many there may be.
const AHEAD: usize = 16;

/// How long one peer may take to get rid of what it has.
const PATIENCE: Duration = Duration::from_secs(3);

/// Small calls with large results, which are acknowledged but never read.
pub(super) fn replies_unread(field: &Field<'_>) -> Result<Outcome, AbuseError> {
    unread(field, "make", &wire::number(8 * MIB as u64))
}

/// Calls whose arguments are as large as their results.
pub(super) fn replies_unread_echo(field: &Field<'_>) -> Result<Outcome, AbuseError> {
    unread(field, "echo", &wire::bytes(8 * MIB))
}

fn unread(field: &Field<'_>, function: &str, body: &[u8]) -> Result<Outcome, AbuseError> {
    let until = field.until();
    let mut peer = Peer::connect(field.target, &mut field.fleet.caller()?)?;
    let mut sent = 0;
    while Instant::now() < until && !peer.is_over() {
        if sent < field.amount.count && peer.waiting_bytes() < AHEAD * body.len() {
            peer.call(sent, function, body, LONG);
            sent += 1;
        }
        peer.turn(if sent < field.amount.count {
            Duration::ZERO
        } else {
            TURN
        })?;
    }
    let said = if peer.is_over() {
        peer.said()
    } else {
        "open".into()
    };
    let left = peer.waiting_bytes() / MIB;
    peer.close();
    Ok(Outcome::did(format!(
        "{sent} calls of {function}, {left} MiB of their arguments not taken; the session: {said}"
    )))
}

/// Large arguments that wait for a lane. Those that the server does not take stay with their callers.
pub(super) fn arguments_waiting(field: &Field<'_>) -> Result<Outcome, AbuseError> {
    let until = field.until();
    let mut config = field.fleet.caller()?;
    let mut blocker = take_lanes(field, field.amount.time)?;
    let body = wire::bytes(60_000_000);
    let mut peers = Vec::new();
    let mut whole = 0;
    for _ in 0..field.amount.count {
        let mut peer = Peer::connect(field.target, &mut config)?;
        peer.call(1, "echo", &body, LONG);
        whole += u64::from(peer.turn_until(PATIENCE, |peer| peer.waiting_bytes() == 0)?);
        peers.push(peer);
    }
    hold(&mut peers, until)?;
    blocker.turn(Duration::ZERO)?;
    blocker.close();
    peers.into_iter().for_each(Peer::close);
    Ok(Outcome::did(format!(
        "{} callers, {whole} of whom could send all",
        field.amount.count
    )))
}

/// The beginning of a call whose body is 64 MiB, but for the last MiB of it.
fn begun_body() -> Rc<[u8]> {
    let mut bytes = Vec::new();
    wire::call(&mut bytes, 1, "echo", &wire::bytes(64 * MIB - 16), LONG);
    bytes.truncate(bytes.len() - MIB);
    bytes.into()
}

pub(super) fn half(field: &Field<'_>) -> Result<Outcome, AbuseError> {
    begin_bodies(field, 1, field.amount.count)
}

pub(super) fn half_many(field: &Field<'_>) -> Result<Outcome, AbuseError> {
    begin_bodies(field, field.amount.count, 1)
}

fn begin_bodies(field: &Field<'_>, sessions: u64, each: u64) -> Result<Outcome, AbuseError> {
    let until = field.until();
    let mut config = field.fleet.caller()?;
    let body = begun_body();
    let mut peers = Vec::new();
    for _ in 0..sessions {
        let mut peer = Peer::connect(field.target, &mut config)?;
        for _ in 0..each {
            peer.send_body(Rc::clone(&body), false);
        }
        let patience = until.saturating_duration_since(Instant::now());
        let patience = if sessions == 1 {
            patience
        } else {
            PATIENCE.min(patience)
        };
        peer.turn_until(patience, |peer| peer.waiting_bytes() == 0)?;
        peers.push(peer);
    }
    hold(&mut peers, until)?;
    let left: usize = peers.iter().map(Peer::waiting_bytes).sum();
    let closed = peers.iter().filter(|peer| peer.is_over()).count();
    peers.into_iter().for_each(Peer::close);
    let sent = (sessions * each) as usize * body.len() - left;
    Ok(Outcome::did(format!(
        "{} bodies begun, {} MiB of them sent, {closed} of {sessions} sessions ended by the server",
        sessions * each,
        sent / MIB,
    )))
}

pub(super) fn half_frames(field: &Field<'_>) -> Result<Outcome, AbuseError> {
    let until = field.until();
    let mut config = field.fleet.caller()?;
    let mut bytes = Vec::new();
    wire::call(&mut bytes, 1, "echo", &wire::bytes(65_000), LONG);
    bytes.pop();
    let mut peers = Vec::new();
    while (peers.len() as u64) < field.amount.count && Instant::now() < until {
        let mut peer = Peer::connect(field.target, &mut config)?;
        peer.send_channel(&bytes);
        peer.turn_until(PATIENCE, |peer| peer.waiting_bytes() == 0)?;
        peers.push(peer);
    }
    hold(&mut peers, until)?;
    let sessions = peers.len();
    peers.into_iter().for_each(Peer::close);
    Ok(Outcome::did(format!(
        "{sessions} sessions with half a frame each"
    )))
}

/// Keeps the sessions going, and reads nothing, until then.
fn hold(peers: &mut [Peer], until: Instant) -> Result<(), AbuseError> {
    let mut next_ping = Instant::now();
    while Instant::now() < until {
        let ping = Instant::now() >= next_ping;
        for peer in &mut *peers {
            if ping {
                // It fails only where the connection is over.
                let _ = peer.quic.send_ack_eliciting();
            }
            peer.turn(Duration::ZERO)?;
        }
        if ping {
            next_ping = Instant::now() + Duration::from_secs(1);
        }
        std::thread::sleep(TURN);
    }
    Ok(())
}
