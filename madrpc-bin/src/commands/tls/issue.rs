//! `madrpc tls init` and `issue`: the authority of a fleet, and what each machine gets from it.

use super::show::ShowArgs;
use crate::args::help;
use crate::exit::{Failure, Reason};
use crate::output::say;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use madrpc_core::identity::{Authority, Role, inspect};
use std::path::PathBuf;

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
    dir: PathBuf,

    /// What it is called in certificates, 1 to 64 bytes
    #[arg(long, value_name = "NAME", default_value = "madrpc fleet")]
    name: String,
}

#[derive(Debug, clap::Args)]
#[command(after_help = help::TLS_ISSUE)]
pub(crate) struct IssueArgs {
    /// What its owner is in the fleet
    #[arg(value_name = "ROLE", value_parser = role())]
    role: Role,

    /// Its owner, 1 to 64 bytes; shown and logged, and of no other meaning
    #[arg(value_name = "NAME")]
    name: String,

    /// The directory of the authority
    #[arg(long, value_name = "DIR")]
    ca: PathBuf,

    /// Where to write it, in a directory named after the role
    #[arg(long, value_name = "DIR")]
    out: PathBuf,

    /// How long it is valid; no longer than the authority
    #[arg(long, value_name = "N", default_value = "365", value_parser = clap::value_parser!(u32).range(1..=36_500))]
    days: u32,
}

pub(super) fn role() -> impl TypedValueParser<Value = Role> {
    let role_of = |name: String| {
        let found = Role::ALL.into_iter().find(|role| role.name() == name);
        found.ok_or("no such role")
    };
    PossibleValuesParser::new(Role::ALL.map(Role::name)).try_map(role_of)
}

pub(super) fn init(args: &InitArgs) -> Result<(), Failure> {
    Authority::init(&args.dir, &args.name)?;
    say(&format!(
        "made the authority `{}` in {}: keep ca.key from everybody, and off the machines of the fleet",
        args.name,
        args.dir.display()
    ));
    Ok(())
}

pub(super) fn issue(args: &IssueArgs) -> Result<(), Failure> {
    if !args.ca.join("ca.pem").exists() {
        return Err(Failure::new(
            Reason::Other,
            format!(
                "{} holds no authority: name the directory that `madrpc tls init` has made",
                args.ca.display()
            ),
        ));
    }
    let authority = Authority::load(&args.ca)?;
    let identity = authority.issue_to(&args.name, args.role, args.days)?;
    let dir = args.out.join(args.role.name());
    identity.save(&dir)?;
    let made = inspect(&dir.join("cert.pem"))?;
    let until = made.first().map_or("", |info| info.not_after.as_str());
    say(&format!(
        "made a certificate of the {} `{}`, valid until {until}: {}/ca.pem, cert.pem, key.pem",
        args.role,
        args.name,
        dir.display()
    ));
    Ok(())
}
