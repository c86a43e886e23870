//! Starting a node, and going over to another script.

use super::control::tell;
use super::messages::{Inbox, ToShard};
use super::shard::{Announcing, Served};
use super::{Server, ServerConfig, StartError, bind};
use crate::engine::{LaneConfig, Preemption, Script, ScriptError, preempt};
use crate::net::address::Addresses;
use crate::net::budget::Budget;
use crate::net::seat::Seat;
use crate::net::transport::dialing_endpoint;
use crate::node::shared::Shared;
use crate::node::slots::Bells;
use crate::node::{LANES_PER_SHARD, Node, NodeConfig, ScriptChange};
use crate::runtime::{cpus, preflight};
use madrpc_core::limits::UPSTREAM_IDLE_TIMEOUT;
use madrpc_core::numbers::later;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

/// How long the shards may take to load another script; a core may be stuck, or all lanes busy.
const PREPARE_TIMEOUT: Duration = Duration::from_secs(60);

/// The way to the scripts of a node's shards.
pub(super) struct Scripts {
    /// What its lanes are told.
    lane: LaneConfig,
    /// What its shards share.
    shared: Shared,
    bells: Arc<Bells>,
    changes: Vec<Sender<ScriptChange>>,
}

impl Scripts {
    fn tell(&self, inboxes: &[Inbox], change: impl Fn() -> ScriptChange) {
        for to_shard in &self.changes {
            // A shard that has ended does not listen any more.
            let _ = to_shard.send(change());
        }
        tell(inboxes, || ToShard::Wake);
    }
}

impl Server {
    /// Starts a node that runs the functions of `script`.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn node(
        config: &ServerConfig,
        script: &Script,
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
        if node.lane.preemption == Preemption::Forced
            && let Err(reason) = preempt::set_up()
        {
            tracing::warn!(
                "calls lose the core only where the engine asks, as with --preempt polling: {reason}"
            );
        }
        let (registrations, _) = script.load(&node.lane)?;
        let shards = cores.len();
        let lanes = node.pool_size.unwrap_or(LANES_PER_SHARD * shards);
        let bells = Bells::new(shards);
        let shared = match node.caller_rate {
            Some(_) => Shared::default().with_caller_meters(),
            None => Shared::default(),
        };
        let shared = shared.after(&registrations, &bells);
        let sockets = bind(config, shards)?;
        // Filled as the shards are prepared, in their order.
        let changes = RefCell::new(Vec::new());
        let mut server = Self::start("node", sockets, config, &cores, |seat| {
            let (change, changed) = channel();
            changes.borrow_mut().push(change);
            let (script, settings, identity) =
                (script.clone(), node.clone(), config.identity.clone());
            let shared = shared.clone();
            bells.set(seat.shard.into(), &seat.bell);
            let share = lanes / shards + usize::from(usize::from(seat.shard) < lanes % shards);
            move |seat: &Seat, budget: &Rc<Budget>, observing, now| {
                let fronts = &settings.orchestrators;
                let upstreams = (!fronts.is_empty()).then(|| {
                    let all = fronts.iter().flat_map(Addresses::all).copied();
                    let all: Vec<_> = all.collect();
                    let endpoint =
                        dialing_endpoint(&identity, &all, UPSTREAM_IDLE_TIMEOUT, budget, now)?;
                    Ok::<_, StartError>(Node::through(seat, fronts, endpoint, now))
                });
                let announcing = settings
                    .announces
                    .then(|| Announcing::new(fronts.clone(), (seat.shard, seat.shards), now));
                let mut node = Node::new(
                    seat,
                    &script,
                    &settings,
                    share,
                    (changed, &shared),
                    budget,
                    now,
                )?;
                node.set_observing(observing);
                Ok::<_, StartError>(Served {
                    service: node,
                    upstreams: upstreams.transpose()?,
                    announcing,
                })
            }
        })?;
        server.scripts = Some(Scripts {
            lane: node.lane.clone(),
            shared,
            bells,
            changes: changes.into_inner(),
        });
        Ok(server)
    }

    /// Lets a node go over to another script; gives the names of its functions.
    ///
    /// The script is loaded beside the one that runs, by each shard. Calls under way end as they began; those that wait
    /// for a lane, and all later ones, run as the new script has them.
    ///
    /// # Errors
    /// Where the script cannot be used by one of the shards, or this is no node. Nothing has changed then.
    pub fn reload(&mut self, script: &Script) -> Result<Vec<String>, ScriptError> {
        let (Some(scripts), Some(running)) = (&mut self.scripts, &self.running) else {
            return Err(ScriptError::new(format!(
                "{} is no node and runs no script",
                self.name
            )));
        };
        let (registrations, _) = script.load(&scripts.lane)?;
        let (prepared, replies) = channel();
        scripts.tell(&running.inboxes, || {
            ScriptChange::Prepare(script.clone(), prepared.clone())
        });
        drop(prepared);
        let deadline = later(Instant::now(), PREPARE_TIMEOUT);
        let all = (0..running.inboxes.len()).try_for_each(|_| {
            let left = deadline.saturating_duration_since(Instant::now());
            match replies.recv_timeout(left) {
                Ok(Ok(prepared)) if prepared == registrations => Ok(()),
                Ok(Ok(_)) => Err(ScriptError::inconstant(script)),
                Ok(Err(error)) => Err(error),
                Err(_) => Err(ScriptError::new(format!(
                    "script {}: a shard had no time to load it within {} s",
                    script.name(),
                    PREPARE_TIMEOUT.as_secs()
                ))),
            }
        });
        match all {
            Ok(()) => {
                scripts.shared = scripts.shared.after(&registrations, &scripts.bells);
                let shared = &scripts.shared;
                scripts.tell(&running.inboxes, || ScriptChange::Adopt(shared.clone()));
            }
            Err(error) => {
                scripts.tell(&running.inboxes, || ScriptChange::Discard);
                return Err(error);
            }
        }
        let names = registrations.into_iter();
        Ok(names.map(|function| function.name).collect())
    }
}
