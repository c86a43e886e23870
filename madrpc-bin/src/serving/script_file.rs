//! The script of a running server: where it comes from, and who says that it has been saved.

use crate::exit::{Failure, Reason};
use crate::signals::{Event, Events};
use madrpc_shard::engine::{LaneConfig, Script};
use madrpc_shard::server::script_watch::ScriptWatch;
use std::path::{Path, PathBuf};

/// A script that is read anew.
pub(crate) struct ScriptFile {
    path: PathBuf,
    lane: LaneConfig,
    watch: Option<ScriptWatch>,
}

impl ScriptFile {
    /// The script that runs, which was read from this file; where `watch` is set, saving it is enough to load it anew.
    ///
    /// # Errors
    /// Where it cannot be watched.
    pub(crate) fn new(
        path: &Path,
        script: &Script,
        lane: &LaneConfig,
        watch: bool,
        events: &Events,
    ) -> Result<Self, Failure> {
        let watch = watch.then(|| ScriptWatch::start(script, events.teller(Event::Reload)));
        let watch = watch
            .transpose()
            .map_err(|error| Failure::new(Reason::Other, error))?;
        Ok(Self {
            path: path.to_owned(),
            lane: lane.clone(),
            watch,
        })
    }

    /// What reads it and loads it once, to see whether it can be used.
    pub(crate) fn loader(&self) -> impl FnOnce() -> Result<Script, Failure> + Send + use<> {
        let (path, lane) = (self.path.clone(), self.lane.clone());
        move || {
            let script = Script::read(&path)?;
            script.registrations(&lane)?;
            Ok(script)
        }
    }

    /// This one runs now.
    pub(crate) fn follow(&self, script: &Script) {
        if let Some(watch) = &self.watch {
            watch.follow(script);
        }
    }

    /// What the files hold could not be used.
    pub(crate) fn failed(&self) {
        if let Some(watch) = &self.watch {
            watch.failed();
        }
    }
}

/// The functions of a script, in words.
pub(crate) fn functions(names: &[String]) -> String {
    format!("functions: {}", names.join(", "))
}
