//! A caller that kills itself with thousands of calls under way, half of them through the orchestrator, and without a
//! word to anybody: SIGKILL leaves no time for one.

use super::CallerArguments;
use crate::Outcome;
use crate::clock::KILLED_AT;
use crate::record::Word;
use futures_lite::future::{block_on, poll_once};
use madrpc_core::call::CallError;
use madrpc_core::value::Value;
use madrpc_shard::client::{Client, Reply};
use nix::sys::signal::{Signal, raise};
use std::pin::Pin;
use std::time::Duration;

/// Calls that wait for a timer. A shard lets 1,024 wait, and the others need some of them.
const WAITING: usize = 500;
/// How long they would: until some seconds after their caller is gone.
const WAIT_MS: i64 = 5000;

/// Calls that stand in the queue, which holds 4,096; a tenth of a millisecond each.
const QUEUED: usize = 2500;
const ROUNDS: i64 = 2000;

/// Bodies half of which is sent, of 8 MiB.
const BODIES: usize = 8;

type UnderWay<'a> = Vec<Pin<Box<dyn Future<Output = Result<Reply<Value>, CallError>> + 'a>>>;

pub(super) fn run(arguments: &CallerArguments) -> Outcome<()> {
    let clients = [
        arguments.client(arguments.addresses.node)?,
        arguments.client(arguments.addresses.orchestrator)?,
    ];
    let clock = arguments.clock();
    let mut calls = begin(&clients, WAITING, "wait", &Value::Integer(WAIT_MS));
    while clock.now().1 < KILLED_AT {
        std::thread::sleep(Duration::from_millis(10));
    }
    let text = Value::from("x".repeat(8 << 20));
    calls.extend(begin(&clients, BODIES, "length", &text));
    calls.extend(begin(&clients, QUEUED, "compute", &Value::Integer(ROUNDS)));
    std::thread::sleep(Duration::from_millis(50));
    calls.retain_mut(|call| block_on(poll_once(call)).is_none());
    Word::UnderWay(calls.len() as u64).say()?;
    raise(Signal::SIGKILL)?;
    Ok(())
}

/// Sends so many calls, to the one and the other in turn.
fn begin<'a>(
    clients: &'a [Client; 2],
    count: usize,
    function: &'a str,
    args: &Value,
) -> UnderWay<'a> {
    let to = clients.iter().cycle().take(count);
    let mut calls: UnderWay<'_> = to
        .map(|client| Box::pin(client.prepare(function).send(args.clone())) as _)
        .collect();
    calls.retain_mut(|call| block_on(poll_once(call)).is_none());
    calls
}
