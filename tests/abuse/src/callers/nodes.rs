//! A node that the attacker plays, behind an orchestrator.

use super::lanes::nothing;
use crate::attack::{Field, Outcome};
use crate::error::AbuseError;
use crate::peer::client::{CHANNEL, Came, Peer};
use crate::peer::pace::Pace;
use crate::peer::socket::Socket;
use crate::peer::wire;
use madrpc_core::call::catalog::FunctionOptions;
use madrpc_core::call::frame::{self, Header};
use madrpc_core::call::{Announcement, Bill};
use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

const MIB: usize = 1 << 20;
const LONG: Duration = Duration::from_secs(30);
const TURN: Duration = Duration::from_millis(1);

/// More than an orchestrator sends to a node that gets no calls.
const CALLS_MIN_BYTES: u64 = 64 << 10;

/// The first stream that a server opens by itself.
const FIRST_OF_SERVER: u64 = 3;

/// How long an orchestrator may take to come back to a node that was not there.
const PATIENCE: Duration = Duration::from_secs(20);

/// Bytes given to QUIC at once.
const AHEAD_BYTES: usize = 16 * MIB;

/// Calls of the caller who looks at what it gets.
const WINDOW: u64 = 32;

/// How far around a number that it was given the bad node looks for others': in generations, and in places.
const GENERATIONS: u64 = 24;
const PLACES: u64 = 48;

/// What it says that it has: a node that says nothing gets no calls.
const FUNCTIONS: [&str; 3] = ["echo", "later", "wait"];

/// The bad node's end of the orchestrator's session.
fn accept(field: &Field<'_>) -> Result<Peer, AbuseError> {
    let Some(socket) = field.bad_node else {
        return Err(AbuseError::not_made("there is no place for a bad node"));
    };
    let mut config = field.fleet.node()?;
    let socket = Socket::of(socket.try_clone()?)?;
    let mut buffer = vec![0; 65_535];
    // Earlier attempts, which have been given up.
    while socket.receive(&mut buffer).is_some() {}
    let end = Instant::now() + PATIENCE;
    loop {
        if Instant::now() > end {
            return Err(AbuseError::not_made("the orchestrator does not come"));
        }
        let Some((length, from)) = socket.receive(&mut buffer) else {
            std::thread::sleep(TURN);
            continue;
        };
        let header = quiche::Header::from_slice(&mut buffer[..length], 16);
        if !header.is_ok_and(|header| header.ty == quiche::Type::Initial) {
            continue;
        }
        let id: [u8; 16] = std::array::from_fn(|_| fastrand::u8(..));
        let id = quiche::ConnectionId::from_ref(&id);
        let mut quic = quiche::accept(&id, None, socket.local(), from, &mut config)?;
        let to = socket.local();
        let _ = quic.recv(&mut buffer[..length], quiche::RecvInfo { from, to });
        let socket = Socket::of(socket.descriptor().try_clone()?)?;
        let mut peer = Peer::over(socket, quic, from, FIRST_OF_SERVER);
        // It may write on the channel once the orchestrator has.
        let is_open = |peer: &mut Peer| peer.quic.readable().any(|stream| stream == CHANNEL);
        if peer.turn_until(Duration::from_secs(2), is_open)? {
            peer.send_channel(&greeting());
            return Ok(peer);
        }
    }
}

/// What a node says first.
fn greeting() -> Vec<u8> {
    let mut out = Vec::new();
    let (shards, instance, script) = (1, fastrand::u64(..), fastrand::u64(..));
    frame::write(&mut out, &Header::Welcome { shards, instance }, &[]);
    let functions = FUNCTIONS.map(|name| (name.to_owned(), FunctionOptions::default()));
    let announcement = Announcement {
        functions: functions.into(),
    };
    let body = announcement.encode();
    frame::write(&mut out, &Header::Functions { script }, &body);
    out
}

/// Whether calls came to the bad node at all, with what was said before them.
fn with_calls(outcome: Outcome, node: &Peer) -> Outcome {
    let received = node.quic.stats().recv_bytes;
    outcome.check(
        received > CALLS_MIN_BYTES,
        format!("{} KiB came to the bad node", received >> 10),
    )
}

