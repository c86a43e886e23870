//! `abuse`: what strangers and callers can do to a server, done to one on this machine.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line's output"
)]

use clap::{Parser, Subcommand};
use madrpc_abuse::stage::{self, Options, Row};
use madrpc_abuse::{AbuseError, Attack, attack, attacks};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// Attacks servers on loopback, and measures what a well-behaved caller notices
#[derive(Debug, Parser)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// The attacks, each with what is done
    List,
    /// Run attacks, each against servers of its own; exit code 1 where one is not within its bounds
    Run(RunArgs),
    /// Print the table of what `run --json` has printed into these files; later lines replace earlier ones
    Table {
        /// Files of JSON, a line for each attack
        files: Vec<PathBuf>,
    },
}

#[derive(Debug, clap::Args)]
struct RunArgs {
    /// Names as `list` prints them, parts of names as `hello-`, `strangers`, `callers`, or `all`
    #[arg(required = true)]
    names: Vec<String>,
    /// The optimised madrpc to attack
    #[arg(long, default_value = "target/release/madrpc")]
    binary: PathBuf,
    /// Seconds that one attack may take [default: its own, mostly 10]
    #[arg(long)]
    seconds: Option<u64>,
    /// Seconds to wait, before each measurement, until nothing else runs on the machine
    #[arg(long, default_value_t = 30)]
    patience: u64,
    /// Print a line of JSON for each attack
    #[arg(long)]
    json: bool,
    /// Print the table at the end
    #[arg(long)]
    markdown: bool,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("abuse: {error}");
            ExitCode::from(2)
        }
    }
}

fn run(args: &Args) -> Result<ExitCode, AbuseError> {
    match &args.command {
        Command::List => {
            for attack in attacks() {
                println!("{:34} {}", attack.name, attack.what);
            }
            Ok(ExitCode::SUCCESS)
        }
        Command::Run(args) => run_attacks(args),
        Command::Table { files } => {
            let mut rows = Vec::new();
            for file in files {
                rows.extend(read_rows(&std::fs::read_to_string(file)?)?);
            }
            print!("{}", stage::markdown(&rows));
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn read_rows(text: &str) -> Result<Vec<Row>, AbuseError> {
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    let rows = lines.map(serde_json::from_str).collect::<Result<_, _>>();
    rows.map_err(|error| AbuseError::Document {
        command: "abuse run --json",
        error,
    })
}

fn run_attacks(args: &RunArgs) -> Result<ExitCode, AbuseError> {
    let binary = args.binary.canonicalize()?;
    let options = Options {
        binary: &binary,
        time: args.seconds.map(Duration::from_secs),
        patience: Duration::from_secs(args.patience),
    };
    let mut rows = Vec::new();
    let mut is_whole = true;
    for attack in chosen(&args.names)? {
        eprintln!("abuse: {} ...", attack.name);
        match stage::run(attack, &options) {
            Ok(row) => {
                match args.json {
                    true => println!("{}", to_json(&row)?),
                    false if !args.markdown => println!("{}", row.text()),
                    false => eprintln!("{}", row.text()),
                }
                rows.push(row);
            }
            Err(error) => {
                is_whole = false;
                eprintln!("abuse: {}: {error}", attack.name);
            }
        }
    }
    if args.markdown {
        print!("{}", stage::markdown(&rows));
    }
    let within = is_whole && rows.iter().all(Row::is_within);
    Ok(if within {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn to_json(row: &Row) -> Result<String, AbuseError> {
    serde_json::to_string(row).map_err(|error| AbuseError::Document {
        command: "abuse run --json",
        error,
    })
}

fn chosen(names: &[String]) -> Result<Vec<&'static Attack>, AbuseError> {
    let mut chosen: Vec<&Attack> = Vec::new();
    for name in names {
        let found: Vec<_> = match attack(name) {
            Some(attack) => vec![attack],
            None => attacks().filter(|attack| is_meant(attack, name)).collect(),
        };
        if found.is_empty() {
            return Err(AbuseError::NotMade(format!(
                "no attack is called `{name}`; `abuse list` names them"
            )));
        }
        chosen.extend(found);
    }
    Ok(chosen)
}

fn is_meant(attack: &Attack, name: &str) -> bool {
    let group = format!("{:?}", attack.by).to_lowercase();
    name == "all" || name == group || attack.name.starts_with(name)
}
