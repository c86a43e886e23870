//! `madrpc tls`: makes and shows the certificates of a fleet.

mod issue;
mod show;

use crate::args::TlsCommand;
use crate::exit::Failure;

/// Runs a command of `madrpc tls`.
pub(crate) fn run(command: &TlsCommand) -> Result<(), Failure> {
    match command {
        TlsCommand::Init(args) => issue::init(args),
        TlsCommand::Issue(args) => issue::issue(args),
        TlsCommand::Show(args) => show::run(args),
    }
}
