//! Where results and failed lines go, and what the files of a run have to be: each another, and nobody else's meanwhile.

use super::checkpoint::{Checkpoint, Kept, beside};
use super::input::Input;
use crate::args::MapArgs;
use crate::exit::{Failure, Reason};
use madrpc_core::call::CallError;
use madrpc_core::value::Value;
use madrpc_core::value::json::to_json;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use std::fs::{self, File, Metadata, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Seek, SeekFrom, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Bytes that are written at once.
const BUFFER_BYTES: usize = 1 << 16;

/// Where results and failed lines go.
pub(super) struct Files {
    pub(super) results: Out,
    pub(super) errors: Option<Out>,
}

/// A file that is written to its end, or stdout.
pub(super) struct Out {
    /// Its name in what is said of it.
    name: String,
    file: File,
    buffer: Vec<u8>,
    /// Bytes that are in the file.
    written: u64,
    /// Whether nobody reads it any more, as when `head` has seen enough.
    pub(super) is_unread: bool,
}

impl Files {
    /// Opens what the arguments name. Nothing is emptied or cut before it is certain that all fits.
    pub(super) fn open(
        args: &MapArgs,
        input: &mut Input,
    ) -> Result<(Self, Option<Checkpoint>), Failure> {
        let results = match &args.output {
            Some(path) => Out::open("--output", path)?,
            None => Out::stdout()?,
        };
        let errors = args.errors.as_deref();
        let errors = errors.map(|path| Out::open("--errors", path)).transpose()?;
        let mut files = Self { results, errors };
        let outs = [Some(&files.results), files.errors.as_ref()];
        let outs = outs.into_iter().flatten();
        let mut all = vec![("stdin", input.file().metadata())];
        all.extend(outs.map(|out| (&*out.name, out.file.metadata())));
        let Some(path) = &args.checkpoint else {
            are_different(&all)?;
            files.begin(args.output.is_some())?;
            return Ok((files, None));
        };
        all.push(("--checkpoint", fs::metadata(path)));
        all.push(("the new --checkpoint", fs::metadata(beside(path))));
        are_different(&all)?;
        let known = Checkpoint::read(args, path)?;
        if args.output.is_none() {
            files.results.is_appended_to()?;
        }
        let is_new = known.is_none();
        let mut checkpoint = known.unwrap_or_else(|| Checkpoint::new(args));
        if !checkpoint.is_beginning(&input.beginning) {
            let why = format!(
                "--checkpoint {}: stdin begins in another way than the input that it is of",
                path.display()
            );
            return Err(Failure::new(Reason::Usage, why));
        }
        input.skip_to(checkpoint.position())?;
        files.go_on((!is_new).then_some(&checkpoint))?;
        files.note(&mut checkpoint)?;
        // Before the first result: a run that ends before it has noted anything can be gone on with, too.
        checkpoint.write(path)?;
        Ok((files, Some(checkpoint)))
    }

    /// Empties the files that are named.
    fn begin(&mut self, is_file: bool) -> Result<(), Failure> {
        let named = [is_file.then_some(&mut self.results), self.errors.as_mut()];
        for out in named.into_iter().flatten() {
            out.lock()?;
            out.cut(0)?;
        }
        Ok(())
    }

    /// Cuts off what is not of lines that are done.
    fn go_on(&mut self, known: Option<&Checkpoint>) -> Result<(), Failure> {
        let results = known.map(|known| known.results);
        let errors = known.and_then(|known| known.errors);
        let all = [
            (Some(&mut self.results), results),
            (self.errors.as_mut(), errors),
        ];
        let mut all: Vec<_> = all
            .into_iter()
            .filter_map(|(out, kept)| Some((out?, kept)))
            .collect();
        for (out, kept) in &all {
            out.lock()?;
            out.fits(*kept)?;
        }
        for (out, kept) in &mut all {
            out.cut(kept.map_or(0, |kept| kept.bytes))?;
        }
        Ok(())
    }

    /// Writes what is there.
    pub(super) fn flush(&mut self) -> Result<(), Failure> {
        self.results.flush()?;
        self.errors.as_mut().map_or(Ok(()), Out::flush)
    }

    /// Has the disk keep what is written, and notes how much that is.
    pub(super) fn note(&mut self, checkpoint: &mut Checkpoint) -> Result<(), Failure> {
        checkpoint.results = self.results.keep()?;
        checkpoint.errors = self.errors.as_mut().map(Out::keep).transpose()?;
        Ok(())
    }
}

/// Fails where two of the files are one.
fn are_different(all: &[(&str, io::Result<Metadata>)]) -> Result<(), Failure> {
    let mut seen: Vec<(&str, (u64, u64))> = Vec::new();
    for (name, data) in all {
        // What is not there is no other; terminals and /dev/null may well be several.
        let Some(data) = data.as_ref().ok().filter(|data| data.is_file()) else {
            continue;
        };
        let identity = (data.dev(), data.ino());
        if let Some((other, _)) = seen.iter().find(|(_, known)| *known == identity) {
            let why = format!("{other} and {name} are the same file, and each needs its own");
            return Err(Failure::new(Reason::Usage, why));
        }
        seen.push((name, identity));
    }
    Ok(())
}

impl Out {
    /// Stdout as it is.
    fn stdout() -> Result<Self, Failure> {
        let name = "stdout".to_owned();
        match io::stdout().as_fd().try_clone_to_owned() {
            Ok(file) => Ok(Self::new(name, file.into())),
            Err(error) => Err(unwritable(&name, &error)),
        }
    }

    /// A file as it is, or a new one.
    fn open(flag: &str, path: &Path) -> Result<Self, Failure> {
        let name = format!("{flag} {}", path.display());
        match OpenOptions::new().append(true).create(true).open(path) {
            Ok(file) => Ok(Self::new(name, file)),
            Err(error) => Err(unwritable(&name, &error)),
        }
    }

    const fn new(name: String, file: File) -> Self {
        Self {
            name,
            file,
            buffer: Vec::new(),
            written: 0,
            is_unread: false,
        }
    }

    fn is_file(&self) -> bool {
        self.file.metadata().is_ok_and(|data| data.is_file())
    }

    /// Fails where it is emptied when the command is started again.
    fn is_appended_to(&self) -> Result<(), Failure> {
        let flags = fcntl(&self.file, FcntlArg::F_GETFL).map(OFlag::from_bits_truncate);
        if self.is_file() && flags.is_ok_and(|flags| flags.contains(OFlag::O_APPEND)) {
            return Ok(());
        }
        let why = "--checkpoint needs the results in a file that is not emptied when the run goes on: -o FILE, or >> FILE";
        Err(Failure::new(Reason::Usage, why))
    }

    /// Keeps other runs off, for as long as this one lasts.
    fn lock(&self) -> Result<(), Failure> {
        match self.file.try_lock() {
            Err(TryLockError::WouldBlock) => {
                let why = format!("{}: another run writes to it", self.name);
                Err(Failure::new(Reason::Usage, why))
            }
            // Not every file system has locks.
            Err(TryLockError::Error(_)) | Ok(()) => Ok(()),
        }
    }

    /// Fails where it is not the file that was kept, or none was and it has something in it.
    fn fits(&self, kept: Option<Kept>) -> Result<(), Failure> {
        let data = self.file.metadata();
        let data = data.map_err(|error| unwritable(&self.name, &error))?;
        let (name, length) = (&self.name, data.len());
        let why = match kept {
            _ if !data.is_file() => {
                format!("{name}: --checkpoint needs a file that can be gone on with")
            }
            None if length > 0 => format!(
                "{name}: it has something in it, and there is no checkpoint of it to go on from; remove it, or name another"
            ),
            Some(kept) if kept.inode != data.ino() => {
                format!("{name}: it is another file than the one that the checkpoint is of")
            }
            Some(kept) if length < kept.bytes => format!(
                "{name}: it has {length} bytes, and the checkpoint was made when it had {}: it was emptied",
                kept.bytes
            ),
            _ => return Ok(()),
        };
        Err(Failure::new(Reason::Usage, why))
    }

    /// Cuts it off after so many bytes. What is no file has nothing to cut.
    fn cut(&mut self, bytes: u64) -> Result<(), Failure> {
        if self.is_file() {
            let cut = self.file.set_len(bytes);
            let cut = cut.and_then(|()| self.file.seek(SeekFrom::End(0)));
            cut.map_err(|error| unwritable(&self.name, &error))?;
        }
        self.written = bytes;
        Ok(())
    }

    /// Appends a line.
    pub(super) fn line(&mut self, text: &[u8]) -> Result<(), Failure> {
        self.buffer.extend_from_slice(text);
        self.buffer.push(b'\n');
        match self.buffer.len() >= BUFFER_BYTES {
            true => self.flush(),
            false => Ok(()),
        }
    }

    /// Writes what is there.
    fn flush(&mut self) -> Result<(), Failure> {
        match self.file.write_all(&self.buffer) {
            Ok(()) => self.written = self.written.saturating_add(self.buffer.len() as u64),
            Err(error) if error.kind() == ErrorKind::BrokenPipe => self.is_unread = true,
            Err(error) => return Err(unwritable(&self.name, &error)),
        }
        self.buffer.clear();
        Ok(())
    }

    /// Has the disk keep what is written; gives what that is.
    fn keep(&mut self) -> Result<Kept, Failure> {
        self.flush()?;
        let kept = self.file.sync_data().and_then(|()| self.file.metadata());
        let data = kept.map_err(|error| unwritable(&self.name, &error))?;
        Ok(Kept {
            inode: data.ino(),
            bytes: self.written,
        })
    }
}

fn unwritable(name: &str, error: &io::Error) -> Failure {
    Failure::new(Reason::Other, format!("{name}: cannot be written: {error}"))
}

/// A failed line, as it goes to the file of those.
pub(super) fn failed_line(number: u64, args: &str, error: &CallError) -> String {
    let exception = error.exception.as_ref();
    let stack = exception.map_or("", |exception| &exception.stack);
    format!(
        r#"{{"line":{number},"args":{args},"error":{{"kind":"{}","message":{},"stack":{},"may_have_run":{}}}}}"#,
        error.kind,
        json(&error.message),
        json(stack),
        error.may_have_run
    )
}

pub(super) fn json(text: &str) -> String {
    to_json(&Value::from(text))
}
