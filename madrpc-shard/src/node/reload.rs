//! Another script in the place of the one that runs.
//!
//! In two steps, so that all shards of a node have the same: each loads the new script in a lane beside the others and
//! says whether it can be used; once all have, each goes over to it. Calls under way end in the lanes they have, those
//! that wait for a lane, and all later ones, run as the new script has them.

use super::Node;
use super::shared::Shared;
use crate::engine::{Lane, LaneConfig, Loaded, Loading, Registration, Script, ScriptError};
use std::sync::mpsc::Sender;
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

/// The script that is to be gone over to, where there is one.
#[derive(Default)]
pub(super) struct Staged(Option<(Script, Stage)>);

enum Stage {
    Loading(Loading, Prepared),
    Ready(Lane, Vec<Registration>),
}

impl Staged {
    /// Begins to load a script; forgets another that was to come.
    fn prepare(&mut self, script: Script, node: &str, config: &LaneConfig, prepared: Prepared) {
        match Loading::begin(&script, node, config) {
            Ok(loading) => self.0 = Some((script, Stage::Loading(loading, prepared))),
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
        match &self.0 {
            Some((_, Stage::Loading(loading, _))) => Some(loading),
            _ => None,
        }
    }

    /// Goes on loading for one slice.
    pub(super) fn go_on(&mut self, now: Instant, slice: Duration) {
        let Some((script, stage)) = self.0.take() else {
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
        self.0 = Some((script, stage));
    }
}

impl Node {
    /// Does what it was told of its script.
    pub(super) fn take_change(&mut self, change: ScriptChange) {
        match change {
            ScriptChange::Prepare(script, prepared) => {
                let config = self.lanes.config();
                self.staged.prepare(script, &self.name, config, prepared);
            }
            ScriptChange::Adopt(shared) => self.adopt(&shared),
            ScriptChange::Discard => self.staged = Staged::default(),
        }
    }

    /// Goes over to the script that is loaded, if there is one. Calls that wait for a lane find their functions anew when
    /// they get one.
    fn adopt(&mut self, shared: &Shared) {
        if let Some((script, Stage::Ready(lane, registrations))) = self.staged.0.take() {
            let config = self.lanes.config();
            self.functions.replace(
                &registrations,
                config,
                &mut self.counters,
                shared,
                &mut self.calls.limits,
            );
            self.lanes.replace(script, lane, registrations);
        }
    }
}
