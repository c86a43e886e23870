//! Another script in the place of the one that runs.
//!
//! In two steps, so that all shards of a node have the same: each loads the new script in a lane beside the others and
//! says whether it can be used; once all have, each goes over to it. Calls under way end in the lanes they have, those
//! that wait for a lane, and all later ones, run as the new script has them.

use super::Node;
use super::ticket::Queued;
use crate::endpoint::Endpoint;
use crate::engine::{Lane, LoadError, Loaded, Loading, Registration, Script};
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

/// Where a shard says what a script registers, or why it cannot be used.
pub(crate) type Prepared = Sender<Result<Vec<Registration>, LoadError>>;

/// A script that is to be gone over to.
pub(super) struct Staged {
    script: Script,
    stage: Stage,
}

enum Stage {
    Loading(Loading, Prepared),
    Ready(Lane, Vec<Registration>),
}

impl Node {
    /// Begins to load a script beside the one that runs; forgets another that was to come.
    pub(crate) fn prepare(&mut self, script: Script, prepared: Prepared) {
        match Loading::begin(&script, &self.name, self.lanes.config()) {
            Ok(loading) => {
                let stage = Stage::Loading(loading, prepared);
                self.staged = Some(Staged { script, stage });
            }
            // Whoever asked may have given up.
            Err(error) => drop(prepared.send(Err(error))),
        }
    }

    /// Whether a script is being loaded.
    pub(super) fn is_preparing(&self) -> bool {
        let staged = self.staged.as_ref();
        staged.is_some_and(|staged| matches!(staged.stage, Stage::Loading(..)))
    }

    /// Goes on loading for one slice.
    pub(super) fn go_on_preparing(&mut self, now: Instant, slice: Duration) {
        let Some(Staged { script, stage }) = self.staged.take() else {
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
        self.staged = Some(Staged { script, stage });
    }

    /// Forgets the script that was to come.
    pub(crate) fn discard(&mut self) {
        self.staged = None;
    }

    /// Goes over to the script that is loaded, if there is one.
    pub(crate) fn adopt(&mut self, now: Instant, callers: &mut Endpoint) {
        let Some(Staged {
            script,
            stage: Stage::Ready(lane, registrations),
        }) = self.staged.take()
        else {
            return;
        };
        let former = self.lanes.registrations().to_vec();
        self.functions = self.number(&registrations);
        self.lanes.replace(script, lane, registrations);
        for Queued { mut ticket, body } in std::mem::take(&mut self.queue) {
            let name = former.get(ticket.function.place);
            let name = name.map_or("", |function| function.name.as_str());
            match self.functions.get(name) {
                Some(&function) => {
                    ticket.deadline = function.deadline(ticket.arrived, ticket.deadline);
                    ticket.function = function;
                    self.queue.push_back(Queued { ticket, body });
                }
                None => {
                    let error = self.no_such_function(name);
                    self.fail(&ticket, now, callers, error);
                }
            }
        }
    }
}
