//! A script: its text, and what it registers.

use super::lane::Lane;
use std::path::Path;
use std::sync::Arc;

/// A script that has been read. Every lane loads its own copy of it.
#[derive(Debug, Clone)]
pub struct Script {
    pub(super) name: Arc<str>,
    pub(super) source: Arc<str>,
}

/// Why a script cannot be used: one line, and the JavaScript stack where it threw.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct LoadError {
    /// What is wrong and where.
    pub message: String,
    /// A line for each JavaScript frame, `at function (file:line:column)`; empty where nothing was thrown.
    pub stack: String,
}

impl LoadError {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            stack: String::new(),
        }
    }
}

impl Script {
    /// Reads a script. It is not run yet: see [`Script::functions`].
    ///
    /// # Errors
    /// Where the file cannot be read as text.
    pub fn read(path: &Path) -> Result<Self, LoadError> {
        let source = std::fs::read_to_string(path).map_err(|error| {
            LoadError::new(format!(
                "script {}: cannot be read: {error}",
                path.display()
            ))
        })?;
        Ok(Self::new(&path.to_string_lossy(), &source))
    }

    /// A script from text; `name` is what stack traces call it.
    #[must_use]
    pub fn new(name: &str, source: &str) -> Self {
        Self {
            name: name.into(),
            source: source.into(),
        }
    }

    /// What stack traces call it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs the script in a lane of its own and gives the names it registers, in their order.
    ///
    /// # Errors
    /// Where it throws, registers nothing, or takes too long.
    pub fn functions(&self) -> Result<Vec<String>, LoadError> {
        let (_, functions) = Lane::load(self)?;
        Ok(functions)
    }
}
