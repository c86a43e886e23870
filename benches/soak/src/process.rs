//! Processes of a run, none of which outlives it: the kernel kills each when the run's main thread ends, whatever
//! ended it. So all are started by that thread.

use crate::Outcome;
use nix::sys::prctl;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, getppid};
use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

/// What becomes a server.
#[derive(clap::Args)]
pub(crate) struct ServerArguments {
    /// The run
    #[arg(long)]
    parent: i32,
    /// The server and its arguments
    #[arg(last = true, required = true)]
    command: Vec<OsString>,
}

/// Turns this process into the server; returns only where that fails.
pub(crate) fn become_server(arguments: &ServerArguments) -> Outcome<()> {
    end_with(arguments.parent)?;
    let [program, args @ ..] = arguments.command.as_slice() else {
        return Err("no command".into());
    };
    let error = Command::new(program).args(args).exec();
    Err(format!("{}: {error}", program.display()).into())
}

/// Makes this process end when the run does.
pub(crate) fn end_with(parent: i32) -> Outcome<()> {
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    match getppid() == Pid::from_raw(parent) {
        true => Ok(()),
        // It ended before the kernel knew that we want to hear of it.
        false => Err("the run has ended".into()),
    }
}

/// This program with other arguments, as a process of the run. Ctrl-C in a terminal reaches the run alone, which ends
/// the others in their order.
pub(crate) fn again(subcommand: &str) -> Outcome<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args([subcommand, "--parent", &std::process::id().to_string()]);
    command.process_group(0);
    // Otherwise the C library keeps what one large body took, for each thread that ever had one (mallopt(3)): that is a
    // caller's own affair, and takes longer to come to an end than a run.
    command.env("MALLOC_MMAP_THRESHOLD_", "262144");
    Ok(command)
}

/// A process of the run; dropping it kills it.
pub(crate) struct Process {
    pub(crate) name: &'static str,
    child: Child,
}

impl Process {
    pub(crate) fn new(name: &'static str, child: Child) -> Self {
        Self { name, child }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it did.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    pub(crate) fn signal(&self, signal: Signal) -> Outcome<()> {
        kill(Pid::from_raw(self.child.id().try_into()?), signal)?;
        Ok(())
    }

    /// Asks it to end, and kills it where it has not after `patience`: whether it ended by itself and well.
    pub(crate) fn end(mut self, patience: Duration) -> bool {
        let end = Instant::now() + patience;
        let mut status = self.ended();
        if status.is_none() && self.signal(Signal::SIGTERM).is_ok() {
            while status.is_none() && Instant::now() < end {
                std::thread::sleep(Duration::from_millis(20));
                status = self.ended();
            }
        }
        status.is_some_and(|status| status.success())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It fails only where the process has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
