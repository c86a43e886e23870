//! What is written and asked for its own sake: lines of the log, statistics, the list of functions.

use crate::attack::{Field, Outcome};
use crate::error::AbuseError;
use crate::peer::client::Peer;
use crate::peer::pace::Pace;
use crate::peer::wire;
use std::time::{Duration, Instant};

const LONG: Duration = Duration::from_secs(30);

/// Lines of one call.
const LINES: u64 = 1_000;

/// Questions without an answer, at the most.
const WINDOW: u64 = 1_000;

/// How long an answer may take at the end.
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) fn console(field: &Field<'_>) -> Result<Outcome, AbuseError> {
    let until = field.until();
    let mut peer = Peer::connect(field.target, &mut field.fleet.caller()?)?;
    let count = field.amount.count;
    let (mut sent, mut answered) = (0, 0);
    while answered < count && Instant::now() < until {
        while sent < count && sent < answered + 8 {
            peer.call(sent, "shout", &wire::number(LINES), LONG);
            sent += 1;
        }
        peer.turn(Duration::from_millis(5))?;
        answered += peer.read().len() as u64;
    }
    peer.close();
    Ok(Outcome::did(format!("{sent} calls of {LINES} lines"))
        .check(answered == sent, format!("{answered} of {sent} answered")))
}

pub(super) fn statistics(field: &Field<'_>) -> Result<Outcome, AbuseError> {
    ask(field, wire::STATISTICS, &[], true)
}

pub(super) fn statistics_unread(field: &Field<'_>) -> Result<Outcome, AbuseError> {
    ask(field, wire::STATISTICS, &[], false)
}

pub(super) fn functions(field: &Field<'_>) -> Result<Outcome, AbuseError> {
    ask(field, wire::FUNCTIONS, &[], true)
}

pub(super) fn functions_with_argument(field: &Field<'_>) -> Result<Outcome, AbuseError> {
    ask(field, wire::FUNCTIONS, &wire::bytes(60_000), true)
}

pub(super) fn functions_unread(field: &Field<'_>) -> Result<Outcome, AbuseError> {
    ask(field, wire::FUNCTIONS, &[], false)
}

fn ask(field: &Field<'_>, function: &str, body: &[u8], reads: bool) -> Result<Outcome, AbuseError> {
    let until = field.until();
    let mut peer = Peer::connect(field.target, &mut field.fleet.caller()?)?;
    let mut pace = Pace::new(field.amount.count, field.amount.per_second, until);
    let mut answered = 0;
    while let Some(number) = pace.next() {
        while reads && number >= answered + WINDOW && Instant::now() < until && !peer.is_over() {
            peer.turn(Duration::from_millis(1))?;
            answered += peer.read().len() as u64;
        }
        peer.call(number, function, body, LONG);
        if number.is_multiple_of(16) {
            peer.turn(Duration::ZERO)?;
            if reads {
                answered += peer.read().len() as u64;
            }
        }
    }
    let asked = pace.done();
    if reads {
        peer.turn_until(PATIENCE, |peer| {
            answered += peer.read().len() as u64;
            answered >= asked
        })?;
    }
    peer.close();
    let outcome = Outcome::did(format!("{asked} questions, {answered} answered"));
    Ok(match reads {
        true => outcome.check(answered >= asked, "each is answered"),
        false => outcome,
    })
}
