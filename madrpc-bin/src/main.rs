//! The command `madrpc`: runs nodes and orchestrators, calls functions, and shows what a cluster does.
//!
//! Arguments, the terminal and exit codes are here; everything else is a library's. Results go to stdout and nothing
//! else does; what is said to a person, and the log, goes to stderr.
#![forbid(unsafe_code)]

mod args;
mod bench;
mod call;
mod check;
mod dev;
mod exit;
mod functions;
mod limits;
mod logging;
mod manual;
mod node;
mod notify;
mod orchestrator;
mod output;
mod reload;
mod sandbox;
mod settings;
mod signals;
mod tls;
mod top;

use args::{Args, Command};
use exit::Failure;
use signals::Events;
use std::process::ExitCode;

fn main() -> ExitCode {
    exit::tell_panics();
    exit::code(run())
}

fn run() -> Result<(), Failure> {
    // Signals and a stuck log must not hurt a server while it is still being told what to be.
    let events = if args::starts_server(std::env::args_os()) {
        output::never_wait();
        Some(Events::of_server()?)
    } else {
        None
    };
    let Some(Args { log, command }) = settings::args()? else {
        return Ok(());
    };
    logging::start(log, &command)?;
    match command {
        Command::Node(args) => node::run(&args, events),
        Command::Orchestrator(args) => orchestrator::run(&args, events),
        Command::Dev(args) => dev::run(&args, events),
        Command::Call(args) => call::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Top(args) => top::run(&args),
        Command::Functions(args) => functions::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Config(args) => settings::show(&args),
        Command::Tls(command) => tls::run(&command),
        Command::Completions(args) => manual::completions(&args),
        Command::Man(args) => manual::pages(&args),
    }
}
