//! The commands, a file or a folder for each.

mod argument;
mod bench;
mod call;
mod check;
mod config;
mod dev;
mod functions;
mod init;
mod manual;
mod map;
mod node;
mod operators;
mod options;
mod orchestrator;
mod tls;
mod top;
mod traces;

use crate::args::Command;
use crate::exit::Failure;
use crate::signals::Events;

/// Runs one. `events` are those of a server, where they are caught already.
///
/// # Errors
/// Why it did not do what it was asked for.
pub(crate) fn run(command: &Command, events: Option<Events>) -> Result<(), Failure> {
    match command {
        Command::Node(args) => node::run(args, events),
        Command::Orchestrator(args) => orchestrator::run(args, events),
        Command::Dev(args) => dev::run(args, events),
        Command::Call(args) => call::run(args),
        Command::Map(args) => map::run(args),
        Command::Bench(args) => bench::run(args),
        Command::Top(args) => top::run(args),
        Command::Functions(args) => functions::run(args),
        Command::Nodes(args) => operators::nodes(args),
        Command::Drain(args) => operators::drain(args),
        Command::Undrain(args) => operators::undrain(args),
        Command::Reload(args) => operators::reload(args),
        Command::Init(args) => init::run(args),
        Command::Check(args) => check::run(args),
        Command::Config(args) => config::run(args),
        Command::Tls(command) => tls::run(command),
        Command::Completions(args) => manual::completions(args),
        Command::Man(args) => manual::pages(args),
    }
}
