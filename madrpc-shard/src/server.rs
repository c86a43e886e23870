//! A server: the shards of a node or of an orchestrator, and the control thread beside them.
//!
//! Owns the order of things at the start and at the end. What can be wrong is found out before anything runs; when
//! `start` returns, every shard serves.

use crate::address::AddressError;
use crate::beacon::Beacon;
use crate::control::{self, ToControl, tell};
use crate::cpus::{self, CpuError, CpuSet};
use crate::endpoint::{Resets, Tokens};
use crate::group::{ShardGroup, Starting};
use crate::handler::Handler;
use crate::health::Heartbeat;
#[cfg(feature = "engine")]
use crate::node::{LANES_PER_SHARD, Node, NodeConfig};
use crate::orchestrator::Orchestrator;
use crate::preflight::{self, PreflightError};
use crate::relay;
use crate::shard::{Inbox, Seat, Shard, ToShard};
use crate::spin::{DEFAULT_SPIN, Spin};
use crate::steer::{BindError, PortLock, SocketGroup, Steering, SteeringChoice};
use crate::transport::{accepting_endpoint, dialing_endpoint};
use core_affinity::CoreId;
use futures_channel::mpsc::unbounded;
use madrpc_core::identity::{Identity, IdentityError};
use madrpc_core::limits::UPSTREAM_IDLE_TIMEOUT;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long the shards may take to load another script; a core may be stuck, or all lanes busy.
#[cfg(feature = "engine")]
const PREPARE_TIMEOUT: Duration = Duration::from_secs(60);

/// What the key of stateless resets is derived for.
pub(crate) const RESET_PURPOSE: &str = "stateless reset";

/// How long shards that were told to end at once may take.
const STOP_TIMEOUT: Duration = Duration::from_secs(2);

