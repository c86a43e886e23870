//! What is known of a run on disk, so that the next goes on where it was ended, however that was.
//!
//! The results come first and the checkpoint after them: what the results have beyond it is cut off when a run goes on, and those
//! lines are done again.

use super::window::{Position, Window};
use crate::exit::{Failure, Reason};
use serde::{Deserialize, Serialize};
use std::fs;
use std::io::Write;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

/// The version of the file's form.
const FORM: u32 = 1;

/// How much of the first line is kept.
pub(super) const FIRST_LINE_BYTES: usize = 256;

/// The document in the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Checkpoint {
    madrpc_map: u32,
    function: String,
    unordered: bool,
    /// Lines of the input of which all are done, and their bytes.
    lines: u64,
    input_bytes: u64,
    /// What tells the input from another: the beginning of its first line.
    first_line: String,
    /// Ranges of further lines that are done, from the first number to the last.
    done: Vec<(u64, u64)>,
    /// Lines that have failed.
    pub(super) failed: u64,
    /// Bytes of the results, and of the failed lines, that belong to them.
    pub(super) output_bytes: u64,
    pub(super) errors_bytes: u64,
}

impl Checkpoint {
    pub(super) fn new(function: &str, unordered: bool) -> Self {
        Self {
            madrpc_map: FORM,
            function: function.to_owned(),
            unordered,
            lines: 0,
            input_bytes: 0,
            first_line: String::new(),
            done: Vec::new(),
            failed: 0,
            output_bytes: 0,
            errors_bytes: 0,
        }
    }

    /// The one in a file; `None` where there is no such file.
    pub(super) fn read(
        path: &Path,
        function: &str,
        unordered: bool,
    ) -> Result<Option<Self>, Failure> {
        let unfit = |why: String| {
            Failure::new(
                Reason::Usage,
                format!("--checkpoint {}: {why}", path.display()),
            )
        };
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(unfit(format!("it cannot be read: {error}"))),
        };
        let read: Self = serde_json::from_str(&text)
            .map_err(|error| unfit(format!("it is no checkpoint of this command: {error}")))?;
        if read.madrpc_map != FORM {
            return Err(unfit(format!(
                "it has form {}, and this version writes {FORM}",
                read.madrpc_map
            )));
        }
        if (read.function.as_str(), read.unordered) != (function, unordered) {
            let how = if read.unordered { " --unordered" } else { "" };
            return Err(unfit(format!(
                "it is of calls of `{}`{how}; go on with the same, or remove it to begin anew",
                read.function
            )));
        }
        Ok(Some(read))
    }

    /// Where the input goes on.
    pub(super) fn position(&self) -> Position {
        Position {
            lines: self.lines,
            bytes: self.input_bytes,
        }
    }

    /// Lines after that which are done.
    pub(super) fn done_beyond(&self) -> impl Iterator<Item = RangeInclusive<u64>> {
        self.done.iter().map(|(first, last)| *first..=*last)
    }

    /// Takes note of the input's first line; says whether it is the one that was there before.
    pub(super) fn is_first_line(&mut self, line: &[u8]) -> bool {
        let line = String::from_utf8_lossy(&line[..line.len().min(FIRST_LINE_BYTES)]);
        if self.first_line.is_empty() {
            self.first_line = line.into_owned();
            return true;
        }
        self.first_line == line
    }

    /// Notes how far it is.
    pub(super) fn note(&mut self, window: &Window) {
        let done = window.done();
        (self.lines, self.input_bytes) = (done.lines, done.bytes);
        let beyond = window.done_beyond();
        self.done = beyond
            .iter()
            .map(|range| (*range.start(), *range.end()))
            .collect();
    }

    /// Puts it in the place of the former, in one step.
    pub(super) fn write(&self, path: &Path) -> Result<(), Failure> {
        let mut new = path.as_os_str().to_owned();
        new.push(".new");
        let new = PathBuf::from(new);
        let written = serde_json::to_vec(self)
            .map_err(std::io::Error::from)
            .and_then(|text| {
                let mut file = fs::File::create(&new)?;
                file.write_all(&text)?;
                file.write_all(b"\n")
            })
            .and_then(|()| fs::rename(&new, path));
        written.map_err(|error| {
            Failure::new(
                Reason::Other,
                format!(
                    "--checkpoint {}: it cannot be written: {error}",
                    path.display()
                ),
            )
        })
    }
}
