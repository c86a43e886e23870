//! `madrpc call`: one call, its result to stdout; of a function that streams its items, each as it comes.

use super::argument::argument;
use super::traces::Traces;
use crate::args::CallArgs;
use crate::exit::Failure;
use crate::identity;
use crate::output::{self, say};
use crate::signals::Leaving;
use madrpc_core::call::Bill;
use madrpc_core::identity::Role;
use madrpc_core::value::Value;
use madrpc_core::value::json::to_json;
use madrpc_shard::client::{Client, ClientConfig};
use std::time::{Duration, Instant};

pub(crate) fn run(args: &CallArgs) -> Result<(), Failure> {
    let argument = argument(args.json.as_deref())?;
    let identity = identity::of_caller(&args.tls, Role::Client)?;
    let (traces, recorder) = Traces::start(&args.traces)?;
    let client = Client::new(&ClientConfig {
        connections: Some(1),
        recorder,
        ..ClientConfig::with_identity(&args.address, identity)
    })?;
    // By a signal too: else the server would go on with the call until it misses us, and nobody would hear of its span.
    let leaver = client.clone();
    let leaving = Leaving::by(move || {
        leaver.close_blocking();
        traces.end();
    })?;
    let outcome = call(args, &client, argument, &leaving);
    leaving.end();
    outcome
}

fn call(
    args: &CallArgs,
    client: &Client,
    argument: Value,
    leaving: &Leaving,
) -> Result<(), Failure> {
    let begun = Instant::now();
    let mut call = client.prepare(&args.function).timeout(args.timeout);
    call = call.idempotent(args.idempotent);
    if let Some(key) = &args.key {
        call = call.key(key.as_bytes());
    }
    if let Some(trace) = args.trace {
        call = call.trace(trace);
    }
    let mut items = call.stream(argument);
    let mut failed = None;
    while let Some(item) = items.next_blocking() {
        match item {
            // Nobody reads on: the function is not to go on either.
            Ok(item) if !output::one_of_several(&to_json(&item))? => return Ok(()),
            Ok(_) => {}
            Err(error) => failed = Some(error),
        }
    }
    leaving.wait_if_begun();
    let elapsed = begun.elapsed();
    let reply = items.reply();
    let bill = match &failed {
        Some(error) => error.bill.as_deref(),
        None => reply.map(|reply| &reply.bill),
    };
    if let Some(bill) = bill.filter(|_| args.verbose) {
        say(&describe(bill, elapsed));
    }
    match (failed, reply) {
        (Some(error), _) => Err(error.into()),
        // What a generator returns is none of its items.
        (None, Some(reply)) if !items.has_streamed() => {
            Ok(output::result(&to_json(&reply.result))?)
        }
        (None, _) => Ok(()),
    }
}

fn describe(bill: &Bill<String>, whole: Duration) -> String {
    let place = match bill.node.as_str() {
        "" => "answered by the server itself".to_owned(),
        node if bill.slices == 0 => {
            format!("refused by shard {} of {}", bill.shard, node)
        }
        node => format!("ran on shard {} of {}", bill.shard, node),
    };
    let slices = if bill.slices == 1 { "slice" } else { "slices" };
    format!(
        "{place}: {} µs CPU in {} {slices} after {} µs waiting, with at most {} KiB of heap; {} µs in all, with \
         connecting",
        bill.cpu_us,
        bill.slices,
        bill.queue_us,
        bill.heap_peak_bytes.div_ceil(1024),
        whole.as_micros()
    )
}
