//! The flags of commands that look at files and settings of this machine, or at the command itself.

use super::help;
use clap::ValueEnum;
use clap_complete::Shell;
use std::ffi::OsString;
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
#[command(after_help = help::CHECK)]
pub(crate) struct CheckArgs {
    /// The script: JavaScript, or TypeScript (.ts), that calls madrpc.register(name, function) or exports functions
    #[arg(value_name = "SCRIPT")]
    pub(crate) script: PathBuf,

    /// Print one JSON document
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, clap::Args)]
#[command(after_help = help::INIT)]
pub(crate) struct InitScriptArgs {
    /// Where to; it is made where it is not there
    #[arg(value_name = "DIR", default_value = ".")]
    pub(crate) dir: PathBuf,
}

/// A server that has settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ServerKind {
    Node,
    Orchestrator,
}

impl ServerKind {
    pub(crate) const ALL: [Self; 2] = [Self::Node, Self::Orchestrator];

    /// The name of its command.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Node => "node",
            Self::Orchestrator => "orchestrator",
        }
    }
}

#[derive(Debug, clap::Args)]
pub(crate) struct ConfigArgs {
    /// Print one JSON document
    #[arg(long)]
    pub(crate) json: bool,

    /// Print a settings file with every key, its meaning, unit and default, and nothing set
    #[arg(long, conflicts_with = "json")]
    pub(crate) template: bool,

    /// Whose settings
    #[arg(value_name = "SERVER")]
    pub(crate) server: ServerKind,

    /// The flags that it would be started with
    #[arg(
        value_name = "FLAGS",
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    pub(crate) flags: Vec<OsString>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct CompletionsArgs {
    /// The shell
    #[arg(value_name = "SHELL")]
    pub(crate) shell: Shell,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ManArgs {
    /// Where to write them
    #[arg(value_name = "DIR")]
    pub(crate) dir: PathBuf,
}
