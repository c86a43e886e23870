//! A server: the shards of a node or of an orchestrator, and the control thread beside them.
//!
//! Owns the order of things at the start and at the end. What can be wrong is found out before anything runs; when
//! a server has been started, every shard serves.
//!
//! | | |
//! |---|---|
//! | `node`, `orchestrator` | what is started |
//! | `shard` | the loop of one core |
//! | `control` | what is done beside the calls |
//! | [`heartbeat`] | whether all shards are there |
//! | [`script_watch`] | whether the script's files have changed |
//! | [`local_cluster`] | several servers in one process |
//!
//! A program that runs servers makes [`CountingAllocator`](crate::runtime::memory::CountingAllocator) its allocator: without it,
//! what QUIC keeps for a session is estimated, and a caller who sends in pieces can have a server keep a hundred times as much.
#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

pub mod heartbeat;
#[cfg(feature = "engine")]
pub mod local_cluster;
#[cfg(feature = "engine")]
pub mod script_watch;

mod config;
pub(crate) mod control;
pub(crate) mod messages;
#[cfg(feature = "engine")]
mod node;
mod observer;
mod orchestrator;
mod own_certificates;
#[cfg(feature = "traces")]
mod recorded;
mod remote;
mod reserved;
mod revocation;
pub(crate) mod shard;

pub use crate::net::spin::DEFAULT_SPIN;
pub use config::{ServerConfig, StartError};
#[cfg_attr(
    not(feature = "gateway"),
    expect(unused_imports, reason = "only HTTP observes")
)]
pub(crate) use observer::Observer;
#[cfg(feature = "traces")]
pub(crate) use recorded::Recorded;
pub use remote::ReloadRequest;
pub use revocation::RevokedFile;

use crate::net::bell::Listener;
use crate::net::budget::Budget;
use crate::net::endpoint::{Accepting, Endpoint, Resets, Tokens};
use crate::net::relay;
use crate::net::seat::Seat;
use crate::net::service::Service;
use crate::net::socket::Socket;
use crate::net::spin::Spin;
use crate::net::steer::{PortLock, SocketGroup, Steering};
use crate::net::traces::{CallRecorder, Observing, RecordedCalls, Recorder, SlowCalls, Span};
use crate::net::transport::{TransportError, accepting_config, dialing_config};
use crate::runtime::beacon::Beacon;
use crate::runtime::shard_group::{ShardGroup, Starting};
use crate::runtime::{cpu_quota, memory};
use control::{ToControl, tell};
use core_affinity::CoreId;
use futures_channel::mpsc::unbounded;
use heartbeat::Heartbeat;
use madrpc_core::identity::{Identity, IdentityError, Permissions};
use madrpc_core::limits::{MEMORY_MIN_BYTES, UPSTREAM_IDLE_TIMEOUT};
use madrpc_core::numbers::later;
use messages::{Inbox, ToShard};
use rtrb::Consumer;
use shard::{RESET_PURPOSE, Served, Shard};
use std::net::{SocketAddr, UdpSocket};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long shards that were told to end at once may take.
const STOP_TIMEOUT: Duration = Duration::from_secs(2);

/// A running server. Dropping it ends it at once.
pub struct Server {
    address: SocketAddr,
    name: String,
    steering: Steering,
    identity: Identity,
    permissions: Arc<Permissions>,
    /// The way to the scripts of a node.
    #[cfg(feature = "engine")]
    scripts: Option<node::Scripts>,
    running: Option<Running>,
}

struct Running {
    group: ShardGroup,
    inboxes: Vec<Inbox>,
    /// Where spans come out, a ring for each shard and one for its own clients, until somebody takes them.
    #[cfg_attr(
        not(feature = "traces"),
        expect(dead_code, reason = "only traces have spans")
    )]
    spans: Option<(Vec<Consumer<Span>>, RecordedCalls)>,
    /// What records the calls of its own clients.
    #[cfg_attr(
        not(feature = "gateway"),
        expect(dead_code, reason = "only HTTP has such clients")
    )]
    recorder: Option<CallRecorder>,
    to_control: Sender<ToControl>,
    control: JoinHandle<()>,
    /// Kept until all shards have ended: the kernel selects by position, and closing one socket would move another.
    _sockets: Vec<UdpSocket>,
    _lock: PortLock,
}

