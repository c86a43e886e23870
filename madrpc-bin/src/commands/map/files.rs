//! Where results and failed lines go.

use crate::exit::{Failure, Reason};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Seek, SeekFrom, Write};
use std::os::fd::AsFd;
use std::path::Path;

/// Bytes that are written at once.
const BUFFER_BYTES: usize = 1 << 16;

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

impl Out {
    /// Stdout as it is.
    pub(super) fn stdout() -> Result<Self, Failure> {
        let name = "stdout".to_owned();
        match io::stdout().as_fd().try_clone_to_owned() {
            Ok(file) => Ok(Self::new(name, file.into(), 0)),
            Err(error) => Err(unwritable(&name, &error)),
        }
    }

    /// A file that is made new, or emptied.
    pub(super) fn create(flag: &str, path: &Path) -> Result<Self, Failure> {
        let name = format!("{flag} {}", path.display());
        match File::create(path) {
            Ok(file) => Ok(Self::new(name, file, 0)),
            Err(error) => Err(unwritable(&name, &error)),
        }
    }

    /// Stdout where it is a file that is appended to, which can be gone on with; its first `bytes` are kept.
    pub(super) fn stdout_from(bytes: Option<u64>) -> Result<Self, Failure> {
        let mut out = Self::stdout()?;
        let is_file = out.file.metadata().is_ok_and(|data| data.is_file());
        let flags = fcntl(&out.file, FcntlArg::F_GETFL).map(OFlag::from_bits_truncate);
        if !is_file || !flags.is_ok_and(|flags| flags.contains(OFlag::O_APPEND)) {
            let why = "--checkpoint needs the results in a file that is not emptied when the run goes on: -o FILE, or >> FILE";
            return Err(Failure::new(Reason::Usage, why));
        }
        out.go_on_at(bytes)?;
        Ok(out)
    }

    /// A file of which the first `bytes` are kept. Where none are, it must be empty, or not be there.
    pub(super) fn open_from(flag: &str, path: &Path, bytes: Option<u64>) -> Result<Self, Failure> {
        let name = format!("{flag} {}", path.display());
        let file = OpenOptions::new().append(true).create(true).open(path);
        let file = file.map_err(|error| unwritable(&name, &error))?;
        let mut out = Self::new(name, file, 0);
        out.go_on_at(bytes)?;
        Ok(out)
    }

    fn new(name: String, file: File, written: u64) -> Self {
        Self {
            name,
            file,
            buffer: Vec::new(),
            written,
            is_unread: false,
        }
    }

    fn go_on_at(&mut self, bytes: Option<u64>) -> Result<(), Failure> {
        let length = self.file.metadata().map(|data| data.len());
        let length = length.map_err(|error| unwritable(&self.name, &error))?;
        match bytes {
            None if length > 0 => {
                let why = format!(
                    "{}: it has something in it, and there is no checkpoint to go on from; remove it, or name another",
                    self.name
                );
                Err(Failure::new(Reason::Usage, why))
            }
            Some(bytes) if length < bytes => {
                let why = format!(
                    "{}: it has {length} bytes, and the checkpoint was made when it had {bytes}: it is another file, or was emptied",
                    self.name
                );
                Err(Failure::new(Reason::Usage, why))
            }
            _ => {
                self.written = bytes.unwrap_or(0);
                let cut = self.file.set_len(self.written);
                let cut = cut.and_then(|()| self.file.seek(SeekFrom::End(0)));
                cut.map_err(|error| unwritable(&self.name, &error))?;
                Ok(())
            }
        }
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
    pub(super) fn flush(&mut self) -> Result<(), Failure> {
        match self.file.write_all(&self.buffer) {
            Ok(()) => self.written = self.written.saturating_add(self.buffer.len() as u64),
            Err(error) if error.kind() == ErrorKind::BrokenPipe => self.is_unread = true,
            Err(error) => return Err(unwritable(&self.name, &error)),
        }
        self.buffer.clear();
        Ok(())
    }

    /// Bytes in the file, once it is flushed.
    pub(super) fn written(&self) -> u64 {
        self.written
    }
}

fn unwritable(name: &str, error: &io::Error) -> Failure {
    Failure::new(Reason::Other, format!("{name}: cannot be written: {error}"))
}