/// A node that is there, and takes nothing.
pub(super) fn backlog(field: &Field<'_>) -> Result<Outcome, AbuseError> {
    let mut node = accept(field)?;
    let until = field.until();
    let mut caller = Peer::connect(field.target, &mut field.fleet.caller()?)?;
    let body = wire::bytes(8 * MIB);
    let (mut sent, mut came) = (0, 0);
    while Instant::now() < until {
        if sent < field.amount.count && caller.waiting_bytes() < AHEAD_BYTES {
            caller.call(sent, "echo", &body, LONG);
            sent += 1;
        }
        caller.turn(TURN)?;
        came += caller.read().len();
        node.turn(Duration::ZERO)?;
    }
    let alive = if node.is_over() { "dropped" } else { "kept" };
    let outcome = Outcome::did(format!(
        "{sent} calls of 8 MiB, {came} of them answered; the node was {alive}"
    ));
    let outcome = with_calls(outcome, &node);
    caller.close();
    node.close();
    Ok(outcome)
}

/// The same with a true node that has been stopped.
pub(super) fn backlog_frozen(field: &Field<'_>) -> Result<Outcome, AbuseError> {
    let mut caller = Peer::connect(field.target, &mut field.fleet.caller()?)?;
    if let Some([_, node]) = field.watched {
        node.freeze()?;
    }
    let until = field.until();
    let body = wire::bytes(8 * MIB);
    let (mut sent, mut came) = (0, 0);
    let run = || -> Result<(), AbuseError> {
        while Instant::now() < until {
            if sent < field.amount.count && caller.waiting_bytes() < AHEAD_BYTES {
                caller.call(sent, "echo", &body, LONG);
                sent += 1;
            }
            caller.turn(TURN)?;
            came += caller.read().len();
        }
        caller.close();
        Ok(())
    };
    let ran = run();
    if let Some([_, node]) = field.watched {
        node.thaw()?;
    }
    ran?;
    Ok(Outcome::did(format!(
        "{sent} calls of 8 MiB, {came} of them answered or refused"
    )))
}

/// A node that begins results and does not go on: its callers are told, long before their deadline.
pub(super) fn results_half(field: &Field<'_>) -> Result<Outcome, AbuseError> {
    let mut node = accept(field)?;
    let until = field.until();
    let mut caller = Peer::connect(field.target, &mut field.fleet.caller()?)?;
    let (mut sent, mut begun, mut ended) = (0, HashSet::new(), HashSet::new());
    // Those that were begun last have their time as well.
    while Instant::now() < until || ended.len() < begun.len() && Instant::now() < until + PATIENCE {
        let is_time = Instant::now() < until && (begun.len() as u64) < field.amount.count;
        if is_time && sent < ended.len() as u64 + WINDOW {
            caller.call(sent, "wait", &wire::number(60_000), 2 * LONG);
            sent += 1;
        }
        caller.turn(TURN)?;
        ended.extend(caller.read().into_iter().map(|(id, _)| id));
        node.turn(Duration::ZERO)?;
        let mut calls = Vec::new();
        node.read_frames(|frame| {
            if let Header::Call { id, .. } = frame.header {
                calls.push(id);
            }
        });
        for id in calls {
            if (begun.len() as u64) < field.amount.count && begun.insert(id) {
                let mut half = Vec::new();
                reply(&mut half, id, &wire::bytes(8 * MIB));
                half.truncate(4 * MIB);
                node.send_body(half.into(), false);
            }
        }
    }
    caller.close();
    node.close();
    let (begun, ended) = (begun.len(), ended.len());
    Ok(Outcome::did(format!(
        "{sent} calls, of which the bad node has begun to answer {begun}"
    ))
    .check(
        begun > 0 && ended >= begun,
        format!("{ended} of those {begun} calls ended within the time"),
    ))
}