impl Server {
    /// Starts the shards, each with the service that `make` prepares for its seat.
    fn start<S, E, M>(
        role: &'static str,
        sockets: SocketGroup,
        config: &ServerConfig,
        cores: &[CoreId],
        make: impl Fn(&Seat) -> M,
    ) -> Result<Self, StartError>
    where
        S: Service,
        E: std::error::Error + Send + Sync + 'static,
        M: FnOnce(&Seat, &Rc<Budget>, Observing, Instant) -> Result<Served<S>, E> + Send + 'static,
    {
        // Made once here for its errors; every shard makes its own.
        config.identity.server_config()?;
        memory::set_up();
        if let Some(lacking) = cpu_quota::lacking(cores.len()) {
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
        let duplicates = duplicates.map_err(system("sockets"))?;
        let (to_control, from_shards) = channel();
        let mut inboxes = Vec::new();
        let mut bodies = Vec::new();
        let mut rings = Vec::new();
        let mut beacons: Vec<Arc<Beacon>> = Vec::new();
        let started = Instant::now();
        let tokens = Tokens::new(started)
            .map_err(|error| system("random numbers")(std::io::Error::other(error)))?;
        let instance = fastrand::u64(..);
        let reset_key = config.identity.derive_secret(RESET_PURPOSE)?;
        let resets = Resets::new(reset_key, &identity_of(&name), started);
        let shards = sockets.len() as u16;
        let memory_max = memory_of_shard(config, shards)?;
        let listeners = (0..shards).map(|_| Listener::new());
        let listeners = listeners.collect::<std::io::Result<Vec<_>>>();
        let listeners = listeners.map_err(system("events"))?;
        let bells = listeners.iter().map(|listener| Arc::clone(listener.bell()));
        let relays = relay::mesh(&bells.collect::<Vec<_>>());
        let members = sockets.into_iter().zip(listeners).zip(relays);
        for (shard, ((socket, listener), relay)) in (0..shards).zip(members) {
            let seat = Seat {
                shard,
                shards,
                steering,
                role,
                name: name.clone(),
                started,
                beacon: Arc::default(),
                bell: Arc::clone(listener.bell()),
            };
            beacons.push(Arc::clone(&seat.beacon));
            let (to_shard, messages) = unbounded();
            inboxes.push(Inbox::new(to_shard, listener.bell()));
            let inbox = (messages, listener);
            let (spin, slow) = (config.spin, config.slow);
            let (recorder, spans) = config.record.map(Recorder::new).unzip();
            rings.extend(spans);
            let (make, identity, control) =
                (make(&seat), config.identity.clone(), to_control.clone());
            let (tokens, resets) = (tokens.clone(), resets.clone());
            let (permissions, own) = (
                Arc::clone(&config.permissions),
                config.identity.fingerprint()?,
            );
            bodies.push(move |starting: Starting| {
                let now = Instant::now();
                let budget = Budget::new(memory_max);
                let callers = accepting_config(&identity).and_then(|config| {
                    let accepting = Accepting {
                        config,
                        shard,
                        shards,
                        instance,
                        tokens,
                        resets,
                    };
                    let socket = Socket::new(socket)
                        .map_err(|error| TransportError::Socket(address, error))?;
                    let budget = Rc::clone(&budget);
                    Ok(Endpoint::accepting(socket, relay, accepting, budget, now))
                });
                let mut callers = match callers {
                    Ok(callers) => callers,
                    Err(why) => return starting.failed(why),
                };
                let observing = Observing::new(SlowCalls::new(slow), recorder);
                match make(&seat, &budget, observing, now) {
                    Ok(served) => {
                        if served.announcing.is_some() {
                            match dialing_config(&identity, UPSTREAM_IDLE_TIMEOUT) {
                                Ok(config) => callers.set_dialing(config),
                                Err(why) => return starting.failed(why),
                            }
                        }
                        let spin = Spin::new(spin);
                        let shard = Shard::new(
                            seat,
                            callers,
                            served,
                            budget,
                            inbox,
                            (control, permissions, own),
                            spin,
                        );
                        starting.ready();
                        shard.run();
                    }
                    Err(why) => starting.failed(why),
                }
            });
        }
        let group = match ShardGroup::start(config.label.as_deref(), cores, bodies) {
            Ok(group) => group,
            Err(why) => {
                tell(&inboxes, || ToShard::Stop);
                return Err(why.into());
            }
        };
        let control = control::spawn(&name, from_shards, inboxes.clone(), beacons);
        let control = control.map_err(system("control thread"))?;
        let (recorder, recorded) = config.record.map(CallRecorder::new).unzip();
        Ok(Self {
            address,
            name,
            steering,
            identity: config.identity.clone(),
            permissions: Arc::clone(&config.permissions),
            #[cfg(feature = "engine")]
            scripts: None,
            running: Some(Running {
                group,
                inboxes,
                spans: recorded.map(|recorded| (rings, recorded)),
                recorder,
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

    /// Who it was at its start.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Who may call what.
    #[must_use]
    pub fn permissions(&self) -> &Arc<Permissions> {
        &self.permissions
    }

    /// What records the calls of its own clients, where any are recorded.
    #[cfg(feature = "gateway")]
    pub(crate) fn recorder(&self) -> Option<CallRecorder> {
        self.running.as_ref()?.recorder.clone()
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

    /// Who reloads where an operator asks for it over the network; of several the last one counts.
    pub fn reload_by(&self, reload: impl FnMut(ReloadRequest) + Send + 'static) {
        if let Some(running) = &self.running {
            // As above.
            let _ = running
                .to_control
                .send(ToControl::ReloadBy(Box::new(reload)));
        }
    }

    /// Takes nothing new, waits for the calls under way for at most `timeout`, and ends. Says whether all calls ended.
    pub fn drain(mut self, timeout: Duration) -> bool {
        let deadline = later(Instant::now(), timeout);
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
        if running.group.wait(later(Instant::now(), STOP_TIMEOUT)) {
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
fn bind(config: &ServerConfig, shards: usize) -> Result<SocketGroup, StartError> {
    let most = madrpc_core::session::cid::SHARDS_MAX;
    let shards = u16::try_from(shards).ok().filter(|&shards| shards <= most);
    let shards = shards.ok_or_else(|| StartError::Settings(format!("at most {most} shards")))?;
    Ok(SocketGroup::bind(config.bind, shards, config.steering)?)
}

fn system(what: &'static str) -> impl FnOnce(std::io::Error) -> StartError {
    move |reason| StartError::System { what, reason }
}

/// The bytes that each of so many shards may hold.
fn memory_of_shard(config: &ServerConfig, shards: u16) -> Result<usize, StartError> {
    let granted = || memory::granted_bytes() / 2;
    let max = config.memory_max_bytes.unwrap_or_else(granted);
    let each = usize::try_from(max / u64::from(shards.max(1))).unwrap_or(usize::MAX / 2);
    if each < MEMORY_MIN_BYTES {
        return Err(StartError::Settings(format!(
            "memory of {max} bytes is too little for {shards} shards: each needs {MEMORY_MIN_BYTES} bytes (--memory-max)"
        )));
    }
    Ok(each.min(usize::MAX / 2))
}

/// What tells the server from all others of its authority: its name, and the machine it runs on (machine-id(5)).
fn identity_of(name: &str) -> String {
    let machine = std::fs::read_to_string("/etc/machine-id").unwrap_or_default();
    format!("{name} {}", machine.trim())
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

#[cfg(test)]
#[cfg(feature = "engine")]
mod faults_tests;
