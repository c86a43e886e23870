//! `madrpc map`: a call for each line of stdin, a result for each on stdout.
//!
//! ```text
//! stdin ─▶ input (a thread) ─▶ calls: so many under way ─▶ window: in order ─▶ files
//!                                └── refused ones again       └─▶ checkpoint
//! ```
//!
//! What is held is bounded however long the input is: batches that are read ahead, calls under way, and the window.

mod calls;
mod checkpoint;
mod files;
mod input;
mod limit;
mod progress;
mod window;

use crate::args::MapArgs;
use crate::exit::{Failure, Reason};
use crate::identity;
use crate::signals::Events;
use calls::Calls;
use checkpoint::{Checkpoint, FIRST_LINE_BYTES};
use files::Out;
use futures_channel::mpsc::{Receiver, channel};
use futures_lite::future::block_on;
use input::Input;
use madrpc_core::call::catalog::{Catalog, FUNCTIONS};
use madrpc_core::identity::Role;
use madrpc_shard::client::{Client, ClientConfig};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How soon something is done that nothing calls for: another try, a look at the clock.
const TICK: Duration = Duration::from_millis(20);

/// How long a server may take to say what can be called there.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

pub(crate) fn run(args: &MapArgs) -> Result<(), Failure> {
    let mut input = Input::stdin()?;
    // What can go wrong with files does so before the first call.
    let (files, checkpoint) = open(args, &mut input)?;
    let client = Client::new(&ClientConfig {
        timeout: args.timeout,
        ..ClientConfig::with_identity(&args.address, identity::of_caller(&args.tls, Role::Client)?)
    })?;
    let is_idempotent = block_on(is_idempotent(&client, &args.function));
    let is_stopped = stopper()?;
    let size = input.size;
    let batches = input.start()?;
    let calls = Calls::new(args, is_idempotent, files, checkpoint, size);
    let outcome = block_on(calls.run(&client, batches, ticks()?, &is_stopped));
    client.close_blocking();
    outcome
}

/// Where results and failed lines go.
struct Files {
    results: Out,
    errors: Option<Out>,
}

fn open(args: &MapArgs, input: &mut Input) -> Result<(Files, Option<Checkpoint>), Failure> {
    let (output, errors) = (args.output.as_deref(), args.errors.as_deref());
    let Some(path) = &args.checkpoint else {
        let results = match output {
            Some(path) => Out::create("--output", path)?,
            None => Out::stdout()?,
        };
        let errors = errors.map(|path| Out::create("--errors", path));
        let errors = errors.transpose()?;
        return Ok((Files { results, errors }, None));
    };
    let known = Checkpoint::read(path, &args.function, args.unordered)?;
    let results_from = known.as_ref().map(|known| known.output_bytes);
    let errors_from = known.as_ref().map(|known| known.errors_bytes);
    let mut checkpoint = known.unwrap_or_else(|| Checkpoint::new(&args.function, args.unordered));
    if !checkpoint.is_first_line(&input.first_line(FIRST_LINE_BYTES)?) {
        let why = format!(
            "--checkpoint {}: stdin begins with another line than the input that it is of",
            path.display()
        );
        return Err(Failure::new(Reason::Usage, why));
    }
    input.skip_to(checkpoint.position())?;
    let results = match output {
        Some(path) => Out::open_from("--output", path, results_from)?,
        None => Out::stdout_from(results_from)?,
    };
    let errors = errors.map(|path| Out::open_from("--errors", path, errors_from));
    let errors = errors.transpose()?;
    // Before the first result: a run that ends before it has noted anything can be gone on with, too.
    checkpoint.write(path)?;
    Ok((Files { results, errors }, Some(checkpoint)))
}

/// Whether calls of the function may be run twice, by all who have it; not where nobody says so.
async fn is_idempotent(client: &Client, function: &str) -> bool {
    let call = client.prepare(FUNCTIONS).timeout(ANSWER_TIMEOUT);
    let Ok(reply) = call.send(madrpc_core::value::Value::Undefined).await else {
        return false;
    };
    let Ok(catalog) = madrpc_core::value::from_value::<Catalog>(reply.result) else {
        return false;
    };
    let mut named = catalog.functions.iter().filter(|one| one.name == function);
    named.clone().next().is_some() && named.all(|one| one.options.idempotent)
}

/// The first signal ends it in order, the second at once.
fn stopper() -> Result<Arc<AtomicBool>, Failure> {
    let mut events = Events::of_command()?;
    let is_stopped = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&is_stopped);
    thread("signals", move || {
        events.wait_for_stop();
        told.store(true, Ordering::Relaxed);
    })?;
    Ok(is_stopped)
}

fn ticks() -> Result<Receiver<()>, Failure> {
    let (mut sender, receiver) = channel(0);
    thread("ticks", move || {
        loop {
            std::thread::sleep(TICK);
            // One that has not been taken yet will do.
            if sender
                .try_send(())
                .is_err_and(|error| error.is_disconnected())
            {
                return;
            }
        }
    })?;
    Ok(receiver)
}

fn thread(name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), Failure> {
    let started = std::thread::Builder::new().name(name.into()).spawn(work);
    started.map_err(|error| Failure::new(Reason::Other, format!("a thread: {error}")))?;
    Ok(())
}
