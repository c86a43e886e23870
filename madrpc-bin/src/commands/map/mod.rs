//! `madrpc map`: a call for each line of stdin, a result for each on stdout.
//!
//! ```text
//! stdin ─▶ input (a thread) ─▶ run: so many under way ─▶ window: in order ─▶ files
//!                                └── refused ones again       └─▶ checkpoint
//! ```
//!
//! What is held is bounded however long the input is: batches that are read ahead, calls under way, and the window.

mod checkpoint;
mod files;
mod input;
mod limit;
mod progress;
mod retry;
mod run;
mod window;

use super::traces::Traces;
use crate::args::MapArgs;
use crate::exit::{Failure, Reason};
use crate::identity;
use crate::signals::Events;
use files::Files;
use futures_channel::mpsc::{Receiver, channel};
use futures_lite::future::block_on;
use input::Input;
use madrpc_core::identity::Role;
use madrpc_shard::client::{Client, ClientConfig};
use run::Run;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How soon something is done that nothing calls for: another try, a look at the clock.
const TICK: Duration = Duration::from_millis(20);

pub(crate) fn run(args: &MapArgs) -> Result<(), Failure> {
    let mut input = Input::stdin(args.checkpoint.is_some())?;
    // What can go wrong with files does so before the first call.
    let (files, checkpoint) = Files::open(args, &mut input)?;
    let identity = identity::of_caller(&args.tls, Role::Client)?;
    let (traces, recorder) = Traces::start(&args.traces)?;
    let client = Client::new(&ClientConfig {
        recorder,
        ..ClientConfig::with_identity(&args.address, identity)
    })?;
    let is_stopped = stopper()?;
    let size = input.size;
    let batches = input.start()?;
    let run = Run::new(args, &client, files, checkpoint, size);
    let outcome = block_on(run.run(batches, ticks()?, &is_stopped));
    client.close_blocking();
    traces.end();
    outcome
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
