//! The servers: a node and an orchestrator, as the command madrpc runs them.

use crate::process::{Process, again};
use crate::{Outcome, RunArguments};
use madrpc_core::identity::{Authority, Role};
use madrpc_shard::client::{Client, ClientConfig};
use nix::sys::signal::Signal;
use std::fs::{self, File};
use std::net::{SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

const FUNCTIONS: &str = include_str!("../functions.js");

/// How long a server may take to be ready, and a new script until it runs.
const PATIENCE: Duration = Duration::from_secs(10);

/// The servers of a run.
pub(crate) struct Fleet {
    pub(crate) node: Process,
    pub(crate) orchestrator: Process,
    pub(crate) addresses: Addresses,
    pub(crate) home: PathBuf,
    version: u64,
}

/// Where they listen.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct Addresses {
    /// The node
    #[arg(long)]
    pub(crate) node: SocketAddr,
    /// The orchestrator
    #[arg(long)]
    pub(crate) orchestrator: SocketAddr,
}

impl Fleet {
    /// Starts both and waits until they serve. Their logs are `node.log` and `orchestrator.log` in `arguments.out`.
    pub(crate) fn start(arguments: &RunArguments) -> Outcome<Self> {
        let home = arguments.out.join("home");
        fs::create_dir_all(&home)?;
        write_script(&home, 0)?;
        let addresses = Addresses {
            node: free_address()?,
            orchestrator: free_address()?,
        };
        let (node_at, orchestrator_at) = (
            addresses.node.to_string(),
            addresses.orchestrator.to_string(),
        );
        let cores = cores(arguments.shards)?;
        let start = |name, core: &Option<String>, args: &[&str]| {
            let shards = arguments.shards.to_string();
            let mut args = [&[name], args, &["--shards", &shards]].concat();
            // Their floods of lines are what is tried, not how fast a disk takes them.
            args.extend(["--log", "warn", "--drain-timeout", "2s"]);
            args.extend(core.iter().flat_map(|core| ["--cpus", core]));
            start_server(&arguments.madrpc, name, &args, &home, &arguments.out)
        };
        let script = home.join("functions.js");
        let script = script.to_string_lossy();
        let node = start(
            "node",
            &cores[0],
            &[
                "-s",
                &script,
                "-b",
                &node_at,
                "--orchestrator",
                &orchestrator_at,
            ],
        )?;
        let orchestrator = start(
            "orchestrator",
            &cores[1],
            &["-b", &orchestrator_at, "-n", &node_at],
        )?;
        Ok(Self {
            node,
            orchestrator,
            addresses,
            home,
            version: 0,
        })
    }

    /// Puts another script there and has the node load it: its version.
    pub(crate) fn reload(&mut self) -> Outcome<u64> {
        self.version += 1;
        write_script(&self.home, self.version)?;
        self.node.signal(Signal::SIGHUP)?;
        Ok(self.version)
    }

    /// Puts a script there that does not load, and has both servers read anew what they can: nothing may change.
    pub(crate) fn reload_nonsense(&mut self) -> Outcome<u64> {
        fs::write(self.home.join("functions.js"), "nonsense(")?;
        self.node.signal(Signal::SIGHUP)?;
        self.orchestrator.signal(Signal::SIGHUP)?;
        Ok(self.version)
    }
}

/// Waits until the node runs the script of that version, or a later one.
pub(crate) fn runs_version(client: &Client, version: u64) -> Outcome<()> {
    let end = Instant::now() + PATIENCE;
    loop {
        let found = client.call_blocking::<_, u64>("version", &());
        match found {
            Ok(found) if found >= version => return Ok(()),
            found if Instant::now() > end => {
                return Err(
                    format!("version {version} of the script does not run: {found:?}").into(),
                );
            }
            _ => std::thread::sleep(Duration::from_millis(50)),
        }
    }
}

/// A client of the run's own authority.
pub(crate) fn client(home: &Path, address: SocketAddr) -> Outcome<Client> {
    let identity = Authority::load_or_create(&home.join("tls"))?.issue(Role::Client)?;
    let config = ClientConfig::with_identity(&address.to_string(), identity);
    Ok(Client::new(&config)?)
}

fn write_script(home: &Path, version: u64) -> Outcome<()> {
    let text = format!("{FUNCTIONS}\nmadrpc.register(\"version\", () => {version});\n");
    // A node that reads it meanwhile gets the one or the other.
    let path = home.join("functions.js.new");
    fs::write(&path, text)?;
    fs::rename(path, home.join("functions.js"))?;
    Ok(())
}

/// An address of loopback that nobody uses at the moment.
fn free_address() -> Outcome<SocketAddr> {
    Ok(UdpSocket::bind("127.0.0.1:0")?.local_addr()?)
}

/// The cores of the node and of the orchestrator, where each has one shard.
fn cores(shards: u16) -> Outcome<[Option<String>; 2]> {
    let cores = core_affinity::get_core_ids().ok_or("the cores of this process cannot be read")?;
    Ok(match (cores.first(), cores.last()) {
        (Some(first), Some(last)) if shards == 1 => {
            [Some(first.id.to_string()), Some(last.id.to_string())]
        }
        _ => [None, None],
    })
}

fn start_server(
    madrpc: &Path,
    name: &'static str,
    args: &[&str],
    home: &Path,
    out: &Path,
) -> Outcome<Process> {
    let path = out.join(format!("{name}.log"));
    let log = File::create(&path)?;
    let child = again("server")?
        .arg("--")
        .arg(madrpc)
        .args(args)
        .env("MADRPC_TLS_DIR", home.join("tls"))
        .env_remove("RUST_LOG")
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()?;
    let mut process = Process::new(name, child);
    let end = Instant::now() + PATIENCE;
    loop {
        let said = fs::read_to_string(&path)?;
        if said.contains("ready: ") {
            return Ok(process);
        }
        if process.ended().is_some() || Instant::now() > end {
            return Err(format!("the {name} does not start; it said: {}", said.trim()).into());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
