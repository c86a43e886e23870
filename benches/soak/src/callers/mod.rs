//! The callers: this program, started again.

mod killed;
mod mixed;
mod probe;
mod strangers;

use crate::clock::Clock;
use crate::fleet::{Addresses, client};
use crate::load::Load;
use crate::process::{Process, again, end_with};
use crate::record::{Outcomes, Word};
use crate::{Outcome, fleet::Fleet};
use clap::ValueEnum;
use madrpc_core::call::CallError;
use madrpc_shard::client::Client;
use std::fmt::Debug;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::mpsc::Sender;

/// A caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Caller {
    /// Behaves well, and measures
    Probe,
    /// Makes all kinds of calls
    Mixed,
    /// Kills itself with thousands of calls under way
    Killed,
    /// Has no certificate, or breaks the protocol
    Strangers,
}

/// What a caller is told.
#[derive(clap::Args)]
pub(crate) struct CallerArguments {
    #[arg(value_enum)]
    caller: Caller,
    /// The run
    #[arg(long)]
    parent: i32,
    /// When it began, in milliseconds since 1970
    #[arg(long)]
    begin_ms: u64,
    /// Where its authority is
    #[arg(long)]
    home: PathBuf,
    #[command(flatten)]
    addresses: Addresses,
    /// What it does
    #[arg(long, value_enum, value_delimiter = ',')]
    loads: Vec<Load>,
}

impl CallerArguments {
    fn client(&self, address: SocketAddr) -> Outcome<Client> {
        client(&self.home, address)
    }

    fn clock(&self) -> Clock {
        Clock::of(self.begin_ms)
    }
}

/// Is a caller until it is killed.
pub(crate) fn run(arguments: &CallerArguments) -> Outcome<()> {
    end_with(arguments.parent)?;
    match arguments.caller {
        Caller::Probe => probe::run(arguments),
        Caller::Mixed => mixed::run(arguments),
        Caller::Killed => killed::run(arguments),
        Caller::Strangers => strangers::run(arguments),
    }
}

/// Starts a caller; what it tells goes to `words`, with its name.
pub(crate) fn start(
    caller: Caller,
    fleet: &Fleet,
    begin_ms: u64,
    loads: &[Load],
    words: &Sender<(Caller, Word)>,
) -> Outcome<Process> {
    let name = match caller {
        Caller::Probe => "probe",
        Caller::Mixed => "mixed",
        Caller::Killed => "killed",
        Caller::Strangers => "strangers",
    };
    let loads: Vec<_> = loads.iter().map(|load| load.name()).collect();
    let mut command = again("caller")?;
    command
        .arg(name)
        .args(["--begin-ms", &begin_ms.to_string()])
        .args(["--node", &fleet.addresses.node.to_string()])
        .args(["--orchestrator", &fleet.addresses.orchestrator.to_string()])
        .arg("--home")
        .arg(&fleet.home)
        .args((!loads.is_empty()).then(|| format!("--loads={}", loads.join(","))))
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    let mut child = command.spawn()?;
    if let Some(stdout) = child.stdout.take() {
        let words = words.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                // A caller that is killed may leave half a line.
                if let Ok(word) = serde_json::from_str(&line)
                    && words.send((caller, word)).is_err()
                {
                    return;
                }
            }
        });
    }
    Ok(Process::new(name, child))
}

impl Outcomes {
    /// A call that has to return this.
    fn expect<T: PartialEq + Debug>(result: Result<T, CallError>, wanted: &T) -> Self {
        match result {
            Ok(result) if result == *wanted => Self::right(),
            Ok(result) => Self::wrong(&format!("{result:.200?} and not {wanted:.200?}")),
            Err(error) => Self::failed(&error),
        }
    }

    fn right() -> Self {
        Self {
            right: 1,
            ..Self::default()
        }
    }

    fn wrong(words: &str) -> Self {
        Self {
            wrong: 1,
            first: Some(words.chars().take(500).collect()),
            ..Self::default()
        }
    }

    fn failed(error: &CallError) -> Self {
        Self {
            failed: [(error.kind.name().to_owned(), 1)].into(),
            first: Some(error.to_string().chars().take(500).collect()),
            ..Self::default()
        }
    }
}
