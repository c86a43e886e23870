//! Lanes and the queue before them.

use crate::attack::{Field, Outcome};
use crate::error::AbuseError;
use crate::peer::client::{Came, Peer};
use crate::peer::wire;
use crate::script::LANES;
use madrpc_core::call::ErrorKind;
use std::time::{Duration, Instant};

/// Calls that wait in front of those that are refused.
const WAITING: [u64; 2] = [10, 4_000];

const LONG: Duration = Duration::from_secs(60);

/// Refusals under way at the same time.
const WINDOW: u64 = 256;

/// How much dearer a refusal may be with four hundred times as many calls in the queue.
const GROWTH_MAX: f64 = 3.0;

/// Has an endless call in each lane of the node, for so long.
pub(super) fn take_lanes(field: &Field<'_>, time: Duration) -> Result<Peer, AbuseError> {
    let mut peer = Peer::connect(field.target, &mut field.fleet.caller()?)?;
    for id in 0..LANES as u64 {
        peer.call(id, "spin", &[0], time);
    }
    peer.turn_until(Duration::from_secs(1), |peer| peer.waiting_bytes() == 0)?;
    let settled = Instant::now() + Duration::from_millis(200);
    peer.turn_until(Duration::from_secs(1), |_| Instant::now() > settled)?;
    Ok(peer)
}

/// Takes all lanes, and does nothing else.
pub(super) fn taken(field: &Field<'_>) -> Result<Outcome, AbuseError> {
    let until = field.until();
    let mut peer = take_lanes(field, field.amount.time)?;
    while Instant::now() < until {
        peer.turn(Duration::from_millis(50))?;
    }
    peer.close();
    Ok(Outcome::did(format!("{LANES} endless calls")))
}

/// Calls that wait for a timer: each keeps a lane, though not its place.
pub(super) fn waiting(field: &Field<'_>) -> Result<Outcome, AbuseError> {
    let until = field.until();
    let mut peer = Peer::connect(field.target, &mut field.fleet.caller()?)?;
    for id in 0..field.amount.count {
        peer.call(id, "wait", &wire::number(120_000), 2 * LONG);
    }
    let mut refused = 0;
    while Instant::now() < until {
        peer.turn(Duration::from_millis(20))?;
        refused += peer.read().len();
    }
    peer.close();
    Ok(Outcome::did(format!(
        "{} calls, {refused} of them refused",
        field.amount.count
    )))
}

/// What a refusal costs with few and with many in the queue, where the node is a process.
pub(super) fn refusals(field: &Field<'_>) -> Result<Outcome, AbuseError> {
    let mut cost_us = Vec::new();
    for waiting in WAITING {
        let mut blocker = take_lanes(field, LONG)?;
        for id in 0..waiting {
            blocker.call(1_000 + id, "echo", &[0], LONG);
        }
        blocker.call(999, "narrow", &[0], LONG);
        blocker.turn_until(Duration::from_secs(2), |peer| peer.waiting_bytes() == 0)?;
        // Its own lanes are taken too: none of its calls can run.
        let mut peer = take_lanes(field, LONG)?;
        let started = Instant::now();
        let (mut sent, mut refused) = (0, 0);
        let end = Instant::now() + field.amount.time;
        while refused < field.amount.count && Instant::now() < end {
            while sent < field.amount.count && sent < refused + WINDOW {
                peer.call(LANES as u64 + sent, "narrow", &[0], LONG);
                sent += 1;
            }
            peer.turn(Duration::from_millis(2))?;
            let came = peer.read();
            let overloaded = Came::Failure(ErrorKind::Overloaded);
            refused += came.iter().filter(|(_, came)| *came == overloaded).count() as u64;
        }
        cost_us.push(started.elapsed().as_secs_f64() * 1e6 / refused.max(1) as f64);
        blocker.close();
        peer.close();
        std::thread::sleep(Duration::from_millis(500));
    }
    let [few, many] = [cost_us[0], cost_us[1]];
    Ok(
        Outcome::did(format!("{} refusals, twice", field.amount.count)).check(
            many <= few * GROWTH_MAX,
            format!(
                "a refusal takes {few:.1} µs with {} in the queue, {many:.1} µs with {}",
                WAITING[0], WAITING[1]
            ),
        ),
    )
}

/// A call whose answer is of no interest, by its encoded argument.
pub(super) fn nothing() -> Vec<u8> {
    wire::number(1)
}
