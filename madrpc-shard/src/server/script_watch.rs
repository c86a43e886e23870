//! Watching a script: says when its text, or that of a module it imports, has changed.
//!
//! Directories are watched and not files, as most editors put a new file in the place of the old one. What counts is
//! the text: a file that was only touched, or its neighbour, changes nothing.

use crate::engine::{Script, file_text};
use notify::event::EventKind;
use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;
use tracing::warn;

/// How long nothing must happen before the files are looked at: to save one takes several steps.
const QUIET: Duration = Duration::from_millis(100);

/// How modules end that a script may begin to import.
const EXTENSIONS: [&str; 6] = ["js", "mjs", "ts", "mts", "json", "wasm"];

/// A watched script. Dropping it ends the watch.
#[derive(Debug)]
pub struct ScriptWatch(Sender<Told>);

#[derive(Debug)]
enum Told {
    /// Something has happened in one of the directories.
    Event,
    /// These are the files now, with their texts.
    Files(BTreeMap<PathBuf, String>),
    /// The new text could not be used, so a change anywhere beside it may mend it.
    Failed,
    End,
}

impl ScriptWatch {
    /// Watches the files of a script that has been loaded, and runs `changed` on a thread of its own when one has
    /// another text. A script from text has no files and never changes.
    ///
    /// # Errors
    /// In words, where the system does not let the directories be watched.
    pub fn start(
        script: &Script,
        mut changed: impl FnMut() + Send + 'static,
    ) -> Result<Self, String> {
        let (teller, told) = channel();
        let events = teller.clone();
        let files = files(script);
        let known: BTreeSet<PathBuf> = files.keys().cloned().collect();
        let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            if event.is_ok_and(|event| is_relevant(&event, &known)) {
                // It fails only while the watch ends.
                let _ = events.send(Told::Event);
            }
        });
        let watcher = watcher.map_err(|error| format!("the script cannot be watched: {error}"))?;
        let mut watched = Watched {
            watcher,
            directories: BTreeSet::new(),
            files: BTreeMap::new(),
            has_failed: false,
        };
        watched.follow(files)?;
        std::thread::Builder::new()
            .name("watch".into())
            .spawn(move || watched.run(&told, &mut changed))
            .map_err(|error| format!("the script cannot be watched: {error}"))?;
        Ok(Self(teller))
    }

    /// The script runs now: its files are the ones to watch.
    pub fn follow(&self, script: &Script) {
        let _ = self.0.send(Told::Files(files(script)));
    }

    /// What the files hold now could not be used.
    pub fn failed(&self) {
        let _ = self.0.send(Told::Failed);
    }
}

impl Drop for ScriptWatch {
    fn drop(&mut self) {
        let _ = self.0.send(Told::End);
    }
}

/// Whether an event may be the change of a script. A log beside it, that tells of a failure, would else lead to the next
/// failure.
fn is_relevant(event: &Event, known: &BTreeSet<PathBuf>) -> bool {
    let is_script = |path: &PathBuf| {
        let extension = path.extension().and_then(|extension| extension.to_str());
        known.contains(path) || extension.is_some_and(|extension| EXTENSIONS.contains(&extension))
    };
    !matches!(event.kind, EventKind::Access(_)) && event.paths.iter().any(is_script)
}

fn files(script: &Script) -> BTreeMap<PathBuf, String> {
    let files = script.files().into_iter();
    files.map(|(path, text)| (path, text.to_string())).collect()
}

struct Watched {
    watcher: RecommendedWatcher,
    directories: BTreeSet<PathBuf>,
    /// With the texts they had when they were last looked at.
    files: BTreeMap<PathBuf, String>,
    has_failed: bool,
}

impl Watched {
    fn run(mut self, told: &Receiver<Told>, changed: &mut impl FnMut()) {
        while let Ok(message) = told.recv() {
            match message {
                Told::Event => {
                    if !self.settle(told) {
                        return;
                    }
                    // Whatever is to be seen now has been asked for when it is loaded.
                    if self.look() || self.has_failed {
                        changed();
                    }
                }
                message => {
                    if !self.take(message) {
                        return;
                    }
                }
            }
        }
    }

    /// Waits until nothing happens any more; says whether to go on.
    fn settle(&mut self, told: &Receiver<Told>) -> bool {
        while let Ok(message) = told.recv_timeout(QUIET) {
            if !self.take(message) {
                return false;
            }
        }
        true
    }

    /// Does what it is told; says whether to go on.
    fn take(&mut self, message: Told) -> bool {
        match message {
            Told::Event => {}
            Told::Files(files) => {
                self.has_failed = false;
                if let Err(error) = self.follow(files) {
                    warn!("{error}");
                }
            }
            Told::Failed => self.has_failed = true,
            Told::End => return false,
        }
        true
    }

    /// Watches the directories of these files.
    fn follow(&mut self, files: BTreeMap<PathBuf, String>) -> Result<(), String> {
        for directory in files.keys().filter_map(|file| file.parent()) {
            if self.directories.contains(directory) {
                continue;
            }
            let watching = self.watcher.watch(directory, RecursiveMode::NonRecursive);
            watching.map_err(|error| {
                let directory = directory.display();
                format!("{directory}: changes of the script there will not be seen: {error}")
            })?;
            self.directories.insert(directory.to_owned());
        }
        self.files = files;
        Ok(())
    }

    /// Whether a file has another text than at the last look. One that cannot be read is about to be replaced.
    fn look(&mut self) -> bool {
        let mut is_changed = false;
        for (path, seen) in &mut self.files {
            let now = text(path);
            if let Some(now) = now.filter(|now| now != seen) {
                *seen = now;
                is_changed = true;
            }
        }
        is_changed
    }
}

fn text(path: &Path) -> Option<String> {
    file_text(path).ok()
}
