//! Starting an orchestrator.

use super::{Server, ServerConfig, StartError, bind};
use crate::net::address::Addresses;
use crate::net::budget::Budget;
use crate::net::seat::Seat;
use crate::net::steer::SocketGroup;
use crate::net::transport::{TransportError, dialing_endpoint};
use crate::orchestrator::Orchestrator;
use crate::runtime::{cpus, preflight};
use core_affinity::CoreId;
use madrpc_core::limits::UPSTREAM_IDLE_TIMEOUT;
use std::net::SocketAddr;
use std::rc::Rc;

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

    /// As [`Server::orchestrator`], with sockets that are bound already.
    pub(crate) fn orchestrator_at(
        sockets: SocketGroup,
        config: &ServerConfig,
        cores: &[CoreId],
        nodes: &[Addresses],
    ) -> Result<Self, StartError> {
        if nodes.is_empty() {
            return Err(StartError::Settings(
                "an orchestrator needs at least one node".into(),
            ));
        }
        preflight::check(cores.len())?;
        let (identity, balance) = (config.identity.clone(), config.balance);
        Self::start("orchestrator", sockets, config, cores, |_| {
            let (nodes, identity) = (nodes.to_vec(), identity.clone());
            move |seat: &Seat, budget: &Rc<Budget>, now| {
                let all: Vec<SocketAddr> = nodes.iter().flat_map(Addresses::all).copied().collect();
                let endpoint =
                    dialing_endpoint(&identity, &all, UPSTREAM_IDLE_TIMEOUT, budget, now)?;
                let (orchestrator, upstreams) =
                    Orchestrator::new(seat, endpoint, &nodes, balance, now);
                Ok::<_, TransportError>((orchestrator, Some(upstreams)))
            }
        })
    }
}
