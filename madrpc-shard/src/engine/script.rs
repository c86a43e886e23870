//! A script: its text, and what it registers.

use super::kernels::{KernelInfo, Kernels};
use super::lane::Lane;
use super::limits::LaneConfig;
use super::modules::{ModuleText, Modules};
use super::options::Registration;
use super::typescript::frame;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// A script that has been read. Every lane loads its own copy of it, and of the modules beside it that it imports.
#[derive(Debug, Clone)]
pub struct Script {
    pub(super) name: Arc<str>,
    pub(super) source: Arc<str>,
    /// The same without types.
    pub(super) program: Arc<str>,
    pub(super) modules: Modules,
    pub(super) kernels: Kernels,
}

/// Why a script cannot be used: one line, and the JavaScript stack where it threw.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ScriptError {
    /// What is wrong and where.
    pub message: String,
    /// A line for each JavaScript frame, `at function (file:line:column)`; empty where nothing was thrown.
    pub stack: String,
}

impl ScriptError {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            stack: String::new(),
        }
    }
}

impl ScriptError {
    /// Every lane must have the same functions at the same places.
    pub(crate) fn inconstant(script: &Script) -> Self {
        Self::new(format!(
            "script {}: registers other functions each time it is loaded",
            script.name
        ))
    }

    pub(super) fn too_slow(script: &str, limit: Duration) -> Self {
        Self::new(format!(
            "script {script}: took more than {} s of CPU time to load",
            limit.as_secs()
        ))
    }
}

impl Script {
    /// Reads a script, in JavaScript or, where its name ends in `.ts` or `.mts`, in TypeScript. It is not run yet: see
    /// [`Script::functions`].
    ///
    /// # Errors
    /// Where the file cannot be read as text, or has TypeScript that is more than types (`enum`).
    pub fn read(path: &Path) -> Result<Self, ScriptError> {
        let name = path.to_string_lossy();
        let source = std::fs::read_to_string(path)
            .map_err(|error| ScriptError::new(format!("script {name}: cannot be read: {error}")))?;
        let modules = Modules::beside(path).map_err(|error| {
            ScriptError::new(format!(
                "script {name}: its directory cannot be found: {error}"
            ))
        })?;
        let text = ModuleText::new(path, &source).map_err(|error| ScriptError {
            message: format!(
                "script {name}:{}:{}: SyntaxError: {}",
                error.line, error.column, error.what
            ),
            stack: frame(&error, &name),
        })?;
        Ok(Self {
            source: source.into(),
            program: text.program,
            modules,
            kernels: Kernels::default(),
            name: (*name).into(),
        })
    }

    /// A script from JavaScript text, which can import nothing; `name` is what stack traces call it.
    #[must_use]
    pub fn new(name: &str, source: &str) -> Self {
        let source: Arc<str> = source.into();
        Self {
            name: name.into(),
            program: Arc::clone(&source),
            source,
            modules: Modules::default(),
            kernels: Kernels::default(),
        }
    }

    /// What stack traces call it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What tells its text, and that of the modules it has imported, from others: the first eight bytes of its SHA-256.
    pub(crate) fn digest(&self) -> u64 {
        let mut digest = boring::sha::Sha256::new();
        digest.update(self.source.as_bytes());
        let mut files = self.files();
        files.sort();
        for (_, text) in files {
            // So that no text goes over into the next.
            digest.update(&text.len().to_le_bytes());
            digest.update(text.as_bytes());
        }
        let digest = digest.finish();
        digest.first_chunk().copied().map_or(0, u64::from_be_bytes)
    }

    /// The files that it was read from, each with the text that was found there: itself, and once it has been loaded the
    /// modules that it imports. None for a script from text.
    pub(crate) fn files(&self) -> Vec<(PathBuf, Arc<str>)> {
        self.modules.files(&self.source)
    }

    /// The kernels that it has made in lanes that have loaded it, in their order.
    #[must_use]
    pub fn kernels(&self) -> Vec<KernelInfo> {
        self.kernels.list()
    }

    /// Whether the other is this script, and not only one of the same name or text.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.source, &other.source)
    }

    /// Runs the script in a lane of its own and gives the names it registers, in their order.
    ///
    /// # Errors
    /// Where it throws, registers nothing, or takes too long.
    pub fn functions(&self) -> Result<Vec<String>, ScriptError> {
        let functions = self.registrations(&LaneConfig::default())?;
        Ok(functions
            .into_iter()
            .map(|function| function.name)
            .collect())
    }

    /// As [`Script::functions`], with what the script says about each; the lane is one with these settings. Warns of timers
    /// that it sets meanwhile, which are lost.
    ///
    /// # Errors
    /// Where it throws, registers nothing, takes too long or more heap than a lane has.
    pub fn registrations(&self, config: &LaneConfig) -> Result<Vec<Registration>, ScriptError> {
        let (functions, lost_timers) = self.load(config)?;
        if lost_timers > 0 {
            tracing::warn!(
                "script {}: {lost_timers} of its timers never fire, as they are set while it loads: set them in functions",
                self.name
            );
        }
        Ok(functions)
    }

    /// The same without a word, with the number of those timers.
    pub(crate) fn load(
        &self,
        config: &LaneConfig,
    ) -> Result<(Vec<Registration>, u32), ScriptError> {
        let (lane, functions) = Lane::load(self, "", config)?;
        Ok((functions, lane.lost_timers()))
    }
}
