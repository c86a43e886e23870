//! Server processes: this program, started again to serve one system.
//!
//! A server says `ready ADDRESS` on its standard output and ends when its standard input does, so it never outlives the
//! run, however that ends.

use crate::outcome::Outcome;
use crate::system::System;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;

/// What a server process is told.
#[derive(clap::Args)]
pub(crate) struct ServeArguments {
    /// Which
    #[arg(value_enum)]
    pub(crate) system: System,
    /// The core it is pinned to
    #[arg(long)]
    pub(crate) core: usize,
    /// Where the authority and the installed Node.js package are
    #[arg(long)]
    pub(crate) dir: PathBuf,
    /// A node behind an orchestrator
    #[arg(long)]
    pub(crate) upstream: Vec<SocketAddr>,
    /// How an orchestrator chooses among its nodes
    #[arg(long, default_value = "round-robin")]
    pub(crate) balance: String,
    /// How many times it does what is asked
    #[arg(long, default_value_t = 1)]
    pub(crate) slowdown: u32,
}

/// A server under way; dropping it ends it.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    child: Child,
}

impl Server {
    /// Starts a server with these arguments more, and waits until it serves.
    pub(crate) fn start(
        system: System,
        core: usize,
        dir: &Path,
        arguments: &[String],
    ) -> Outcome<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["serve", system.name(), "--core", &core.to_string(), "--dir"]);
        command.arg(dir).args(arguments);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        if let Some(stdout) = child.stdout.take() {
            BufReader::new(stdout).read_line(&mut line)?;
        }
        let address = line.strip_prefix("ready ").map(|rest| rest.trim().parse());
        match address {
            Some(Ok(address)) => Ok(Self { address, child }),
            _ => {
                let status = child.kill().and_then(|()| child.wait())?;
                Err(format!("{}: the server did not start ({status})", system.name()).into())
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        // It fails only where the process has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Tells the run where this server listens; ends the process when the run no longer wants it.
pub(crate) fn ready(address: SocketAddr) -> Outcome<()> {
    println!("ready {address}");
    std::io::stdout().flush()?;
    thread::spawn(|| {
        // Nothing is ever written: reading returns at the end, or by an error that means the same.
        let _ = std::io::stdin().read(&mut [0]);
        std::process::exit(0)
    });
    Ok(())
}

/// Waits until the process ends.
pub(crate) fn serve_forever() -> ! {
    loop {
        thread::park();
    }
}