/// Why a server cannot be started; each is one line that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address cannot be used.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// The cores asked for cannot be had.
    #[error(transparent)]
    Cpus(#[from] CpuError),
    /// The machine lacks something.
    #[error(transparent)]
    Preflight(#[from] PreflightError),
    /// The port cannot be had.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The certificates cannot be used.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The script cannot be used.
    #[cfg(feature = "engine")]
    #[error(transparent)]
    Script(#[from] crate::engine::LoadError),
    /// A number makes no sense.
    #[error("{0}")]
    Settings(String),
    /// A shard did not come up.
    #[error("{0}")]
    Shard(String),
}

/// What every server needs.
#[derive(Debug, Clone)]
pub struct ServerConfig {
    /// Where it listens; port 0 chooses a free one.
    pub bind: SocketAddr,
    /// How many shards; default: one for each core it may use.
    pub shards: Option<usize>,
    /// The cores it may use; default: those of the process' CPU mask.
    pub cpus: Option<CpuSet>,
    /// How datagrams shall find their shard; default: by the kernel where it can.
    pub steering: SteeringChoice,
    /// Who it is.
    pub identity: Identity,
    /// How long a shard that has calls all the time looks for more before it sleeps; zero: it sleeps at once. Default:
    /// [`DEFAULT_SPIN`]. An idle shard sleeps whatever this says.
    pub spin: Duration,
}

impl ServerConfig {
    /// The defaults.
    #[must_use]
    pub fn new(bind: SocketAddr, identity: Identity) -> Self {
        Self {
            bind,
            shards: None,
            cpus: None,
            steering: SteeringChoice::Auto,
            identity,
            spin: DEFAULT_SPIN,
        }
    }
}

/// A running server. Dropping it ends it at once.
pub struct Server {
    address: SocketAddr,
    name: String,
    steering: Steering,
    /// What the lanes of a node are told.
    #[cfg(feature = "engine")]
    lane: Option<crate::engine::LaneConfig>,
    running: Option<Running>,
}

struct Running {
    group: ShardGroup,
    inboxes: Vec<Inbox>,
    to_control: Sender<ToControl>,
    control: JoinHandle<()>,
    /// Kept until all shards have ended: the kernel selects by position, and closing one socket would move another.
    _sockets: Vec<UdpSocket>,
    _lock: PortLock,
}

impl Server {
    /// Starts a node that runs the functions of `script`.
    ///
    /// # Errors
    /// The first thing that is wrong.
    #[cfg(feature = "engine")]
    pub fn node(
        config: &ServerConfig,
        script: &crate::engine::Script,
        node: &NodeConfig,
    ) -> Result<Self, StartError> {
        node.check().map_err(StartError::Settings)?;
        let mut cores = cpus::choose(config.cpus.as_ref(), config.shards)?;
        if let Some(lanes) = node.pool_size
            && lanes < cores.len()
        {
            tracing::info!(
                "a pool of {lanes} lanes is enough for {lanes} of {} shards",
                cores.len()
            );
            cores.truncate(lanes);
        }
        preflight::check(cores.len())?;
        script.registrations(&node.lane)?;
        let shards = cores.len();
        let lanes = node.pool_size.unwrap_or(LANES_PER_SHARD * shards);
        let sockets = bind(config, cores.len())?;
        let mut server = Self::start("node", sockets, config, &cores, |seat| {
            let (script, settings, identity) =
                (script.clone(), node.clone(), config.identity.clone());
            let share = lanes / shards + usize::from(usize::from(seat.shard) < lanes % shards);
            move |seat: &Seat, now| {
                let orchestrator = settings.orchestrator.map(|address| {
                    let endpoint =
                        dialing_endpoint(&identity, address, UPSTREAM_IDLE_TIMEOUT, now)?;
                    Ok::<_, String>((address, endpoint))
                });
                let orchestrator = orchestrator.transpose()?;
                let node = Node::new(seat, &script, &settings, share, orchestrator, now);
                let node = node.map_err(|error| error.to_string())?;
                Ok(Handler::Node(Box::new(node)))
            }
        })?;
        server.lane = Some(node.lane.clone());
        Ok(server)
    }

    /// Lets a node go over to another script; gives the names of its functions.
    ///
    /// The script is loaded beside the one that runs, by each shard. Calls under way end as they began; those that wait
    /// for a lane, and all later ones, run as the new script has them.
    ///
    /// # Errors
    /// Where the script cannot be used by one of the shards, or this is no node. Nothing has changed then.
    #[cfg(feature = "engine")]
    pub fn reload(
        &mut self,
        script: &crate::engine::Script,
    ) -> Result<Vec<String>, crate::engine::LoadError> {
        let (Some(lane), Some(running)) = (&self.lane, &self.running) else {
            return Err(crate::engine::LoadError::new(format!(
                "{} is no node and runs no script",
                self.name
            )));
        };
        let registrations = script.registrations(lane)?;
        let (prepared, replies) = channel();
        tell(&running.inboxes, || {
            ToShard::Prepare(script.clone(), prepared.clone())
        });
        drop(prepared);
        let deadline = Instant::now() + PREPARE_TIMEOUT;
        let all = (0..running.inboxes.len()).try_for_each(|_| {
            let left = deadline.saturating_duration_since(Instant::now());
            match replies.recv_timeout(left) {
                Ok(Ok(prepared)) if prepared == registrations => Ok(()),
                Ok(Ok(_)) => Err(crate::engine::LoadError::inconstant(script)),
                Ok(Err(error)) => Err(error),
                Err(_) => Err(crate::engine::LoadError::new(format!(
                    "script {}: a shard had no time to load it within {} s",
                    script.name(),
                    PREPARE_TIMEOUT.as_secs()
                ))),
            }
        });
        match all {
            Ok(()) => tell(&running.inboxes, || ToShard::Adopt),
            Err(error) => {
                tell(&running.inboxes, || ToShard::Discard);
                return Err(error);
            }
        }
        let names = registrations.into_iter();
        Ok(names.map(|function| function.name).collect())
    }

    /// Starts an orchestrator in front of `nodes`.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn orchestrator(config: &ServerConfig, nodes: &[SocketAddr]) -> Result<Self, StartError> {
        let cores = cpus::choose(config.cpus.as_ref(), config.shards)?;
        let sockets = bind(config, cores.len())?;
        Self::orchestrator_at(sockets, config, &cores, nodes)
    }

    /// As [`Server::orchestrator`], with sockets that are bound already.
    pub(crate) fn orchestrator_at(
        sockets: SocketGroup,
        config: &ServerConfig,
        cores: &[CoreId],
        nodes: &[SocketAddr],
    ) -> Result<Self, StartError> {
        let Some(&first) = nodes.first() else {
            return Err(StartError::Settings(
                "an orchestrator needs at least one node".into(),
            ));
        };
        if let Some(other) = nodes.iter().find(|node| node.is_ipv4() != first.is_ipv4()) {
            return Err(StartError::Settings(format!(
                "nodes {first} and {other}: use IPv4 addresses for all nodes, or IPv6 for all"
            )));
        }
        preflight::check(cores.len())?;
        let identity = config.identity.clone();
        Self::start("orchestrator", sockets, config, cores, |_| {
            let (nodes, identity) = (nodes.to_vec(), identity.clone());
            move |seat: &Seat, now| {
                let endpoint = dialing_endpoint(&identity, first, UPSTREAM_IDLE_TIMEOUT, now)?;
                let orchestrator = Orchestrator::new(seat, endpoint, &nodes, now);
                Ok(Handler::Orchestrator(Box::new(orchestrator)))
            }
        })
    }

    /// Starts the shards, each with the handler that `make` prepares for its seat.
    fn start<M>(
        role: &'static str,
        sockets: SocketGroup,
        config: &ServerConfig,
        cores: &[CoreId],
        make: impl Fn(&Seat) -> M,
    ) -> Result<Self, StartError>
    where
        M: FnOnce(&Seat, Instant) -> Result<Handler, String> + Send + 'static,
    {
        // Made once here for its errors; every shard makes its own.
        config.identity.server_config()?;
        if let Some(lacking) = cpus::lacking_quota(cores.len()) {
            tracing::warn!("{lacking}");
        }
        let SocketGroup {
            sockets,
            address,
            steering,
            lock,
        } = sockets;
        let name = name_of(address);
        let duplicates = sockets
            .iter()
            .map(UdpSocket::try_clone)
            .collect::<std::io::Result<_>>();
        let duplicates =
            duplicates.map_err(|error| StartError::Shard(format!("sockets: {error}")))?;
        let (to_control, from_shards) = channel();
        let mut inboxes = Vec::new();
        let mut bodies = Vec::new();
        let mut beacons: Vec<Arc<Beacon>> = Vec::new();
        let started = Instant::now();
        let tokens = Tokens::new(started)
            .map_err(|error| StartError::Shard(format!("random numbers: {error}")))?;
        let resets = Resets::new(config.identity.derive_secret(RESET_PURPOSE)?, started);
        let shards = sockets.len() as u16;
        let members = sockets.into_iter().zip(relay::mesh(shards));
        for (shard, (socket, relay)) in (0..shards).zip(members) {
            let seat = Seat {
                shard,
                shards,
                steering,
                role,
                name: name.clone(),
                started,
                beacon: Arc::default(),
            };
            beacons.push(Arc::clone(&seat.beacon));
            let (inbox, messages) = unbounded();
            inboxes.push(inbox);
            let spin = config.spin;
            let (make, identity, control) =
                (make(&seat), config.identity.clone(), to_control.clone());
            let (tokens, resets) = (tokens.clone(), resets.clone());
            bodies.push(move |starting: Starting| async move {
                let now = Instant::now();
                let server =
                    accepting_endpoint(&identity, socket, relay, (tokens, resets), &seat, now);
                match server.and_then(|server| Ok((server, make(&seat, now)?))) {
                    Ok((server, handler)) => {
                        let spin = Spin::new(spin);
                        let shard = Shard::new(seat, server, handler, messages, control, spin);
                        starting.ready();
                        shard.run().await;
                    }
                    Err(why) => starting.failed(why),
                }
            });
        }
        let group = match ShardGroup::start(cores, bodies) {
            Ok(group) => group,
            Err(why) => {
                tell(&inboxes, || ToShard::Stop);
                return Err(StartError::Shard(why));
            }
        };
        let control = control::spawn(&name, from_shards, inboxes.clone(), beacons);
        let control =
            control.map_err(|error| StartError::Shard(format!("control thread: {error}")))?;
        Ok(Self {
            address,
            name,
            steering,
            #[cfg(feature = "engine")]
            lane: None,
            running: Some(Running {
                group,
                inboxes,
                to_control,
                control,
                _sockets: duplicates,
                _lock: lock,
            }),
        })
    }

    /// The address it listens on.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it calls itself in bills and statistics.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How datagrams find their shard.
    #[must_use]
    pub fn steering(&self) -> Steering {
        self.steering
    }

    /// How many shards it has.
    #[must_use]
    pub fn shards(&self) -> usize {
        self.running
            .as_ref()
            .map_or(0, |running| running.inboxes.len())
    }

    /// Goes over to another identity: sessions opened from now on are opened and accepted with it, those that are open go on.
    ///
    /// # Errors
    /// Where it cannot serve. Nothing has changed then.
    pub fn set_identity(&self, identity: &Identity) -> Result<(), IdentityError> {
        // Made once here for its errors; every shard makes its own.
        identity.server_config()?;
        identity.client_config()?;
        if let Some(running) = &self.running {
            tell(&running.inboxes, || ToShard::Identify(identity.clone()));
        }
        Ok(())
    }

    /// Has the shards asked again and again whether they are there; of several heartbeats the last one counts.
    pub fn watch(&self, heartbeat: Heartbeat) {
        if let Some(running) = &self.running {
            // It fails only where the control thread has ended, and then the server has.
            let _ = running.to_control.send(ToControl::Watch(heartbeat));
        }
    }

    /// Takes nothing new, waits for the calls under way for at most `timeout`, and ends. Says whether all calls ended.
    pub fn drain(mut self, timeout: Duration) -> bool {
        let deadline = Instant::now() + timeout;
        let drained = self.running.as_ref().is_none_or(|running| {
            tell(&running.inboxes, || ToShard::Drain);
            running.group.wait(deadline)
        });
        self.stop();
        drained
    }

    fn stop(&mut self) {
        let Some(running) = self.running.take() else {
            return;
        };
        tell(&running.inboxes, || ToShard::Stop);
        let _ = running.to_control.send(ToControl::Close);
        let _ = running.control.join();
        if running.group.wait(Instant::now() + STOP_TIMEOUT) {
            running.group.join();
        } else {
            // Threads end with the process; nothing waits for a shard that is stuck.
            tracing::warn!(
                "{}: a shard did not end in time and is left behind",
                self.name
            );
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The sockets of a server with so many shards.
pub(crate) fn bind(config: &ServerConfig, shards: usize) -> Result<SocketGroup, StartError> {
    let most = madrpc_core::cid::SHARDS_MAX;
    let shards = u16::try_from(shards).ok().filter(|&shards| shards <= most);
    let shards = shards.ok_or_else(|| StartError::Settings(format!("at most {most} shards")))?;
    Ok(SocketGroup::bind(config.bind, shards, config.steering)?)
}

/// The address by which others know the server: an unspecified one is replaced by the machine's name.
fn name_of(address: SocketAddr) -> String {
    let host = nix::unistd::gethostname()
        .ok()
        .and_then(|name| name.into_string().ok());
    match host {
        Some(host) if address.ip().is_unspecified() => format!("{host}:{}", address.port()),
        _ => address.to_string(),
    }
}
