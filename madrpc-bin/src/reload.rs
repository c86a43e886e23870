//! Going over to a script that has changed.

use crate::exit::{Failure, Reason};
use crate::output::{printable, say};
use crate::signals::Events;
use madrpc_shard::engine::{LoadError, Script};
use madrpc_shard::watch::ScriptWatch;
use std::path::{Path, PathBuf};

/// Where the script of a running server comes from.
pub(crate) struct Reloading {
    path: PathBuf,
    watch: Option<ScriptWatch>,
}

impl Reloading {
    /// For the script read from this file, which runs; where `watch` is set, saving it is enough to load it anew.
    pub(crate) fn new(
        path: &Path,
        script: &Script,
        watch: bool,
        events: &Events,
    ) -> Result<Self, Failure> {
        let watch = watch.then(|| ScriptWatch::start(script, events.reloader()));
        let watch = watch
            .transpose()
            .map_err(|error| Failure::new(Reason::Other, error))?;
        Ok(Self {
            path: path.to_owned(),
            watch,
        })
    }

    /// Reads the script and gives it to `load`, which goes over to it; says what came of it.
    pub(crate) fn run(&self, load: impl FnOnce(&Script) -> Result<Vec<String>, LoadError>) {
        let script = Script::read(&self.path);
        match script.and_then(|script| Ok((load(&script)?, script))) {
            Ok((functions, script)) => {
                say(&format!("reloaded: functions: {}", functions.join(", ")));
                if let Some(watch) = &self.watch {
                    watch.follow(&script);
                }
            }
            Err(error) => {
                let stack = error.stack.lines();
                let stack: String = stack
                    .map(|frame| format!("\n    {}", printable(frame.trim())))
                    .collect();
                let message = printable(&error.message);
                say(&format!(
                    "not reloaded, the script of before goes on: {message}{stack}"
                ));
                if let Some(watch) = &self.watch {
                    watch.failed();
                }
            }
        }
    }
}
