//! TypeScript, as a script's module has it: read on a thread of its own, where the parser has the stack that it needs, and may
//! fail.

use super::faults::{self, caught, on_lane};
use madrpc_typescript::{Refused, erase, stack_bytes};
use std::path::Path;

/// How a file's name says what is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Language {
    JavaScript,
    TypeScript,
}

impl Language {
    /// The language of a file.
    ///
    /// # Errors
    /// In words, where nothing here runs it.
    pub(super) fn of(path: &Path) -> Result<Self, &'static str> {
        let extension = path.extension().and_then(|extension| extension.to_str());
        match extension.unwrap_or_default() {
            "ts" | "mts" => Ok(Self::TypeScript),
            "tsx" | "jsx" => Err(
                "JSX is not run here: compile it to JavaScript (npx esbuild IN --format=esm --outfile=OUT.js)",
            ),
            "cts" => Err("a .cts file is a CommonJS module: write an ES module, in a .ts file"),
            _ => Ok(Self::JavaScript),
        }
    }
}

/// Where a module's text is wrong, as a line of a JavaScript stack.
pub(super) fn frame(refused: &Refused, file: &str) -> String {
    format!("    at {file}:{}:{}\n", refused.line, refused.column)
}

/// What is wrong with a text as a whole.
pub(super) fn refused(what: &str) -> Refused {
    Refused {
        line: 1,
        column: 1,
        what: what.to_owned(),
    }
}

/// The text without its types.
///
/// # Errors
/// Where it is no TypeScript, or has what cannot be erased.
pub(super) fn without_types(text: &str) -> Result<String, Refused> {
    faults::watch();
    let thread = std::thread::Builder::new()
        .name("typescript".into())
        .stack_size(stack_bytes(text.len()));
    std::thread::scope(|scope| {
        let erased = || on_lane(|| caught(|| erase(text)));
        let started = match thread.spawn_scoped(scope, erased) {
            Ok(started) => started,
            Err(error) => {
                let what = format!("there is no thread to read TypeScript on: {error}");
                return Err(refused(&what));
            }
        };
        let (erased, fault) = started.join().unwrap_or_default();
        erased.unwrap_or_else(|| {
            let fault = fault.unwrap_or_default();
            tracing::debug!("the parser of TypeScript gave up: {fault}");
            Err(refused(
                "the parser gives this up, as it is too intricate: compile it to JavaScript first",
            ))
        })
    })
}
