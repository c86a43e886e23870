//! Another script in the place of the one that runs.
//!
//! In two steps, so that all shards of a node have the same: each loads the new script in a lane beside the others and
//! says whether it can be used; once all have, each goes over to it. Calls under way end in the lanes they have, those
//! that wait for a lane, and all later ones, run as the new script has them.

use super::Node;
use super::shared::Shared;
use crate::engine::{Lane, LaneConfig, Loaded, Loading, Registration, Script, ScriptError};
use std::sync::mpsc::{Receiver, Sender};
use std::time::{Duration, Instant};

/// Where a shard says what a script registers, or why it cannot be used.
pub(crate) type Prepared = Sender<Result<Vec<Registration>, ScriptError>>;

/// What a node's shard is told of its script. A message wakes the shard, this is what it then finds.
pub(crate) enum ScriptChange {
    /// Load this script beside the one that runs, and say whether it can be used.
    Prepare(Script, Prepared),
    /// Go over to the script that is loaded, with what the shards share for its functions.
    Adopt(Shared),
    /// Forget the script that is loaded.
    Discard,
}

/// What a shard is told of its script, and what it has done of that.
pub(super) struct Reload {
    changes: Receiver<ScriptChange>,
    /// The script that is to be gone over to, where there is one.
    staged: Option<(Script, Stage)>,
}

enum Stage {
    Loading(Loading, Prepared),
    Ready(Lane, Vec<Registration>),
}

impl Reload {
    pub(super) fn new(changes: Receiver<ScriptChange>) -> Self {
        let staged = None;
        Self { changes, staged }
    }

    /// Begins to load a script; forgets another that was to come.
    fn prepare(&mut self, script: Script, node: &str, config: &LaneConfig, prepared: Prepared) {
        match Loading::begin(&script, node, config) {
            Ok(loading) => self.staged = Some((script, Stage::Loading(loading, prepared))),
            // The thread that wants to know may have given up.
            Err(error) => drop(prepared.send(Err(error))),
        }
    }

    /// Whether a script is being loaded, and does not wait.
    pub(super) fn wants(&self) -> bool {
        self.loading().is_some_and(Loading::is_due)
    }

    /// Until when the one that is being loaded waits, where it does.
    pub(super) fn wakes_at(&self) -> Option<Instant> {
        self.loading().and_then(Loading::wakes_at)
    }

    fn loading(&self) -> Option<&Loading> {
        match &self.staged {
            Some((_, Stage::Loading(loading, _))) => Some(loading),
            _ => None,
        }
    }

    /// Goes on loading for one slice.
    pub(super) fn go_on(&mut self, now: Instant, slice: Duration) {
        let Some((script, stage)) = self.staged.take() else {
            return;
        };
        let stage = match stage {
            Stage::Ready(..) => stage,
            Stage::Loading(loading, prepared) => match loading.resume(now, slice) {
                Loaded::Not(loading) => Stage::Loading(loading, prepared),
                Loaded::Ready(lane, registrations) => {
                    let _ = prepared.send(Ok(registrations.clone()));
                    Stage::Ready(lane, registrations)
                }
                Loaded::Failed(error) => return drop(prepared.send(Err(error))),
            },
        };
        self.staged = Some((script, stage));
    }
}

impl Node {
    /// Does what it was told of its script.
    pub(super) fn change_script(&mut self) {
        while let Ok(change) = self.reload.changes.try_recv() {
            self.take_change(change);
        }
    }

    fn take_change(&mut self, change: ScriptChange) {
        match change {
            ScriptChange::Prepare(script, prepared) => {
                let config = self.lanes.config();
                let node = &self.id.node;
                self.reload.prepare(script, node, config, prepared);
            }
            ScriptChange::Adopt(shared) => self.adopt(&shared),
            ScriptChange::Discard => self.reload.staged = None,
        }
    }

    /// Goes over to the script that is loaded, if there is one. Calls that wait for a lane find their functions anew when
    /// they get one.
    fn adopt(&mut self, shared: &Shared) {
        if let Some((script, Stage::Ready(lane, registrations))) = self.reload.staged.take() {
            let config = self.lanes.config();
            self.functions.replace(
                &registrations,
                config,
                &mut self.telemetry.counters,
                shared,
                &mut self.calls.limits,
            );
            self.lanes.replace(script, lane, registrations);
        }
    }
}
