//! Functions that do not exist.

use super::lanes::nothing;
use crate::attack::{Field, Outcome};
use crate::error::AbuseError;
use crate::peer::client::{Came, Peer};
use crate::peer::wire;
use madrpc_core::call::ErrorKind;
use madrpc_core::limits::{FUNCTION_NAME_MAX_BYTES, INLINE_FRAME_MAX_BYTES};
use madrpc_core::value::Value;
use std::time::{Duration, Instant};

const LONG: Duration = Duration::from_secs(30);

/// Calls under way at the same time.
const WINDOW: u64 = 4_096;

/// Bytes given to QUIC at once.
const AHEAD_BYTES: usize = 256 * 1024;

/// Names that are counted one by one, with some room.
const ROWS_MAX: usize = 1_200;

/// A function that nobody has called before the attack.
const LATE: &str = "neverCalledBefore";

/// From the first length that is too long to the longest that a frame holds.
pub(super) fn long(field: &Field<'_>) -> Result<Outcome, AbuseError> {
    let mut config = field.fleet.caller()?;
    let longest = INLINE_FRAME_MAX_BYTES - 64;
    let lengths = [FUNCTION_NAME_MAX_BYTES + 1, 1_000, 4_096, 65_536, longest];
    let (mut closed, mut unlike) = (Vec::new(), Vec::new());
    for length in lengths {
        let mut peer = Peer::connect(field.target, &mut config)?;
        let name = "n".repeat(length);
        match peer.ask(1, &name, &nothing(), Duration::from_secs(3))? {
            Some(Came::Failure(ErrorKind::NoSuchFunction)) => {}
            Some(Came::Failure(kind)) => unlike.push(format!("{length}: {kind:?}")),
            Some(Came::Reply(_)) | None => unlike.push(format!("{length}: nothing")),
        }
        if peer.is_over() {
            closed.push(format!("{length} ({})", peer.said()));
        }
        peer.close();
    }
    let mut peer = Peer::connect(field.target, &mut config)?;
    let until = field.until();
    let (mut sent, mut answered) = (0, 0);
    while sent < field.amount.count && Instant::now() < until && !peer.is_over() {
        if peer.waiting_bytes() < AHEAD_BYTES {
            let number = format!("{sent:07}");
            let name = number.clone() + &"n".repeat(longest - number.len());
            peer.call(sent, &name, &[], LONG);
            sent += 1;
        }
        peer.turn(Duration::from_millis(1))?;
        peer.read_frames(|_| answered += 1);
    }
    peer.close();
    Ok(Outcome::did(format!(
        "names of {lengths:?} bytes, then {sent} different ones of {longest}, {answered} answered"
    ))
    .check(
        closed.is_empty(),
        match closed.is_empty() {
            true => "no session was closed".to_owned(),
            false => format!("sessions were closed: {}", closed.join(", ")),
        },
    )
    .check(
        unlike.is_empty(),
        match unlike.is_empty() {
            true => "each is NoSuchFunction".to_owned(),
            false => format!("not NoSuchFunction: {}", unlike.join(", ")),
        },
    ))
}

/// Objects each of whose keys is new: a node that remembers keys must forget some.
pub(super) fn keys(field: &Field<'_>) -> Result<Outcome, AbuseError> {
    const KEYS: u64 = 100;
    let until = field.until();
    let mut peer = Peer::connect(field.target, &mut field.fleet.caller()?)?;
    let (mut sent, mut answered) = (0, 0);
    while answered < field.amount.count && Instant::now() < until && !peer.is_over() {
        while sent < field.amount.count && sent < answered + 64 {
            let keys = (0..KEYS).map(|key| (format!("key-{sent}-{key}"), Value::Null));
            peer.call(sent, "echo", &wire::encoded(&Value::object(keys)), LONG);
            sent += 1;
        }
        peer.turn(Duration::from_millis(1))?;
        answered += peer.read().len() as u64;
    }
    peer.close();
    Ok(Outcome::did(format!(
        "{sent} objects of {KEYS} keys, {answered} answered"
    )))
}

/// Each once. Afterwards a function that exists has to be counted under its own name.
pub(super) fn invented(field: &Field<'_>) -> Result<Outcome, AbuseError> {
    let until = field.until();
    let mut peer = Peer::connect(field.target, &mut field.fleet.caller()?)?;
    let (mut sent, mut answered) = (0, 0);
    while answered < field.amount.count && Instant::now() < until && !peer.is_over() {
        while sent < field.amount.count
            && sent < answered + WINDOW
            && peer.waiting_bytes() < AHEAD_BYTES
        {
            peer.call(sent, &format!("invented-{sent:07}"), &[], LONG);
            sent += 1;
        }
        peer.turn(Duration::from_millis(1))?;
        answered += peer.read().len() as u64;
    }
    let late = peer.ask(u64::MAX - 1, LATE, &[0], Duration::from_secs(3))?;
    let statistics = peer.statistics()?;
    peer.close();
    let outcome = Outcome::did(format!("{sent} names, {answered} answered")).check(
        matches!(late, Some(Came::Reply(_))),
        match &late {
            Some(Came::Reply(_)) => "a real function runs".to_owned(),
            other => format!("of a real function came {other:?}"),
        },
    );
    let Some(statistics) = statistics else {
        return Ok(outcome.check(false, "no statistics"));
    };
    let is_named = statistics.rows.iter().any(|row| row.function == LATE);
    let rows = statistics.rows.len();
    Ok(outcome
        .check(
            is_named,
            match is_named {
                true => "it is counted under its name",
                false => "it is counted among the invented",
            },
        )
        .check(rows <= ROWS_MAX, format!("{rows} rows in the statistics")))
}
