//! Streams, many and short.

use super::lanes::nothing;
use crate::attack::{Field, Outcome};
use crate::error::AbuseError;
use crate::peer::client::{CHANNEL, FIRST_BODY, Peer};
use crate::peer::wire;
use madrpc_core::call::frame::NOTHING;
use std::time::{Duration, Instant};

const LONG: Duration = Duration::from_secs(30);
const TURN: Duration = Duration::from_millis(1);

/// A reply of this size has a stream of its own.
const LARGE: u64 = 100_000;

/// Calls under way at the same time.
const WINDOW: u64 = 64;

/// Each frame on a stream of its own, which the server expects of large ones only.
pub(super) fn tiny(field: &Field<'_>) -> Result<Outcome, AbuseError> {
    let until = field.until();
    let mut peer = Peer::connect(field.target, &mut field.fleet.caller()?)?;
    // Without it the server could not write on the channel.
    peer.send_channel(&NOTHING);
    let (mut sent, mut answered) = (0, 0);
    while answered < field.amount.count && Instant::now() < until && !peer.is_over() {
        while sent < field.amount.count && sent < answered + WINDOW {
            let mut bytes = Vec::new();
            wire::call(&mut bytes, sent, "echo", &nothing(), LONG);
            peer.send_body(bytes.into(), true);
            sent += 1;
        }
        peer.turn(TURN)?;
        answered += peer.read().len() as u64;
    }
    peer.close();
    Ok(Outcome::did(format!(
        "{sent} streams, {answered} calls answered"
    )))
}

pub(super) fn reset(field: &Field<'_>) -> Result<Outcome, AbuseError> {
    let until = field.until();
    let mut peer = Peer::connect(field.target, &mut field.fleet.caller()?)?;
    let mut bytes = Vec::new();
    wire::call(&mut bytes, 1, "echo", &wire::bytes(LARGE as usize), LONG);
    let (mut reset, mut stream) = (0, FIRST_BODY);
    while reset < field.amount.count && Instant::now() < until && !peer.is_over() {
        while peer.quic.peer_streams_left_uni() > 0 {
            if peer.quic.stream_send(stream, &bytes[..500], false).is_err() {
                break;
            }
            peer.flush();
            // It fails only where the stream is gone already.
            let _ = peer
                .quic
                .stream_shutdown(stream, quiche::Shutdown::Write, 0);
            stream += 4;
            reset += 1;
        }
        peer.turn(TURN)?;
    }
    let over = peer.is_over();
    peer.close();
    let what = if over {
        "the session was ended"
    } else {
        "the session lives"
    };
    Ok(Outcome::did(format!("{reset} streams reset; {what}")))
}

/// Asks for much, and refuses it as soon as it begins.
pub(super) fn stopped(field: &Field<'_>) -> Result<Outcome, AbuseError> {
    let until = field.until();
    let mut config = field.fleet.caller()?;
    // quiche gives no credit for streams that it has stopped.
    config.set_initial_max_streams_uni(field.amount.count);
    let mut peer = Peer::connect(field.target, &mut config)?;
    let (mut sent, mut stopped) = (0, 0);
    while stopped < field.amount.count && Instant::now() < until && !peer.is_over() {
        while sent < field.amount.count && sent < stopped + WINDOW {
            peer.call(sent, "make", &wire::number(LARGE), LONG);
            sent += 1;
        }
        peer.turn(TURN)?;
        let streams: Vec<u64> = peer.quic.readable().collect();
        for stream in streams {
            if stream == CHANNEL {
                peer.read_frames(|_| ());
            } else if peer
                .quic
                .stream_shutdown(stream, quiche::Shutdown::Read, 0)
                .is_ok()
            {
                stopped += 1;
            }
        }
    }
    let over = peer.is_over();
    peer.close();
    let what = if over {
        "the session was ended"
    } else {
        "the session lives"
    };
    Ok(Outcome::did(format!(
        "{sent} calls, {stopped} replies stopped; {what}"
    )))
}
