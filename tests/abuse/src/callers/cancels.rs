//! Calls that are given up.

use super::lanes::{nothing, take_lanes};
use crate::attack::{Field, Outcome};
use crate::error::AbuseError;
use crate::peer::client::Peer;
use crate::peer::wire;
use std::collections::HashSet;
use std::time::{Duration, Instant};

const LONG: Duration = Duration::from_secs(60);

/// How long the lanes are taken, and within what the answers have to come.
const TAKEN: Duration = Duration::from_secs(5);
const ANSWERED: Duration = Duration::from_secs(2);

/// Calls under way at the same time.
const UNDER_WAY: u64 = 4_096;

/// Cancels in one datagram's worth.
const BURST: u64 = 64;

/// Bytes given to QUIC at once.
const AHEAD_BYTES: usize = 256 * 1024;

pub(super) fn queued(field: &Field<'_>) -> Result<Outcome, AbuseError> {
    let blocker = take_lanes(field, TAKEN)?;
    let mut peer = Peer::connect(field.target, &mut field.fleet.caller()?)?;
    let count = field.amount.count;
    for id in 0..count {
        peer.call(id, "echo", &nothing(), LONG);
    }
    let settled = Instant::now() + Duration::from_millis(300);
    peer.turn_until(Duration::from_secs(1), |_| Instant::now() > settled)?;
    for id in 0..count {
        peer.cancel(id);
    }
    let mut answered = HashSet::new();
    peer.turn_until(ANSWERED, |peer| {
        answered.extend(peer.read().into_iter().map(|(id, _)| id));
        answered.len() as u64 == count
    })?;
    blocker.close();
    peer.close();
    Ok(
        Outcome::did(format!("{count} calls cancelled in the queue")).check(
            answered.len() as u64 == count,
            format!("{} of them answered within 2 s", answered.len()),
        ),
    )
}

/// Always as many under way; each cancelled in its turn.
pub(super) fn again(field: &Field<'_>) -> Result<Outcome, AbuseError> {
    let until = field.until();
    let mut peer = Peer::connect(field.target, &mut field.fleet.caller()?)?;
    let argument = wire::number(120_000);
    for id in 0..UNDER_WAY {
        peer.call(id, "wait", &argument, LONG);
    }
    let mut cancelled = 0;
    while cancelled < field.amount.count && Instant::now() < until && !peer.is_over() {
        if peer.waiting_bytes() < AHEAD_BYTES {
            for _ in 0..BURST {
                peer.cancel(cancelled);
                peer.call(cancelled + UNDER_WAY, "wait", &argument, LONG);
                cancelled += 1;
            }
        }
        peer.turn(Duration::from_millis(1))?;
        peer.read_frames(|_| ());
    }
    peer.close();
    Ok(Outcome::did(format!("{cancelled} calls cancelled")))
}

pub(super) fn unknown(field: &Field<'_>) -> Result<Outcome, AbuseError> {
    let until = field.until();
    let mut peer = Peer::connect(field.target, &mut field.fleet.caller()?)?;
    // Some calls to look through for the one that is not there.
    for id in 0..1_000 {
        peer.call(id, "wait", &wire::number(120_000), LONG);
    }
    let mut cancelled = 0;
    while cancelled < field.amount.count && Instant::now() < until && !peer.is_over() {
        if peer.waiting_bytes() < AHEAD_BYTES {
            for _ in 0..BURST {
                cancelled += 1;
                peer.cancel(1_000_000 + cancelled);
            }
        }
        peer.turn(Duration::from_millis(1))?;
        peer.read_frames(|_| ());
    }
    peer.close();
    Ok(Outcome::did(format!("{cancelled} cancels")))
}
