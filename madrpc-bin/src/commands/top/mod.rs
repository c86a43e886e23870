//! `madrpc top`: calls, errors and latency as they happen.
//!
//! ```text
//! server ─ snapshots ─▶ model ─▶ panes ─ sheets ─▶ view (terminal)
//!                         └────▶ report (text, JSON)           ◀─ screen ─ keys
//! ```
//!
//! Here is the loop: one thread asks the server, one reads keys, one waits for signals, and this one draws what they
//! send it.

mod columns;
mod failures;
mod model;
mod panes;
mod report;
mod screen;
mod shares;
mod sheet;
mod text;
mod view;

use crate::args::TopArgs;
use crate::exit::{Failure, Reason};
use crate::signals::Events;
use crate::{identity, output};
use crossterm::event::{self, Event, KeyEvent, KeyEventKind};
use madrpc_core::call::CallError;
use madrpc_core::identity::Role;
use madrpc_core::numbers::later;
use madrpc_core::stats::STATS;
use madrpc_core::stats::Snapshot;
use madrpc_shard::client::{Client, ClientConfig};
use model::Model;
use ratatui::DefaultTerminal;
use screen::Screen;
use std::io::{self, IsTerminal};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

/// How long a server may take to say what it has counted.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

enum Message {
    Sample(Result<Box<Snapshot>, CallError>),
    Key(KeyEvent),
    Resized,
    Leave,
}

pub(crate) fn run(args: &TopArgs) -> Result<(), Failure> {
    if !args.once && !io::stdout().is_terminal() {
        let hint = "stdout is no terminal: use --once for a table, or --once --json for a program";
        return Err(Failure::new(Reason::Usage, hint));
    }
    let identity = identity::of_caller(&args.tls, Role::Operator)?;
    let client = Client::new(&ClientConfig {
        connections: Some(1),
        timeout: ANSWER_TIMEOUT,
        one_at_a_time: true,
        ..ClientConfig::with_identity(&args.address, identity)
    })?;
    if args.once {
        let snapshot = sample(&client);
        client.close_blocking();
        let snapshot = snapshot?;
        let text = if args.json {
            report::json(&snapshot)?
        } else {
            report::table(&snapshot)
        };
        return Ok(output::result(&text)?);
    }
    let (sender, messages) = channel();
    signals(sender.clone())?;
    sampler(client, Duration::from_millis(args.interval), sender.clone())?;
    // From here on the terminal is ours; a panic gives it back too, by ratatui's hook.
    let terminal = ratatui::try_init().map_err(failed)?;
    let outcome = keys(sender).and_then(|()| live(terminal, &messages, args));
    ratatui::try_restore().map_err(failed)?;
    outcome
}

fn live(
    mut terminal: DefaultTerminal,
    messages: &Receiver<Message>,
    args: &TopArgs,
) -> Result<(), Failure> {
    let mut model = Model::new();
    let mut screen = Screen::new(&args.address, args.interval);
    loop {
        terminal
            .draw(|frame| view::draw(&mut screen, frame, &model, Instant::now()))
            .map_err(failed)?;
        let Ok(first) = messages.recv() else {
            return Ok(());
        };
        // All that has come is taken in before the next drawing: a slow terminal must not fall behind.
        for message in std::iter::once(first).chain(messages.try_iter()) {
            match message {
                Message::Sample(Ok(snapshot)) => model.succeeded(*snapshot),
                Message::Sample(Err(error)) => model.failed(&error, Instant::now()),
                Message::Key(key) if screen.on_key(&key, &model) => return Ok(()),
                Message::Key(_) => {}
                Message::Resized => {}
                Message::Leave => return Ok(()),
            }
        }
    }
}

fn sample(client: &Client) -> Result<Snapshot, CallError> {
    client.call_blocking(STATS, &())
}

fn sampler(client: Client, interval: Duration, to: Sender<Message>) -> Result<(), Failure> {
    spawn("sampler", move || {
        let mut next = Instant::now();
        // It ends when nobody listens any more.
        while to
            .send(Message::Sample(sample(&client).map(Box::new)))
            .is_ok()
        {
            next = Instant::now().max(later(next, interval));
            std::thread::sleep(next.saturating_duration_since(Instant::now()));
        }
    })
}

fn keys(to: Sender<Message>) -> Result<(), Failure> {
    spawn("keys", move || {
        loop {
            let message = match event::read() {
                Ok(Event::Key(key)) if key.kind != KeyEventKind::Release => Message::Key(key),
                Ok(Event::Resize(..)) => Message::Resized,
                Ok(_) => continue,
                // The terminal has gone.
                Err(_) => Message::Leave,
            };
            if matches!(message, Message::Leave) | to.send(message).is_err() {
                return;
            }
        }
    })
}

fn signals(to: Sender<Message>) -> Result<(), Failure> {
    let mut events = Events::of_command()?;
    spawn("signals", move || {
        events.wait_for_stop();
        // Nobody listens where it has ended already.
        let _ = to.send(Message::Leave);
    })
}

fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> Result<(), Failure> {
    let thread = std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(body);
    thread.map_err(failed)?;
    Ok(())
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn failed(error: io::Error) -> Failure {
    Failure::new(Reason::Other, format!("terminal: {error}"))
}
