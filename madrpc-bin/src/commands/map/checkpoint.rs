//! What is known of a run on disk, so that the next goes on where it was ended, however that was.
//!
//! The results come first and the checkpoint after them: what the results have beyond it is cut off when a run goes on, and those
//! lines are done again.

use super::window::{Position, Window};
use crate::args::MapArgs;
use crate::exit::{Failure, Reason};
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

/// The version of the file's form.
const FORM: u32 = 1;

/// How much of the input's beginning is kept.
pub(super) const BEGINNING_BYTES: usize = 256;

/// The document in the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Checkpoint {
    madrpc_map: u32,
    function: String,
    unordered: bool,
    numbered: bool,
    /// Lines of the input of which all are done, and their bytes.
    lines: u64,
    input_bytes: u64,
    /// What tells the input from another: its first bytes, each as the character of that number.
    input_begins: String,
    /// Ranges of further lines that are done, from the first number to the last.
    done: Vec<(u64, u64)>,
    /// Lines that have failed.
    pub(super) failed: u64,
    /// The file of the results, and that of the failed lines.
    pub(super) results: Kept,
    pub(super) errors: Option<Kept>,
}

/// What is kept of a file when a run goes on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Kept {
    /// Its number in its file system, which tells it from others.
    pub(super) inode: u64,
    /// The bytes of it that belong to lines which are done.
    pub(super) bytes: u64,
}

impl Checkpoint {
    pub(super) fn new(args: &MapArgs) -> Self {
        Self {
            madrpc_map: FORM,
            function: args.function.clone(),
            unordered: args.unordered,
            numbered: args.numbered,
            lines: 0,
            input_bytes: 0,
            input_begins: String::new(),
            done: Vec::new(),
            failed: 0,
            results: Kept::default(),
            errors: None,
        }
    }

    /// The one in a file; `None` where there is no such file.
    pub(super) fn read(args: &MapArgs, path: &Path) -> Result<Option<Self>, Failure> {
        let unfit = |why: String| {
            let path = path.display();
            Failure::new(Reason::Usage, format!("--checkpoint {path}: {why}"))
        };
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
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
        let flags = |unordered, numbered| {
            let unordered = if unordered { " --unordered" } else { "" };
            let numbered = if numbered { " --numbered" } else { "" };
            format!("{unordered}{numbered}")
        };
        let (before, now) = (
            (read.function.as_str(), flags(read.unordered, read.numbered)),
            (args.function.as_str(), flags(args.unordered, args.numbered)),
        );
        if before != now {
            return Err(unfit(format!(
                "it is of calls of `{}`{}; go on with the same, or remove it to begin anew",
                before.0, before.1
            )));
        }
        if read.errors.is_some() && args.errors.is_none() {
            let why = "the lines that have failed are in a file; name it by --errors, to go on";
            return Err(unfit(why.into()));
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

    /// Takes note of how the input begins; says whether it may be the one that was there before.
    pub(super) fn is_beginning(&mut self, beginning: &[u8]) -> bool {
        let beginning: String = beginning.iter().copied().map(char::from).collect();
        let known = &mut self.input_begins;
        // As much of it as was there at the time: a line may have been added to it.
        let fits = beginning.starts_with(known.as_str()) || known.starts_with(&beginning);
        if beginning.len() > known.len() {
            *known = beginning;
        }
        fits
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

    /// Puts it in the place of the former, in one step, and on the disk.
    pub(super) fn write(&self, path: &Path) -> Result<(), Failure> {
        let new = beside(path);
        let written = serde_json::to_vec(self)
            .map_err(std::io::Error::from)
            .and_then(|text| {
                let mut file = File::create(&new)?;
                file.write_all(&text)?;
                file.write_all(b"\n")?;
                file.sync_data()
            })
            .and_then(|()| fs::rename(&new, path));
        written.map_err(|error| {
            let path = path.display();
            let why = format!("--checkpoint {path}: it cannot be written: {error}");
            Failure::new(Reason::Other, why)
        })
    }
}

/// The name that a new checkpoint has until it is whole.
pub(super) fn beside(path: &Path) -> PathBuf {
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    new.into()
}
