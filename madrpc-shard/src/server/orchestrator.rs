//! Starting an orchestrator.

#[cfg(feature = "discovery")]
use super::control::{ToControl, tell};
#[cfg(feature = "discovery")]
use super::messages::{Inbox, ToShard};
use super::shard::Served;
use super::{Server, ServerConfig, StartError, bind};
#[cfg(feature = "discovery")]
use crate::discovery::Discovery;
use crate::net::address::Addresses;
use crate::net::budget::Budget;
use crate::net::seat::Seat;
use crate::net::steer::SocketGroup;
use crate::net::transport::{TransportError, dialing_endpoint};
use crate::orchestrator::Orchestrator;
use crate::runtime::{cpus, preflight};
use core_affinity::CoreId;
use madrpc_core::limits::UPSTREAM_IDLE_TIMEOUT;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;

impl Server {
    /// Starts an orchestrator in front of `nodes`.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn orchestrator<A>(config: &ServerConfig, nodes: &[A]) -> Result<Self, StartError>
    where
        A: Clone + Into<Addresses>,
    {
        let nodes: Vec<Addresses> = nodes.iter().cloned().map(Into::into).collect();
        let cores = cpus::choose(config.cpus.as_ref(), config.shards)?;
        let sockets = bind(config, cores.len())?;
        Self::orchestrator_at(sockets, config, &cores, &nodes)
    }

    /// Looks at the sources of an orchestrator's nodes for as long as it serves, and goes by what they say.
    ///
    /// # Errors
    /// Where the system gives no thread.
    #[cfg(feature = "discovery")]
    pub fn discover(&self, discovery: Discovery) -> Result<(), StartError> {
        let Some(running) = &self.running else {
            return Ok(());
        };
        let inboxes = running.inboxes.clone();
        let missing = discovery.missing();
        // It fails only where the control thread has ended, and then the server has.
        let watch = ToControl::OnMissing(Box::new(move || missing.tell()));
        let _ = running.to_control.send(watch);
        let look = move || {
            let has_ended = || inboxes.iter().all(Inbox::has_ended);
            discovery.run(has_ended, |nodes| {
                let nodes: Arc<[Addresses]> = nodes.into();
                tell(&inboxes, || ToShard::Targets(Arc::clone(&nodes)));
            });
        };
        let thread = std::thread::Builder::new().name("discovery".into());
        thread
            .spawn(look)
            .map(drop)
            .map_err(|reason| StartError::System {
                what: "the thread that looks for nodes",
                reason,
            })
    }

    /// As [`Server::orchestrator`], with sockets that are bound already.
    pub(crate) fn orchestrator_at(
        sockets: SocketGroup,
        config: &ServerConfig,
        cores: &[CoreId],
        nodes: &[Addresses],
    ) -> Result<Self, StartError> {
        preflight::check(cores.len())?;
        let (identity, routing) = (config.identity.clone(), config.routing);
        let others_come = config.others_come || nodes.is_empty();
        Self::start("orchestrator", sockets, config, cores, |_| {
            let (nodes, identity) = (nodes.to_vec(), identity.clone());
            let permissions = Arc::clone(&config.permissions);
            move |seat: &Seat, budget: &Rc<Budget>, observing, now| {
                let all = nodes.iter().flat_map(Addresses::all).copied();
                // A socket for both families takes a little longer for each datagram.
                let any = [
                    SocketAddr::from((Ipv4Addr::LOCALHOST, 1)),
                    SocketAddr::from((Ipv6Addr::LOCALHOST, 1)),
                ];
                let any = any.into_iter().filter(|_| others_come);
                let all: Vec<SocketAddr> = all.chain(any).collect();
                let endpoint =
                    dialing_endpoint(&identity, &all, UPSTREAM_IDLE_TIMEOUT, budget, now)?;
                let (mut orchestrator, upstreams) =
                    Orchestrator::new(seat, endpoint, &nodes, routing, now);
                orchestrator.set_observing(observing);
                // One says it for all.
                if seat.shard == 0 {
                    orchestrator.look_at_rules(&permissions);
                }
                Ok::<_, TransportError>(Served {
                    service: orchestrator,
                    upstreams: Some(upstreams),
                    announcing: None,
                })
            }
        })
    }
}
