//! Going over to a script, or to certificates, that have changed.

use crate::exit::{Failure, Reason};
use crate::notify;
use crate::output::say;
use crate::signals::Events;
use madrpc_shard::engine::Script;
use madrpc_shard::server::script_watch::ScriptWatch;
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

    /// Reads the script and gives it to `load`, which goes over to it, and gives the names of its functions; says what came
    /// of it.
    pub(crate) fn run(&self, load: impl FnOnce(&Script) -> Result<Vec<String>, Failure>) {
        let new = say_outcome(
            || {
                let script = Script::read(&self.path)?;
                Ok((load(&script)?, script))
            },
            |(functions, _)| format!("functions: {}", functions.join(", ")),
        );
        match (&self.watch, new) {
            (Some(watch), Some((_, script))) => watch.follow(&script),
            (Some(watch), None) => watch.failed(),
            (None, _) => {}
        }
    }
}

/// Reloads, and says what came of it, to people and to the service manager.
pub(crate) fn say_outcome<T>(
    reload: impl FnOnce() -> Result<T, Failure>,
    describe: impl FnOnce(&T) -> String,
) -> Option<T> {
    notify::reloading();
    let outcome = reload();
    let (told, status) = match &outcome {
        Ok(new) => {
            let told = format!("reloaded: {}", describe(new));
            (told.clone(), told)
        }
        Err(failure) => {
            let told = "not reloaded, all goes on as before: ";
            (
                format!("{told}{}", failure.full()),
                format!("{told}{failure}"),
            )
        }
    };
    say(&told);
    notify::ready(&status);
    outcome.ok()
}
