//! The servers of a run, as processes on a core of their own.

use super::log::Log;
use super::{BUDGET_BYTES, Cores};
use crate::attack::{Attack, Setting};
use crate::error::AbuseError;
use crate::fleet::Fleet;
use crate::peer::client::Peer;
use crate::script::{LANES, SCRIPT};
use crate::watched::Watched;
use nix::sys::signal::Signal;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// How long a server may take until it answers.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long a server may take to end, whose calls under way have a second of it.
const END_PATIENCE: Duration = Duration::from_secs(10);

/// The binary that is attacked, and what it can do.
#[derive(Debug, Clone)]
pub(crate) struct Binary<'a> {
    path: &'a Path,
    has_budget: bool,
}

impl<'a> Binary<'a> {
    pub(crate) fn new(path: &'a Path) -> Result<Self, AbuseError> {
        let help = Command::new(path).args(["node", "--help"]).output()?;
        let help = String::from_utf8_lossy(&help.stdout).into_owned();
        Ok(Self {
            path,
            has_budget: help.contains("--memory-max"),
        })
    }

    /// A command of this fleet.
    pub(crate) fn command(&self, fleet: &Fleet, args: &[&str]) -> Command {
        let mut command = Command::new(self.path);
        command
            .args(args)
            .current_dir(fleet.dir())
            .env("MADRPC_TLS_DIR", fleet.tls_dir())
            .env_remove("RUST_LOG")
            .stdin(Stdio::null());
        command
    }

    /// The output of a command that has to end within this time; `None` where it does not.
    pub(crate) fn output(
        &self,
        fleet: &Fleet,
        args: &[&str],
        patience: Duration,
    ) -> Result<Option<Output>, AbuseError> {
        let mut command = self.command(fleet, args);
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let end = Instant::now() + patience;
        while child.try_wait()?.is_none() {
            if Instant::now() > end {
                child.kill()?;
                child.wait()?;
                return Ok(None);
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(Some(child.wait_with_output()?))
    }
}

/// A server; it is killed where it has not been ended.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
    pub(crate) log: Log,
}

impl Server {
    fn start(
        mut command: Command,
        address: SocketAddr,
        core: core_affinity::CoreId,
        reads_log: bool,
    ) -> Result<Self, AbuseError> {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        // A child has the cores of the thread that makes it.
        let spawned = std::thread::scope(|scope| {
            let maker = scope.spawn(|| {
                core_affinity::set_for_current(core);
                command.spawn()
            });
            maker.join()
        });
        let mut child = spawned.map_err(|_| AbuseError::not_made("no thread"))??;
        let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
            return Err(AbuseError::not_made("a server without output"));
        };
        Ok(Self {
            child,
            address,
            log: Log::new(stdout, stderr, reads_log),
        })
    }

    /// Its process.
    pub(crate) fn watched(&self) -> Watched {
        Watched::new(self.child.id())
    }

    /// Waits until a call returns.
    fn wait_ready(&mut self, fleet: &Fleet) -> Result<(), AbuseError> {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait()? {
                let said = self.log.count().kept.join("\n");
                return Err(AbuseError::not_made(format!(
                    "a server ended: {status}\n{said}"
                )));
            }
            if let Ok(mut peer) = Peer::connect(self.address, &mut fleet.caller()?) {
                let came = peer.ask(1, "echo", &[0], Duration::from_secs(2))?;
                peer.close();
                if matches!(came, Some(crate::peer::client::Came::Reply(_))) {
                    return Ok(());
                }
            }
            if Instant::now() > end {
                return Err(AbuseError::not_made("a server is not ready"));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Whether it still runs.
    pub(crate) fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Asks it to end: how long that took, and whether it ended as it should.
    pub(crate) fn end(&mut self) -> Result<(Duration, bool), AbuseError> {
        let started = Instant::now();
        self.watched().signal(Signal::SIGTERM)?;
        while started.elapsed() < END_PATIENCE {
            if let Some(status) = self.child.try_wait()? {
                return Ok((started.elapsed(), status.success()));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok((started.elapsed(), false))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It fails only where it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The servers of a setting.
pub(crate) struct Servers {
    /// The one that is attacked comes first.
    pub(crate) all: Vec<Server>,
    pub(crate) nodes: Vec<SocketAddr>,
    pub(crate) bad_node: Option<UdpSocket>,
}

impl Servers {
    /// Starts what the attack needs, and waits until it answers.
    pub(crate) fn start(
        binary: &Binary<'_>,
        fleet: &Fleet,
        attack: &Attack,
        cores: Cores,
    ) -> Result<Self, AbuseError> {
        let script = fleet.dir().join("script.js");
        let further = format!(
            "for (let n = 0; n < {}; n++) madrpc.register(`further${{n}}`, () => n);",
            attack.functions
        );
        std::fs::write(&script, [SCRIPT, &further].concat())?;
        let setting = attack.setting;
        let budget = BUDGET_BYTES.to_string();
        let common = |address: &str, core: usize| -> Vec<String> {
            let core = core.to_string();
            let mut args = vec!["-b", address, "--shards", "1", "--cpus", &core];
            args.extend(["--drain-timeout", "1s"]);
            if binary.has_budget {
                args.extend(["--memory-max", &budget]);
            }
            args.into_iter().map(str::to_owned).collect()
        };
        let node_core = match setting.is_orchestrated() {
            true => cores.nodes,
            false => cores.target,
        };
        let start_node = |reads_log: bool| -> Result<Server, AbuseError> {
            let address = free_address()?;
            let lanes = LANES.to_string();
            let mut command =
                binary.command(fleet, &["node", "-s", "script.js", "--pool-size", &lanes]);
            command
                .args(common(&address.to_string(), node_core.id))
                .args(attack.node_flags);
            let mut node = Server::start(command, address, node_core, reads_log)?;
            node.wait_ready(fleet)?;
            Ok(node)
        };
        let mut all = vec![start_node(setting != Setting::NodeUnread)?];
        if setting == Setting::TwoNodes {
            all.push(start_node(true)?);
        }
        let nodes = all.iter().map(|node| node.address).collect();
        let mut bad_node = None;
        if setting.is_orchestrated() {
            let address = free_address()?;
            let node = all[0].address.to_string();
            let mut command = binary.command(fleet, &["orchestrator", "-n", &node]);
            if setting == Setting::OrchestratorWithBadNode {
                let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
                command.args(["-n", &socket.local_addr()?.to_string()]);
                bad_node = Some(socket);
            }
            command.args(common(&address.to_string(), cores.target.id));
            let mut orchestrator = Server::start(command, address, cores.target, true)?;
            orchestrator.wait_ready(fleet)?;
            all.insert(0, orchestrator);
        }
        Ok(Self {
            all,
            nodes,
            bad_node,
        })
    }

    /// The processes of the attacked server and of the node that runs its calls.
    pub(crate) fn watched(&self) -> Option<[Watched; 2]> {
        let target = self.all.first()?;
        let node = self
            .all
            .iter()
            .find(|server| self.nodes.contains(&server.address))?;
        Some([target.watched(), node.watched()])
    }
}

fn free_address() -> Result<SocketAddr, AbuseError> {
    Ok(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}
