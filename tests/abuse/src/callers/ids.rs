//! Calls whose numbers are not unique, and calls whose caller is gone.

use super::lanes::nothing;
use crate::attack::{Field, Outcome};
use crate::error::AbuseError;
use crate::peer::client::Peer;
use std::time::{Duration, Instant};

const LONG: Duration = Duration::from_secs(60);

/// How long a node may go on with what nobody waits for: the silence after which a caller counts as gone, and what it
/// takes to notice that and to look.
const GONE_MAX: Duration = Duration::from_secs(5);

/// How long it is watched.
const PATIENCE: Duration = Duration::from_secs(40);

/// Endless calls of one number.
pub(super) fn twice(field: &Field<'_>) -> Result<Outcome, AbuseError> {
    let mut peer = Peer::connect(field.target, &mut field.fleet.caller()?)?;
    for _ in 0..field.amount.count {
        peer.call(7, "spin", &[0], LONG);
    }
    let settled = Instant::now() + Duration::from_secs(1);
    peer.turn_until(Duration::from_secs(2), |_| Instant::now() > settled)?;
    let is_refused = peer.is_over();
    let said = peer.said();
    peer.close();
    let outcome = Outcome::did(format!("{} calls of one number", field.amount.count)).check(
        is_refused,
        match is_refused {
            true => format!("the session was ended: {said}"),
            false => "the session was not ended".to_owned(),
        },
    );
    let Some([_, node]) = field.watched else {
        return Ok(outcome);
    };
    let idle = node.idle_after(PATIENCE)?;
    Ok(outcome.check(
        idle.is_some_and(|idle| idle <= GONE_MAX),
        match idle {
            Some(idle) => format!("the node is idle {:.1} s after", idle.as_secs_f64()),
            None => format!("the node still runs them {} s after", PATIENCE.as_secs()),
        },
    ))
}

/// Calls that run or wait for a lane when their caller's process ends: no datagram says so.
pub(super) fn killed(field: &Field<'_>) -> Result<Outcome, AbuseError> {
    let mut config = field.fleet.caller()?;
    let mut observer = Peer::connect(field.node(), &mut config)?;
    let before = observer.ended_calls("spin")?;
    let mut peer = Peer::connect(field.target, &mut config)?;
    let mut refused = 0;
    for id in 0..field.amount.count {
        peer.call(id, "spin", &nothing(), LONG);
        if id.is_multiple_of(256) {
            peer.turn(Duration::ZERO)?;
        }
    }
    let settled = Instant::now() + Duration::from_secs(3);
    peer.turn_until(Duration::from_secs(4), |peer| {
        refused += peer.read().len() as u64;
        Instant::now() > settled
    })?;
    let under_way = field.amount.count - refused;
    drop(peer);
    let gone = Instant::now();
    let mut left = under_way;
    while left > 0 && gone.elapsed() < PATIENCE {
        std::thread::sleep(Duration::from_millis(100));
        left = (under_way + refused + before).saturating_sub(observer.ended_calls("spin")?);
    }
    let took = gone.elapsed();
    observer.close();
    Ok(Outcome::did(format!("{under_way} calls under way")).check(
        left == 0 && took <= GONE_MAX && under_way > 0,
        match left {
            0 => format!("none is left {:.1} s after", took.as_secs_f64()),
            left => format!("{left} are left {} s after", took.as_secs()),
        },
    ))
}
