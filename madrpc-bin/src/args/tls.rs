//! The flags that name certificates, and those of `madrpc tls`.

use super::help;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use madrpc_core::identity::Role;
use std::path::PathBuf;

/// Certificates in PEM: all three, or none for those that a service manager hands over, else those of this user.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct TlsArgs {
    /// The authority whose peers are let in
    #[arg(
        long,
        env = "MADRPC_TLS_CA",
        hide_env_values = true,
        value_name = "FILE"
    )]
    pub(crate) tls_ca: Option<PathBuf>,

    /// Our certificate
    #[arg(
        long,
        env = "MADRPC_TLS_CERT",
        hide_env_values = true,
        value_name = "FILE"
    )]
    pub(crate) tls_cert: Option<PathBuf>,

    /// Our certificate's private key, in a file of mode 0600
    #[arg(
        long,
        env = "MADRPC_TLS_KEY",
        hide_env_values = true,
        value_name = "FILE"
    )]
    pub(crate) tls_key: Option<PathBuf>,
}

#[derive(Debug, clap::Subcommand)]
pub(crate) enum TlsCommand {
    /// Make the authority of a fleet, once
    Init(InitArgs),
    /// Make a certificate for a machine, a program or a person
    Issue(IssueArgs),
    /// Show what certificates say
    Show(ShowArgs),
}

#[derive(Debug, clap::Args)]
#[command(after_help = help::TLS_INIT)]
pub(crate) struct InitArgs {
    /// Where it lies from now on; made with mode 0700
    #[arg(value_name = "DIR")]
    pub(crate) dir: PathBuf,

    /// What it is called in certificates, 1 to 64 bytes
    #[arg(long, value_name = "NAME", default_value = "madrpc fleet")]
    pub(crate) name: String,
}

#[derive(Debug, clap::Args)]
#[command(after_help = help::TLS_ISSUE)]
pub(crate) struct IssueArgs {
    /// What its owner is in the fleet
    #[arg(value_name = "ROLE", value_parser = role())]
    pub(crate) role: Role,

    /// Its owner, 1 to 64 bytes; shown and logged, and of no other meaning
    #[arg(value_name = "NAME")]
    pub(crate) name: String,

    /// The directory of the authority
    #[arg(long, value_name = "DIR")]
    pub(crate) ca: PathBuf,

    /// Where to write it, in a directory named after the role
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,

    /// How long it is valid; no longer than the authority
    #[arg(long, value_name = "N", default_value = "365", value_parser = clap::value_parser!(u32).range(1..=36_500))]
    pub(crate) days: u32,
}

#[derive(Debug, clap::Args)]
#[command(after_help = help::TLS_SHOW)]
pub(crate) struct ShowArgs {
    /// A file of certificates in PEM, or a directory that `madrpc tls` has written
    #[arg(value_name = "PATH")]
    pub(crate) path: PathBuf,

    /// Say nothing, and refuse what no server of this role could use
    #[arg(long, value_name = "ROLE", value_parser = role(), conflicts_with = "json")]
    pub(crate) check: Option<Role>,

    /// Print one JSON document
    #[arg(long)]
    pub(crate) json: bool,
}

fn role() -> impl TypedValueParser<Value = Role> {
    let role_of = |name: String| {
        let found = Role::ALL.into_iter().find(|role| role.name() == name);
        found.ok_or("no such role")
    };
    PossibleValuesParser::new(Role::ALL.map(Role::name)).try_map(role_of)
}
