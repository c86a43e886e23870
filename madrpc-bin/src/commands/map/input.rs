//! The lines of stdin, read by a thread of their own: results go on while the next lines are long in coming.

use super::checkpoint::BEGINNING_BYTES;
use super::window::Position;
use crate::exit::{Failure, Reason};
use bytes::Bytes;
use futures_channel::mpsc::{Receiver, Sender, channel};
use futures_lite::future::block_on;
use futures_util::SinkExt;
use madrpc_core::call::{CallError, ErrorKind};
use madrpc_core::value::json::from_json;
use madrpc_shard::client::encode_args;
use std::fs::{File, Metadata};
use std::io::{self, BufRead, BufReader, Chain, Cursor, Read, Seek, SeekFrom};
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;

/// Lines and bytes that are handed on together, where they are there already.
const BATCH_LINES: usize = 256;
const BATCH_BYTES: usize = 1 << 20;

/// Batches that are read ahead.
const BATCHES: usize = 2;

const BUFFER_BYTES: usize = 1 << 18;

/// The longest line: numbers take more bytes as text than in a call, of which the arguments may have 64 MiB.
const LINE_MAX_BYTES: usize = 256 << 20;

/// A line of the input.
pub(super) struct Line {
    /// Bytes of the input up to its end.
    pub(super) end: u64,
    pub(super) content: Content,
}

/// What a line holds.
pub(super) enum Content {
    Blank,
    /// The argument of a call, as it is sent.
    Argument(Bytes),
    /// Something else, and why it is no argument.
    Bad(Vec<u8>, CallError),
}

/// Lines, or why there are no more although the input has not ended.
pub(super) type Batch = Result<Vec<Line>, Failure>;

/// Stdin, with what was read of it to see how it begins.
type Reader = BufReader<Chain<Cursor<Vec<u8>>, File>>;

pub(super) struct Input {
    reader: Reader,
    end: u64,
    /// Bytes to read, where it is a file.
    pub(super) size: Option<u64>,
    /// Its first bytes, of a pipe no more than the first line.
    pub(super) beginning: Vec<u8>,
}

impl Input {
    /// Stdin, from where it is. Waits until it is known how it begins, where that is `wanted`.
    pub(super) fn stdin(wanted: bool) -> Result<Self, Failure> {
        let file = io::stdin().as_fd().try_clone_to_owned().map(File::from);
        let mut file = file.map_err(|error| unreadable(&error))?;
        let size = file.metadata().ok().filter(Metadata::is_file);
        let (mut size, mut beginning) = (size.map(|data| data.len()), Vec::new());
        let mut read_already = Vec::new();
        if let Some(size) = &mut size {
            let here = file.stream_position().unwrap_or(0);
            *size = size.saturating_sub(here);
            beginning.resize(BEGINNING_BYTES, 0);
            let length = file.read_at(&mut beginning, here);
            beginning.truncate(length.map_err(|error| unreadable(&error))?);
        } else if wanted {
            let mut first = BufReader::with_capacity(1, (&file).take(BEGINNING_BYTES as u64));
            let read = first.read_until(b'\n', &mut beginning);
            read.map_err(|error| unreadable(&error))?;
            read_already.clone_from(&beginning);
        }
        let reader = Cursor::new(read_already).chain(file);
        Ok(Self {
            reader: BufReader::with_capacity(BUFFER_BYTES, reader),
            end: 0,
            size,
            beginning,
        })
    }

    /// What is read, to be compared with other files.
    pub(super) fn file(&self) -> &File {
        let (_, file) = self.reader.get_ref().get_ref();
        file
    }