/// Many deadlines instead of many bytes.
pub(super) fn backlog_tiny(field: &Field<'_>) -> Result<Outcome, AbuseError> {
    let mut node = accept(field)?;
    let mut caller = Peer::connect(field.target, &mut field.fleet.caller()?)?;
    let mut pace = Pace::new(field.amount.count, field.amount.per_second, field.until());
    let mut came = 0;
    while let Some(number) = pace.next() {
        caller.call(number, "echo", &nothing(), LONG);
        if number.is_multiple_of(64) {
            caller.turn(Duration::ZERO)?;
            node.turn(Duration::ZERO)?;
            came += caller.read().len();
        }
    }
    let outcome = Outcome::did(format!("{} calls, {came} of them answered", pace.done()));
    let outcome = with_calls(outcome, &node);
    caller.close();
    node.close();
    Ok(outcome)
}

/// A node that answers its own calls as it should, and tries others' numbers with a wrong answer.
pub(super) fn answers_for_others(field: &Field<'_>) -> Result<Outcome, AbuseError> {
    let mut node = accept(field)?;
    let until = field.until();
    let mut caller = Peer::connect(field.target, &mut field.fleet.caller()?)?;
    let forged = wire::encoded(&madrpc_core::value::Value::String("forged".to_owned()));
    let mut open: HashMap<u64, Vec<u8>> = HashMap::new();
    let (mut sent, mut right, mut wrong, mut failed) = (0, 0u64, 0u64, 0u64);
    // A number that it is given only afterwards was its own to answer, whatever it said.
    let (mut guesses, mut own_guessed) = (HashSet::new(), 0u64);
    let mut next_guess = Instant::now();
    while (sent < field.amount.count || !open.is_empty()) && Instant::now() < until {
        while sent < field.amount.count && (open.len() as u64) < WINDOW {
            let argument = wire::number(sent);
            caller.call(sent, "later", &argument, LONG);
            open.insert(sent, argument);
            sent += 1;
        }
        caller.turn(TURN)?;
        for (id, came) in caller.read() {
            let expected = open.remove(&id);
            match came {
                Came::Failure(_) => failed += 1,
                Came::Reply(body) if Some(&body) == expected.as_ref() => right += 1,
                Came::Reply(_) => wrong += 1,
            }
        }
        node.turn(Duration::ZERO)?;
        let mut replies = Vec::new();
        let mut own = Vec::new();
        node.read_frames(|frame| {
            if let Header::Call { id, .. } = frame.header {
                own_guessed += u64::from(guesses.contains(&id));
                own.push(id);
                reply(&mut replies, id, &frame.body);
            }
        });
        if let Some(&last) = own.last()
            && Instant::now() >= next_guess
        {
            next_guess = Instant::now() + Duration::from_millis(10);
            for id in guess(last, &own) {
                reply(&mut replies, id, &forged);
                guesses.insert(id);
            }
        }
        node.send_channel(&replies);
        node.turn(Duration::ZERO)?;
    }
    let outcome = Outcome::did(format!(
        "{sent} calls; the bad node tried {} numbers, of which it was given {own_guessed} later; {failed} failed",
        guesses.len()
    ));
    let outcome = with_calls(outcome, &node);
    caller.close();
    node.close();
    Ok(outcome.check(
        wrong <= own_guessed && right > 0,
        format!(
            "{} of {} answers to others' calls forged",
            wrong.saturating_sub(own_guessed),
            right + wrong
        ),
    ))
}

/// Numbers near one of its own: a generation in the upper half, a place in the lower.
fn guess(last: u64, own: &[u64]) -> impl Iterator<Item = u64> {
    let generation = last >> 32;
    let first = generation.saturating_sub(GENERATIONS);
    let all = (first..=generation + GENERATIONS)
        .flat_map(|generation| (0..PLACES).map(move |place| generation << 32 | place));
    all.filter(move |id| !own.contains(id))
}

fn reply(out: &mut Vec<u8>, id: u64, body: &[u8]) {
    let bill = Bill::default();
    frame::write(out, &Header::Reply { id, bill }, body);
}
