//! The lines of stdin, read by a thread of their own: results go on while the next lines are long in coming.

use super::window::Position;
use crate::exit::{Failure, Reason};
use futures_channel::mpsc::{Receiver, Sender, channel};
use futures_lite::future::block_on;
use futures_util::SinkExt;
use madrpc_core::value::Value;
use madrpc_core::value::json::from_json;
use std::fs::{File, Metadata};
use std::io::{self, BufRead, BufReader, Read, Seek};
use std::os::fd::AsFd;

/// Lines and bytes that are handed on together, where they are there already.
const BATCH_LINES: usize = 256;
const BATCH_BYTES: usize = 1 << 20;

/// Batches that are read ahead.
const BATCHES: usize = 4;

const BUFFER_BYTES: usize = 1 << 18;

/// The longest line: numbers take more bytes as text than in a call, of which the arguments may have 64 MiB.
const LINE_MAX_BYTES: usize = 256 << 20;

/// A line of the input.
pub(super) struct Line {
    /// Bytes of the input up to its end.
    pub(super) end: u64,
    pub(super) text: Vec<u8>,
    /// The argument that it holds, or why it holds none; nothing where it is blank.
    pub(super) argument: Option<Result<Value, String>>,
}

/// Lines, or why there are no more although the input has not ended.
pub(super) type Batch = Result<Vec<Line>, Failure>;

pub(super) struct Input {
    reader: BufReader<File>,
    end: u64,
    /// Bytes to read, where it is a file.
    pub(super) size: Option<u64>,
}

impl Input {
    /// Stdin, from where it is.
    pub(super) fn stdin() -> Result<Self, Failure> {
        let file = io::stdin().as_fd().try_clone_to_owned().map(File::from);
        let mut file = file.map_err(|error| unreadable(&error))?;
        let here = file.stream_position();
        let size = file.metadata().ok().filter(Metadata::is_file);
        Ok(Self {
            size: size.map(|data| data.len().saturating_sub(here.unwrap_or(0))),
            reader: BufReader::with_capacity(BUFFER_BYTES, file),
            end: 0,
        })
    }

    /// The first line, which is read again as such.
    pub(super) fn first_line(&mut self, most: usize) -> Result<Vec<u8>, Failure> {
        let bytes = self.reader.fill_buf().map_err(|error| unreadable(&error))?;
        let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or(bytes);
        Ok(line[..line.len().min(most)].to_vec())
    }

    /// Goes on after what is done.
    pub(super) fn skip_to(&mut self, done: Position) -> Result<(), Failure> {
        let mut left = done.bytes;
        if self.size.is_some() {
            let step = i64::try_from(left).unwrap_or(i64::MAX);
            self.reader
                .seek_relative(step)
                .map_err(|error| unreadable(&error))?;
            left = 0;
        }
        let skipped = io::copy(&mut self.reader.by_ref().take(left), &mut io::sink());
        let is_whole = skipped.map_err(|error| unreadable(&error))? == left;
        if !is_whole || self.size.is_some_and(|size| size < done.bytes) {
            let why = format!(
                "stdin: the checkpoint is {} lines and {} bytes into an input, and this one is shorter",
                done.lines, done.bytes
            );
            return Err(Failure::new(Reason::Usage, why));
        }
        self.end = done.bytes;
        Ok(())
    }

    /// Reads the lines on a thread of its own.
    pub(super) fn start(mut self) -> Result<Receiver<Batch>, Failure> {
        let (mut sender, receiver) = channel(BATCHES);
        let thread = std::thread::Builder::new()
            .name("input".into())
            .spawn(move || while self.send_next(&mut sender) {});
        thread.map_err(|error| Failure::new(Reason::Other, format!("a thread: {error}")))?;
        Ok(receiver)
    }

    /// Reads a batch; says whether there may be another.
    fn send_next(&mut self, sender: &mut Sender<Batch>) -> bool {
        let (mut lines, mut bytes) = (Vec::new(), 0_usize);
        let ended = loop {
            match self.next() {
                Ok(Some(line)) => {
                    bytes = bytes.saturating_add(line.text.len());
                    lines.push(line);
                }
                Ok(None) => break Some(None),
                Err(error) => break Some(Some(unreadable(&error))),
            }
            // What is there already is handed on, and the rest of a line may be long in coming.
            let is_more_there = self.reader.buffer().contains(&b'\n');
            if !is_more_there || lines.len() >= BATCH_LINES || bytes >= BATCH_BYTES {
                break None;
            }
        };
        // It fails where nobody wants any more.
        let is_wanted = lines.is_empty() || block_on(sender.send(Ok(lines))).is_ok();
        if let Some(Some(failure)) = ended {
            let _ = block_on(sender.send(Err(failure)));
            return false;
        }
        is_wanted && ended.is_none()
    }

    fn next(&mut self) -> io::Result<Option<Line>> {
        let mut text = Vec::new();
        let most = LINE_MAX_BYTES as u64;
        let read = self
            .reader
            .by_ref()
            .take(most)
            .read_until(b'\n', &mut text)?;
        if read == 0 {
            return Ok(None);
        }
        self.end = self.end.saturating_add(read as u64);
        let mut is_too_long = false;
        if text.last() == Some(&b'\n') {
            text.pop();
        } else if read == LINE_MAX_BYTES {
            is_too_long = self.skip_rest()?;
        }
        if text.last() == Some(&b'\r') {
            text.pop();
        }
        let argument = match std::str::from_utf8(&text) {
            _ if is_too_long => {
                text.clear();
                let mib = LINE_MAX_BYTES >> 20;
                Some(Err(format!("a line has at most {mib} MiB")))
            }
            Ok(text) if text.trim().is_empty() => None,
            Ok(text) => Some(from_json(text).map_err(|error| format!("no JSON: {error}"))),
            Err(error) => Some(Err(format!("no UTF-8: {error}"))),
        };
        Ok(Some(Line {
            end: self.end,
            text,
            argument,
        }))
    }

    /// Skips what is left of a line; says whether there was anything.
    fn skip_rest(&mut self) -> io::Result<bool> {
        let mut is_any = false;
        loop {
            let bytes = self.reader.fill_buf()?;
            let at = bytes.iter().position(|byte| *byte == b'\n');
            let (used, is_end) = match at {
                Some(at) => (at.saturating_add(1), true),
                None => (bytes.len(), bytes.is_empty()),
            };
            is_any |= used > 1 || at.is_none() && used > 0;
            self.reader.consume(used);
            self.end = self.end.saturating_add(used as u64);
            if is_end {
                return Ok(is_any);
            }
        }
    }
}

fn unreadable(error: &io::Error) -> Failure {
    Failure::new(Reason::Other, format!("stdin cannot be read: {error}"))
}