    /// Goes on after what is done.
    pub(super) fn skip_to(&mut self, done: Position) -> Result<(), Failure> {
        let Some(before) = done.bytes.checked_sub(1) else {
            return Ok(());
        };
        let shorter = || {
            let why = format!(
                "stdin: the checkpoint is {} lines and {} bytes into an input, and this one is shorter",
                done.lines, done.bytes
            );
            Failure::new(Reason::Usage, why)
        };
        let mut last = [0];
        let skipped = match self.size {
            Some(size) if size < done.bytes => return Err(shorter()),
            Some(_) => {
                let step = i64::try_from(before).unwrap_or(i64::MAX);
                // Nothing of a file has been taken into the buffer yet.
                let mut file = self.file();
                let sought = file.seek(SeekFrom::Current(step));
                sought.and_then(|_| self.reader.read_exact(&mut last))
            }
            None => {
                let skipped = io::copy(&mut self.reader.by_ref().take(before), &mut io::sink());
                skipped.and_then(|_| self.reader.read_exact(&mut last))
            }
        };
        match skipped {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Err(shorter()),
            skipped => skipped.map_err(|error| unreadable(&error))?,
        }
        self.end = done.bytes;
        if last != *b"\n" {
            self.end_last_line()?;
        }
        Ok(())
    }

    /// The last line that is done had no end. It may have got one since, but nothing before that.
    fn end_last_line(&mut self) -> Result<(), Failure> {
        let next = self.reader.fill_buf().map_err(|error| unreadable(&error))?;
        match next.first() {
            None => Ok(()),
            Some(b'\n') => {
                self.reader.consume(1);
                self.end = self.end.saturating_add(1);
                Ok(())
            }
            Some(_) => {
                let why =
                    "stdin: the last line that was done has become longer: it is another input";
                Err(Failure::new(Reason::Usage, why))
            }
        }
    }

    /// Reads the lines on a thread of its own.
    pub(super) fn start(mut self) -> Result<Receiver<Batch>, Failure> {
        let (mut sender, receiver) = channel(BATCHES);
        super::thread("input", move || while self.send_next(&mut sender) {})?;
        Ok(receiver)
    }

    /// Reads a batch; says whether there may be another.
    fn send_next(&mut self, sender: &mut Sender<Batch>) -> bool {
        let (mut lines, begun) = (Vec::new(), self.end);
        let ended = loop {
            match self.next() {
                Ok(Some(line)) => lines.push(line),
                Ok(None) => break Some(None),
                Err(error) => break Some(Some(unreadable(&error))),
            }
            // What is there already is handed on, and the rest of a line may be long in coming.
            let is_more_there = self.reader.buffer().contains(&b'\n');
            let bytes = self.end.saturating_sub(begun);
            if !is_more_there || lines.len() >= BATCH_LINES || bytes >= BATCH_BYTES as u64 {
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
        let mut part = self.reader.by_ref().take(most);
        let read = part.read_until(b'\n', &mut text)?;
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
        let content = match is_too_long {
            true => {
                let mib = LINE_MAX_BYTES >> 20;
                let error = format!("a line has at most {mib} MiB");
                Content::Bad(
                    Vec::new(),
                    CallError::not_run(ErrorKind::PayloadTooLarge, error),
                )
            }
            false => content(text),
        };
        Ok(Some(Line {
            end: self.end,
            content,
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
            is_any |= at.unwrap_or(used) > 0;
            self.reader.consume(used);
            self.end = self.end.saturating_add(used as u64);
            if is_end {
                return Ok(is_any);
            }
        }
    }
}

/// What a line holds, without its end.
fn content(text: Vec<u8>) -> Content {
    let bad = |why: String| CallError::not_run(ErrorKind::BadArguments, why);
    let argument = match std::str::from_utf8(&text) {
        Ok(text) if text.trim().is_empty() => return Content::Blank,
        Ok(text) => from_json(text)
            .map_err(|error| bad(format!("no JSON: {error}")))
            .and_then(|value| encode_args(&value)),
        Err(error) => Err(bad(format!("no UTF-8: {error}"))),
    };
    match argument {
        Ok(argument) => Content::Argument(argument),
        Err(error) => Content::Bad(text, error),
    }
}

fn unreadable(error: &io::Error) -> Failure {
    Failure::new(Reason::Other, format!("stdin cannot be read: {error}"))
}
