//! `madrpc drain` and `madrpc undrain`: a server takes no new calls, and takes them again.

use super::{ANSWER_TIMEOUT, describe, json, on_each, snapshot};
use crate::args::{DrainServerArgs, OperatorArgs};
use crate::exit::{Failure, Reason};
use crate::output::{self, say};
use humantime::format_duration;
use madrpc_core::call::control::{DRAIN, UNDRAIN};
use madrpc_core::numbers::later;
use madrpc_core::stats::{DRAINED, Snapshot};
use madrpc_shard::client::Client;
use serde::Serialize;
use std::time::{Duration, Instant};

/// How often it is looked whether the calls have ended.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);

/// How often it is said how many are left.
const TOLD_INTERVAL: Duration = Duration::from_secs(2);

/// The document of `--json`. Keys are only ever added.
#[derive(Serialize)]
struct Document<'a> {
    /// Where it was asked.
    server: &'a str,
    role: &'a str,
    name: &'a str,
    /// `serving`, `draining` or `drained`.
    state: &'a str,
    /// Calls that have not ended.
    under_way: u64,
}

pub(crate) fn drain(args: &DrainServerArgs) -> Result<(), Failure> {
    on_each(&args.server, ANSWER_TIMEOUT, |server, client| {
        drain_one(server, client, args)
    })
}

fn drain_one(server: &str, client: Client, args: &DrainServerArgs) -> Result<(), Failure> {
    client.call_blocking::<_, ()>(DRAIN, &())?;
    let until = later(Instant::now(), args.timeout);
    let mut told_at = later(Instant::now(), TOLD_INTERVAL);
    let last = loop {
        let snapshot = snapshot(&client)?;
        let now = Instant::now();
        let is_over = snapshot.state == DRAINED && snapshot.silent_shards == 0;
        if is_over || now >= until {
            break snapshot;
        }
        if now >= told_at {
            say(&format!(
                "{} is draining; calls under way: {}",
                snapshot.name, snapshot.under_way
            ));
            told_at = later(now, TOLD_INTERVAL);
        }
        std::thread::sleep(LOOK_INTERVAL.min(until.saturating_duration_since(now)));
    };
    client.close_blocking();
    print(server, &last, args.server.json)?;
    if last.state == DRAINED || args.timeout.is_zero() {
        return Ok(());
    }
    let message = format!(
        "{} takes no new calls, and of those under way {} did not end within {}; it goes on draining",
        last.name,
        last.under_way,
        format_duration(args.timeout)
    );
    Err(Failure::new(Reason::Deadline, message))
}

pub(crate) fn undrain(args: &OperatorArgs) -> Result<(), Failure> {
    on_each(args, ANSWER_TIMEOUT, |server, client| {
        client.call_blocking::<_, ()>(UNDRAIN, &())?;
        let snapshot = snapshot(&client)?;
        client.close_blocking();
        print(server, &snapshot, args.json)
    })
}

fn print(server: &str, snapshot: &Snapshot, as_json: bool) -> Result<(), Failure> {
    let text = match as_json {
        true => json(&Document {
            server,
            role: &snapshot.role,
            name: &snapshot.name,
            state: &snapshot.state,
            under_way: snapshot.under_way,
        })?,
        false => describe(snapshot),
    };
    Ok(output::result(&text)?)
}
